"""Run folders that were never run, and a browser to look at their pages."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure


HOSTILE = "<script>document.title='stolen'</script>&\"'"
"""Text that must stay text wherever it is shown."""


def make_run(folder: Path, neurons: pd.DataFrame | None = None, figures=(), summary=None, **config) -> Path:
    """A finished run with this config, as `record` and `Results` leave it."""
    (folder / "tables").mkdir(parents=True)
    (folder / "figures").mkdir()
    name = config.pop("name", "tiny/universality")
    whole = {"name": name, "run_dir": str(folder), "analysis": {"kind": "correlation"}, **config}
    (folder / "config.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
    if neurons is not None:
        neurons.to_parquet(folder / "tables" / "neurons.parquet", index=False)
    for figure in figures:
        drawing = Figure(figsize=(3, 2))
        drawing.add_subplot().plot([0, 1])
        drawing.savefig(folder / "figures" / f"{figure}.png")
    scalars = {"analysis": "correlation", "family": "un-tiny", "site": "mlp_post", **(summary or {})}
    (folder / "summary.json").write_text(json.dumps(scalars))
    return folder


def neuron_table(rows: int = 40, models: str = "a", seed: int = 0, **columns) -> pd.DataFrame:
    """So many neurons of each model, 10 a layer."""
    random = np.random.default_rng(seed)
    parts = []
    for model in models:
        part = pd.DataFrame({"model": model, "layer": np.arange(rows) // 10, "neuron": np.arange(rows) % 10})
        parts.append(
            part.assign(excess_corr=random.random(rows), universal=random.random(rows) > 0.7, **columns)
        )
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def runs(tmp_path):
    """Two runs of one experiment and one of another."""
    first = neuron_table(w_norm=1.5, family=HOSTILE)
    second = neuron_table(seed=1, w_norm=1.5, family="unigram")
    second.loc[3, "excess_corr"] = np.nan
    root = tmp_path / "runs"
    place = root / "tiny" / "universality"
    data = {"tokens": 1000, "context": 127, "path": HOSTILE}
    make_run(
        place / "2026-01-01_00-00-00",
        first,
        ["excess", HOSTILE.replace("/", "")],
        {"universal/count": 3, "note": HOSTILE},
        data=data,
    )
    make_run(
        place / "2026-01-02_00-00-00",
        second,
        ["excess"],
        {"universal/count": 5, "loss": None},
        data=data | {"tokens": 2000},
    )
    (place / "latest").symlink_to("2026-01-02_00-00-00")
    make_run(
        root / "tiny" / "weights" / "2026-01-01_00-00-00",
        None,
        ["norms"],
        {"analysis": "weights"},
        name="tiny/weights",
    )
    unfinished = make_run(place / "2026-01-03_00-00-00")
    (unfinished / "summary.json").unlink()
    return root


@pytest.fixture(scope="module")  # its event loop would stay in the way of other tests
def browser():
    """Debian's Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Opened:
    """A page, what it complained of and what it asked the network for."""

    def __init__(self, browser, url: str, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": 1300, "height": 900}, color_scheme=scheme)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)

    def left_the_page(self, url: str) -> list[str]:
        """Requests other than for the page itself."""
        return [each for each in self.requests if each != url and not each.startswith(("data:", "blob:"))]


@pytest.fixture
def opened(browser):
    """Open a page; it is closed after the test, and must have complained of nothing and asked for nothing."""
    pages = []

    def open_page(path: Path, scheme: str = "light"):
        pages.append((Opened(browser, path.as_uri(), scheme), path.as_uri()))
        return pages[-1][0].page

    yield open_page
    for each, url in pages:
        each.page.close()
        assert each.complaints == []
        assert each.left_the_page(url) == []
