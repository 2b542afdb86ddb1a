"""Groups of words, tested on the whole token: `smile` is no mile, and `football` no foot.

Names need their capital, because `may`, `march` and `mar` are words; `may` in capitals is taken for the verb.
"""

from un_lightning.labels.registry import label_family
from un_lightning.labels.whole_word import whole_word


FUNCTION_WORDS = {
    "article": "a an the",
    "preposition": "of in to for with on at from by about as into like through after over between out "
    "against during without before under around among within along across behind beyond toward towards upon "
    "despite near per via",
    "coordinating": "and or but nor yet",
    "subordinating": "because although though if unless while whereas since until when whenever where "
    "wherever whether",
    "contrastive": "but however although though nevertheless nonetheless whereas while yet despite instead "
    "rather unlike conversely otherwise",
    "negation": "no not n't n’t never none nor neither nothing nobody nowhere cannot without",
    "be": "be am is are was were been being 'm ’m 're ’re",
    "have": "have has had having 've ’ve",
    "do": "do does did done doing",
    "modal": "can could may might must shall should will would ought 'll ’ll",
    "question": "who whom whose what which when where why how",
    "quantifier": "all any both each every few fewer less many more most much several some enough half",
    "degree": "very too quite rather so extremely really almost nearly just only even",
    "contraction": "'s 't 're 've 'm 'll 'd n't ’s ’t ’re ’ve ’m ’ll ’d n’t",
}
"""Classes of function words; a word may be in several."""

LENGTHS = """millimeter millimeters millimetre millimetres centimeter centimeters centimetre centimetres
    meter meters metre metres kilometer kilometers kilometre kilometres inch inches foot feet yard yards
    mile miles mm cm km ft"""
TIMES = """millisecond milliseconds second seconds minute minutes hour hours day days night nights week
    weeks weekend month months year years decade decades century centuries today tomorrow yesterday tonight
    morning afternoon evening noon midnight"""
WEB = "com org net edu gov io html htm php www http https"

MONTHS = "January February March April May June July August September October November December"
MONTHS_SHORT = "Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec"
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
WEEKDAYS_SHORT = "Mon Tue Tues Wed Thu Thur Thurs Fri Sat Sun"
STATES = """Alabama Alaska Arizona Arkansas California Colorado Connecticut Delaware Florida Georgia Hawaii
    Idaho Illinois Indiana Iowa Kansas Kentucky Louisiana Maine Maryland Massachusetts Michigan Minnesota
    Mississippi Missouri Montana Nebraska Nevada Ohio Oklahoma Oregon Pennsylvania Tennessee Texas Utah
    Vermont Virginia Washington Wisconsin Wyoming"""
"""States of one word: half of a name (`New`, `North`, `Carolina`) is none."""
STATES_SHORT = """AL AK AZ AR CA CO CT DE FL GA IA IL KS KY LA MA MD MI MN MO MS MT NC ND NE NH NJ NM NV NY
    PA RI SC SD TN TX UT VA VT WA WI WV WY"""
"""Without those that are words in capitals: HI, ID, IN, ME, OH, OK, OR."""

_FUNCTION: dict[str, list[str]] = {}
for _name, _words in FUNCTION_WORDS.items():
    for _word in _words.split():
        _FUNCTION.setdefault(_word, []).append(_name)

_ANY_CASE = {"length": frozenset(LENGTHS.split()), "time": frozenset(TIMES.split())}
_AS_WRITTEN = {
    "month": frozenset([*MONTHS.split(), *(name.upper() for name in MONTHS.split() if name != "May")]),
    "month_short": frozenset(MONTHS_SHORT.split()),
    "weekday": frozenset([*WEEKDAYS.split(), *WEEKDAYS.upper().split()]),
    "weekday_short": frozenset(WEEKDAYS_SHORT.split()),
    "us_state": frozenset([*STATES.split(), *STATES.upper().split()]),
}
_STATES_SHORT = frozenset(STATES_SHORT.split())
_WEB = frozenset(WEB.split())


@label_family("function_word", FUNCTION_WORDS)
def function_word(text: str) -> list[str]:
    """The classes of the function word that the token is."""
    return _FUNCTION.get(whole_word(text), [])


@label_family("word_group", (*_ANY_CASE, *_AS_WRITTEN, "us_state_short", "web"))
def word_group(text: str) -> list[str]:
    """The groups of the word that the token is.

    Postal abbreviations of states need a space before them: without it `AL` is mostly a piece of a word.
    `web` are parts of addresses that follow without white space (`com`, `.org`); `http` and `www` begin one.
    """
    core = text.strip()
    word = whole_word(text)
    found = [name for name, group in _ANY_CASE.items() if word in group]
    found += [name for name, group in _AS_WRITTEN.items() if core in group]
    if core in _STATES_SHORT and text[0].isspace():
        found.append("us_state_short")
    begins = core.lower() in ("http", "https", "www")
    if begins or (core == text and core.removeprefix(".") in _WEB):
        found.append("web")
    return found
