"""One small experiment for each analysis that streams, cheap enough to be broken in every way."""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import SimpleNamespace
from typing import Any

import numpy as np
from datasets import Dataset
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

import un_lightning.figures
from tests.announcements import without_announcements
from un_lightning import cli
from un_lightning import compose as settings
from un_lightning.config import register_schemas
from un_lightning.labels import build


CONTEXT = 16
BLOCKS = 16
COMMON = 300
"""The first tokens of the vocabulary, of which the text is made: bytes and short words."""
BATCHES = 4
"""Batches of a pass over the text, in one process."""

ANALYSES = {
    "exact": ["experiment=tiny/universality", "analysis.candidates=64"],
    "screen": ["experiment=tiny/screen", "analysis.candidates=8"],
    "activations": ["experiment=tiny/activations", "analysis.bins=16", "analysis.profiles=4"],
    "weights": ["experiment=tiny/weights", "analysis.bins=10"],
    "families": [
        "experiment=tiny/families",
        "analysis.min_count=5",
        "analysis.labels.kinds=[letter,unigram]",
        "analysis.labels.unigram_occurrences=5",
        "analysis.shown=1",
    ],
    "prediction": [
        "experiment=tiny/prediction",
        "analysis.labels.kinds=[letter]",
        "analysis.min_tokens=2",
        "analysis.random_directions=32",
        "analysis.follow=100",
    ],
    "entropy": [
        "experiment=tiny/entropy",
        "analysis.values=[0.0,2.0]",
        "analysis.baseline=2",
        "analysis.layers=1",
    ],
    "attention": [
        "experiment=tiny/attention",
        "analysis.top_pairs=2",
        "analysis.screen_tokens=8",
        "analysis.random_directions=8",
        "analysis.groups=2",
    ],
    "ablation": [
        "experiment=tiny/ablation",
        "analysis.neurons=[L0.0]",
        "analysis.draws=0",
        "analysis.groups=2",
    ],
}
"""Overrides of each experiment that make it small."""

MODELS = [
    "models=random_tiny",
    "models.architecture.n_embd=8",
    "+models.architecture.n_inner=8",
]

_composed: dict[str, DictConfig] = {}


def composed(analysis: str) -> DictConfig:
    """The config of an analysis; Hydra takes longer than the run, so it is asked once."""
    if analysis not in _composed:
        register_schemas()
        with initialize_config_dir(str(settings.configs_folder()), version_base="1.3"):
            _composed[analysis] = compose(
                "config",
                [
                    *ANALYSES[analysis],
                    *MODELS,
                    "data=store",
                    f"data.context={CONTEXT}",
                    f"data.tokens={BLOCKS * CONTEXT}",
                    f"data.batch_size={BLOCKS // BATCHES}",
                    "logger=none",
                    "trainer=cpu",
                    "trainer.threads=1",
                    "name=hard",
                ],
            )
    return _composed[analysis].copy()


def run(analysis: str, store: Path, **changes: Any) -> None:
    """Run an analysis over a store of blocks, as the program does once it has its config.

    Args:
        analysis: Which of `ANALYSES`.
        store: The blocks.
        changes: Keys of the config, with `__` for dots.
    """
    config = composed(analysis)
    for key, value in ({"data__path": str(store)} | changes).items():
        OmegaConf.update(config, key.replace("__", "."), value, force_add=True)
    cli._carry_out("run", config)


def outcome(capsys: Any, analysis: str, store: Path, **changes: Any) -> SimpleNamespace:
    """The exit code of a run and what it printed, but for what it was doing; a bug fails."""
    capsys.readouterr()
    code = 0
    try:
        run(analysis, store, **changes)
    except SystemExit as stop:
        code = stop.code
    printed = capsys.readouterr()
    assert code != 1, printed.err
    return SimpleNamespace(code=code, out=printed.out, err=without_announcements(printed.err))


def leave_out(monkeypatch: Any) -> None:
    """Make figures without drawing them, and give labels to the tokens of the text only."""
    original = build.vocabulary_labels

    def of_common(decoded: list[str], special: Any = (), modules: Any = ()) -> Any:
        return original([text if row < COMMON else "" for row, text in enumerate(decoded)], special, modules)

    monkeypatch.setattr(Figure, "savefig", lambda _, path, **__: Path(path).write_bytes(b"a figure"))
    monkeypatch.setattr(build, "vocabulary_labels", of_common)


def leave_out_figures(monkeypatch: Any) -> None:
    """Make no figures at all."""
    for module in iter_modules(un_lightning.figures.__path__):
        figures = import_module(f"un_lightning.figures.{module.name}")
        for name, function in vars(figures).items():
            if getattr(function, "__annotations__", {}).get("return") is Figure:
                monkeypatch.setattr(figures, name, lambda *_, **__: Figure())


def random_tokens() -> np.ndarray:
    """Blocks of random tokens behind a BOS, with some newlines that are not counted."""
    tokens = np.random.default_rng(3).integers(1, COMMON, (BLOCKS, CONTEXT))
    tokens[:, 0] = 0
    tokens[::4, 5] = 199
    return tokens


def write_store(folder: Path, tokens: np.ndarray, **columns: list) -> Path:
    """A table of blocks, as `datasets` saves it."""
    Dataset.from_dict({"tokens": tokens.tolist(), **columns}).save_to_disk(str(folder))
    return folder
