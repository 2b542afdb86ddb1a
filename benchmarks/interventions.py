"""Cost of 20 neurons at 8 values, against 160 hooked forward passes that give the same curves.

    python benchmarks/interventions.py [--quick] [--save benchmarks/results]

Two models with random weights read random tokens on one thread: the tiny family's shape and GPT-2 small's.
The hooked passes are plain ones of the whole model, one for each neuron and value, with the same metrics
from log_softmax and a rank by counting; as many as can be waited for are run, and 160 times their mean is
what they would take.

* hooked / last layer: that, over the time for neurons of the last layer;
* earlier layer / all above: the time for neurons of the last layer but one over what cannot be saved: the
  blocks above the edit, the final norm, the unembedding and the metrics, 160 times;
* rank, sorting / counting: rank from sorted logits over rank by counting.

All sides of a ratio are timed in turn, several times; a ratio is the quotient of medians. The last line is
one JSON object.
"""

import statistics
from collections.abc import Callable
from typing import Any

import torch
from clock import Clock, by_turns
from keep import Found, Ratio, arguments, conclude, on_threads
from random_models import random_family
from torch import Tensor

from un_lightning.analyses.interventions import Interventions, Item
from un_lightning.analyses.predictions import Predictions
from un_lightning.config.edits import EditKind
from un_lightning.models.edits import Edit
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.head import read_head
from un_lightning.stats.token_metrics import SUMS, token_metrics, untouched_metrics, vocabulary_sums


