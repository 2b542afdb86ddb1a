"""What neurons read and write, as far as weights alone tell (paper sections 2 and 4; method C.2).

The validation loop walks over layers instead of tokens: a layer's neurons are compared with the vocabulary,
with all heads and with all other neurons. Ranks share the layers, and what they find are rows of the same
tensors.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from un_lightning.analyses.base import token_blocks
from un_lightning.analyses.one_model import OneModel
from un_lightning.analyses.weights.report import weights_results
from un_lightning.analyses.weights.rows import LayerRows
from un_lightning.config import DataConfig, Vocabulary, Weights, WeightsConfig
from un_lightning.data.layers import Layer, Layers, token_counts
from un_lightning.data.stream import Stream
from un_lightning.errors import UserError
from un_lightning.models.family import Family
from un_lightning.results.results import Results
from un_lightning.stats.filled_rows import FilledRows


class WeightsAnalysis(OneModel):
    """Norms, vocabulary, heads and neighbours of every neuron of one model."""

    settings: WeightsConfig

    def __init__(self, config: WeightsConfig, family: Family, seed: int) -> None:
        super().__init__(config, family, seed)

    def stream(self, config: DataConfig) -> Stream:
        """The model's layers, and text where token frequencies are asked for."""
        self.text = token_blocks(config, self.family) if self.settings.token_frequency else None
        return Layers(len(self.units.widths), self.text)

    def look(self, pilot: Layer) -> dict[str, Tensor]:  # noqa: ARG002
        """Which rows of the embedding are tokens, and how often each occurs in the text."""
        size = self.model.vocabulary
        assert size is not None  # a model without an embedding has no site mlp_post either
        known = {"tokens": torch.ones(size, dtype=torch.bool)}
        if self.settings.vocabulary is Vocabulary.tokenizer and self.family.tokenizer is not None:
            ids = torch.tensor(sorted(set(self.family.tokenizer.get_vocab().values())))
            known["tokens"] = torch.zeros(size, dtype=torch.bool).index_fill_(0, ids, True)
        if self.text is not None:
            known["counts"] = token_counts(self.text, size)
            if not known["counts"].any():
                raise UserError("no token was counted: data.exclude leaves none of those that were read")
        return known

    def begin(self, known: Mapping[str, Tensor]) -> None:
        """Read the weights, and make room for one row a neuron."""
        counts = known.get("counts")
        frequency = None if counts is None else counts.double() / counts.sum()
        self.weights = self.model.weights(self.settings.weights is Weights.processed)
        self.layer_rows = LayerRows(self.settings, known["tokens"], frequency)
        self.found = FilledRows(self.units.count, self.layer_rows.shapes(self.weights), self.device)
        self.statistics = {"neurons": self.found}

    def add(self, batch: Layer) -> None:
        """Everything about the neurons of one layer."""
        found = self.layer_rows.compute(self.weights, batch.layer)
        self.found.fill(self.units.layer_slices()[batch.layer], found)

    def report(self) -> Results:
        """Tables of neurons, tokens, neighbours and heads."""
        return weights_results(
            self.settings, self.units, self.weights, self.layer_rows, self.found.tensors,
            self.family.tokenizer, self.seed,
        )  # fmt: skip
