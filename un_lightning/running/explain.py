"""The verb `explain`: what a run would read, take and cost, before it is begun."""

import time
from contextlib import suppress
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from un_lightning.analyses.base import Analysis
from un_lightning.config import Config, Way, registry
from un_lightning.data.bounds import refuse_too_much
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.in_hand import HeldBlocks
from un_lightning.data.prepare import blocks_needed
from un_lightning.errors import UserError
from un_lightning.lightning import make_trainer, seed
from un_lightning.models.family import Family, load_family
from un_lightning.terminal import duration, note, say, show_table


SECONDS = 2.0
"""How long batches of random tokens are measured."""
MOST_BATCHES = 50


class _Enough(Exception):  # noqa: N818 - it is no error
    """Ends a pass that has been measured."""


class _Clock(Callback):
    """Times batches but for the first, which makes room for the others."""

    def __init__(self) -> None:
        self.begun = self.seconds = 0.0
        self.batches = 0

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Look at the clock."""
        now = time.monotonic()
        if batch_idx == 0:
            self.begun = now
            return
        self.batches, self.seconds = batch_idx, now - self.begun
        if self.seconds > SECONDS:
            raise _Enough


def explain(config: Config) -> None:
    """Say what a run of this config would do, without its text and without a run folder.

    Args:
        config: The checked config.

    Raises:
        UserError: What would end the run before its first batch.
    """
    if config.analysis is None:
        raise UserError("explain is for analyses: this experiment trains, or chooses none")
    way = registry.runner(config.analysis).way
    say(f"{config.name}: {' '.join((type(config.analysis).__doc__ or '').split())}")
    if way is Way.report:
        say("It reads finished tables, without models or text, in seconds.")
        return
    if way is Way.study:
        say("It is several runs, each of which `explain` knows by its own experiment.")
    if config.models is None:
        raise UserError("no models were chosen: add models=<family>")
    refuse_too_much(config.data)
    note(f"loading the models of {config.models.family} …")
    seed(config.seed)
    family = load_family(config.models, config.data.tokenizer, config.analysis.needs(config.models.reference))
    _show_models(family)
    blocks = blocks_needed(config.data)
    data = config.data
    where = f" {data.path}" if data.path else ""
    say(
        f"Text: {data.source}{where}, part {data.part}, {blocks * data.context:,} tokens in {blocks:,} "
        f"blocks of {data.context}"
    )
    if way is Way.stream:
        _measure(config, family, blocks)
    say("Nothing was written; the same arguments with `run` begin it.")


def _show_models(family: Family) -> None:
    rows = []
    for name, model in family.models.items():
        weights = sum(parameter.numel() for parameter in model.parameters())
        layers = getattr(getattr(model.module, "config", None), "num_hidden_layers", "")
        rows.append(
            [name, str(layers), f"{weights / 1e6:.1f}", str(model.vocabulary or ""), str(model.context or "")]
        )
    show_table(["model", "layers", "million weights", "vocabulary", "context"], rows)


def _measure(config: Config, family: Family, blocks: int) -> None:
    """Passes, memory and time, from a few batches of random tokens."""
    analysis: Analysis = registry.runner(config.analysis).load()(config.analysis, family, config.seed)
    stream = analysis.stream(config.data)
    if not isinstance(stream, TokenBlocks):
        say("It walks over the models' layers, not over text: seconds for small models.")
        return
    assert family.tokenizer is not None
    size = min(blocks, MOST_BATCHES * config.data.batch_size)
    ids = sorted(set(family.tokenizer.get_vocab().values()))
    tokens = np.random.default_rng(0).choice(ids, size=(size, config.data.context))
    tokens[:, 0] = ids[0] if family.tokenizer.bos_token_id is None else family.tokenizer.bos_token_id
    held = HeldBlocks(config.data, family.tokenizer, tokens)
    clock = _Clock()
    note(f"measuring for about {SECONDS:.0f} s …")
    trainer = make_trainer(config.trainer, None, None, callbacks=[clock])
    with suppress(_Enough):
        trainer.validate(analysis, datamodule=held, verbose=False)
    passes = "once" if analysis.passes == 1 else f"{analysis.passes} times"
    planned = f"about {analysis.planned / 1e9:.2f} GB on each device" if analysis.planned else "not reckoned"
    say(f"Passes: the text is read {passes}. Memory: {planned}.")
    if not clock.batches:
        say("Time: too short to be measured.")
        return
    rate = clock.batches * config.data.batch_size * config.data.context / clock.seconds
    devices = config.trainer.devices * config.trainer.nodes
    total = analysis.passes * blocks * config.data.context / rate / devices
    say(
        f"Time: about {duration(total)} for the batches, at {rate:,.0f} tokens/s on this machine (random "
        "tokens); preparing the text once, and tables and figures at the end, come on top."
    )
