"""Neuron tables side by side hold what each table holds."""

import base64

import numpy as np
import pandas as pd
import pytest

from tests.report.conftest import make_run, neuron_table
from un_lightning.errors import UserError
from un_lightning.report import joined as joined_module
from un_lightning.report.finished import find_runs
from un_lightning.report.joined import join_neurons, packed


def joined_of(tmp_path, *tables, **more):
    for place, table in enumerate(tables):
        make_run(tmp_path / "x" / f"{place}", table, summary=more.get(f"of_{place}"))
    return join_neurons(find_runs([str(tmp_path / "x")], tmp_path))


def test_columns_that_differ_stand_side_by_side(tmp_path):
    a, b = neuron_table(norm=2.0), neuron_table(seed=1, norm=2.0)
    (joined,) = joined_of(tmp_path, a, b)
    assert [*joined.table] == [
        "model", "layer", "neuron", "excess_corr·A", "excess_corr·B", "excess_corr·B-A",
        "universal·A", "universal·B", "norm",
    ]  # fmt: skip
    np.testing.assert_array_equal(joined.table["excess_corr·A"], a["excess_corr"])
    np.testing.assert_array_equal(joined.table["excess_corr·B-A"], b["excess_corr"] - a["excess_corr"])


def test_neurons_that_one_table_lacks_are_kept(tmp_path):
    a = neuron_table(models="ab").sample(frac=1, random_state=0)
    b = neuron_table(rows=20, models="bc", norm=1.0)
    (joined,) = joined_of(tmp_path, a, b)
    expected = a.drop(columns="universal").merge(b, on=["model", "layer", "neuron"], how="outer")
    assert len(joined.table) == len(expected) == 100
    assert int(joined.table["norm"].isna().sum()) == 60
    one = joined.table.query("model == 'a' and layer == 3 and neuron == 7")
    assert (
        one["excess_corr·A"].item()
        == a.query("model == 'a' and layer == 3 and neuron == 7")["excess_corr"].item()
    )


def test_agreement_where_both_have_a_value_is_one_column(tmp_path):
    a, b = neuron_table(rows=40), neuron_table(rows=20)
    b["excess_corr"] = a["excess_corr"][:20]
    b["universal"] = a["universal"][:20]
    (joined,) = joined_of(tmp_path, b, a)
    assert [*joined.table] == ["model", "layer", "neuron", "excess_corr", "universal"]
    np.testing.assert_array_equal(joined.table["excess_corr"], a["excess_corr"])


def test_families_and_sites_are_kept_apart(tmp_path):
    tables = [neuron_table()] * 4
    more = {"of_1": {"family": "other"}, "of_2": {"site": "attn_z"}, "of_3": {"site": ""}}
    groups = joined_of(tmp_path, *tables, **more)
    assert [[run.label for run in group.runs] for group in groups] == [["A", "D"], ["B"], ["C"]]
    assert [group.title for group in groups] == ["un-tiny, mlp_post", "other, mlp_post", "un-tiny, attn_z"]


def test_long_texts_and_too_many_columns_are_left_out_and_named(tmp_path, monkeypatch):
    rows, many = 2000, 20
    monkeypatch.setattr(joined_module, "MOST_CELLS", many * rows)
    table = neuron_table(rows=rows)
    table["words"] = [f"word {i}" for i in range(rows)]
    table["arrays"] = [np.arange(2)] * rows
    wide = pd.DataFrame(np.zeros((rows, many), np.float32), columns=[f"c{i}" for i in range(many)])
    (joined,) = joined_of(tmp_path, pd.concat([table, wide], axis=1))
    assert joined.left_out[:2] == ("words", "arrays")
    assert f"c{many - 1}" in joined.left_out
    assert "c0" in joined.table


def test_a_table_with_a_neuron_twice_is_refused(tmp_path):
    table = neuron_table()
    with pytest.raises(UserError, match="does not name each neuron once"):
        joined_of(tmp_path, pd.concat([table, table]))


def test_tables_of_one_model_are_called_by_the_summary(tmp_path):
    table = neuron_table().drop(columns="model")
    (joined,) = joined_of(tmp_path, table, of_0={"model": "m"})
    assert set(joined.table["model"]) == {"m"}


def test_packed_bytes_are_the_values():
    table = pd.DataFrame(
        {
            "name": ["b", "a", None, "b"],
            "layer": [0, 1, 2, -3],
            "x": [0.5, np.nan, np.inf, 1e-30],
            "flag": [True, False, True, False],
            "maybe": [True, None, False, True],
            "big": [2**40, 0, 1, 2],
        }
    )
    data = packed(table)
    assert data["rows"] == 4
    kinds = {"text": "<u2", "integer": "<i4", "number": "<f4", "flag": "<i1"}
    columns = {column["name"]: column for column in data["columns"]}
    values = {
        name: np.frombuffer(base64.b64decode(column["data"]), kinds[column["kind"]])
        for name, column in columns.items()
    }
    assert [columns["name"]["names"][place] for place in values["name"]] == ["b", "a", "", "b"]
    assert values["layer"].tolist() == [0, 1, 2, -3]
    np.testing.assert_array_equal(values["x"], np.float32([0.5, np.nan, np.inf, 1e-30]))
    assert values["flag"].tolist() == [1, 0, 1, 0]
    assert values["maybe"].tolist() == [1, -1, 0, 1]
    assert (columns["big"]["kind"], values["big"][0]) == ("number", np.float32(2**40))
