"""Every shipped experiment runs to its end, on a few tokens, with random models two layers deep."""

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure

from tests.faults.table import leave_out_figures
from tests.text import write_text
from un_lightning import cli
from un_lightning import compose as settings
from un_lightning.config import register_schemas
from un_lightning.labels import build
from un_lightning.mistakes import experiments
from un_lightning.studies.replication.page import ALWAYS
from un_lightning.studies.replication.published import published_values


PUBLISHED = Path(__file__).parents[3] / "shared" / "published"
ORDER = ("tokenizer", "train", "universality", "activations", "weights", "neuron_table")
EXPERIMENTS = sorted(
    experiments([settings.configs_folder()]),
    key=lambda name: (
        name.startswith("replicate/"),
        ORDER.index(name.split("/")[1]) if name.split("/")[1] in ORDER else len(ORDER),
    ),
)
"""Parts before the studies that take them from finished runs, which saves half of the time."""

LAYERS, NEURONS, HEADS = 2, 64, 2
GPT2 = {"n_layer": LAYERS, "n_embd": 16, "n_head": HEADS, "vocab_size": 4096}
NEOX = {
    "num_hidden_layers": LAYERS, "hidden_size": 16, "intermediate_size": NEURONS,
    "num_attention_heads": HEADS, "vocab_size": 4096,
}  # fmt: skip


def shape(settings, prefix=""):
    """Overrides that build the members of a family with random weights."""
    changed = [f"{prefix}models.architecture.{key}={value}" for key, value in settings.items()]
    return ["models.source=random", *changed]


SMALL = {
    "un_tiny": shape({"model_type": "gpt2", "n_positions": 32, **GPT2}, prefix="+"),
    "un_squared": [
        *shape({"model_type": "gpt2", "n_positions": 32, **GPT2}, prefix="+"),
        "models.tokenizer=null",
    ],
    "stanford_gpt2_small": shape(GPT2),
    "stanford_gpt2_medium": shape(GPT2),
    "pythia_160m": shape(NEOX),
}
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
"""Of a training."""
TRAINING = {
    "language_model": [
        f"training.steps={STEPS}", "training.layers=2", "training.width=16", "training.heads=2",
        "training.batch_size=4", "training.validation_tokens=100",
    ],
    "tokenizer": ["training.vocabulary=300", "training.characters=10_000"],
}  # fmt: skip
ALIKE = ("stanford_gpt2_medium", "pythia_160m")
"""Families whose figures are those of GPT-2 small, which are made."""
TRAINED = {
    "tiny/train": "model", "tiny/tokenizer": "tokenizer",
    "un_squared/train": "model/seed-0", "un_squared/tokenizer": "tokenizer",
}  # fmt: skip
"""Folder of what an experiment trains."""
MAY_BE_EMPTY = {"duplicates"}
"""Tables of what random models need not have."""


