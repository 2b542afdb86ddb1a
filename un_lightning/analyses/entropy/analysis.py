"""Entropy neurons: what fixing and removing a neuron does to the confidence of predictions (section 5.2).

The untouched model runs once on a batch; every neuron, value and way of counting its effect shares that run.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from un_lightning.analyses.entropy.candidates import choose, vocabulary_histograms, weight_measures
from un_lightning.analyses.entropy.report import entropy_results
from un_lightning.analyses.entropy.rows import Rows
from un_lightning.analyses.interventions import COLUMNS, Frequency, Interventions, Item
from un_lightning.analyses.one_model import OneModel
from un_lightning.analyses.pilot_means import pilot_means
from un_lightning.analyses.predictions import edited_positions, predictions
from un_lightning.analyses.selection import select
from un_lightning.config import EntropyConfig, Site
from un_lightning.config.edits import EditKind
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.layers import token_counts
from un_lightning.data.loader import Batch
from un_lightning.models.causal import require_causal
from un_lightning.models.edits import Edit
from un_lightning.models.family import Family
from un_lightning.models.head import read_head
from un_lightning.results.results import Results
from un_lightning.stats.grouped_sums import GroupedSums


class EntropyAnalysis(OneModel):
    """Curves over fixed activations, and total and direct effects, of candidates and random neurons."""

    settings: EntropyConfig

    def __init__(self, config: EntropyConfig, family: Family, seed: int) -> None:
        super().__init__(config, family, seed)
        self.named = None
        if config.neurons is not None:
            found = select(self.units, neurons=config.neurons)
            self.named = np.array(self.units.offsets)[found.layer] + found.neuron
        require_causal(self.model, "entropy")
        read_head(self.model)  # a model that has none is refused before anything is read
        self.pilot_blocks = config.pilot

    def look(self, pilot: Batch) -> dict[str, Tensor]:
        """Choose the neurons by their weights; take their means over the pilot, and token frequencies."""
        size = self.model.vocabulary
        assert size is not None  # a model without an embedding has no head either
        assert self.family.tokenizer is not None  # the text came from it
        ids = torch.tensor(sorted(set(self.family.tokenizer.get_vocab().values())), device=self.device)
        tokens = torch.zeros(size, dtype=torch.bool, device=self.device).index_fill_(0, ids, True)
        known: dict[str, Tensor] = {}
        log_frequency = None
        if self.settings.frequency:
            known["counts"] = token_counts(self._data(), size)
            log_frequency = log_shares(known["counts"]).to(self.device)
        weights = self.model.weights()
        width = len(weights.W_U)
        null = min(self.settings.null_directions or max(1, width // 64), width)
        measures = weight_measures(weights, tokens, null, log_frequency)
        flat, reasons = choose(self.settings, self.units, self.named, measures, self.seed)
        layers, neurons = self.units.locate(flat)
        means = pilot_means(self.model, Site.mlp_post, pilot, set(layers.tolist()))
        known |= {f"weights/{name}": value for name, value in measures.items()}
        known |= {
            "groups": self._data().groups(self.settings.groups),
            "flat": torch.from_numpy(flat),
            "reasons": torch.from_numpy(reasons),
            "means": torch.stack(
                [means[i][j] for i, j in zip(layers.tolist(), neurons.tolist(), strict=True)]
            ),
            "histograms": vocabulary_histograms(weights, self.units, flat, tokens),
        }
        return known

    def begin(self, known: Mapping[str, Tensor]) -> None:
        """Lay out the edits and make room for their sums."""
        self.facts = dict(known)
        flat = known["flat"].cpu().numpy()
        self.rows = Rows(len(self.settings.values), self.settings.frequency)
        frequency = None
        if self.settings.frequency:
            frequency = Frequency(log_shares(known["counts"]).to(next(self.model.parameters()).dtype))
        items = []
        for index, (layer, neuron) in enumerate(zip(*self.units.locate(flat), strict=True)):
            unit = torch.tensor([neuron], device=self.device)
            edit = lambda kind, value, layer=int(layer), unit=unit: Edit(layer, kind, unit, value=value)
            for place, value in enumerate(self.settings.values):
                items.append(Item((edit(EditKind.fix, value),), self.rows.fixed(index, place)))
            mean = edit(EditKind.mean, float(known["means"][index]))
            total, direct, restored = (
                self.rows.total(index), self.rows.direct(index), self.rows.restored(index)
            )  # fmt: skip
            items.append(Item((mean,), total, direct, restored))
        self.interventions = Interventions(self.model, read_head(self.model), items, frequency)
        shape = len(COLUMNS), self.interventions.rows
        self.sums = GroupedSums(self.settings.groups, shape, self.device)
        self.statistics = {"metrics": self.sums}

    def add(self, batch: Batch) -> None:
        """Run every edit on a few blocks at a time."""
        step = self.interventions.blocks_at_once(batch.tokens.shape[1])
        for start in range(0, len(batch.tokens), step):
            rows = slice(start, start + step)
            counted = predictions(batch, self.facts["groups"], rows)
            where = edited_positions(batch.tokens[rows], self.settings.spare_bos)
            if len(counted.where):
                self.sums.add(counted.group, self.interventions.measure(batch.tokens[rows], where, counted))

    def report(self) -> Results:
        """Tables, figures and scalars."""
        return entropy_results(self.settings, self.units, self.rows, self.facts, self.sums)

    def _data(self) -> TokenBlocks:
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(data, TokenBlocks)
        return data


def log_shares(counts: Tensor) -> Tensor:
    """Ln of each token's share, every token counted once more than it occurs, so that none is impossible."""
    more = counts.double() + 1
    return (more / more.sum()).log()
