"""What weights alone say about prediction neurons: moments, explanations and their tokens (method F)."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from un_lightning.analyses.prediction.classes import CLASSES
from un_lightning.config import PredictionConfig
from un_lightning.labels import TokenLabels
from un_lightning.models.weights import ModelWeights
from un_lightning.stats.cosines import unit_rows
from un_lightning.stats.label_contrast import LabelContrast, label_contrast
from un_lightning.stats.vocabulary_moments import token_rows, vocabulary_moments


SETS = ("label", "extreme")
"""Tokens of a neuron's best label, and the tokens at the end of its class."""
NEURONS = 256
"""Neurons whose cosines with all tokens exist at a time."""
EDGES = 101
"""Edges of the bins of an example's cosines."""


@dataclass(frozen=True)
class WeightReader:
    """Reads moments and explanations off the weights of a model."""

    config: PredictionConfig
    counts: Bool[Tensor, " vocabulary"]
    """Rows of the unembedding that count."""
    frequency: Float64[Tensor, " vocabulary"]
    """Share of each token in the text."""

    def moments(self, weights: ModelWeights) -> dict[str, Float64[Tensor, "neurons four"]]:
        """Moments over the vocabulary of every neuron of a model, by kind."""
        written = _written(weights)
        return self._moments(written, weights)

    def null(self, weights: ModelWeights, seed: int) -> dict[str, Float64[Tensor, "directions four"]]:
        """The same of random directions: what says nothing about single tokens."""
        generator = torch.Generator().manual_seed(seed)
        shape = self.config.random_directions, len(weights.W_U)
        return self._moments(torch.randn(shape, generator=generator).to(_written(weights)), weights)

    def explain(
        self,
        weights: ModelWeights,
        neurons: Int64[Tensor, " chosen"],
        codes: Int64[Tensor, " chosen"],
        moments: Float64[Tensor, "chosen four"],
        labels: TokenLabels,
    ) -> dict[str, Tensor]:
        """The labels that explain each neuron best, and the tokens at either end.

        What explains a suppression neuron is lowered by it, what explains another is raised.

        Returns:
            `label` and `label_count` [chosen, k], -1 where there are fewer; `measures` [chosen, k, 5] in the
            order of `LabelContrast`; `highest` and `lowest` token ids [chosen, k] and their cosines.
        """
        rows = token_rows(weights.W_U, self.counts)
        written = _written(weights)[neurons]
        matrix = labels.matrix.to(rows.device)[self.counts]
        contrast = label_contrast(written, rows, matrix, moments, self.config.min_tokens, self.config.tile)
        sign = torch.where(codes == CLASSES.index("suppression"), -1, 1)
        fits = contrast.mean_difference * sign[:, None] >= 0
        return self._best_labels(contrast, fits, matrix.sum(0)) | self._extremes(written, rows)

    def sets(
        self,
        weights: ModelWeights,
        neurons: Int64[Tensor, " chosen"],
        codes: Int64[Tensor, " chosen"],
        best: Int64[Tensor, " chosen"],
        labels: TokenLabels,
    ) -> dict[str, Tensor]:
        """Tokens that neurons are about: a case is a neuron and one of `SETS`.

        The extreme tokens of a prediction neuron are those that it raises most, of a suppression neuron those
        that it lowers most, of a partition neuron all that it raises.

        Args:
            weights: The model's weights.
            neurons: The neurons.
            codes: Their classes.
            best: Their best labels; -1 for none.
            labels: All labels.

        Returns:
            `sets` [vocabulary, cases], and index of the neuron and of the kind of set of each case.
        """
        ids = self.counts.nonzero().squeeze(1)
        rows, _ = unit_rows(token_rows(weights.W_U, self.counts))
        written, _ = unit_rows(_written(weights)[neurons])
        matrix = labels.matrix.to(ids.device) & self.counts[:, None]
        sets, owner, kind = [], [], []
        for index, vector in enumerate(written):
            if best[index] >= 0:
                sets.append(matrix[:, best[index]])
                owner.append(index)
                kind.append(SETS.index("label"))
            cosine = rows @ vector
            name = CLASSES[int(codes[index])]
            if name == "partition":
                chosen = cosine > 0
            else:
                k = min(self.config.extreme_tokens, len(ids))
                chosen = torch.zeros_like(cosine, dtype=torch.bool)
                chosen[cosine.topk(k, largest=name == "prediction").indices] = True
            sets.append(torch.zeros_like(self.counts).index_fill_(0, ids[chosen], True))
            owner.append(index)
            kind.append(SETS.index("extreme"))
        number = lambda values: torch.tensor(values, dtype=torch.int64, device=ids.device)
        members = torch.stack(sets, dim=1) if sets else self.counts.new_zeros(len(self.counts), 0)
        return {"sets": members, "owner": number(owner), "set": number(kind)}

    def example(
        self, weights: ModelWeights, neuron: int, label: Bool[Tensor, " vocabulary"]
    ) -> Float64[np.ndarray, "three edges"]:
        """Histogram of one neuron's cosines: edges, tokens with the label, tokens without it."""
        rows, _ = unit_rows(token_rows(weights.W_U, self.counts))
        written, _ = unit_rows(_written(weights)[neuron][None])
        cosine = (rows @ written[0]).double().cpu().numpy()
        has = label.to(self.counts.device)[self.counts].cpu().numpy()
        edges = np.linspace(cosine.min(), cosine.max(), EDGES)
        counts = [np.append(np.histogram(cosine[part], edges)[0], 0) for part in (has, ~has)]
        return np.stack([edges, *counts]).astype(np.float64)

    def _moments(self, directions: Float[Tensor, "rows width"], weights: ModelWeights) -> dict[str, Tensor]:
        rows = token_rows(weights.W_U, self.counts)
        return vocabulary_moments(directions, rows, self.frequency[self.counts], self.config.tile)

    def _best_labels(
        self,
        contrast: LabelContrast,
        fits: Bool[Tensor, "chosen labels"],
        tokens: Int64[Tensor, " labels"],
    ) -> dict[str, Tensor]:
        k = self.config.top_labels
        neurons, labels = contrast.variance_reduction.shape
        found = {
            "label": tokens.new_full((neurons, k), -1),
            "label_count": tokens.new_zeros(neurons, k),
            "measures": contrast.variance_reduction.new_full((neurons, k, len(contrast)), torch.nan),
        }
        reduction = contrast.variance_reduction.masked_fill(~fits, torch.nan).nan_to_num(nan=-torch.inf)
        value, index = reduction.topk(min(k, labels), dim=1)
        there = value > -torch.inf
        width = index.shape[1]
        found["label"][:, :width] = torch.where(there, index, -1)
        found["label_count"][:, :width] = torch.where(there, tokens[index], 0)
        for place, measure in enumerate(contrast):
            found["measures"][:, :width, place] = torch.where(there, measure.gather(1, index), torch.nan)
        return found

    def _extremes(
        self, written: Float[Tensor, "chosen width"], rows: Float[Tensor, "tokens width"]
    ) -> dict[str, Tensor]:
        ids = self.counts.nonzero().squeeze(1)
        unit, _ = unit_rows(rows)
        directions, _ = unit_rows(written)
        k = min(self.config.top_tokens, len(ids))
        names = ("highest", "highest_cosine", "lowest", "lowest_cosine")
        found: dict[str, list[Tensor]] = {name: [] for name in names}
        for part in directions.split(NEURONS):
            cosines = part @ unit.T
            for name, largest in (("highest", True), ("lowest", False)):
                value, index = cosines.topk(k, dim=1, largest=largest)
                found[name].append(ids[index])
                found[f"{name}_cosine"].append(value)
        return {name: torch.cat(parts) for name, parts in found.items()}


def _written(weights: ModelWeights) -> Float[Tensor, "neurons width"]:
    """What all neurons write, layer after layer, in a type that can be summed."""
    written = torch.cat([layer.w_out for layer in weights.layers])
    return written if written.dtype == torch.float64 else written.float()
