"""Partners that became a unit's best in the course of a pass, and the running sums of their products since.

Candidates are chosen when little has been read, so that a unit's best partner in the end may not be among
them. What is best at the end of a group joins, and from then on its sums are read out like those of the
candidates; the groups before are one larger group, whose sum is in the product already.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from un_lightning.stats.statistic import Statistic


PLACES = 4
"""Latest such partners that are kept for each unit."""


class Champions(Statistic):
    """Running Σ a b of each unit with the partners that were its best at the end of some group."""

    def __init__(
        self, ranks: int, groups: int, units: int, others: int, rank: int, device: torch.device
    ) -> None:
        """Make room for all ranks, of which each fills its own part.

        Args:
            ranks: Ranks that read text of their own.
            groups: Groups that a rank has at most.
            units: Units of the model.
            others: Partners that are no candidates: where there are none, nothing is kept.
            rank: Which of the ranks this is.
            device: Where the products are.
        """
        places = min(PLACES, others)
        whole = lambda *shape: torch.zeros(ranks, *shape, dtype=torch.int64, device=device)
        super().__init__(
            {
                "partner": whole(units, places),
                "start": whole(units, places),
                "joined": whole(units),
                "product": torch.zeros(ranks, groups, units, places, device=device),
            }
        )
        self.rank = rank

    def join(self, group: int, best: Int[Tensor, " units"], known: Int[Tensor, "units candidates"]) -> None:
        """Let the best partners at the end of a group join, unless they are followed already.

        Args:
            group: The group that has ended.
            best: Each unit's best partner so far.
            known: Partners that are followed anyway.
        """
        partner, start, joined = (self.tensors[name][self.rank] for name in ("partner", "start", "joined"))
        there = (known == best[:, None]).any(1) | (partner == best[:, None] + 1).any(1)
        new = (~there).nonzero().squeeze(1)
        place = joined[new] % partner.shape[1]
        partner[new, place] = best[new] + 1  # 0 is nobody, so that adding up over ranks collects the parts
        start[new, place] = group
        joined[new] += 1

    def read(self, group: int, product: Float[Tensor, "units partners"]) -> None:
        """Note the running sums at the end of a group; later groups start from the same values."""
        partner = (self.tensors["partner"][self.rank] - 1).clamp(min=0)
        self.tensors["product"][self.rank, group:] = product.gather(1, partner)

    def find(
        self, partner: Int[Tensor, " units"], offset: int = 0
    ) -> tuple[Int[Tensor, "ranks units"], Float[Tensor, "ranks groups units"]]:
        """Since when each rank has followed a partner, after the parts of all ranks are collected.

        Args:
            partner: One of each unit.
            offset: What the partners' indices begin at.

        Returns:
            Group from which on its running sums are known, as many as there are groups where they never are;
            and the running sums, of which those before that group mean nothing.
        """
        _, groups, units, places = self.tensors["product"].shape
        if places == 0:
            never = self.tensors["joined"].new_full((len(self.tensors["joined"]), units), groups)
            return never, self.tensors["product"].new_zeros(len(never), groups, units)
        hit = self.tensors["partner"] == (partner - offset + 1)[None, :, None]
        place = hit.to(torch.int8).argmax(2, keepdim=True)
        start = self.tensors["start"].gather(2, place).squeeze(2)
        start = torch.where(hit.any(2), start, groups)
        where = place[:, None].expand(-1, groups, -1, -1)
        return start, self.tensors["product"].gather(3, where).squeeze(3)
