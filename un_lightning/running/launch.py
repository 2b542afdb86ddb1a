"""A checked config becomes a run: models, data, analysis, trainer, results."""

import functools
from typing import Any

from un_lightning.config import Config, Way, registry
from un_lightning.errors import UserError
from un_lightning.results.results import results_of
from un_lightning.running import record
from un_lightning.running.alone import ignore_stray_ranks
from un_lightning.terminal import note, say
from un_lightning.tracking.logger import is_global_zero


def run(config: Config, plain: dict[str, Any], part: bool = False) -> None:
    """Run an analysis in the way in which the registry says that it is carried out.

    Args:
        config: The checked config.
        plain: The same as plain values, to be recorded.
        part: Whether it is a part of a study, which goes on as a whole.

    Raises:
        UserError: Something in the config does not fit the models, the data or the machine.
    """
    ignore_stray_ranks(config.trainer)
    if config.analysis is None:
        raise UserError(f"experiment {config.name} has no analysis: use experiments/train.py, or choose one")
    runner = registry.runner(config.analysis)
    if runner.way == Way.study:
        runner.load()(config, plain, functools.partial(run, part=True))
    elif runner.way == Way.report:
        run_report(config, plain)
    else:
        run_pass(config, plain, part)


def run_report(config: Config, plain: dict[str, Any]) -> None:
    """Run an analysis of finished tables, which needs no models, no text and no trainer.

    Raises:
        UserError: A table is missing, or is no table of neurons.
    """
    report = registry.runner(config.analysis).load()(config.analysis, config.seed)
    with record.begin(config, plain, job_type=config.analysis.kind) as current:
        if current.folder is None:
            return
        results = results_of(report)
        results.scalars |= _said_by(config.analysis.kind)
        current.conclude(results, 0)


def run_pass(config: Config, plain: dict[str, Any], part: bool = False) -> None:
    """Run an analysis from models and text to results.

    Everything that can be wrong is tried before the run folder is made: models, tokenizers, sites, the
    store and its size.

    Args:
        config: The checked config.
        plain: The same as plain values.
        part: Whether it is a part of a study, which goes on as a whole.

    Raises:
        UserError: Something in the config does not fit the models, the data or the machine.
    """
    from un_lightning.analyses import analysis_class
    from un_lightning.lightning import make_trainer, seed
    from un_lightning.memory import peak_bytes
    from un_lightning.models.family import load_family
    from un_lightning.running.callbacks import Interrupted, KeepPartial, Progress
    from un_lightning.running.watch import Watch

    if config.models is None:
        raise UserError("no models were chosen: add models=<family>")
    make = analysis_class(config.analysis)
    seed(config.seed)
    needed = config.analysis.needs(config.models.reference)
    if is_global_zero():
        note(f"loading the models of {config.models.family} …")
    family = load_family(config.models, config.data.tokenizer, needed)
    analysis = make(config.analysis, family, config.seed)
    data = analysis.stream(config.data)
    if is_global_zero():
        data.prepare_data()
        data.setup("validate")
    with record.begin(config, plain, job_type=config.analysis.kind) as current:
        progress = Progress()
        keep = KeepPartial(current.folder, current.resumed, config.trainer.save_minutes)
        callbacks = [keep, progress, Watch(config.trainer.report_minutes)]
        trainer = make_trainer(config.trainer, current.logger, current.folder, callbacks=callbacks)
        try:
            while not analysis.complete:
                trainer.validate(analysis, datamodule=data, verbose=False)
        except (Interrupted, SystemExit, RuntimeError) as error:
            if keep.asked is None:
                raise
            if current.folder is None:  # rank 0 speaks, and Lightning takes other codes for a crash
                raise SystemExit(0) from error
            say("stopped; go on with: resume=auto" + ("" if part else f" (or resume={keep.run_dir})"))
            raise SystemExit(128 + keep.asked) from error
        if analysis.results is None or current.folder is None:
            return
        results = analysis.results
        rate = round(progress.units / progress.seconds, 1) if progress.seconds else 0.0
        results.scalars |= data.facts()
        results.scalars |= {
            **_said_by(config.analysis.kind),
            "family": family.name,
            "models": list(family.models),
            "reference": family.reference,
            "site": str(getattr(config.analysis, "site", "")),
            "seconds": round(progress.seconds, 3),
            f"{data.unit}_per_second": rate,
            "world_size": trainer.world_size,
            "memory/peak_gb": round(peak_bytes(trainer.strategy.root_device) / 1e9, 3),
        }
        if analysis.planned:
            results.scalars["memory/planned_gb"] = round(analysis.planned / 1e9, 3)
        current.conclude(results, data.facts()["tokens"])
        record.clear_partial(current.folder)


def _said_by(kind: str) -> dict[str, str]:
    """What found the results: the analysis, and the package where another one brings it."""
    package = registry.package(kind)
    return {"analysis": kind} | ({} if package is None else {"package": package.release})


def explain(config: Config, plain: dict[str, Any]) -> None:  # noqa: ARG001
    """Say what a run would read, take and cost.

    Raises:
        UserError: What would end the run before its first batch.
    """
    ignore_stray_ranks(config.trainer)
    from un_lightning.running.explain import explain as say_all

    say_all(config)


def prepare(config: Config, plain: dict[str, Any]) -> None:  # noqa: ARG001
    """Make the token store of an experiment, without its models.

    Raises:
        UserError: The config names no tokenizer, or the text cannot be read.
    """
    ignore_stray_ranks(config.trainer)
    from un_lightning.data.bounds import refuse_too_much
    from un_lightning.data.prepare import prepare_store
    from un_lightning.data.store import Store
    from un_lightning.models.family import shared_tokenizer
    from un_lightning.models.tokenizers import load_tokenizer

    name = config.data.tokenizer
    tokenizer = (
        shared_tokenizer(config.models, name) if config.models else load_tokenizer(name) if name else None
    )
    if tokenizer is None:
        raise UserError("no tokenizer: set data.tokenizer to a hub id or a folder")
    refuse_too_much(config.data)
    folder = prepare_store(config.data, tokenizer)
    store = Store(folder)
    problems = ", ".join(f"{n:,} {what}" for what, n in store.manifest.get("problems", {}).items())
    say(f"{store.blocks * store.context:,} tokens in {store.blocks:,} blocks of {store.context}: {folder}")
    for subset, blocks in store.manifest.get("subsets", {}).items():
        say(f"  {subset}: {blocks * store.context:,} tokens ({blocks / store.blocks:.0%})")
    if problems:
        say(f"  skipped documents: {problems}")


def train(config: Config, plain: dict[str, Any]) -> None:
    """Train a small model or a tokenizer.

    Raises:
        UserError: The config names no training, or its data or tokenizer are not to be had.
    """
    ignore_stray_ranks(config.trainer)
    if config.training is None:
        raise UserError(
            f"experiment {config.name} trains nothing: choose training=language_model or tokenizer"
        )
    from un_lightning.lightning import make_trainer
    from un_lightning.training.train import run_training

    if config.trainer.devices * config.trainer.nodes > 1:
        raise UserError("training runs on one device: set trainer.devices=1 and trainer.nodes=1")
    with record.begin(config, plain, job_type=f"train-{config.training.kind}") as current:
        assert current.folder is not None  # there is one process, and it is rank 0
        trainer = functools.partial(make_trainer, config.trainer, current.logger, current.folder)
        results = run_training(config, current.folder, trainer, current.resumed)
        current.conclude(results, int(results.numbers().get("tokens", 0)))
        record.clear_partial(current.folder)
