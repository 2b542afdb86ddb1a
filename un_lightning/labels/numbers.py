"""Numbers, in digits and in words."""

from un_lightning.labels.registry import label_family
from un_lightning.labels.whole_word import whole_word


_WORDS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred
    thousand million billion trillion dozen"""
WORDS = frozenset(_WORDS.split())
_ORDINALS = """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth
    twentieth thirtieth hundredth thousandth 1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th 11th 12th 13th 14th
    15th 16th 17th 18th 19th 20th 21st 22nd 23rd 24th 25th 26th 27th 28th 29th 30th 31st"""
ORDINALS = frozenset(_ORDINALS.split())
_ROMAN = "II III IV VI VII VIII IX XI XII XIII XIV XV XVI XVII XVIII XIX XX XXI"
ROMAN = frozenset(_ROMAN.split())
"""Those of two letters or more that are no common word or abbreviation."""

YEARS = range(1491, 2200)
"""Four-digit numbers that are taken for years, as in the reference."""

_MEMBERS = (
    "has_digit", "digits", "digits_1", "digits_2", "digits_3", "digits_4", "digits_more", "month", "day",
    "year", "zero_padded", "word", "ordinal", "roman",
)  # fmt: skip


@label_family("number", _MEMBERS)
def number(text: str) -> list[str]:
    """What kind of number a whole token is.

    `digits` are decimal digits alone, so white space is none. `month` is 1 to 12, `day` 1 to 31, `year` 1491
    to 2199 without padding.
    """
    core = text.strip()
    found = []
    if any(c.isdecimal() for c in core):
        found.append("has_digit")
    if core.isdecimal():
        value, size = int(core), len(core)
        found += ["digits", f"digits_{size}" if size <= 4 else "digits_more"]
        padded = size > 1 and value < 10 ** (size - 1)
        within = {"month": 1 <= value <= 12, "day": 1 <= value <= 31}
        found += [name for name, holds in within.items() if holds and size <= 2]
        if size == 4 and value in YEARS:
            found.append("year")
        if padded:
            found.append("zero_padded")
    word = whole_word(text)
    if word in WORDS:
        found.append("word")
    if word in ORDINALS:
        found.append("ordinal")
    if core in ROMAN and text[0].isspace():
        found.append("roman")
    return found
