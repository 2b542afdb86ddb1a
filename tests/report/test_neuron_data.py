"""The data files of neuron pages: what they hold, how small they are, and that text stays text in them."""

import base64
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report import neuron_runs
from tests.report.conftest import HOSTILE, make_run, neuron_table
from tests.report.neuron_runs import LAYERS, TOKENS, WIDTH, every_run, write_runs
from un_lightning.errors import UserError
from un_lightning.report.compact import by_neuron, short
from un_lightning.report.finished import find_runs
from un_lightning.report.main import main
from un_lightning.report.neuron_details import BARS, layer_details
from un_lightning.report.neuron_examples import token_texts
from un_lightning.report.neuron_index import catalogue, make_index, pack
from un_lightning.report.neuron_site import CHUNK, data_files, script, write_site
from un_lightning.report.neuron_sources import Sources
from un_lightning.report.own_output import GENERATOR, MARK, replaced_folder, write_page


COUNT = LAYERS * WIDTH
TYPES = {"number": "<f4", "integer": "<i4", "flag": "<i1", "text": "<u4"}


def sources_of(folder, *words):
    return Sources(find_runs([str(folder / word) for word in words] or [str(folder)], folder))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return sources_of(every_run(tmp_path_factory.mktemp("runs")))


def unpacked(packed):
    values = np.frombuffer(base64.b64decode(packed["data"]), TYPES[packed["kind"]])
    return [packed["names"][code] for code in values] if packed["kind"] == "text" else values


def read_script(path):
    """What a data file hands over."""
    text = path.read_text(encoding="ascii")
    assert text.startswith("receive(...[")
    assert "<" not in text
    assert text.endswith("])\n")
    return json.loads(text.removeprefix("receive(...").removesuffix(")\n"))


def test_the_index_joins_all_analyses(sources):
    index = make_index(sources)
    assert index.models == ["a", "b"]
    assert len(index.table) == 2 * COUNT
    own = index.table[index.table["model"] == "a"]
    assert list(own["neuron"]) == [*range(WIDTH)] * LAYERS
    wanted = neuron_runs.correlation()["neurons"].query("model == 'a'")["excess_corr"]
    np.testing.assert_array_equal(own["excess_corr"], wanted)
    assert own["family"].iloc[1] == "unexplained"
    assert index.table["family"].iloc[COUNT:].isna().all()  # nothing is known of model b
    assert not own["valid"].iloc[3]  # one analysis says so
    assert own["valid"].drop(index=[3, WIDTH + 3, 2 * WIDTH + 3]).all()


def test_of_two_columns_of_a_name_the_first_analysis_counts(sources):
    index = make_index(sources)
    assert index.source["kurt"] == "activations"
    kurt = index.table["kurt"]
    assert kurt[5] == 99  # weights fill in what activations lack
    assert (kurt.drop(index=5).iloc[: COUNT - 1] < 5).all()


def test_the_catalogue_has_first_what_the_table_shows_first(sources):
    columns = catalogue(make_index(sources))
    first = [column["name"] for column in columns if column["first"]]
    assert first == [column["name"] for column in columns[: len(first)]]
    assert first[:2] == ["excess_corr", "mean_corr"]
    kinds = {column["name"]: column["kind"] for column in columns}
    assert kinds["universal"] == "flag"
    assert kinds["family"] == "text"
    assert kinds["valid"] == "flag"


@given(
    st.lists(st.none() | st.booleans()),
    st.lists(st.none() | st.text(max_size=3)),
    st.lists(st.floats(width=32)),
    st.lists(st.integers(-(2**31) + 1, 2**31 - 1)),
)
def test_packed_columns_come_back(flags, names, numbers, integers):
    packed = pack(pd.Series(flags, dtype="boolean"))
    assert unpacked(packed).tolist() == [-1 if flag is None else int(flag) for flag in flags]
    packed = pack(pd.Series(names, dtype=object))
    if packed["kind"] == "text":
        assert unpacked(packed) == ["" if name is None else name for name in names]
    packed = pack(pd.Series(numbers, dtype="float64"))
    np.testing.assert_array_equal(unpacked(packed), np.array(numbers, dtype=np.float32))
    packed = pack(pd.Series(integers, dtype="int64"))
    assert unpacked(packed).tolist() == integers


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True)))
def test_short_numbers_are_close_and_short(values):
    found = short(np.array(values, dtype=np.float64))
    for value, own in zip(values, found, strict=True):
        if not math.isfinite(value):
            assert own is None
        elif own is not None and abs(value) > 1e-290:  # smaller ones have no power of ten beside them
            assert own == pytest.approx(value, rel=5.0001e-4)  # half of the fourth digit of 1.000
            if 1e-18 < abs(value) < 1e18:  # powers of ten that float64 holds
                assert float(f"{own:.4g}") == own
    assert short(np.array([0.1 + 0.2, 123456.0, -1e-7])) == [0.3, 123500.0, -1e-7]
    assert short(np.array([1, 10**6])) == [1, 10**6]


