"""Settings of the activations analysis."""

import re
from dataclasses import dataclass, field

from un_lightning.config.analysis import OneModelConfig
from un_lightning.config.checks import at_least, require


NEURON = re.compile(r"L(\d+)\.(\d+)")
"""How a neuron is named: layer and index in the layer."""


@dataclass
class ActivationsConfig(OneModelConfig):
    """What every neuron of one model does on text (paper sections 4 and 5; docs/activations.md)."""

    kind: str = "activations"
    layers: list[int] = field(default_factory=list)
    """Layers to read; empty reads all."""
    neurons: list[str] = field(default_factory=list)
    """Neurons to read, such as `[L0.12, L3.217]`; empty reads all of the layers."""
    subsets: bool = True
    """Keep moments and histograms of each subset of the text, too."""
    bins: int = 256
    """Equal bins of a neuron's histogram of pre-activations."""
    widen: float = 0.5
    """The histogram spans the pilot's range and this share of it more on either side."""
    histogram_share: float = 1.0
    """Share of the tokens that the histograms count; below 1 it is a fixed pseudo-random choice."""
    quantiles: list[float] = field(
        default_factory=lambda: [
            0.0001, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999
        ]
    )  # fmt: skip
    """Quantiles that become columns (those of the reference viewer)."""
    top_tokens: int = 20
    """Tokens listed a neuron, by mean and by maximum; 0 keeps nothing by token and gives no `eta2_token`."""
    min_count: int = 10
    """A token that was counted less often is not listed."""
    top_examples: int = 10
    """Largest activations listed a neuron, with their contexts."""
    sample: int = 4096
    """Tokens, drawn once for all neurons, from which examples across the range are taken."""
    example_quantiles: list[float] = field(default_factory=lambda: [0.0, 0.5, 0.9, 0.99, 1.0])
    """Edges of the quantile bins that give examples."""
    examples_per_bin: int = 2
    """Examples of each quantile bin; 0 draws no sample."""
    before: int = 20
    """Tokens of context before an example's token."""
    after: int = 4
    """Tokens of context behind it."""
    example_values: bool = False
    """Read the text once more for the neuron's activation at every token of its examples' contexts."""
    profiles: int = 1000
    """Neurons, the most positional first, whose mean by position is written out."""
    paper: bool = False
    """Add the published binned definitions as columns of their own."""
    memory_gb: float = 8.0
    """What the statistics may take on each device, in 10⁹ bytes; where the sums by token of all layers do not
    fit, the text is read several times, for a group of layers each."""
    pilot: int = 32
    """Blocks that are read first for each neuron's mean and range."""

    def __post_init__(self) -> None:
        at_least("analysis", self, bins=2, widen=0, top_tokens=0, min_count=1, top_examples=1, sample=1)
        at_least("analysis", self, examples_per_bin=0, before=0, after=0, profiles=0, memory_gb=0, pilot=1)
        share = self.histogram_share
        require(0 < share <= 1, f"analysis.histogram_share is {share}, but must be in (0, 1]")
        for level in (*self.quantiles, *self.example_quantiles):
            require(0 <= level <= 1, f"analysis.quantiles and example_quantiles hold {level}, outside [0, 1]")
        edges = self.example_quantiles
        rising = all(low < high for low, high in zip(edges, edges[1:], strict=False))
        require(rising, f"analysis.example_quantiles must rise, but is {edges}")
        require(min(self.layers, default=0) >= 0, f"analysis.layers holds a negative layer: {self.layers}")
        require(not (self.layers and self.neurons), "set analysis.layers or analysis.neurons, not both")
        for neuron in self.neurons:
            require(
                NEURON.fullmatch(neuron) is not None,
                f"analysis.neurons holds '{neuron}', but neurons are named like L3.217",
            )
