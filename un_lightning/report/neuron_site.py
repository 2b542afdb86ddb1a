"""A static site about neurons: one page that loads data as it is needed, from a server or from a folder.

A page that was opened from a folder may not fetch files, but may add scripts. So every data file is a script
that hands its content over: `receive("name", …)`.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from un_lightning.files import atomic_write, make_folder
from un_lightning.report.neuron_details import layer_details
from un_lightning.report.neuron_examples import token_texts
from un_lightning.report.neuron_index import Index, catalogue, make_index, pack
from un_lightning.report.neuron_sources import Sources
from un_lightning.report.own_output import replaced_folder


PAGE = "index.html"
SCRIPTS = ("data.js", "format.js", "charts.js", "neurons.js", "evidence.js", "neuron.js", "pages.js")
CHUNK = 64
"""Neurons of a layer whose details are in one file."""


def write_site(sources: Sources, out: Path, title: str) -> Index:
    """Write the site.

    Args:
        sources: The runs that it shows.
        out: Its folder; of one that holds an older site, the files that it wrote are replaced.
        title: Heading of the pages.

    Returns:
        The table of all neurons.

    Raises:
        UserError: A table cannot be read, or the folder holds something else.
    """
    index = make_index(sources)
    with replaced_folder(out) as folder:
        make_folder(folder / "data")
        _copy_pages(folder)
        for name, content in data_files(sources, index, title):
            (folder / "data" / f"{name}.js").write_text(script(name, content), encoding="ascii")
    return index


def data_files(sources: Sources, index: Index, title: str) -> Iterator[tuple[str, Any]]:
    """Name and content of every data file, the index last."""
    columns = catalogue(index)
    for place, column in enumerate(columns):
        yield f"column-{place}", pack(index.table[column["name"]])
    texts = token_texts(sources)
    used: set[int] = set()
    layers = []
    for model, layer, rows in index.blocks():
        details = layer_details(sources, index.models[model], layer, texts)
        chunks: dict[int, dict[int, Any]] = {}
        for neuron, sections in details.items():
            chunks.setdefault(neuron // CHUNK, {})[neuron] = sections
            for example in (*sections.get("top", ()), *sections.get("sample", ())):
                used.update(example.get("ids", ()))
        for chunk, neurons in chunks.items():
            yield f"{model}-{layer}-{chunk}", list(neurons.items())
        neurons = rows["neuron"].tolist()
        whole = neurons == [*range(len(neurons))]
        layers.append(
            {
                "model": model,
                "layer": layer,
                "count": len(neurons),
                "neurons": None if whole else neurons,
                "chunks": sorted(chunks),
            }
        )
    yield "texts", {"ids": sorted(used), "texts": [texts[token] for token in sorted(used)]}
    yield (
        "index",
        {
            "title": title,
            "models": index.models,
            "columns": columns,
            "layers": layers,
            "chunk": CHUNK,
            "runs": [[run.analysis, run.name] for run in sources.runs],
        },
    )


def script(name: str, content: Any) -> str:
    """A script that hands data over. Any text in it stays text, wherever the script is put."""
    text = json.dumps([name, content], ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f"receive(...{text.replace('<', chr(92) + 'u003c')})\n"


def _copy_pages(folder: Path) -> None:
    report = files("un_lightning").joinpath("report")
    site = report.joinpath("site")
    for name in (PAGE, "pages.css", *SCRIPTS):
        atomic_write(folder / name, site.joinpath(name).read_bytes())
    # The language of filters is that of the page that compares runs.
    atomic_write(folder / "table.js", report.joinpath("templates", "table.js").read_bytes())
