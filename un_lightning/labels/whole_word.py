"""When a token is a word by itself."""

_LETTERS = 4
"""A shorter piece without space and capital is more often the end of a word (`us`, `ear`) than one."""


def whole_word(text: str) -> str:
    """The word that a token is, in lower case, or nothing where it looks like a piece of a longer one.

    A token alone does not say what stands before it. It counts as a word with white space before it, with a
    capital and small letters behind it, with four characters or more, or where not all of it are letters
    (`'s`, `n't`, `1st`). So ` us` and `Us` are words, and `us` and `US` are not.
    """
    core = text.strip()
    if not core:
        return ""
    title = core[0].isupper() and (len(core) == 1 or core[1:].islower())
    if text[0].isspace() or title or len(core) >= _LETTERS or not core.isalpha():
        return core.lower()
    return ""
