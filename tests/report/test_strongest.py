"""The strongest universal neurons in words, from whatever runs there are."""

import pytest

from tests.report import neuron_runs
from tests.report.neuron_runs import write_runs
from un_lightning.report.finished import find_runs
from un_lightning.report.neuron_sources import Sources
from un_lightning.report.strongest import strongest


def sources_of(folder, **analyses):
    return Sources(find_runs([str(write_runs(folder, analyses))], folder))


def planted():
    """Excess .9 for L0.3, .8 for L1.5 with the same partners, .7 for L2.7; all others are not universal."""
    tables = neuron_runs.correlation()
    neurons, matches = tables["neurons"], tables["matches"]
    neurons["universal"] = False
    for layer, neuron, excess in ((0, 3, 0.9), (1, 5, 0.8), (2, 7, 0.7)):
        own = (neurons["model"] == "a") & (neurons["layer"] == layer) & (neurons["neuron"] == neuron)
        neurons.loc[own, ["universal", "excess_corr"]] = [True, excess]
    same = (matches["model"] == "a") & (matches["layer"] == 1) & (matches["neuron"] == 5)
    matches.loc[same & (matches["rank"] == 1), ["match_layer", "match_neuron"]] = [0, 4]
    return tables


def test_order_copies_and_what_each_does(tmp_path):
    families = neuron_runs.families()
    families["neurons"]["label"] = "articles"
    stories = strongest(
        sources_of(
            tmp_path, correlation=planted(), activations=neuron_runs.activations(),
            weights=neuron_runs.weights(), families=families,
        )
    )  # fmt: skip
    assert [story.name for story in stories] == ["L0.3", "L2.7"]
    assert stories[0].copies == ("L1.5",)
    assert stories[0].label == "articles (36% of its variance)"
    assert (len(stories[0].promoted), len(stories[0].suppressed)) == (2, 2)
    assert "⟦ F⟧" in stories[0].example
    first, *rest = stories[0].lines()
    assert first.startswith("L0.3: excess correlation 0.90, mean correlation ")
    assert first.endswith(" (and its near-copies L1.5)")
    assert [line[2:13].strip() for line in rest] == [
        "responds to", "largest at", "as in", "promotes", "suppresses",
    ]  # fmt: skip


@pytest.mark.parametrize("null", [True, False])
def test_a_label_that_meaningless_ones_beat_explains_nothing(tmp_path, null):
    families = neuron_runs.families()
    families["neurons"]["beats_null"] = not null
    (story, *_) = strongest(sources_of(tmp_path, correlation=planted(), families=families), count=1)
    assert (story.label == "no label that was tried") is null


def test_correlations_alone_and_nothing_universal(tmp_path):
    (story, other) = strongest(sources_of(tmp_path / "a", correlation=planted()))
    assert len(story.lines()) == len(other.lines()) == 1
    tables = planted()
    tables["neurons"]["universal"] = False
    assert strongest(sources_of(tmp_path / "b", correlation=tables)) == []
    assert strongest(sources_of(tmp_path / "c", activations=neuron_runs.activations())) == []
