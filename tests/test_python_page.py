"""docs/python.md and the notebook beside it are true: their code is executed, over fewer tokens."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient


DOCS = Path(__file__).parents[1] / "docs"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", (DOCS / "python.md").read_text(), re.DOTALL | re.MULTILINE)


PAIR = ", ".join(f"{{name: {name}, path: 'bundled:un_tiny/{name}'}}" for name in "ab")
QUICK = {
    "20_000": "2_000",
    "context=64": "context=16",
    "* 400": "* 40",
    '"tiny/universality", data={"tokens": 2_000}': (
        f'"tiny/universality", "models.members=[{PAIR}]", "analysis.draws=1", data={{"tokens": 2_000}}'
    ),
    "batch_size=": "draws=1, jackknife=0, batch_size=",
}
"""What is written otherwise here than for readers: fewer tokens, and two of the five models."""


def fewer(code):
    for text, instead in QUICK.items():
        code = code.replace(text, instead)
    return code


@pytest.mark.slow
def test_the_page(capsys):
    names = {}
    for block in BLOCKS:
        exec(fewer(block), names)
    assert "did you mean tokens?" in capsys.readouterr().out
    assert names["run"].folder.is_dir()
    assert len(names["everything"]) == 1
    assert float(names["change"].abs().max()) > 0


@pytest.mark.slow
def test_the_notebook(tmp_path):
    notebook = nbformat.read(DOCS / "universal_neurons.ipynb", as_version=4)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in codes)  # a commit holds none
    for cell in codes:
        cell.source = fewer(cell.source)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [set().union(*(output.get("data", {}) for output in cell.outputs)) for cell in codes]
    assert {"text/html", "image/png"} <= set().union(*shown)
    assert (tmp_path / "runs" / "tiny" / "universality" / "latest").exists()
