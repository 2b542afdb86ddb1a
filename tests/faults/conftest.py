"""Runs of every analysis in this process, and what an undisturbed one finds."""

import functools
import json

import numpy as np
import pandas as pd
import pytest

from tests.faults.table import ANALYSES, leave_out, outcome, random_tokens, run, write_store


@pytest.fixture(params=ANALYSES)
def analysis(request):
    """Each analysis that streams."""
    return request.param


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("faults") / "store", random_tokens())


@pytest.fixture(scope="module")
def quick():
    """Runs leave out what takes most of their time."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        leave_out(monkeypatch)
        yield


@pytest.fixture
def go(capsys, store, quick):  # noqa: ARG001
    """Run an analysis; returns its exit code and what it printed."""

    def call(analysis, store=store, **changes):
        return outcome(capsys, analysis, store, **changes)

    return call


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory, quick):  # noqa: ARG001
    """The folder of a run of an analysis that nothing disturbs."""

    @functools.cache
    def folder(analysis):
        path = tmp_path_factory.mktemp("whole") / "run"
        run(analysis, store, run_dir=str(path))
        return path

    return folder


@pytest.fixture
def assert_same():
    """Two runs found the same, up to the order in which float32 sums were added up: 1e-4 of a value."""

    def compare(folder, other):
        names = sorted(path.name for path in (other / "tables").iterdir())
        assert sorted(path.name for path in (folder / "tables").iterdir()) == names
        assert names
        for name in names:
            found, wanted = (pd.read_parquet(path / "tables" / name) for path in (folder, other))
            pd.testing.assert_frame_equal(found, wanted, rtol=1e-4, atol=1e-5, obj=name)
        found, wanted = (json.loads((path / "summary.json").read_text()) for path in (folder, other))
        assert found.keys() == wanted.keys()
        measured = {
            "seconds",
            "tokens_per_second",
            "layers_per_second",
            "memory/peak_gb",
            "memory/planned_gb",
        }
        for key in found.keys() - measured:
            if isinstance(found[key], float):
                np.testing.assert_allclose(found[key], wanted[key], rtol=1e-4, atol=1e-5, err_msg=key)
            else:
                assert found[key] == wanted[key], key
        assert not (folder / "partial").exists()

    return compare
