"""What the measures and the rotation baseline take after the pass, at the widths of GPT-2.

    python benchmarks/measures.py [--quick] [--save benchmarks/results]
    python benchmarks/measures.py --width 4096 --model-layers 24      # GPT-2 medium

Sums of two models of a few layers are made from synthetic activations that share latents. Then each of these
is timed once, in processor seconds on the CPU:

* linreg: ridge R² of every unit of either model from each layer of the other;
* cka: linear CKA of all pairs of layers;
* mutual: mutual nearest neighbours, from a look at all correlations (a run knows the nearest units anyway);
* matching: one-to-one assignment within every pair of layers (exact: scipy's), and of layers;
* rotation: one draw of the rotation baseline, either model seen from the other.

All walk over blocks, a layer of one model by a layer of the other: `blocks` here, `blocks_scaled` in a model
of `--model-layers`. `seconds_scaled` is that many times a block. For linreg and rotation it is a little too
much: covariances are factorised and matrices drawn once a layer, not once a block.

The ratio is the sum of them all over the products of a run of 100 million tokens, timed on one batch of
4,096: both grow with the number of blocks, so it holds for any depth. `as_products_of_tokens` says for each
how many tokens' products take as long. The last line is one JSON object.
"""

from collections.abc import Callable
from typing import Any

import torch
from clock import Clock, by_turns
from keep import Ratio, arguments, conclude, on_threads, this_device
from planted import BATCH, Planted

from un_lightning.analyses.correlation.baselines import Sides, make_baselines
from un_lightning.analyses.correlation.member_sums import MemberSums
from un_lightning.config import CorrelationConfig, Site
from un_lightning.models.units import Units
from un_lightning.stats.cross_product import CrossProduct, LayerGrams
from un_lightning.stats.measures.cka import linear_cka
from un_lightning.stats.measures.linreg import explained_by_layers
from un_lightning.stats.measures.matching import match_units
from un_lightning.stats.measures.mutual import mutual, nearest
from un_lightning.stats.pair_sums import ModelSums, PairSums
from un_lightning.stats.unit_sums import UnitSums


RUN = 100_000_000
"""Tokens of a run of full size."""
SHARE = 0.01
"""Of such a run's products, that all of it may take."""


def sums_of(
    layers: int, width: int, batches: int, config: CorrelationConfig, device: torch.device
) -> tuple[PairSums, Sides, float]:
    """Everything that a pass would have added up, and seconds of a batch's products."""
    units = [Units(name, Site.mlp_post, (width,) * layers) for name in "ab"]
    count, clock = layers * width, Clock(device, processor=True)
    source, shift = Planted(count, device, torch.float32), torch.zeros(count, device=device)
    product = CrossProduct(count, count, device)
    sums = [UnitSums(count, device) for _ in units]
    grams = [LayerGrams(one.widths, device) for one in units]
    for number in range(batches):
        values = [one.T.contiguous() for one in source.batch(number)]
        product.add(*values)
        for own, gram, value in zip(sums, grams, values, strict=True):
            own.add(value)
            gram.add(value)
    values, scratch = [one.T.contiguous() for one in source.batch(0)], CrossProduct(count, count, device)
    each = min(by_turns({"product": lambda: scratch.add(*values)}, 1, clock)["product"])
    tokens = batches * BATCH
    members = [
        MemberSums(one, own.moments(tokens, shift), [gram.gram(layer) for layer in range(layers)])
        for one, own, gram in zip(units, sums, grams, strict=True)
    ]
    models = [
        ModelSums(one.moments, shift, tuple(one.units.layer_slices()), tuple(one.grams)) for one in members
    ]
    pair = PairSums(product.tensors["product"], tokens, models[0], models[1], config.tile)
    return pair, Sides(members[0], members[0], members[1], slice(0, count)), each


def main() -> None:
    """Measure, print, and keep the result."""
    parser = arguments(__doc__, quick="layers of 384 units")
    parser.add_argument("--layers", type=int, default=2, help="of the synthetic models")
    parser.add_argument("--width", type=int, default=3072, help="units a layer")
    parser.add_argument("--model-layers", type=int, default=12, help="for which the time is scaled")
    options = on_threads(parser)
    if options.quick:
        options.width = 384
    device, layers = this_device(), options.layers
    config = CorrelationConfig(draws=1)
    batches = -(-2 * options.width // BATCH)  # more tokens than units, so that covariances can be inverted
    pair, sides, product = sums_of(layers, options.width, batches, config, device)
    actions: dict[str, Callable[[], Any]] = {
        "linreg": lambda: [explained_by_layers(side, config.ridge) for side in (pair, pair.swapped)],
        "cka": lambda: linear_cka(pair),
        "mutual": lambda: mutual(*nearest(pair)),
        "matching": lambda: match_units(pair, config.matching_size),
        "rotation": lambda: [
            baseline.largest(side)
            for baseline, side in zip(
                make_baselines(sides, (), pair.tokens, config, 0), (pair, pair.swapped), strict=True
            )
        ],
    }
    clock = Clock(device, processor=True)
    seconds = {name: clock.once(action) for name, action in actions.items()}
    scale = (options.model_layers / layers) ** 2
    conclude(
        f"measures-{options.width}",
        {
            "all after the pass / products of 10⁸ tokens": Ratio(
                sum(seconds.values()) / (product * RUN / BATCH), at_most=SHARE
            )
        },
        {
            "layers": layers,
            "width": options.width,
            "blocks": layers**2,
            "tokens": pair.tokens,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "seconds_of_a_batch_of_products": round(product, 3),
            "as_products_of_tokens": {
                name: round(value / product * BATCH) for name, value in seconds.items()
            },
            "blocks_scaled": options.model_layers**2,
            "seconds_scaled": {name: round(value * scale, 1) for name, value in seconds.items()},
        },
        options,
        device,
    )


if __name__ == "__main__":
    main()