def test_rows_are_grouped_in_their_order():
    table = pd.DataFrame({"neuron": [2, 0, 2], "rank": [1, 5, -1], "text": ["x", None, "y"]})
    assert by_neuron(table, ["rank", "text", "missing"]) == {
        0: [[5, None, None]],
        2: [[1, "x", None], [-1, "y", None]],
    }
    assert by_neuron(table.head(0), ["rank"]) == {}


def test_details_of_a_layer(sources):
    found = layer_details(sources, "a", 1, token_texts(sources))
    assert {*found} == {*range(WIDTH)}
    neuron = found[7]
    assert neuron["matches"] == [["b", 1, 1, 8, 0.8], ["b", 2, 1, 9, 0.4], ["b", -1, 1, 6, -0.8]]
    assert neuron["cosines"][3][:2] == ["u_out", -2]
    assert len(neuron["labels"]) == 8  # of ten
    assert neuron["curves"] == [
        ["loss", value, round(0.01 * (6 - value), 2), -0.01, 0.05] for value in range(6)
    ]
    assert neuron["effects"] == [["loss_change", 0.01, 0.001]]
    assert neuron["sets"] == [["universal", 3, "loss", 0.2, 0.1, 0.1, 0.05, 0.15]]
    assert 300 < len(neuron["points"]) <= 400  # of a thousand
    assert neuron["heads"][0][:2] == [2, 1]
    assert "curves" not in found[8]
    assert {*layer_details(sources, "b", 1, {})[7]} == {"matches"}


def test_histograms_lose_no_token_but_their_empty_ends(sources):
    found = layer_details(sources, "a", 1, {})[7]
    histogram = found["histogram"]
    assert len(histogram["counts"][0]) <= BARS
    assert sum(histogram["counts"][0]) == sum(range(30))
    assert histogram["outside"] == [[5, 7]]
    assert histogram["range"] == [-1.8, 4]  # bins 11 to 39 of 50 from -4 to 6: the first with a count is 11
    labelled = found["labelled"]
    assert labelled["label"] == HOSTILE
    assert [sum(counts) for counts in labelled["counts"]] == [100, 100]
    assert labelled["outside"] == [[0, 0], [2, 2]]


def test_examples_carry_the_activation_of_every_token(sources):
    texts = token_texts(sources)
    assert [texts[token] for token in range(len(TOKENS))] == TOKENS
    found = layer_details(sources, "a", 1, texts)[7]
    assert [example["v"] for example in found["top"]] == [4, 3]
    assert [example["q"] for example in found["sample"]] == [0.75, 1]
    example = found["top"][0]
    assert example["ids"] == [*range(len(TOKENS))]
    assert example["where"] == ["prose", 2, 77]
    values = np.array(example["values"]) * example["unit"]
    wanted = -np.linspace(0, 0.9, len(TOKENS))
    wanted[1] = 4
    np.testing.assert_allclose(
        values, wanted, atol=4 / 1000 / 2
    )  # half a step of a thousandth of the largest


def test_without_texts_of_tokens_contexts_are_plain(tmp_path):
    tables = neuron_runs.activations(values=False)
    del tables["tokens"]
    sources = sources_of(write_runs(tmp_path, {"activations": tables}))
    example = layer_details(sources, "a", 0, token_texts(sources))[0]["top"][0]
    assert example["parts"] == [TOKENS[0], TOKENS[1], "".join(TOKENS[2:])]
    assert "ids" not in example


def test_only_the_last_run_of_an_analysis_counts(tmp_path):
    write_runs(tmp_path / "1", {"correlation": neuron_runs.correlation(seed=1)})
    write_runs(tmp_path / "2", {"correlation": neuron_runs.correlation(seed=2)})
    index = make_index(sources_of(tmp_path, "1", "2"))
    wanted = neuron_runs.correlation(seed=2)["neurons"]["excess_corr"]
    np.testing.assert_array_equal(index.table["excess_corr"], wanted)


def test_a_neuron_table_stands_for_its_parts(tmp_path):
    write_runs(
        tmp_path / "parts", {"correlation": neuron_runs.correlation(), "weights": neuron_runs.weights()}
    )
    parts = {f"parts/{name}": str(tmp_path / "parts" / name) for name in ("correlation", "weights", "gone")}
    make_run(
        tmp_path / "table",
        neuron_runs.correlation(("a",))["neurons"],
        summary={"analysis": "neuron_table", **parts},
    )
    sources = sources_of(tmp_path, "table")
    assert sources.analyses() == ["correlation", "weights", "neuron_table"]
    assert {"matches", "cosines"} <= {*layer_details(sources, "a", 0, {})[0]}


