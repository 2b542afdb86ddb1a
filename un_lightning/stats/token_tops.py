"""What is kept of sums by token: the tokens at which each unit is largest, and what tokens explain."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from un_lightning.stats.by_token import ByToken
from un_lightning.stats.eta_squared import eta_squared
from un_lightning.stats.statistic import Statistic


class Tops(NamedTuple):
    """The tokens at which some units are largest, the largest first."""

    row: Int64[Tensor, "k units"]
    """Row of the token; -1 where fewer tokens were counted often enough."""
    mean: Float[Tensor, "k units"]
    max: Float[Tensor, "k units"]


class TokenTops(Statistic):
    """Results of sums by token, filled a group of layers at a time: the sums of all may be too large."""

    def __init__(self, rows: int, units: int, k: int, device: torch.device, dtype: torch.dtype) -> None:
        """Allocate.

        Args:
            rows: Tokens of the vocabulary that the run sees.
            units: Units of all layers.
            k: Tokens kept a unit.
            device: Where the results are.
            dtype: Type of the sums.
        """
        k = min(k, rows)
        self.k = k
        super().__init__(
            {
                "count": torch.zeros(rows, dtype=torch.int64, device=device),
                "eta2": torch.full((units,), torch.nan, dtype=torch.float64, device=device),
                **{
                    f"{by}_{what}": torch.zeros(
                        k, units, dtype=torch.int64 if what == "row" else dtype, device=device
                    )
                    for by in ("mean", "max")
                    for what in Tops._fields
                },
            }
        )

    def take(
        self,
        sums: ByToken,
        layer: int,
        units: slice,
        mean: Float[Tensor, " units"],
        variance: Float[Tensor, " units"],
        min_count: int,
    ) -> None:
        """Keep the results of one layer.

        Args:
            sums: Merged sums.
            layer: Index of the layer in them.
            units: Its units among all.
            mean: Mean of each of its units over all tokens.
            variance: Population variance over all tokens.
            min_count: A token that was counted less often is left out.
        """
        self.tensors["count"].copy_(sums.count)
        means = sums.means(layer)
        self.tensors["eta2"][units] = eta_squared(means, sums.count, mean, variance)
        for by in ("mean", "max"):
            found, row = sums.top(layer, by, self.k, min_count)
            self.tensors[f"{by}_row"][:, units] = row.masked_fill(~torch.isfinite(found), -1)
            self.tensors[f"{by}_mean"][:, units] = means.gather(0, row)
            self.tensors[f"{by}_max"][:, units] = sums.maxima(layer).gather(0, row)

    def of(self, by: str, units: slice) -> Tops:
        """What was kept of some units, by `mean` or by `max`."""
        return Tops(*(self.tensors[f"{by}_{what}"][:, units] for what in Tops._fields))
