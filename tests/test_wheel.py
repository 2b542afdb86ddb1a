"""The built wheel has all that it needs, and works outside the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


REPOSITORY = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The wheel's content."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    build += ["--no-index", "--wheel-dir", str(folder / "dist"), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = (folder / "dist").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def program(unpacked):
    """Run the console script's function from the wheel alone."""

    def run(*argv):
        # -P leaves out the current folder; the path in the environment comes before the installed one.
        code = "import sys, un_lightning.cli as cli; print(cli.__file__, file=sys.stderr); cli.main()"
        return subprocess.run(
            [sys.executable, "-P", "-c", code, *argv],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(unpacked)},
        )

    return run


def shipped(folder):
    """Files that are part of the package, as names from its own folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in files}


def test_the_wheel_has_the_package_its_models_and_its_configs(unpacked):
    inside = shipped(unpacked / "un_lightning")
    assert {f"configs/{name}" for name in shipped(REPOSITORY / "configs")} <= inside
    assert shipped(REPOSITORY / "un_lightning") <= inside
    assert {
        "families/un_tiny/tokenizer/tokenizer.json",
        "configs/experiment/tiny/universality.yaml",
    } <= inside
    assert {path.name for path in unpacked.iterdir()} == {"un_lightning", "un_lightning-0.1.0.dist-info"}


def test_the_metadata(unpacked):
    (information,) = unpacked.glob("*.dist-info")
    assert "un-lightning = un_lightning.cli:main" in (information / "entry_points.txt").read_text()
    metadata = (information / "METADATA").read_text()
    assert "License-Expression: MIT" in metadata
    assert "Requires-Dist: transformer-lens==4.3.*" in metadata


def test_help_and_a_mistake(program, unpacked):
    done = program("run", "--help")
    assert done.returncode == 0
    assert done.stderr.startswith(str(unpacked))
    families = "pythia_160m, random_tiny, stanford_gpt2_medium, stanford_gpt2_small, un_squared, un_tiny"
    assert f"models: {families}" in done.stdout
    done = program("run", "experiment=tiny/universality", "data.tokens=0")
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == ["error: data.tokens is 0, but must be at least 1"]


def test_a_folder_of_ones_own_configs(program, tmp_path):
    own = tmp_path / "configs" / "experiment" / "mine" / "first.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(
        "# @package _global_\ndefaults: [override /models: un_tiny, override /analysis: correlation]\n"
        "name: mine/first\ndata: {tokens: 0}\n"
    )
    done = program("run", "--config-dir", str(tmp_path / "configs"), "experiment=mine/first")
    assert done.returncode == 2
    assert "error: data.tokens is 0" in done.stderr
    own.write_text(own.read_text().replace("tokens: 0", "tokens: 5"))
    done = program("run", "--config-dir", str(tmp_path / "configs"), "experiment=mine/first", "--cfg", "job")
    assert done.returncode == 0
    assert "name: mine/first" in done.stdout
    assert "bundled:un_tiny/a" in done.stdout


def test_configs_to_start_from(program, tmp_path):
    assert program("init", "mine", "--config-dir", str(tmp_path)).returncode == 0
    done = program("list", "experiments", "--config-dir", str(tmp_path))
    assert done.returncode == 0
    assert "mine/universality" in done.stdout
