"""A package of somebody else, installed by pip: its analysis is run, stopped and shared out like ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests import foreign, small_runs
from tests.processes import finish, free_port, start
from tests.small_runs import KILL, Runs, assert_same_results


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that the package is installed in."""
    return foreign.install(tmp_path_factory.mktemp("foreign"))


def run_with(site, argv, interruption=None):
    """What a process does that has the package on its path."""
    sys.path.insert(0, str(site))
    small_runs.run(argv, interruption)


class TheirRuns(Runs):
    """Runs of the foreign package's experiment."""

    def __init__(self, site, folder, data, world=1):
        super().__init__(folder, data, world, experiment="their/first", settings=())
        self.site = site

    def go(self, *more, interruptions=(None,)):
        argv = [*self.argv, "trainer.save_minutes=0", *more]
        port = free_port()
        ranks = enumerate(interruptions)
        begin = lambda rank, stop: start(
            run_with, self.site, argv, stop, output=self.output, rank=rank, world=self.world, port=port
        )
        return finish(*(begin(rank, stop) for rank, stop in ranks))


def test_it_runs_is_killed_and_goes_on_and_shares_the_text_out(site, tmp_path, small_text):
    whole, killed, ranks = (
        TheirRuns(site, tmp_path / name, small_text, world)
        for name, world in (("whole", 1), ("killed", 1), ("ranks", 2))
    )
    assert whole.go() == [0], whole.output.read_text()
    (folder,) = whole.folders
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["analysis"], summary["site"]) == ("theirs", "mlp_post")
    assert summary["package"] == "their-analyses 0.1"
    table = pd.read_parquet(folder / "tables" / "neurons.parquet")
    assert summary["size/mean"] == pytest.approx(table["size"].mean())
    assert killed.go(interruptions=[("after saving", 2, KILL)]) == [-KILL]
    assert killed.position(0) == 2
    assert killed.go("resume=auto") == [0], killed.output.read_text()
    assert "going on with" in killed.output.read_text()
    assert ranks.go(interruptions=[None, None]) == [0, 0], ranks.output.read_text()
    for other in (killed, ranks):
        assert_same_results(other.folders[0], folder)


ASK = """
import contextlib, io, json, sys, time
from un_lightning import cli
found = {}
for argv in json.loads(sys.argv[1]):
    out = io.StringIO()
    start = time.monotonic()
    with contextlib.redirect_stderr(out), contextlib.redirect_stdout(out):
        try:
            cli.launch("run", argv)
        except SystemExit as stop:
            pass
    found[" ".join(argv)] = out.getvalue()
print(json.dumps([found, sorted(sys.modules)]))
"""
ANSWERS = {
    "experiment=their/first analysis.pwer=2": "unknown key 'analysis.pwer' (did you mean power?)",
    "experiment=their/first analysis.power=0": "analysis.power is 0, but must be at least 1",
    "experiment=their/first analysis.power=x": "analysis.power: Value 'x' of type 'str' could not be",
    "experiment=tiny/weights analysis=their": "there is no analysis 'their' (did you mean theirs?)",
    "experiment=their/frst": "there is no experiment 'their/frst' (did you mean their/first?)",
    "experiment=tiny/universality analysis.measures=[stronger]": "matching, strongest",
    "experiment=tiny/universality analysis=theirs --cfg job": "kind: theirs\n  site: mlp_post\n  power: 1",
    "--help": "replicate, theirs, weights",
}


def test_mistakes_are_answered_without_torch_and_options_listed(site):
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{Path(__file__).parent.parent}"}
    asked = json.dumps([command.split() for command in ANSWERS])
    done = subprocess.run([sys.executable, "-c", ASK, asked], capture_output=True, text=True, env=environment)
    found, modules = json.loads(done.stdout)
    for command, answer in ANSWERS.items():
        assert answer in found[command], found[command]
    assert {"torch", "pytorch_lightning", "theirs.analysis", "theirs.labels"}.isdisjoint(modules)
