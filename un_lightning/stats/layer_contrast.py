"""Some neurons against the rest of their layers: effect sizes and permutation tests (method D).

Layers differ, and so does the share of universal neurons in them. So a neuron is compared with the rest of
its own layer only, the chosen neurons count equally, and chance is what relabelling within layers gives.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Shaped
from numpy import ndarray

from un_lightning.stats.percentiles import layer_members, layer_percentiles, layer_ranks


AT_ONCE = 1 << 22
"""Numbers that a step of a permutation test holds."""


@dataclass(frozen=True)
class Contrast:
    """How the chosen neurons differ from the rest of their layers in one number a neuron."""

    chosen: int
    """Chosen neurons that have the number and a rest to be compared with."""
    rest: int
    """Other neurons of their layers."""
    auc: float
    """Mean share of the rest of its layer that a chosen neuron exceeds, ties counting half; 0.5 is none."""
    ks: float
    """Largest distance of the two distributions of layer percentiles, weighted by the chosen in a layer."""
    p_auc: float
    """Two-sided: share of relabellings whose AUC is as far from 0.5, counting the true labels as one."""
    p_ks: float

    @property
    def cliffs_delta(self) -> float:
        """Share of comparisons that a chosen neuron wins less the share that it loses: 2 AUC - 1."""
        return 2 * self.auc - 1


class LayerContrast:
    """Groups of neurons, compared in one number after another with the same relabellings."""

    def __init__(
        self,
        chosen: Bool[ndarray, " neurons"],
        layer: Shaped[ndarray, " neurons"],
        permutations: int,
        seed: int,
    ) -> None:
        """Take the groups.

        Args:
            chosen: The group; the other neurons are the rest.
            layer: Layer of each neuron.
            permutations: Relabellings of each test.
            seed: Seed of the relabellings.
        """
        self.chosen = chosen
        self.layer = layer
        self.permutations = permutations
        self.seed = seed
        self._relabelled: tuple[bytes, Int64[ndarray, "permutations chosen"]] | None = None

    def of(self, values: Float[ndarray, " neurons"]) -> Contrast:
        """Compare the groups in one number a neuron.

        Args:
            values: The numbers; neurons with NaN take no part.

        Returns:
            Effect sizes and p-values, NaN where no layer has both groups.
        """
        part = np.isfinite(values)
        for members in layer_members(self.layer):
            present = members[part[members]]
            if not 0 < np.count_nonzero(self.chosen[present]) < len(present):
                part[present] = False
        chosen, layer = self.chosen[part], self.layer[part]
        count = int(np.count_nonzero(chosen))
        if count == 0:
            return Contrast(0, 0, *[np.nan] * 4)
        auc, ks = _Auc(values[part], layer, chosen), _KolmogorovSmirnov(values[part], layer, chosen)
        true = np.flatnonzero(chosen)[None]
        observed_auc, observed_ks = auc.of(true)[0], ks.of(true)[0]
        extreme_auc = extreme_ks = 0
        tolerance = 1e-9  # the same labels, added in another order, are the same labels
        for labels in self._labels(part, chosen, layer, max(count, ks.levels)):
            extreme_auc += int((np.abs(auc.of(labels) - 0.5) >= abs(observed_auc - 0.5) - tolerance).sum())
            extreme_ks += int((ks.of(labels) >= observed_ks - tolerance).sum())
        total = 1 + self.permutations
        return Contrast(
            count,
            len(chosen) - count,
            float(observed_auc),
            float(observed_ks),
            (1 + extreme_auc) / total,
            (1 + extreme_ks) / total,
        )

    def _labels(
        self, part: ndarray, chosen: ndarray, layer: ndarray, width: int
    ) -> Iterator[Int64[ndarray, "some chosen"]]:
        """Indices of the neurons that each relabelling chooses, some relabellings at a time."""
        key = part.tobytes()  # most columns lack the same neurons as the column before
        if self._relabelled is None or self._relabelled[0] != key:
            self._relabelled = key, relabel(chosen, layer, self.permutations, self.seed)
        labels = self._relabelled[1]
        step = max(1, AT_ONCE // width)
        for start in range(0, len(labels), step):
            yield labels[start : start + step]


def relabel(
    chosen: Bool[ndarray, " neurons"], layer: Shaped[ndarray, " neurons"], permutations: int, seed: int
) -> Int64[ndarray, "permutations chosen"]:
    """Draw as many neurons of every layer as are chosen there.

    Returns:
        Indices of the drawn neurons, in the order of the layers.
    """
    generator = np.random.default_rng(seed)
    parts = []
    for members in layer_members(layer):
        count = int(np.count_nonzero(chosen[members]))
        if count == 0:
            continue
        drawn = np.empty((permutations, count), dtype=np.int64)
        step = max(1, AT_ONCE // len(members))
        for start in range(0, permutations, step):
            keys = generator.random((min(step, permutations - start), len(members)), dtype=np.float32)
            drawn[start : start + step] = np.argpartition(keys, count - 1, axis=1)[:, :count]
        parts.append(members[drawn])
    return np.concatenate(parts, axis=1) if parts else np.empty((permutations, 0), dtype=np.int64)


class _Auc:
    """Σ over layers of U / n_rest, divided by the number of chosen neurons."""

    def __init__(self, values: ndarray, layer: ndarray, chosen: ndarray) -> None:
        ranks = layer_ranks(values, layer)
        self.share = np.empty(len(values))
        self.offset = 0.0
        total = np.count_nonzero(chosen)
        for members in layer_members(layer):
            count = int(np.count_nonzero(chosen[members]))
            scale = 1 / ((len(members) - count) * total)
            self.share[members] = ranks[members] * scale
            self.offset += count * (count + 1) / 2 * scale

    def of(self, labels: Int64[ndarray, "some chosen"]) -> Float64[ndarray, " some"]:
        """AUC of each labelling."""
        return self.share[labels].sum(1) - self.offset


class _KolmogorovSmirnov:
    """sup over x of |Σ w (F_chosen(x) - F_rest(x))|, summed over layers, w a layer's share of the chosen."""

    def __init__(self, values: ndarray, layer: ndarray, chosen: ndarray) -> None:
        percentiles = np.round(layer_percentiles(values, layer), 9)
        distinct, self.code = np.unique(percentiles, return_inverse=True)
        self.levels = len(distinct)
        self.weight = np.empty(len(values))
        base = np.empty(len(values))
        total = np.count_nonzero(chosen)
        for members in layer_members(layer):
            count = int(np.count_nonzero(chosen[members]))
            rest = len(members) - count
            self.weight[members] = count / total * (1 / count + 1 / rest)
            base[members] = count / total / rest
        # Chosen neurons are taken out of the rest, hence the two terms of their weight.
        self.base = np.bincount(self.code, base, self.levels).cumsum()

    def of(self, labels: Int64[ndarray, "some chosen"]) -> Float64[ndarray, " some"]:
        """Distance of each labelling."""
        flat = self.code[labels] + np.arange(len(labels))[:, None] * self.levels
        weight = self.weight[labels].ravel()
        steps = np.bincount(flat.ravel(), weight, len(labels) * self.levels).reshape(-1, self.levels)
        return np.abs(steps.cumsum(1) - self.base).max(1)
