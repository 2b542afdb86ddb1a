"""docs/add-an-analysis.md is true: its files are written as they stand there, and its commands are run."""

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.analyses.correlation.test_analysis import captured, family, gpt2
from tests.processes import finish, start
from un_lightning import analyses, cli
from un_lightning.config import declarations


REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "add-an-analysis.md").read_text()
BLOCKS = re.findall(r"^(?:`([\w.]+)`[^\n]*\n\n)?```(\w*)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
FILES = {name: text for name, _, text in BLOCKS if name}
(ENTRY,) = (text for name, language, text in BLOCKS if language and not name)
OUTSIDE, INSIDE = (text for _, language, text in BLOCKS if not language)


def test_the_whole_analysis_is_short():
    assert [*FILES] == ["firing.py", "pyproject.toml"]
    assert sum(text.count("\n") for text in (*FILES.values(), ENTRY)) <= 120


def test_it_counts_firings(validate, tokens, tmp_path):
    path = tmp_path / "firing.py"
    path.write_text(FILES["firing.py"])
    spec = importlib.util.spec_from_file_location("firing", path)
    firing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(firing)
    torch.manual_seed(0)
    model = gpt2(0)
    results = validate(firing.FiringAnalysis(firing.FiringConfig(above=0.5), family(a=model), seed=0))
    expected = (captured(model, tokens) > 0.5).mean(0)
    np.testing.assert_allclose(results.tables["neurons"]["rate"], expected, rtol=1e-12)


@pytest.fixture
def package(tmp_path):
    """A folder with the files of a package of one's own, and commands to run in an environment of its own."""
    folder, environment = tmp_path / "package", tmp_path / "environment"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for script, module in (("pip", "pip._internal.cli.main"), ("un-lightning", "un_lightning.cli")):
        path = environment / "bin" / script
        path.write_text(f"#!{environment}/bin/python\nfrom {module} import main\nmain()\n")
        path.chmod(0o755)
    # Without a network: what is needed to build the package is there already.
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return folder, offline | {"PATH": f"{environment}/bin{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def checkout(tmp_path):
    """A folder with what this repository gets: the analysis, and its line in the table."""
    folder = tmp_path / "checkout"
    table = "un_lightning/config/declarations.py"
    head, first, rest = (REPOSITORY / table).read_text().partition("OURS: dict[str, Declaration] = {\n")
    assert first
    texts = {"un_lightning/analyses/firing.py": FILES["firing.py"], table: f"{head}{first}{ENTRY}{rest}"}
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
    return folder


def run_inside(checkout, command):
    """Carry out a command with the analysis in the package, without importing the rest of it again."""
    os.chdir(checkout)
    analyses.__path__.append(str(checkout / "un_lightning" / "analyses"))
    changed = dict(vars(declarations))
    exec((checkout / "un_lightning" / "config" / "declarations.py").read_text(), changed)
    (new,) = changed["OURS"].keys() - declarations.OURS.keys()
    declarations.OURS[new] = declarations.Declaration(**vars(changed["OURS"][new]))
    program, script, *argv = command.split()
    assert (program, script) == ("python", "experiments/run.py")
    sys.argv = [str(REPOSITORY / script), *argv]
    cli.launch("run", argv)


@pytest.mark.slow
def test_it_runs_outside_and_inside_this_package(package, checkout, tmp_path):
    folder, environment = package
    outside = subprocess.Popen(
        ["bash", "-ec", OUTSIDE], cwd=folder, env={**os.environ, **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said = tmp_path / "said.txt"
    assert finish(start(run_inside, checkout, INSIDE, output=said)) == [0], said.read_text()
    answers = [outside.communicate(timeout=300)[0], said.read_text()]
    assert outside.returncode == 0, answers[0]
    assert all("Mean firing rate" in answer for answer in answers)
    tables = [
        pd.read_parquet(place / "runs/tiny/firing/latest/tables/neurons.parquet")
        for place in (folder, checkout)
    ]
    pd.testing.assert_frame_equal(*tables)
    assert 0 < tables[0]["rate"].mean() < 1


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_the_files_keep_the_rules_of_this_project(checkout, command):
    ruff = Path(sys.executable).with_name("ruff")
    for name in ("un_lightning/analyses/firing.py", "un_lightning/config/declarations.py"):
        as_if = [*command, "--no-cache", "--stdin-filename", str(REPOSITORY / name), "-"]
        text = (checkout / name).read_text()
        done = subprocess.run([ruff, *as_if], input=text, cwd=REPOSITORY, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
