"""What holds for every test: no network, no accounts, one thread, and nothing written into the repository."""

import os
import socket
import sys
from ipaddress import ip_address

import pytest
from hypothesis import settings

from tests import foreign
from tests.text import write_text


# Before any library reads them, and for the processes that tests start.
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "WANDB_MODE": "offline",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

# The same examples at every run, and no deadline, which a busy machine would miss.
settings.register_profile("suite", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("suite")


def pytest_collection_modifyitems(items):
    """Modules that start processes come first, so that no core waits for the last of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Token stores of all tests lie in one folder, which is thrown away."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("UN_LIGHTNING_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def one_format():
    """Figures are written as pixels alone, which takes half the time; tests/results looks at the others."""
    from un_lightning.results import results

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(results, "FORMATS", {"png": {}})
        yield


@pytest.fixture(scope="session", autouse=True)
def no_network():
    """A test that reaches for another machine fails at once instead of depending on it."""
    connect = socket.socket.connect

    def local_only(self, address):
        if self.family != socket.AF_UNIX and not _is_local(address[0]):
            raise PermissionError(f"a test tried to connect to {address}")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(socket.socket, "connect", local_only)
        yield


@pytest.fixture(scope="session")
def small_text(tmp_path_factory):
    """Overrides that read a small file."""
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    write_text(path)
    return "data=files", f"data.path={path}", "data.subset_column=subset", "data.min_characters=0"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install packages of others, without pip and for the length of a test."""
    from un_lightning import compose
    from un_lightning.config import registry
    from un_lightning.entry_points import find_extensions
    from un_lightning.labels.registry import REGISTRY
    from un_lightning.stats.measures import MEASURES

    def forget():
        for cached in (find_extensions, registry.declaration, compose._warn_once):
            cached.cache_clear()

    def put(package="theirs-pkg", points=foreign.POINTS, files=foreign.THEIRS):
        foreign.announce(site, package, points, files)
        forget()

    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules, measures = {*sys.modules}, {*MEASURES}
    yield put
    for name in {*sys.modules} - modules:
        if name.split(".")[0] in ("theirs", "mine"):
            REGISTRY.forget(name)
            del sys.modules[name]
    for name in {*MEASURES} - measures:
        del MEASURES[name]
    forget()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Relative paths, such as that of new runs, lead into the test's own folder."""
    monkeypatch.chdir(tmp_path)


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
