"""Neuron tables are read from runs and files, and say clearly what is wrong with them."""

import numpy as np
import pandas as pd
import pytest

from un_lightning.errors import UserError
from un_lightning.results.neuron_tables import (
    comparable_columns,
    read_table,
    read_tables,
    with_groups,
)
from un_lightning.results.results import Results


@pytest.fixture
def table():
    rows = [(layer, neuron) for layer in (1, 0) for neuron in range(3)]
    table = pd.DataFrame(rows, columns=["layer", "neuron"])
    return table.assign(mean_corr=0.9, mean_baseline=[0.1, 0.2, 0.3, 0.4, 0.5, np.nan], skew=1.5)


def test_run_folders_links_parquet_and_csv_are_read(table, tmp_path):
    run = tmp_path / "tiny" / "2026-01-01_00-00-00"
    Results(tables={"neurons": table}).write(run)
    (run.parent / "latest").symlink_to(run.name)
    table.to_csv(tmp_path / "own.csv", index=False)
    for path in (run, run.parent / "latest", run / "tables" / "neurons.parquet", tmp_path / "own.csv"):
        pd.testing.assert_frame_equal(read_table(str(path)), table)
    (run.parent / "latest").unlink()
    (run.parent / "latest.txt").write_text(run.name + "\n")
    pd.testing.assert_frame_equal(read_table(str(run.parent / "latest")), table)


def test_models_get_their_names(table, tmp_path):
    folder = tmp_path / "pythia-160m"
    folder.mkdir()
    table.to_csv(folder / "universal.csv", index=False)
    table.assign(model="a").to_parquet(tmp_path / "a.parquet")
    pd.concat([table.assign(model="b"), table.assign(model="c")]).to_parquet(tmp_path / "bc.parquet")
    paths = [str(folder / "universal.csv"), str(tmp_path / "a.parquet"), str(tmp_path / "bc.parquet")]
    assert [*read_tables(paths)] == ["pythia-160m", "a", "b", "c"]
    assert [*read_tables(dict(zip(("x", "y", "z"), paths, strict=True)))] == ["x", "y", "z/b", "z/c"]
    assert read_tables(paths[0])["pythia-160m"]["layer"].tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(UserError, match=r"two tables hold a model 'a': name them"):
        read_tables([paths[1], paths[1]])


def test_neurons_without_an_excess_are_in_no_group(table):
    grouped = with_groups(table, 0.5)
    assert grouped["group"].tolist() == [1, 1, 1, 0, 0, -1]
    assert grouped["excess_corr"].iloc[0] == pytest.approx(0.8)
    assert "group" not in table
    with pytest.raises(UserError, match="no column excess_corr"):
        with_groups(table.drop(columns="mean_baseline"), 0.5)


def test_correlations_are_no_properties(table):
    table = table.assign(
        model="a", kurt=3.0, valid=True, excess_low=0.1, split_corr=0.2, empty=np.nan, note="x", group=1,
        p_chance=0.1, support_tokens=5, effective_tokens=3.0,
    )  # fmt: skip
    assert comparable_columns(table, []) == ["skew", "kurt"]
    assert comparable_columns(table, ["split_corr", "kurt"]) == ["split_corr", "kurt"]
    with pytest.raises(UserError, match=r"names 'note', but the numbers are skew, kurt, empty"):
        comparable_columns(table, ["note"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="layer"), "is no neuron table: it has no layer"),
        (lambda table: table.iloc[:0], "is no neuron table: it has no rows"),
        (lambda table: pd.concat([table, table]), "holds a neuron twice"),
    ],
)
def test_what_is_no_neuron_table_is_refused(table, tmp_path, change, message):
    change(table).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(UserError, match=message):
        read_table(str(tmp_path / "bad.csv"))


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no neuron table at .*nowhere"):
        read_table(str(tmp_path / "nowhere"))
    (tmp_path / "bad.parquet").write_text("no parquet")
    with pytest.raises(UserError, match="cannot read the neuron table"):
        read_table(str(tmp_path / "bad.parquet"))