def test_runs_that_do_not_belong_together_are_refused(tmp_path):
    make_run(tmp_path / "one", neuron_table(), summary={"family": "un-tiny"})
    make_run(tmp_path / "two", neuron_table(), summary={"family": "gpt2"})
    make_run(tmp_path / "site", neuron_table(), summary={"site": "resid_post"})
    make_run(tmp_path / "none")
    twice = pd.concat([neuron_table(), neuron_table()])
    make_run(tmp_path / "twice", twice)
    with pytest.raises(UserError, match="the runs are of un-tiny, gpt2"):
        sources_of(tmp_path, "one", "two")
    with pytest.raises(UserError, match=r"different units \(mlp_post, resid_post\)"):
        sources_of(tmp_path, "one", "site")
    with pytest.raises(UserError, match="none of these runs has a table of neurons"):
        sources_of(tmp_path, "none")
    with pytest.raises(UserError, match="does not name each neuron of a once"):
        make_index(sources_of(tmp_path, "twice"))
    (tmp_path / "one" / "tables" / "neurons.parquet").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"neurons\.parquet cannot be read"):
        sources_of(tmp_path, "one")


@given(st.text())
def test_any_text_survives_a_script(text):
    line = script("x", [text])
    assert line.isascii()
    assert "<" not in line
    assert json.loads(line.removeprefix("receive(...").removesuffix(")\n")) == ["x", [text]]


def test_the_files_of_a_site(sources, tmp_path):
    out = tmp_path / "a site"
    index = write_site(sources, out, HOSTILE)
    files = {path.stem: read_script(path) for path in (out / "data").iterdir()}
    assert all(content[0] == name for name, content in files.items())
    head = files["index"][1]
    assert head["title"] == HOSTILE
    assert [each["count"] for each in head["layers"]] == [WIDTH] * 2 * LAYERS
    assert all(each["neurons"] is None for each in head["layers"])
    assert len(head["columns"]) == sum(name.startswith("column-") for name in files)
    place = [column["name"] for column in head["columns"]].index("excess_corr")
    wanted = index.table["excess_corr"].to_numpy("f4")
    np.testing.assert_array_equal(unpacked(files[f"column-{place}"][1]), wanted)
    chunks = {
        f"{each['model']}-{each['layer']}-{chunk}" for each in head["layers"] for chunk in each["chunks"]
    }
    assert chunks == {*files} - {"index", "texts", *(name for name in files if name.startswith("column-"))}
    assert [neuron for neuron, _ in files["0-1-0"][1]] == [*range(min(CHUNK, WIDTH))]
    assert files["texts"][1]["texts"] == TOKENS
    pages = {path.name for path in out.iterdir()}
    linked = {"data", "index.html", "pages.css", "table.js"}
    assert linked < pages
    html = (out / "index.html").read_text()
    assert all(f'src="{name}"' in html for name in pages if name.endswith(".js"))


def test_neurons_that_are_not_all_of_a_layer_keep_their_numbers(tmp_path):
    tables = neuron_runs.activations()
    chosen = [3, WIDTH + 4, WIDTH + 9]
    tables["neurons"] = tables["neurons"].iloc[chosen]
    sources = sources_of(write_runs(tmp_path, {"activations": tables}))
    head = dict(data_files(sources, make_index(sources), "x"))["index"]
    assert [each["neurons"] for each in head["layers"]] == [[3], [4, 9]]


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    every_run(tmp_path / "runs")
    words = ["--neurons", str(tmp_path / "runs")]
    assert main(words) == 0
    assert "8 runs, 240 neurons: open neurons/index.html" in capsys.readouterr().out
    assert main(words) == 0  # an older site is replaced
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    assert main([*words, "--out", "full"]) == 2
    assert "full is not empty, and no neuron pages were written there" in capsys.readouterr().err
    assert (tmp_path / "full" / "letter.txt").exists()
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize("name", ["letter.txt", "data/letter.txt", ".hidden/x"])
def test_what_somebody_put_among_the_pages_stays(tmp_path, name):
    """Also where the folder looks like a site: only a list of what was written says what may be removed."""
    out = tmp_path / "site"
    with replaced_folder(out) as folder:
        (folder / "data").mkdir()
        (folder / "data" / "index.js").touch()
    path = out / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(UserError, match="is none of them"), replaced_folder(out):
        pass
    (out / MARK).unlink()
    with pytest.raises(UserError, match="no neuron pages were written there"), replaced_folder(out):
        pass
    assert path.read_text() == "mine"
    (out / MARK).write_text(json.dumps({"files": ["../outside.txt", name, "data/index.js"]}))
    with pytest.raises(UserError, match="names files outside"), replaced_folder(out):
        pass
    assert path.read_text() == "mine"


def test_a_page_replaces_pages_only(tmp_path):
    out, page = tmp_path / "x.html", f"<html>{GENERATOR}</html>"
    for _ in range(2):
        write_page(out, page)
    out.write_text("my notes")
    with pytest.raises(UserError, match=r"x.html exists and is no page of un-lightning"):
        write_page(out, page)
    with pytest.raises(UserError, match="is a folder"):
        write_page(tmp_path, page)
    assert out.read_text() == "my notes"
