"""Prefixes and suffixes, by spelling.

The longest affix counts and no other, so no token has two prefixes or two suffixes. What is left of the word
must hold a vowel and some letters, which keeps `thing` from -ing and `unit` from un-. Spelling alone cannot
tell `uncle` from `unkind`.
"""

from un_lightning.labels.registry import label_family


_PREFIXES = """anti auto be bi bio circum co com con contra counter de dis down electro em en ex extra fore
    geo hetero homo hydro hyper il im in inter intra ir macro mal mega meta micro mid mini mis mono multi
    neo neuro non omni out over para photo poly post pre pro pseudo psycho quad re retro semi sub super sur
    tele thermo trans tri ultra un under uni up"""
PREFIXES = tuple(_PREFIXES.split())
_SUFFIXES = """able ably age al ally ance ant ary ate ation ative dom ed ee ence ency ent er ers es ess est
    ful fully hood ial ian ible ic ical ied ies ify ing ings ion ions ish ism ist ists ity ive ize ise less
    like ly logy ment ments ness or ous s ship sion some tion tions ty ure ward wards wise y"""
SUFFIXES = tuple(_SUFFIXES.split())
PREFIX_REST = 3
"""Letters behind a prefix, at least."""
SUFFIX_REST = 2
"""Letters before a suffix, at least; none at all where the token is the suffix and goes on with a word."""

_VOWELS = frozenset("aeiouy")
_BY_LENGTH = {
    affixes: tuple(sorted(affixes, key=lambda affix: (-len(affix), affix)))
    for affixes in (PREFIXES, SUFFIXES)
}


@label_family("prefix", PREFIXES)
def prefix(text: str) -> list[str]:
    """The prefix of a token that begins a word: with a space before it, or a capital and small letters."""
    core = text.strip()
    begins = text[0].isspace() or (core[:1].isupper() and not core.isupper())
    if not core.isalpha() or not begins:
        return []
    word = core.lower()
    for affix in _BY_LENGTH[PREFIXES]:
        if word.startswith(affix) and _is_stem(word[len(affix) :], PREFIX_REST):
            return [affix]
    return []


@label_family("suffix", SUFFIXES)
def suffix(text: str) -> list[str]:
    """The suffix of a token, or the suffix that the token is, where no white space parts it from a word."""
    word = text.strip().lower()
    if not word.isalpha():
        return []
    for affix in _BY_LENGTH[SUFFIXES]:
        if word.endswith(affix):
            piece = word == affix == text
            if piece or _is_stem(word[: -len(affix)], SUFFIX_REST):
                return [affix]
    return []


def _is_stem(letters: str, least: int) -> bool:
    return len(letters) >= least and not _VOWELS.isdisjoint(letters)
