"""The figures of the families analysis carry their data."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from un_lightning.analyses.families.counts import count_table
from un_lightning.figures.alphabet import alphabet
from un_lightning.figures.families import (
    families_by_layer,
    families_by_universality,
    position_profiles,
    top_neurons,
    word_roles,
)


BINS = 30
KINDS = ["unigram", "alphabet", "previous", "position", "other", "unexplained"]
LABELS = {"unigram": "unigram/the", "alphabet": "letter/f", "previous": "previous/symbol/left_parenthesis"}


def neurons(layers=4, size=30):
    generator = np.random.default_rng(layers)
    count = layers * size
    table = pd.DataFrame({"model": "un-tiny-a", "layer": np.repeat(np.arange(layers), size)})
    table["neuron"] = np.tile(np.arange(size), layers)
    table["valid"] = True
    table["family"] = generator.choice(KINDS, count)
    table["label"] = table["family"].map(LABELS).fillna("position/64-126")
    table["vr"], table["auroc"] = generator.random(count), generator.random(count)
    table["eta2_position"], table["position_mi"] = generator.random(count), generator.random(count)
    table["unigram_vr"], table["role"] = table["vr"], "any"
    table["universal"] = pd.array(generator.random(count) < 0.2, dtype="boolean")
    return table


def distributions(table):
    generator = np.random.default_rng(1)
    found = pd.DataFrame({"column": table.index, "label": table["label"], "low": -4.0, "high": 6.0})
    for name in ("having", "lacking"):
        found[name] = list(generator.multinomial(900, np.ones(BINS + 2) / (BINS + 2), len(table)))
    return found


def roles(table, count=14):
    rows = table[table["family"] == "unigram"].head(count)
    parts = []
    for role in ("word", "beginning", "middle", "other token"):
        counts = np.zeros((len(rows), BINS + 2), dtype=int)
        counts[:, 5:15] = 3 if role != "middle" else 0  # a role that never comes has no box
        part = rows[["layer", "neuron", "label"]].assign(role=role, low=-4.0, high=6.0, counts=list(counts))
        parts.append(part)
    return pd.concat(parts)


def positions(table, context=16):
    shown = table.sort_values("eta2_position", ascending=False).head(8).reset_index(drop=True)
    profile = np.linspace(-1, 1, context)
    profile[0] = np.nan
    shown["sd"] = 0.3
    shown["mean"], shown["sparsity"] = [profile] * len(shown), [np.clip(profile, 0, 1)] * len(shown)
    return shown


def letters(table, known="abf"):
    return pd.DataFrame(
        [
            {"label": f"letter/{letter}", "rank": 1, "layer": 0, "neuron": index, "vr": 0.3 * (index + 1)}
            for index, letter in enumerate(known)
        ],
        columns=["label", "rank", "layer", "neuron", "vr"],
    )


def drawn(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


TABLES = {"four layers": neurons(), "24 layers": neurons(24), "nothing": neurons().query("family == 'other'")}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", TABLES)
def test_every_table_gives_figures_in_which_no_text_is_cut_off(name):
    table = TABLES[name]
    counts = count_table(table)
    chosen = table[table["family"].isin(LABELS)].sort_values(["family", "vr"])
    for figure in (
        families_by_layer(counts),
        families_by_universality(counts),
        top_neurons(chosen, distributions(chosen)),
        position_profiles(positions(table)),
        word_roles(table, roles(table)),
        alphabet(neurons(), letters(table), distributions(neurons()), 0.37),
        alphabet(neurons(), letters(table, ""), distributions(neurons()), 0.37),
    ):
        image = drawn(figure)
        assert image[..., :3].min() < 200
        for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
            assert (edge[..., :3] == 255).all()


def test_bars_are_the_shares_of_layers():
    table = neurons()
    figure = families_by_layer(count_table(table))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:4] == ["unigram", "alphabet", "previous token", "position"]
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    expected = (table["family"] == "unigram").groupby(table["layer"]).mean()
    np.testing.assert_allclose(heights, expected)


def test_densities_have_area_one():
    table = neurons()
    chosen = table[table["family"] == "unigram"].head(1)
    figure = top_neurons(chosen, distributions(chosen))
    for stairs in figure.axes[0].patches:
        data = stairs.get_data()
        # What lies outside the range is left out: 2 of 32 equally full columns.
        assert (data.values * np.diff(data.edges)).sum() == pytest.approx(30 / 32, abs=0.03)


def test_letters_above_the_criterion_are_counted():
    figure = alphabet(neurons(), letters(neurons()), distributions(neurons()), 0.37)
    title = figure.axes[0].get_title(loc="left")
    assert title == (
        "2 letters have a neuron above the criterion; 1 are the best label of a neuron of the family alphabet"
    )
    assert [bar.get_height() for bar in figure.axes[0].patches[:2]] == pytest.approx([0.3, 0.6])
    measured = [axes for axes in figure.axes[1:] if "f" in axes.get_title(loc="left")]
    assert len(measured) == 1
