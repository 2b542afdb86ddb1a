"""Settings of the labels that neurons are compared with (docs/labels.md)."""

from dataclasses import dataclass, field

from un_lightning.config.checks import at_least, require


@dataclass
class LabelsConfig:
    """Which labels a token can have."""

    kinds: list[str] = field(default_factory=list)
    """Kinds of labels, such as `[letter, unigram, pos]`; empty takes all that can be had."""
    min_tokens: int = 1
    """A label that fewer tokens of the vocabulary have is left out."""
    unigram_variants: int = 4
    """Tokens of the vocabulary (` the`, `The`, …) that a string needs to be a unigram."""
    unigram_occurrences: int = 3000
    """How often they must occur together in the text that is read (the paper's 10 million tokens)."""
    topics: str | None = None
    """YAML file of topics, each a list of words, that are added to those that come with the package."""
    syntax: str | None = None
    """Installed spaCy pipeline, such as `en_core_web_sm`, for syntax; null does without."""
    modules: list[str] = field(default_factory=list)
    """Python modules whose labels are added, by name or by the name of a package's entry point."""

    def __post_init__(self) -> None:
        at_least("analysis.labels", self, min_tokens=1, unigram_variants=1, unigram_occurrences=0)
        for name in self.modules:
            dotted = all(part.isidentifier() for part in name.split("."))
            require(dotted, f"analysis.labels.modules holds '{name}', but modules are named like my_labels")
        for key in ("topics", "syntax"):
            require(getattr(self, key) != "", f"analysis.labels.{key} is empty: set it, or null")
