"""Ablation of sets of neurons: what predictions lose, against random sets of the same layers.

The untouched model runs once on a batch and is shared by all sets; each set runs from its lowest layer on.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from un_lightning.analyses.ablation.report import ablation_results
from un_lightning.analyses.ablation.sets import (
    NeuronSet,
    named_sets,
    pack_sets,
    unpack_sets,
    with_random_sets,
)
from un_lightning.analyses.interventions import COLUMNS, Interventions, Item
from un_lightning.analyses.one_model import OneModel
from un_lightning.analyses.pilot_means import pilot_means
from un_lightning.analyses.predictions import edited_positions, predictions
from un_lightning.config import AblationConfig, Site
from un_lightning.config.edits import EditKind
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.loader import Batch
from un_lightning.errors import UserError
from un_lightning.models.causal import require_causal
from un_lightning.models.edits import Edit
from un_lightning.models.family import Family
from un_lightning.models.head import read_head
from un_lightning.results.results import Results
from un_lightning.stats.grouped_sums import GroupedSums


class AblationAnalysis(OneModel):
    """Loss, entropy and divergence of one model without sets of its neurons."""

    settings: AblationConfig

    def __init__(self, config: AblationConfig, family: Family, seed: int) -> None:
        super().__init__(config, family, seed)
        sets, pool = named_sets(config, self.units)
        self.sets = with_random_sets(sets, pool, self.units, config.draws, seed)
        require_causal(self.model, "ablation")
        read_head(self.model)  # a model that has none is refused before anything is read
        self.pilot_blocks = config.pilot

    def look(self, pilot: Batch) -> dict[str, Tensor]:
        """The sets, which only rank 0 may know, and the means of all neurons in them over the pilot."""
        if not self.sets:
            raise UserError("no set is named: set analysis.tables, analysis.sets or analysis.neurons")
        layers = {int(layer) for one in self.sets for layer in self.units.locate(one.flat)[0]}
        means = pilot_means(self.model, Site.mlp_post, pilot, layers)
        widths = self.units.widths
        missing = lambda layer: torch.zeros(widths[layer], dtype=torch.float64, device=self.device)
        found = [means[layer] if layer in means else missing(layer) for layer in range(len(widths))]
        groups = self._data().groups(self.settings.groups)
        return {"means": torch.cat(found), "groups": groups, **pack_sets(self.sets)}

    def begin(self, known: Mapping[str, Tensor]) -> None:
        """Lay out the edits and make room for their sums."""
        self.sets = unpack_sets(known)
        values = self.settings.values or [0.0]
        dtype = next(self.model.parameters()).dtype
        means = known["means"].to(dtype)
        items = [
            Item(self._edits(one, value, means), 1 + index * len(values) + place)
            for index, one in enumerate(self.sets)
            for place, value in enumerate(values)
        ]
        self.interventions = Interventions(self.model, read_head(self.model), items)
        shape = len(COLUMNS), self.interventions.rows
        self.sums = GroupedSums(self.settings.groups, shape, self.device)
        self.statistics = {"metrics": self.sums}
        self.groups = known["groups"]

    def add(self, batch: Batch) -> None:
        """Run every set on a few blocks at a time."""
        step = self.interventions.blocks_at_once(batch.tokens.shape[1])
        for start in range(0, len(batch.tokens), step):
            rows = slice(start, start + step)
            counted = predictions(batch, self.groups, rows)
            where = edited_positions(batch.tokens[rows], self.settings.spare_bos)
            if len(counted.where):
                self.sums.add(counted.group, self.interventions.measure(batch.tokens[rows], where, counted))

    def report(self) -> Results:
        """Tables, figures and scalars."""
        return ablation_results(self.settings, self.units, self.sets, self.sums)

    def _edits(self, one: NeuronSet, value: float, means: Tensor) -> tuple[Edit, ...]:
        layer, neuron = self.units.locate(one.flat)
        edits = []
        for own in sorted({*layer.tolist()}):
            here = layer == own
            units = torch.from_numpy(neuron[here]).to(self.device)
            flat = torch.from_numpy(one.flat[here]).to(self.device)
            amount = means[flat] if self.settings.edit is EditKind.mean else value
            edits.append(Edit(own, self.settings.edit, units, value=amount))
        return tuple(edits)

    def _data(self) -> TokenBlocks:
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(data, TokenBlocks)
        return data
