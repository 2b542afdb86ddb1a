"""How fast neuron pages of a large model open, search and sort in a browser.

    python benchmarks/pages.py [--quick] [--save benchmarks/results]

Writes runs of 24 layers of 4,096 synthetic neurons (GPT-2 medium) with statistics, labels, matches in four
other models, histograms and examples, makes their pages, and opens these in headless Chromium from the folder
and from a server. Opening is from the request to the first lines of the table; searching and sorting are
from the key or click to the new lines; a neuron's page is from the address to the page, its data not loaded
before. Medians and worst of several, in milliseconds. Nothing else can be timed beside it, so the ratios are
medians (of searches, that of the slowest query) over what this project allows itself.
The last line is one JSON object.
"""

import functools
import http.server
import json
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from keep import Ratio, arguments, conclude, on_threads

from un_lightning.report.finished import find_runs
from un_lightning.report.neuron_site import write_site
from un_lightning.report.neuron_sources import Sources


SHAPE, QUICK = (24, 4096), (4, 512)
OTHERS = "bcde"
CONTEXT = 25
READY = "html[data-ready]"
BUDGET_OPEN, BUDGET_SEARCH = 2000, 200
"""Milliseconds that this project allows itself."""
SEARCHES = ("L3.217", "excess_corr>0.5", "label-77", "family=unigram kurt>4", "w_out_norm<1")
AFTER_SEARCH = """async (text) => {
  const input = document.getElementById('search'), grid = document.querySelector('.rows');
  const began = performance.now();
  const drawn = new Promise((done) => new MutationObserver(done).observe(grid, { childList: true }));
  input.value = text;
  input.dispatchEvent(new Event('input'));
  await drawn;
  document.querySelector('.grid').getBoundingClientRect();
  return performance.now() - began;
}"""
AFTER_SORT = AFTER_SEARCH.replace("input.value = text;", "").replace(
    "input.dispatchEvent(new Event('input'));",
    'document.querySelector(`.heads [data-name="${text}"]`).click();',
)


def main() -> None:
    """Write, open, measure."""
    options = on_threads(arguments(__doc__, quick="2,048 neurons instead of 98,304"))
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        print("there is no Chromium: nothing is measured")
        return
    ratios: dict[str, Ratio] = {}
    layers, width = QUICK if options.quick else SHAPE
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_runs(place / "runs", layers, width)
        began = time.perf_counter()
        write_site(Sources(find_runs([str(place / "runs")], place)), place / "site", "Synthetic neurons")
        measured: dict[str, Any] = {
            "neurons": layers * width,
            "write_s": round(time.perf_counter() - began, 1),
        }
        sizes = [path.stat().st_size for path in (place / "site").rglob("*") if path.is_file()]
        measured |= {"site_mb": round(sum(sizes) / 1e6, 1), "largest_file_mb": round(max(sizes) / 1e6, 2)}
        with served(place / "site") as address, browser(program) as chromium:
            for name, base in (("folder", f"{(place / 'site').as_uri()}/"), ("server", address)):
                measured[name] = found = measure(
                    chromium, base, layers, width, repeats=2 if options.quick else 5
                )
                slowest = max(median for median, _ in found["search_ms"].values())
                ratios[f"{name}: open / {BUDGET_OPEN:,} ms"] = Ratio(
                    found["open_ms"][0] / BUDGET_OPEN, at_most=1
                )
                ratios[f"{name}: search / {BUDGET_SEARCH} ms"] = Ratio(slowest / BUDGET_SEARCH, at_most=1)
    conclude("pages", ratios, measured, options)


def measure(chromium: Any, base: str, layers: int, width: int, repeats: int) -> dict[str, Any]:
    """Open the site in fresh contexts, and work with it."""
    opening, searching, sorting, pages = [], {text: [] for text in SEARCHES}, [], []
    random = np.random.default_rng(0)
    for _ in range(repeats):
        context = chromium.new_context(viewport={"width": 1300, "height": 900})
        page = context.new_page()
        opening.append(
            elapsed(lambda page=page: (page.goto(f"{base}index.html"), page.wait_for_selector(READY)))
        )
        for text in SEARCHES:
            searching[text].append(page.evaluate(AFTER_SEARCH, text))
        page.evaluate(AFTER_SEARCH, "")
        sorting += [page.evaluate(AFTER_SORT, name) for name in ("kurt", "label", "excess_corr")]
        for _ in range(3):
            name = f"L{random.integers(layers)}.{random.integers(width)}"
            page.evaluate(f"location.hash = '#/a/{name}'; 0")
            heading = page.locator(f'#neuron h1:text-is("{name}")')
            pages.append(elapsed(heading.wait_for))
        context.close()
    return {
        "open_ms": summary(opening),
        "search_ms": {text: summary(times) for text, times in searching.items()},
        "sort_ms": summary(sorting),
        "neuron_ms": summary(pages),
    }


