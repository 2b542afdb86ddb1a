"""Mean activations over the pilot, which mean ablation puts in the place of activations."""

from collections.abc import Collection

from jaxtyping import Float64
from torch import Tensor

from un_lightning.config import Site
from un_lightning.data.loader import Batch
from un_lightning.models.frozen import FrozenModel


def pilot_means(
    model: FrozenModel, site: Site, pilot: Batch, layers: Collection[int], blocks: int = 8
) -> dict[int, Float64[Tensor, " units"]]:
    """Mean of every unit of some layers over the counted tokens of a few blocks.

    Args:
        model: The model.
        site: The site.
        pilot: The blocks.
        layers: Layers to read.
        blocks: Blocks that run at a time.

    Returns:
        Means by layer; zeros where no token counts.
    """
    sums: dict[int, Tensor] = {}
    for start in range(0, len(pilot.tokens), blocks):
        rows = slice(start, start + blocks)
        counted = pilot.counted[rows]

        def sink(layer: int, activation: Tensor, counted: Tensor = counted) -> None:
            if layer in layers:
                own = activation[counted].double().sum(0)
                sums[layer] = sums[layer] + own if layer in sums else own

        model.run(pilot.tokens[rows], {site: sink})
    count = max(1, int(pilot.counted.sum()))
    return {layer: total / count for layer, total in sums.items()}
