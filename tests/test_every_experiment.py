"""Every shipped experiment runs to its end, on a few tokens, with random models two layers deep."""

import functools
import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure

from tests.text import write_text
from un_lightning import cli
from un_lightning.config import register_schemas
from un_lightning.labels import build
from un_lightning.mistakes import experiments


PUBLISHED = Path(__file__).parents[2] / "shared" / "published"
ORDER = ("tokenizer", "train", "universality", "activations", "weights", "neuron_table")
EXPERIMENTS = sorted(
    experiments([cli.configs_folder()]),
    key=lambda name: (
        name.startswith("replicate/"),
        ORDER.index(name.split("/")[1]) if name.split("/")[1] in ORDER else len(ORDER),
    ),
)
"""Parts before the studies that take them from finished runs, which saves half of the time."""

LAYERS, NEURONS, HEADS = 2, 64, 2
GPT2 = {"n_layer": LAYERS, "n_embd": 16, "n_head": HEADS, "vocab_size": 4096}
SMALL = {
    "un_tiny": {f"+{key}": value for key, value in {"model_type": "gpt2", "n_positions": 32, **GPT2}.items()},
    "stanford_gpt2_small": GPT2,
    "stanford_gpt2_medium": GPT2,
    "pythia_160m": {
        "num_hidden_layers": LAYERS, "hidden_size": 16, "intermediate_size": NEURONS,
        "num_attention_heads": HEADS, "vocab_size": 4096,
    },
}  # fmt: skip
"""What is made small of the architecture of each family; the rest of it is as it is shipped."""
EVERYWHERE = ["trainer=cpu", "trainer.threads=1", "logger=none"]
TEXT = [
    "data=files", "data.subset_column=subset", "data.min_characters=0", "data.part=all", "data.context=32",
    "data.tokens=800", "data.batch_size=8", "data.tokenizer=bundled:un_tiny/tokenizer",
]  # fmt: skip
FEWER = {
    "correlation": ["threshold=0"],  # random models share no more than chance does
    "families": ["min_count=10", "shown=1", "labels.unigram_occurrences=10"],
    "prediction": ["random_directions=64", "follow=2", "groups=4"],
    "entropy": ["baseline=1"],
    "attention": ["first=4", "random_directions=32"],
    "ablation": ["threshold=0", "draws=1", "top=8"],
}
"""Settings that models of this size or a text of this length leave no room for."""
PARTS = {
    "neuron_table": ("correlation", "activations", "weights"),
    "emergence": ("correlation",),
    "replicate": ("neuron_table", "families", "prediction", "entropy", "attention", "ablation"),
}
"""Analyses of the studies that are several runs."""
STEPS = 5
TRAINING = {
    "language_model": [
        f"training.steps={STEPS}", "training.layers=2", "training.width=16", "training.heads=2",
        "training.batch_size=4", "training.validation_tokens=100",
    ],
    "tokenizer": ["training.vocabulary=300", "training.characters=10_000"],
}  # fmt: skip
MAY_BE_EMPTY = set()
"""Tables of what need not exist among random models."""


def small(kind, own, prefix="analysis"):
    """Overrides that make an analysis and the parts of a study small.

    Args:
        kind: Of the analysis.
        own: What the experiment's file says about it.
        prefix: Its key in the config.
    """
    overrides = [f"{prefix}.{setting}" for setting in FEWER.get(kind, [])]
    for key in ("neurons", "pairs"):
        if key in own:
            overrides.append(f"{prefix}.{key}=[{','.join(map(within, own[key]))}]")
    for part in PARTS.get(kind, ()):
        overrides += small(part, own.get(part, {}), f"{prefix}.{part}")
    for study, reads in own.get("data", {}).items():
        if "context" in reads:
            overrides.append(f"{prefix}.data.{study}.context=32")
    return overrides


def within(name):
    """The name of a neuron, or of a pair of neuron and head, that small models have."""
    layers = iter([0, 1] if "-" in name else [1])
    name = re.sub(r"L\d+", lambda _: f"L{next(layers)}", name)
    name = re.sub(r"(?<=\.)\d+", lambda neuron: str(int(neuron[0]) % NEURONS), name)
    return re.sub(r"(?<=H)\d+", lambda head: str(int(head[0]) % HEADS), name)


class Shipped:
    """The shipped experiments, each run once, in one folder."""

    def __init__(self, folder):
        self.root, self.text = folder / "runs", folder / "text.jsonl"
        write_text(self.text)

    @functools.cache
    def finished(self, experiment, *more):
        """The folder of a finished run of an experiment."""
        group, name = experiment.split("/")
        own = yaml.safe_load((cli.configs_folder() / "experiment" / f"{experiment}.yaml").read_text())
        chosen = {key: value for option in own["defaults"] for key, value in option.items()}
        overrides = [f"experiment={experiment}", f"root={self.root}", *EVERYWHERE, *more]
        training = chosen.get("override /training")
        if training or "override /models" in chosen:
            overrides += [*TEXT, f"data.path={self.text}"]
        if training:
            overrides += TRAINING[training]
        else:
            overrides += small(chosen["override /analysis"], own.get("analysis", {}))
        if "neuron_table" in str(own.get("analysis", {}).get("tables")):
            self.finished(f"{group}/neuron_table")
        if experiment == "published/universal":
            overrides.append(f"analysis.tables={PUBLISHED}")
        elif experiment == "tiny/emergence":
            overrides += self.checkpoints()
        elif "override /models" in chosen:
            overrides.append("models.source=random")
            for key, value in SMALL[chosen["override /models"]].items():
                overrides.append(f"{'+' * key.startswith('+')}models.architecture.{key.lstrip('+')}={value}")
        with initialize_config_dir(str(cli.configs_folder()), version_base="1.3"):
            config = compose("config", overrides)
        cli._carry_out("train" if training else "run", config)
        return Path(config.run_dir or self.root / group / name / "latest")

    def checkpoints(self):
        """Train the members of `tiny/emergence` as its file says; returns the overrides for two of their checkpoints."""
        for seed in range(3):
            folder = self.root / "tiny" / f"checkpoints-{seed}"
            self.finished("tiny/train", f"seed={seed}", f"run_dir={folder}", "training.checkpoints=2")
        return [f"analysis.checkpoints=[1,{STEPS}]", "data.context=31"]  # trained on blocks of 32


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    register_schemas()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: Path(path).write_bytes(b"a figure"))
        original, known = build.vocabulary_labels, {}

        def labels(decoded, *rest):
            """All families read the same tokens here, whose labels take longer than a run."""
            key = repr((decoded, rest))
            known[key] = known.get(key) or original(decoded, *rest)
            return known[key]

        monkeypatch.setattr(build, "vocabulary_labels", labels)
        yield Shipped(tmp_path_factory.mktemp("shipped"))


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_dry_run(shipped, experiment, capsys):
    if experiment == "published/universal" and not PUBLISHED.is_dir():
        pytest.skip("needs the paper's tables")
    folder = shipped.finished(experiment)
    assert json.loads((folder / "summary.json").read_text())
    rows = {path.stem: len(pd.read_parquet(path)) for path in (folder / "tables").iterdir()}
    assert rows
    assert {name for name, count in rows.items() if count == 0} == MAY_BE_EMPTY
