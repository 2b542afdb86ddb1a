"""spaCy pipelines: loading one, and all that it can say."""

from collections.abc import Collection, Iterable
from typing import Any

from un_lightning.errors import UserError


SYNTAX_KINDS = ("pos", "tag", "dep", "morph", "ent", "sentence", "lexeme")

_POS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SPACE SYM VERB X"
"""Universal parts of speech, and spaCy's white space."""

_COMPONENTS = {
    "pos": ("tagger", "morphologizer", "parser", "attribute_ruler"),
    "tag": ("tagger", "attribute_ruler"),
    "dep": ("parser",),
    "morph": ("tagger", "morphologizer", "parser", "attribute_ruler"),
    "ent": ("ner", "entity_ruler"),
    "sentence": ("parser", "senter", "sentencizer"),
    "lexeme": (),
}
"""Components that a kind may come from; rules for parts of speech look at dependencies."""

_SHARED = ("tok2vec", "transformer", "curated_transformer")
"""Components that others read from."""


def load_pipeline(name: str, kinds: Collection[str]) -> Any:
    """Load an installed pipeline without the components that nothing asks for.

    Args:
        name: Name of the installed package.
        kinds: Some of `SYNTAX_KINDS`.

    Raises:
        UserError: spaCy or the pipeline is not installed, or does not load.
    """
    try:
        import spacy
        from spacy.util import get_installed_models
    except ImportError as error:
        raise UserError(
            "labels of syntax need spaCy: install the extra with pip install 'un-lightning[syntax]', "
            "or set analysis.labels.syntax=null"
        ) from error
    installed = get_installed_models()
    if name not in installed:
        raise UserError(
            f"analysis.labels.syntax: the spaCy pipeline '{name}' is not installed (installed are "
            f"{', '.join(sorted(installed)) or 'none'}); get it with python -m spacy download {name}"
        )
    try:
        nlp = spacy.load(name)
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"analysis.labels.syntax: '{name}' does not load ({error})") from error
    needed = {*_SHARED, *(part for kind in kinds for part in _COMPONENTS[kind])}
    nlp.select_pipes(disable=[part for part in nlp.pipe_names if part not in needed])
    return nlp


def inventory(nlp: Any, kinds: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """All labels that a pipeline can give, by kind; kinds that it knows nothing of are left out.

    Args:
        nlp: The pipeline.
        kinds: Some of `SYNTAX_KINDS`.

    Raises:
        UserError: It knows nothing of any of them.
    """
    parts = {name: nlp.get_pipe(name) for name in nlp.pipe_names}
    announced = lambda *names: {label for name in names if name in parts for label in parts[name].labels}
    rules = parts["attribute_ruler"].patterns if "attribute_ruler" in parts else []
    set_by_rule = lambda attribute: {str(r["attrs"][attribute]) for r in rules if attribute in r["attrs"]}
    morphs = {*announced("morphologizer"), *set_by_rule("MORPH")}
    features = {feature for morph in morphs for feature in morph.split("|")}
    bounded = any(name in parts for name in _COMPONENTS["sentence"])
    tagged = any(name in parts for name in ("tagger", "morphologizer"))
    found = {
        "pos": set(_POS.split()) if tagged else set(),
        "tag": {*announced("tagger"), *set_by_rule("TAG")},
        "dep": announced("parser"),
        "morph": {feature for feature in features if "=" in feature and not feature.startswith("POS=")},
        "ent": announced("ner", "entity_ruler"),
        "sentence": {"start", "end"} if bounded else set(),
        "lexeme": {"stop"},
    }
    labels = {kind: tuple(sorted(found[kind])) for kind in kinds if found[kind]}
    if not labels:
        raise UserError(f"analysis.labels.syntax: {nlp.meta['name']} gives none of {', '.join(kinds)}")
    return labels