NEURONS, VALUES = 20, (-0.17, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
TARGETS = {"tiny": 8.0, "gpt2_small": 20.0}
"""Of the last layer, for each shape."""
EARLIER_TARGET = 1.2


def main() -> None:
    """Run the benchmark."""
    options = on_threads(arguments(__doc__, quick="fewer tokens and repetitions"))
    quick = options.quick
    ratios: dict[str, Ratio] = {}
    measured: dict[str, Any] = {"neurons": NEURONS, "values": len(VALUES)}
    for shape, blocks, context, hooked in (
        ("tiny", 2 if quick else 16, 127, 16),
        ("gpt2_small", 1, 32 if quick else 64, 4),
    ):
        found, measured[shape] = compare(shape, blocks, context, hooked, repetitions=1 if quick else 5)
        ratios |= {f"{shape}: {label}": ratio for label, ratio in found.items()}
    conclude("interventions", ratios, measured, options)


@torch.no_grad()
def compare(shape: str, blocks: int, context: int, hooked: int, repetitions: int) -> Found:
    """All ratios of one model, and the seconds behind them."""
    model = random_family(shape, 1, n_positions=128).models["a"]
    config: Any = model.module.config
    torch.manual_seed(0)
    tokens = torch.randint(1, config.vocab_size, (blocks, context))
    where = torch.ones_like(tokens, dtype=torch.bool)
    where[:, 0] = False
    place = torch.arange(tokens.numel()).view(tokens.shape)[:, :-1].flatten()
    counted = Predictions(place, tokens.flatten()[place + 1], torch.zeros_like(place))
    last, middle = config.n_layer - 1, config.n_layer - 2
    head = read_head(model)
    studies = {layer: Interventions(model, head, items(layer)) for layer in (last, middle)}
    for study in studies.values():
        study.measure(tokens, where, counted)  # the first time also tries the short cuts
    recording = studies[middle].replay.record(tokens)
    logits = model.module(input_ids=tokens, use_cache=False).logits[:, :-1].flatten(0, 1)
    untouched, _ = untouched_metrics(logits.clone(), counted.target)

    sides: dict[str, Callable[[], Any]] = {
        "last": lambda: studies[last].measure(tokens, where, counted),
        "earlier": lambda: studies[middle].measure(tokens, where, counted),
        "hooked": lambda: [
            hooked_metrics(model, tokens, last, index, VALUES[index % len(VALUES)], counted, untouched)
            for index in range(hooked)
        ],
        "above": lambda: [above(model, recording, middle, counted, untouched) for _ in range(hooked)],
        "counting": lambda: rank_by_counting(logits, counted.target),
        "sorting": lambda: rank_by_sorting(logits, counted.target),
    }
    seconds = by_turns(sides, repetitions, Clock(torch.device("cpu")))
    took = {side: statistics.median(times) for side, times in seconds.items()}
    scale = NEURONS * len(VALUES) / hooked
    ratios = {
        "hooked / last layer": Ratio(scale * took["hooked"] / took["last"], at_least=TARGETS[shape]),
        "earlier layer / all above": Ratio(took["earlier"] / (scale * took["above"]), at_most=EARLIER_TARGET),
        "rank, sorting / counting": Ratio(took["sorting"] / took["counting"]),
    }
    return ratios, {
        "tokens": tokens.numel(),
        "earlier_layer": middle,
        "seconds": {side: round(value, 4) for side, value in took.items()},
        "hooked_passes_timed": hooked,
        "seconds_of_160_scaled": {side: round(scale * took[side], 2) for side in ("hooked", "above")},
    }


def items(layer: int) -> list[Item]:
    """20 neurons of a layer at 8 values."""
    return [
        Item(
            (Edit(layer, EditKind.fix, torch.tensor([7 * neuron]), value=value),),
            1 + neuron * len(VALUES) + place,
        )
        for neuron in range(NEURONS)
        for place, value in enumerate(VALUES)
    ]


def hooked_metrics(
    model: FrozenModel,
    tokens: Tensor,
    layer: int,
    neuron: int,
    value: float,
    counted: Predictions,
    untouched: Any,
) -> Tensor:
    """One neuron at one value by a forward pass of the whole model."""
    module: Any = model.module

    def change(_module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        activation = args[0].clone()
        activation[:, 1:, neuron] = value
        return (activation,)

    handle = module.transformer.h[layer].mlp.c_proj.register_forward_pre_hook(change)
    try:
        logits = module(input_ids=tokens, use_cache=False).logits
    finally:
        handle.remove()
    return plain_metrics(logits[:, :-1].flatten(0, 1), counted.target, untouched)


def plain_metrics(logits: Tensor, target: Tensor, untouched: Any) -> Tensor:
    """Loss, entropy, rank, divergence and change of the most likely token, as one would write them."""
    log_p = logits.log_softmax(-1)
    p = log_p.exp()
    loss = -log_p.gather(1, target[:, None]).squeeze(1)
    entropy = -(p * log_p).sum(1)
    rank = rank_by_counting(logits, target)
    kl = (untouched.probability * -log_p).sum(1) - untouched.entropy
    changed = logits.argmax(1) != untouched.top
    return torch.stack([loss, entropy, 1 / (rank + 1), kl, changed.to(loss.dtype)])


def above(model: FrozenModel, recording: Any, layer: int, counted: Predictions, untouched: Any) -> Tensor:
    """What no short cut saves: the blocks above a layer, the final norm, the unembedding and the metrics."""
    module: Any = model.module
    hidden = recording.outputs[layer]
    for index in range(layer + 1, len(module.transformer.h)):
        call = recording.calls[index]
        hidden = module.transformer.h[index](hidden, *call.args[1:], **call.kwargs)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    logits = module.lm_head(module.transformer.ln_f(hidden).flatten(0, 1)[counted.where])
    sums = logits.new_empty(SUMS, len(logits), 1)
    picked = torch.stack([counted.target, untouched.top], dim=1)
    vocabulary_sums(logits[:, None], picked, untouched.probability, sums)
    return token_metrics(sums, untouched, frequencies=False)


def rank_by_counting(logits: Tensor, target: Tensor) -> Tensor:
    """Tokens with a larger logit than the true one's."""
    own = logits.gather(1, target[:, None])
    return torch.gt(logits, own, out=torch.empty_like(logits)).sum(1)


def rank_by_sorting(logits: Tensor, target: Tensor) -> Tensor:
    """The same from sorted token ids."""
    order = logits.argsort(1, descending=True)
    return (order == target[:, None]).nonzero()[:, 1]


if __name__ == "__main__":
    main()
