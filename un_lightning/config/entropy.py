"""Settings of the analysis of entropy neurons."""

from dataclasses import dataclass, field
from typing import Any

from un_lightning.config.analysis import OneModelConfig
from un_lightning.config.checks import at_least, require
from un_lightning.config.edits import neuron_names


@dataclass
class EntropyConfig(OneModelConfig):
    """Neurons that act on the confidence of predictions through the final norm (docs/entropy.md)."""

    kind: str = "entropy"
    neurons: Any = None
    """Neurons to fix, such as `[L3.217, L2.5]`; null chooses candidates by their weights."""
    values: list[float] = field(default_factory=lambda: [-0.17, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    """Activations at which each neuron is fixed; -0.17 is the least that GELU gives."""
    layers: int = 2
    """Last layers from which candidates and baseline neurons come."""
    candidates: int = 3
    """Neurons that each criterion chooses, where `neurons` is null: small variance over the vocabulary, null
    space of the unembedding, token frequencies."""
    baseline: int = 20
    """Random neurons of the same layers for comparison, of ordinary norm and variance."""
    norm_quantile: float = 0.9
    """A candidate's weight norm is above this quantile of the model's neurons; a baseline neuron's is not."""
    null_directions: int | None = None
    """Directions with the smallest singular values of the unembedding; null takes d_model / 64."""
    frequency: bool = True
    """Also measure what neurons do through the token frequencies of the text."""
    spare_bos: bool = True
    """Leave the activation at the first position of each block, the attention sink, as it is."""
    pilot: int = 32
    """Blocks that are read first for the neurons' mean activations."""
    groups: int = 32
    """Groups of whole documents from which errors are estimated, at most."""
    confidence: float = 0.95
    """Of the intervals."""

    def __post_init__(self) -> None:
        at_least("analysis", self, layers=1, candidates=1, baseline=0, pilot=1, groups=2)
        if self.neurons is not None:
            listed = isinstance(self.neurons, list)
            require(listed, f"analysis.neurons is {self.neurons!r}, but must be a list such as [L3.217]")
            self.neurons = neuron_names("analysis.neurons", self.neurons)
        require(len(self.values) > 0, "analysis.values is empty: name activations such as [0, 1, 2]")
        require(
            len({*self.values}) == len(self.values), f"analysis.values holds a value twice: {self.values}"
        )
        for value in self.values:
            require(abs(value) < float("inf"), f"analysis.values holds {value}, which is no finite number")
        for name in ("norm_quantile", "confidence"):
            share = getattr(self, name)
            require(0 < share < 1, f"analysis.{name} is {share}, but must be between 0 and 1")
        directions = self.null_directions
        require(
            directions is None or directions > 0, f"analysis.null_directions is {directions}, not positive"
        )
