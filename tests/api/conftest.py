"""One small run from Python, shared by the tests of the door."""

import pytest

import un_lightning as ul


DATA = {"part": "all", "context": 32, "tokens": 1000, "batch_size": 3, "source": "files", "min_characters": 0}
SETTINGS = {"jackknife": 5, "draws": 2}


@pytest.fixture(scope="session")
def text_path(small_text):
    """A small file of documents."""
    return dict(word.split("=", 1) for word in small_text)["data.path"]


@pytest.fixture(scope="session")
def start(text_path, tmp_path_factory):
    """Carry out a small run with keywords, all of them in one place."""
    root = tmp_path_factory.mktemp("door") / "runs"

    def call(*overrides, **more):
        data = {**DATA, "path": text_path, "subset_column": "subset", **more.pop("data", {})}
        return ul.run(
            "tiny/universality", "trainer=cpu", *overrides, models="random_tiny", logger="none", seed=1,
            data=data, analysis=SETTINGS, root=root, **more,
        )  # fmt: skip

    return call


@pytest.fixture(scope="session")
def small_run(start):
    """A finished run."""
    return start()


@pytest.fixture(scope="session")
def family():
    return ul.load_family("random_tiny")
