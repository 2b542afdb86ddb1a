"""How a token looks: its type, case, symbols, white space and beginning.

A token's core is its text without white space around it.
"""

from un_lightning.labels.registry import label, label_family


SYMBOLS = {
    "period": ".",
    "comma": ",",
    "colon": ":",
    "semicolon": ";",
    "exclamation": "!",
    "question": "?",
    "apostrophe": "'’‘",
    "quote": '"“”«»',
    "left_parenthesis": "(",
    "right_parenthesis": ")",
    "left_bracket": "[",
    "right_bracket": "]",
    "left_brace": "{",
    "right_brace": "}",
    "less": "<",
    "greater": ">",
    "hyphen": "-",
    "dash": "–—",
    "underscore": "_",
    "slash": "/",
    "backslash": "\\",
    "pipe": "|",
    "at": "@",
    "hash": "#",
    "currency": "$€£¥¢",
    "percent": "%",
    "ampersand": "&",
    "asterisk": "*",
    "plus": "+",
    "equals": "=",
    "caret": "^",
    "tilde": "~",
    "backtick": "`",
    "ellipsis": "…",
    "bullet": "•·",
}
"""A token has a symbol's label when the symbol occurs in it."""

_SYMBOL_OF = {character: name for name, characters in SYMBOLS.items() for character in characters}
_VOWELS = frozenset("aeiouAEIOU")


def is_symbolic(core: str) -> bool:
    """Whether every character is a symbol: no letter, no digit, no white space, and not nothing."""
    return bool(core) and not any(c.isalnum() or c.isspace() for c in core)


@label_family("type", ("whitespace", "word", "number", "symbol", "mixed"))
def token_type(text: str) -> list[str]:
    """Exactly one: white space, letters, digits, symbols, or several of these (`don't`, `x2`, `(a`)."""
    core = text.strip()
    if not core:
        return ["whitespace"]
    if core.isalpha():
        return ["word"]
    if core.isdecimal():
        return ["number"]
    return ["symbol" if is_symbolic(core) else "mixed"]


@label_family("case", ("lower", "title", "upper", "single_capital", "mixed"))
def case(text: str) -> list[str]:
    """At most one, from the letters that have a case.

    `single_capital` is one capital alone, which could as well be a title or in capitals.
    """
    cased = [c for c in text if c.isupper() or c.islower() or c.istitle()]
    if not cased:
        return []
    if all(c.islower() for c in cased):
        return ["lower"]
    if len(cased) == 1:
        return ["single_capital"]
    if all(c.isupper() for c in cased):
        return ["upper"]
    return ["title" if not cased[0].islower() and all(c.islower() for c in cased[1:]) else "mixed"]


@label_family("symbol", SYMBOLS)
def symbol(text: str) -> set[str]:
    """The symbols that occur in a token, which may have letters too (`'s`)."""
    return {_SYMBOL_OF[c] for c in text if c in _SYMBOL_OF}


@label("symbol/repeated")
def repeated(text: str) -> bool:
    """One symbol several times and nothing else: `----`, `...`, `//`."""
    core = text.strip()
    return is_symbolic(core) and len(core) > 1 and len(set(core)) == 1


@label_family("whitespace", ("newline", "blank_line", "tab", "run"))
def white_space(text: str) -> list[str]:
    """White space inside a token; `run` is of two blanks or more, `blank_line` of two newlines."""
    newlines = text.count("\n")
    found = {"newline": newlines > 0, "blank_line": newlines > 1, "tab": "\t" in text, "run": "  " in text}
    return [name for name, holds in found.items() if holds]


_STARTS = (
    "space", "no_space", "capital", "lower", "vowel", "consonant", "digit", "symbol",
    "space_capital", "space_lower", "no_space_capital", "no_space_lower",
)  # fmt: skip


@label_family("start", _STARTS)
def start(text: str) -> list[str]:
    """How a token with a core begins: with white space or without, and the core's first character.

    Vowels are a, e, i, o and u. `no_space_lower` is what goes on with a word.
    """
    core = text.strip()
    if not core:
        return []
    first = core[0]
    space = "space" if text[0].isspace() else "no_space"
    found = [space]
    if "a" <= first.lower() <= "z":
        found.append("vowel" if first in _VOWELS else "consonant")
    if first.isupper() or first.islower():
        size = "capital" if first.isupper() else "lower"
        found += [size, f"{space}_{size}"]
    if first.isdecimal():
        found.append("digit")
    if is_symbolic(first):
        found.append("symbol")
    return found
