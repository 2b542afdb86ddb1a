"""Pronouns, by whole words: one pronoun is of several classes (`my`: first person, singular, possessive)."""

from un_lightning.labels.registry import label_family
from un_lightning.labels.whole_word import whole_word


CLASSES = {
    "first_person": "i me my mine myself we us our ours ourselves",
    "second_person": "you your yours yourself yourselves",
    "third_person": "he him his himself she her hers herself it its itself they them their theirs themselves",
    "first_singular": "i me my mine myself",
    "first_plural": "we us our ours ourselves",
    "third_singular": "he him his himself she her hers herself it its itself",
    "third_plural": "they them their theirs themselves",
    "masculine": "he him his himself",
    "feminine": "she her hers herself",
    "neuter": "it its itself",
    "subject": "i we you he she it they",
    "object": "me us you him her it them",
    "possessive_determiner": "my our your his her its their",
    "possessive_pronoun": "mine ours yours his hers theirs",
    "reflexive": "myself ourselves yourself yourselves himself herself itself themselves",
    "demonstrative": "this that these those",
    "interrogative": "who whom whose which what",
    "relative": "who whom whose which that",
    "indefinite": "someone somebody something anyone anybody anything everyone everybody everything nobody "
    "nothing none",
}

_CLASSES_OF: dict[str, list[str]] = {}
for _name, _words in CLASSES.items():
    for _word in _words.split():
        _CLASSES_OF.setdefault(_word, []).append(_name)


@label_family("pronoun", CLASSES)
def pronoun(text: str) -> list[str]:
    """The classes of the pronoun that the token is."""
    return _CLASSES_OF.get(whole_word(text), [])
