"""The alphabet: tokens that are one letter, and tokens that begin with one.

Both exist because `a` and `i` are words as well: a unit that reads letters responds to other tokens that
begin with its letter, a unit that reads the word does not (method defect E14).
"""

from string import ascii_lowercase

from un_lightning.labels.registry import label_family


@label_family("letter", ascii_lowercase)
def letter(text: str) -> list[str]:
    """The letter that is the whole token, but for white space and case."""
    core = text.strip().lower()
    return [core] if len(core) == 1 and core in ascii_lowercase else []


@label_family("first_letter", ascii_lowercase)
def first_letter(text: str) -> list[str]:
    """The letter that a token begins with, one-letter tokens included."""
    first = text.strip()[:1].lower()
    return [first] if first and first in ascii_lowercase else []