def summary(times: list[float]) -> list[int]:
    """Median and worst."""
    return [round(statistics.median(times)), round(max(times))]


def elapsed(act: Callable[[], Any]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - began)


def write_runs(root: Path, layers: int, width: int) -> None:
    """Runs of correlation, activations and families with synthetic tables."""
    random = np.random.default_rng(0)
    count = layers * width
    own = pd.DataFrame(
        {
            "model": "a",
            "layer": np.repeat(np.arange(layers), width),
            "neuron": np.tile(np.arange(width), layers),
        }
    )
    normal = lambda: random.standard_normal(count)
    neurons = own.assign(valid=True, excess_corr=random.beta(1, 6, count), mean_corr=random.random(count))
    neurons["universal"] = neurons["excess_corr"] > 0.5
    matches = own.loc[own.index.repeat(len(OTHERS) * 6)].reset_index(drop=True)
    matches["other"] = np.tile(np.repeat(list(OTHERS), 6), count)
    matches["rank"] = np.tile([1, 2, 3, 4, 5, -1], count * len(OTHERS))
    matches["match_layer"], matches["match_neuron"] = (
        random.integers(n, size=len(matches)) for n in (layers, width)
    )
    matches["corr"] = random.random(len(matches))
    statistic = {
        name: normal() for name in ("mean", "var", "skew", "kurt", "sparsity", "min", "max", "post_mean")
    }
    weights = {
        name: normal() for name in ("w_in_norm", "w_out_norm", "input_bias", "vocab_kurt", "vocab_skew")
    }
    statistic |= {f"q{level}": normal() for level in (0.01, 0.1, 0.5, 0.9, 0.99)}
    examples = own.loc[own.index.repeat(6)].reset_index(drop=True)
    examples = examples.assign(
        kind="top", rank=np.tile(np.arange(1, 7), count), quantile=np.nan, block=1, position=30
    )
    examples = examples.assign(
        value=random.random(len(examples)), subset="prose", document=5, document_position=40
    )
    examples = examples.assign(token_id=1, token=" t1", at=20, text="")
    ids = random.integers(50_000, size=(len(examples), CONTEXT), dtype=np.int32)
    examples["context"], examples["values"] = list(ids), list(random.standard_normal(ids.shape).astype("f4"))
    histograms = own.assign(low=-4.0, high=4.0, counts=list(random.integers(1000, size=(count, 66))))
    labels = np.array([f"label-{place}" for place in range(3000)], dtype=object)
    family = random.choice(["unigram", "alphabet", "previous", "position", "other", "unexplained"], count)
    labelled = own.assign(
        family=family, label=labels[random.integers(len(labels), size=count)], vr=random.random(count)
    )
    texts = pd.DataFrame({"token_id": range(50_000), "text": [f" t{token}" for token in range(50_000)]})
    runs: dict[str, dict[str, pd.DataFrame]] = {
        "correlation": {"neurons": neurons, "matches": matches},
        "activations": {
            "neurons": own.assign(**statistic), "examples": examples, "texts": texts, "histograms": histograms
        },
        "weights": {"neurons": own.assign(**weights)},
        "families": {"neurons": labelled},
    }  # fmt: skip
    for analysis, tables in runs.items():
        (root / analysis / "tables").mkdir(parents=True)
        for name, table in tables.items():
            table.to_parquet(root / analysis / "tables" / f"{name}.parquet", index=False)
        (root / analysis / "config.yaml").write_text(f"name: synthetic/{analysis}\n")
        (root / analysis / "summary.json").write_text(
            json.dumps({"analysis": analysis, "family": "synthetic"})
        )


@contextmanager
def browser(program: str) -> Iterator[Any]:
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder as `python -m http.server` does; its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ARG002
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


if __name__ == "__main__":
    main()
