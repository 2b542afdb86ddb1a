"""Neurons that promote, suppress or divide the next tokens (paper section 5.2; method F).

Weights say what a neuron does to the vocabulary: they are read once, on rank 0, before the pass. The pass
asks of the text whether a neuron that speaks of some tokens also fires before them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from un_lightning.analyses.one_model import OneModel
from un_lightning.analyses.prediction.classes import CLASSES, classify, extremity, most_extreme
from un_lightning.analyses.prediction.report import prediction_results
from un_lightning.analyses.prediction.weights import WeightReader
from un_lightning.analyses.selection import select
from un_lightning.config import PredictionConfig, Site, Vocabulary, Weights
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.layers import token_counts
from un_lightning.data.loader import Batch
from un_lightning.errors import UserError
from un_lightning.labels import TokenLabels, build_labels
from un_lightning.models.causal import require_causal
from un_lightning.models.family import Family
from un_lightning.models.frozen import Sink
from un_lightning.models.weights import ModelWeights
from un_lightning.results.results import Results
from un_lightning.stats.next_token import NextTokenSums


TOKENS = 4096
"""Tokens that are added at a time, in float32 before they go to float64."""
WIDEN = 0.5
"""Histograms span the pilot's range and this share of it more on either side."""


class PredictionAnalysis(OneModel):
    """Classes of neurons by the vocabulary, their explanations, and whether they fire before their tokens."""

    settings: PredictionConfig

    def __init__(self, config: PredictionConfig, family: Family, seed: int) -> None:
        super().__init__(config, family, seed)
        self.read = family.models if config.family else {self.model.name: self.model}
        self.members = nn.ModuleList(self.read.values())  # other members stay where they are
        self.sites = self.model.units(config.site)
        if self.sites.widths != self.units.widths:
            raise UserError(
                f"the neurons of '{self.model.name}' have no activations of their own at {config.site}: set "
                f"analysis.site=mlp_post"
            )
        for model in self.read.values():
            require_causal(model, "prediction")
        self.pilot_blocks = config.pilot

    def labels(self) -> TokenLabels:
        """Labels of the vocabulary that explain neurons."""
        tokenizer, size = self.family.tokenizer, self.model.vocabulary
        assert tokenizer is not None  # without one there is no stream
        assert size is not None  # nor are there neurons
        return build_labels(self.settings.labels, tokenizer, size)[0]

    def look(self, pilot: Batch) -> dict[str, Tensor]:
        """Everything that weights say, and the range of the activations that are followed."""
        size = self.model.vocabulary
        assert size is not None
        counts = torch.ones(size, dtype=torch.bool)
        if self.settings.vocabulary is Vocabulary.tokenizer and self.family.tokenizer is not None:
            ids = torch.tensor(sorted(set(self.family.tokenizer.get_vocab().values())))
            counts = torch.zeros(size, dtype=torch.bool).index_fill_(0, ids, True)
        occurrences = token_counts(self._data(), size)
        if not occurrences[counts].any():
            raise UserError("no token was counted: data.exclude leaves none of those that were read")
        frequency = occurrences.double() / occurrences[counts].sum()
        self.reader = WeightReader(self.settings, counts.to(self.device), frequency.to(self.device))
        known: dict[str, Tensor] = {"occurrences": occurrences}
        for name, member in self.read.items():
            weights = member.weights(self.settings.weights is Weights.processed)
            moments = self.reader.moments(weights)
            known |= {f"{name}.{kind}": values for kind, values in moments.items()}
            if member is self.model:
                null = self.reader.null(weights, self.seed)
                known |= {f"null.{kind}": values for kind, values in null.items()}
                known |= self._explain(weights, moments["cosine"])
        known |= self._ranges(pilot, known["followed"])
        return known

    def begin(self, known: Mapping[str, Tensor]) -> None:
        """Make room for the neurons that are followed."""
        self.followed = known["followed"]
        labels = [self.units.label(int(index)) for index in self.followed]
        self.selection = select(self.units, neurons=labels) if labels else None
        self.sets = known["sets"]
        self.groups = self._data().groups(self.settings.groups).to(self.device)
        self.sums = NextTokenSums(
            self.settings.groups, known["owner"], known["low"], known["high"], self.settings.bins
        )
        self.statistics = {"next_token": self.sums}

    def add(self, batch: Batch) -> None:
        """Compare activations by the token that comes next in the same document."""
        if self.selection is None:
            return
        tokens, counted, document = batch.tokens, batch.counted, batch.document
        known = torch.zeros_like(counted)
        known[:, :-1] = counted[:, :-1] & counted[:, 1:] & (document[:, :-1] == document[:, 1:])
        where = known.flatten().nonzero().squeeze(1)
        block = where // tokens.shape[1]
        group = self.groups[batch.blocks[block]]
        inside = self.sets[tokens.flatten()[where + 1]]
        values = self._activations(tokens, where)
        for part in (slice(start, start + TOKENS) for start in range(0, len(where), TOKENS)):
            self.sums.add(group[part], values[part], inside[part])

    def report(self) -> Results:
        """Tables, figures and scalars."""
        known = {name: value.cpu() for name, value in self.known.items()}
        units = {name: model.units(Site.mlp_post) for name, model in self.read.items()}
        labels = self.labels()
        tokenizer = self.family.tokenizer
        assert tokenizer is not None
        return prediction_results(self.settings, self.model.name, units, known, labels, self.sums, tokenizer)

    def _explain(self, weights: ModelWeights, moments: Tensor) -> dict[str, Tensor]:
        """Classes of one model's neurons, explained; and which of them are followed."""
        array = moments.cpu().numpy()
        codes = classify(self.settings, array)
        classed = torch.from_numpy(np.flatnonzero(codes > 0)).to(self.device)
        followed = torch.from_numpy(most_extreme(codes, array, self.settings.follow)).to(self.device)
        labels = self.labels()
        code = torch.from_numpy(codes).to(self.device)
        explained = self.reader.explain(weights, classed, code[classed], moments[classed], labels)
        best = torch.full((len(moments),), -1, device=self.device)
        best[classed] = explained["label"][:, 0]
        sets = self.reader.sets(weights, followed, code[followed], best[followed], labels)
        found = {"classed": classed, "followed": followed, **explained, **sets}
        far = extremity(codes, array)
        for number, name in enumerate(CLASSES[1:], start=1):
            members = np.flatnonzero((codes == number) & (best.cpu().numpy() >= 0))
            if len(members):
                # The example is the best explained of the class's extreme half.
                half = members[np.argsort(-far[members], kind="stable")[: max(1, len(members) // 2)]]
                place = torch.searchsorted(classed, torch.from_numpy(half).to(self.device))
                reduction = explained["measures"][place, 0, 2].cpu().numpy()
                neuron = int(half[reduction.argmax()])
                label = labels.matrix[:, int(best[neuron])]
                found[f"example.{name}"] = torch.from_numpy(self.reader.example(weights, neuron, label))
                found[f"example_neuron.{name}"] = torch.tensor(neuron)
        return found

    def _ranges(self, pilot: Batch, followed: Tensor) -> dict[str, Tensor]:
        """Range of each followed neuron's activations over a few blocks, and a margin."""
        labels = [self.units.label(int(index)) for index in followed]
        self.selection = select(self.units, neurons=labels) if labels else None
        if self.selection is None:
            return {"low": torch.zeros(0), "high": torch.zeros(0)}
        where = pilot.counted.flatten().nonzero().squeeze(1)
        values = self._activations(pilot.tokens, where).nan_to_num(0, 0, 0)
        low, high = (values.amin(0), values.amax(0)) if len(values) else (values.sum(0), values.sum(0))
        margin = (WIDEN * (high - low)).clamp(min=1e-3)
        return {"low": low - margin, "high": high + margin}

    def _activations(self, tokens: Tensor, where: Tensor) -> Float[Tensor, "tokens followed"]:
        """Activations of the followed neurons at some tokens of a batch."""
        selection = self.selection
        assert selection is not None
        values: list[Tensor] = []

        def sink(layer: int, activation: Tensor) -> None:
            if layer in selection.columns:
                values.append(selection.take(layer, activation.flatten(0, 1))[where])

        sinks: dict[Site, Sink] = {self.settings.site: sink}
        self.model.run(tokens, sinks)
        activations = torch.cat(values, dim=1)
        return activations if activations.dtype == torch.float64 else activations.float()

    def _data(self) -> TokenBlocks:
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(data, TokenBlocks)
        return data
