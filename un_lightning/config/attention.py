"""Settings of the attention analysis."""

import re
from dataclasses import dataclass

from un_lightning.config.analysis import OneModelConfig
from un_lightning.config.checks import at_least, require


PAIR = re.compile(r"L(\d+)\.(\d+)\s*(?:>|-)\s*L(\d+)\.H(\d+)")
"""A neuron and a head that reads it: `L1.217-L3.H2`, or in quotes `L1.217>L3.H2`."""
SCREEN = re.compile(r"L(\d+)\s*(?:>|-)\s*L(\d+)\.H(\d+)")
"""A whole layer of neurons and a head that reads it: `L2-L3.H2`."""


@dataclass
class AttentionConfig(OneModelConfig):
    """Neurons that turn attention heads off and on (paper section 5.3; docs/attention.md)."""

    kind: str = "attention"
    pairs: list[str] | None = None
    """Neurons and heads whose path is cut, such as `[L1.217-L3.H2]`; null takes the largest
    foreseen effects."""
    top_pairs: int = 4
    """How many those are: positive and negative scores by turns, no neuron and no head twice."""
    screen: list[str] | None = None
    """Layers of neurons that are screened for a head, such as `[L2-L3.H2]`; null takes those of the pairs."""
    screen_tokens: int = 1024
    """Tokens at which every neuron of a screened layer is removed; 0 screens nothing."""
    first: int | None = None
    """First position whose query is changed; null is the middle of the context, as in the paper."""
    sample: int = 100_000
    """Most tokens whose values are kept for rank correlations and figures, drawn before the pass."""
    random_directions: int = 1024
    """Directions whose scores are what chance gives."""
    top_neurons: int = 20
    """Neurons listed a head, at either end of the scores."""
    groups: int = 20
    """Groups of whole documents, at most, that intervals leave out one at a time."""
    confidence: float = 0.95
    """Level of the intervals."""
    pilot: int = 8
    """Blocks that are read first to choose the pairs."""

    def __post_init__(self) -> None:
        at_least("analysis", self, top_pairs=1, screen_tokens=0, sample=10, random_directions=2)
        at_least("analysis", self, top_neurons=1, groups=2, pilot=1)
        require(
            0 < self.confidence < 1, f"analysis.confidence is {self.confidence}, but must be between 0 and 1"
        )
        require(
            self.first is None or self.first >= 1,
            f"analysis.first is {self.first}, but must be at least 1: position 0 is the BOS",
        )
        for key, names, form, example in (
            ("pairs", self.pairs, PAIR, "L1.217-L3.H2"),
            ("screen", self.screen, SCREEN, "L2-L3.H2"),
        ):
            require(names != [], f"analysis.{key} is empty: name some, such as [{example}], or set null")
            for name in names or []:
                require(
                    form.fullmatch(name) is not None,
                    f"analysis.{key} holds '{name}', but its members are named like {example}",
                )