def small(kind, own, prefix="analysis"):
    """Overrides that make an analysis and the parts of a study small.

    Args:
        kind: Of the analysis.
        own: What the experiment's file says about it.
        prefix: Its key in the config.
    """
    overrides = [f"{prefix}.{setting}" for setting in FEWER.get(kind, [])]
    if len(own.get("checkpoints", [])) > 2:
        overrides.append(f"{prefix}.checkpoints={own['checkpoints'][:2]}".replace(" ", ""))
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
        self.folders = {}
        write_text(self.text)

    def finished(self, experiment, *more):
        """The folder of a finished run of an experiment."""
        if (experiment, more) not in self.folders:
            path = settings.configs_folder() / "experiment" / f"{experiment}.yaml"
            own = yaml.safe_load(path.read_text())
            chosen = {
                key.removeprefix("override /"): value
                for option in own["defaults"]
                for key, value in option.items()
            }
            overrides = self.overrides(experiment, chosen, own.get("analysis", {}))
            with initialize_config_dir(str(settings.configs_folder()), version_base="1.3"):
                config = compose("config", [f"experiment={experiment}", *overrides, *more])
            with pytest.MonkeyPatch.context() as monkeypatch:
                if any(name in experiment for name in ALIKE):
                    leave_out_figures(monkeypatch)
                cli._carry_out("train" if "training" in chosen else "run", config)
            folder = Path(config.run_dir or self.root / experiment / "latest")
            self.folders[experiment, more] = folder
        return self.folders[experiment, more]

    def overrides(self, experiment, chosen, analysis):
        """What makes an experiment small; what it reads of other runs is made first."""
        overrides = [f"root={self.root}", *EVERYWHERE]
        if "training" in chosen:
            return [*overrides, *TEXT, f"data.path={self.text}", *TRAINING[chosen["training"]]]
        overrides += small(chosen["analysis"], analysis)
        if "neuron_table" in str(analysis.get("tables")):
            self.finished(f"{experiment.split('/')[0]}/neuron_table")
        if experiment == "published/universal":
            overrides.append(f"analysis.tables={PUBLISHED}")
        if "models" in chosen:
            overrides += [*TEXT, f"data.path={self.text}"]
            overrides += self.checkpoints() if experiment == "tiny/emergence" else SMALL[chosen["models"]]
        return overrides

    def checkpoints(self):
        """Train members side by side in place of those that ship, and choose two of their checkpoints."""
        trained = self.finished("un_squared/train", "training.members=2", "training.checkpoints=2")
        paths = [f"{trained}/checkpoints/seed-{seed}/step-{{checkpoint:06}}" for seed in range(2)]
        members = ",".join(
            f"{{name: {name}, path: '{path}'}}" for name, path in zip("ab", paths, strict=True)
        )
        return [
            f"models.members=[{members}]",
            "models.tokenizer=null",
            f"analysis.checkpoints=[1,{STEPS}]",
            "analysis.correlation.threshold=0",
            "data.context=31",  # trained on blocks of 32
        ]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Runs that do not render their figures, do not wait for the disk, and find labels of tokens once."""
    register_schemas()
    original, known = build.vocabulary_labels, {}

    def labels(decoded, *rest):
        key = repr((decoded, rest))
        known[key] = known.get(key) or original(decoded, *rest)
        return known[key]

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(build, "vocabulary_labels", labels)
        monkeypatch.setattr(os, "fsync", lambda _: None)
        monkeypatch.setattr(Figure, "savefig", lambda _, path, **__: Path(path).write_bytes(b"a figure"))
        yield Shipped(tmp_path_factory.mktemp("shipped"))


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_dry_run(shipped, experiment):
    """The folder of the run is finished, and no table in it is empty."""
    if experiment == "published/universal" and not PUBLISHED.is_dir():
        pytest.skip("needs the paper's tables")
    folder = shipped.finished(experiment)
    assert json.loads((folder / "summary.json").read_text())
    if experiment in TRAINED:
        assert any((folder / TRAINED[experiment]).iterdir())
        return
    rows = {path.stem: len(pd.read_parquet(path)) for path in (folder / "tables").iterdir()}
    assert rows
    assert {name for name, count in rows.items() if count == 0} <= MAY_BE_EMPTY


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name.startswith("replicate/")])
def test_the_page_of_a_replication(shipped, experiment):
    """What the tables of all studies are read for is there: all that is missing are neurons and heads."""
    folder = shipped.finished(experiment)
    table = pd.read_parquet(folder / "tables" / "replication.parquet").set_index("name")
    summary = json.loads((folder / "summary.json").read_text())
    assert {one.name for one in published_values(summary["published"] or None)} <= {*table.index}
    studies = {name.removeprefix("studies/") for name in summary if name.startswith("studies/")}
    always = [name for name in ALWAYS if name.partition("/")[0] in studies]
    assert {*always} <= {*table.index}
    assert [name for name in always if table.loc[name, "ours"] == "null"] == []
    neurons = pd.read_parquet(Path(summary["studies/neuron_table"]) / "tables" / "neurons.parquet")
    assert table.loc["neuron_table/universal/count", "ours"] == str(neurons["universal"].sum())
    assert (folder / "replication.html").read_text().count("<tr title=") == len(table)
    assert "| universal neurons |" in (folder / "replication.md").read_text()
