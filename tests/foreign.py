"""Packages of somebody else, with analyses, labels and measures for this one."""

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent


SETTINGS = '''
"""Settings of the analysis `theirs`."""

from dataclasses import dataclass

from un_lightning.config import AnalysisConfig, Declaration, Site
from un_lightning.config.checks import at_least


@dataclass
class TheirConfig(AnalysisConfig):
    """How large the activations of the reference are."""

    kind: str = "theirs"
    site: Site = Site.mlp_post
    power: int = 1
    """Of the size."""

    def __post_init__(self) -> None:
        at_least("analysis", self, power=1)


THEIRS = Declaration("theirs.settings:TheirConfig", "theirs.analysis:TheirAnalysis")
'''

ANALYSIS = '''
"""The analysis `theirs`."""

import pandas as pd
import torch

from un_lightning.analyses.base import Analysis
from un_lightning.results.results import Results
from un_lightning.stats.unit_sums import UnitSums


class TheirAnalysis(Analysis):
    """Mean size of each unit."""

    def begin(self, known):
        self.model = self.family.models[self.family.reference]
        self.units = self.model.units(self.settings.site)
        self.sums = [UnitSums(width, self.device) for width in self.units.widths]
        self.statistics = {f"layer{layer}": sums for layer, sums in enumerate(self.sums)}

    def add(self, batch):
        def sink(layer, activation):
            sizes = activation.flatten(0, 1).abs() ** self.settings.power
            self.sums[layer].add(sizes.index_fill(0, batch.skipped, 0.0))

        self.model.run(batch.tokens, {self.settings.site: sink})

    def report(self):
        sizes = torch.cat([sums.tensors["sum"] for sums in self.sums]) / self.counted
        layer, neuron = self.units.locate(range(self.units.count))
        table = pd.DataFrame({"model": self.model.name, "layer": layer, "neuron": neuron, "size": sizes})
        return Results(scalars={"size/mean": float(sizes.mean())}, tables={"neurons": table})
'''

LABELS = '''
"""Labels of tokens."""

from un_lightning.labels import label


@label("ends_with/at", kind="rhyme")
def rhymes(text):
    return text.strip().endswith("at")
'''

DOCS = Path(__file__).parent.parent / "docs"
(MEASURE,) = re.findall(r"```python\n(.*?)```", (DOCS / "measures.md").read_text(), flags=re.DOTALL)

EXPERIMENT = """
# @package _global_
# un-lightning run experiment=their/first
defaults:
  - override /models: random_tiny
  - override /analysis: theirs

name: their/first
analysis: {power: 2}
"""

POINTS = {
    "analyses": {"theirs": "theirs.settings:THEIRS"},
    "labels": {"rhymes": "theirs.labels"},
    "measures": {"strongest": "theirs.measure:STRONGEST"},
}

THEIRS = {
    "theirs/__init__.py": '"""A package of somebody else."""\n',
    "theirs/settings.py": SETTINGS,
    "theirs/analysis.py": ANALYSIS,
    "theirs/labels.py": LABELS,
    "theirs/measure.py": MEASURE,
    "theirs/configs/experiment/their/first.yaml": EXPERIMENT,
}
"""Files of a whole package, but for what pip reads."""


def entry_points(points: dict[str, dict[str, str]], section: str) -> str:
    """Entry points as a file has them; `section` is the pattern of a section's head."""
    lines = []
    for group, named in points.items():
        lines += [section.format(f"un_lightning.{group}"), *(f'{n} = "{p}"' for n, p in named.items()), ""]
    return "\n".join(lines)


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files, by name from a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip())


def install(folder: Path) -> Path:
    """Build the package with what pip and hatchling make of it, and install it into a folder of its own."""
    project = dedent(
        """
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"

        [project]
        name = "their-analyses"
        version = "0.1"

        [tool.hatch.build.targets.wheel]
        packages = ["theirs"]

        """
    )
    project += entry_points(POINTS, '[project.entry-points."{}"]')
    write(folder / "source", THEIRS | {"pyproject.toml": project})
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(folder / "site"), str(folder / "source")]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder / "site"


def announce(site: Path, package: str, points: dict[str, dict[str, str]], files: dict[str, str]) -> None:
    """Write an installed package without pip, for those that pip would rather not see."""
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n"
    text = entry_points(points, "[{}]").replace('"', "")
    write(site, files)
    write(
        site / f"{package.replace('-', '_')}-0.1.dist-info", {"METADATA": metadata, "entry_points.txt": text}
    )
