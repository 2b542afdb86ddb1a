"""Clusters of near-copies against a search by hand, and tests that do not take copies for independent."""

import numpy as np
import pandas as pd
import pytest

from tests.reference import near_copies as reference
from un_lightning.stats.layer_contrast import LayerContrast
from un_lightning.stats.near_copies import near_copies, representatives, sharing_partners


NEURONS = pd.DataFrame({"layer": np.repeat([0, 1], 8), "neuron": np.tile(np.arange(8), 2)})


def tables(seed) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Neighbours and partners such that some neurons are linked, and most are not."""
    generator = np.random.default_rng(seed)
    at = lambda size: NEURONS.iloc[generator.integers(0, len(NEURONS), size)].reset_index(drop=True)
    to = lambda rows: rows.rename(columns={"layer": "match_layer", "neuron": "match_neuron"})
    neighbours = pd.concat([at(30), to(at(30))], axis=1)
    neighbours["kind"] = generator.choice(["in_in", "out_out", "in_out"], 30)
    neighbours["cosine"] = generator.uniform(-1, 1, 30)
    matches = pd.concat([NEURONS] * 8, ignore_index=True)
    matches["other"] = np.repeat(["b", "c", "d", "b"], 2 * len(NEURONS))
    matches["rank"] = np.tile(np.repeat([1, 2], len(NEURONS)), 4)
    matches = matches.drop_duplicates(["layer", "neuron", "other", "rank"], ignore_index=True)
    matches[["match_layer", "match_neuron"]] = generator.integers(0, 3, (len(matches), 2))
    return neighbours, matches.sample(frac=0.95, random_state=seed)


@pytest.mark.parametrize("seed", range(4))
def test_clusters_match_the_reference(seed):
    neighbours, matches = tables(seed)
    rows = sharing_partners(matches).to_numpy().tolist()
    pairs = {((a, b), (c, d)) for a, b, c, d in rows}
    assert pairs == reference.sharing(matches)
    empty = pd.DataFrame()
    for near, best in ((neighbours, matches), (neighbours, empty), (empty, matches), (empty, empty)):
        found = near_copies(NEURONS, near, best)
        np.testing.assert_array_equal(found, reference.clusters(NEURONS, near, best))
    np.testing.assert_array_equal(found, np.arange(len(NEURONS)))


def test_neurons_that_the_table_lacks_link_nothing():
    neighbours = pd.DataFrame(
        {"layer": [0, 9], "neuron": [1, 1], "kind": "in_in", "match_layer": [9, 0], "match_neuron": [1, 2]}
    )
    found = near_copies(NEURONS, neighbours.assign(cosine=0.95), pd.DataFrame())
    np.testing.assert_array_equal(found, np.arange(len(NEURONS)))


def test_one_of_each_cluster_and_group_is_taken():
    cluster, chosen = np.array([0, 0, 0, 0, 4, 5, 5]), np.array([1, 1, 0, 0, 0, 1, 1], dtype=bool)
    taken = np.stack([representatives(cluster, chosen, seed) for seed in range(200)])
    assert {tuple(row) for row in taken[:, [4]].tolist()} == {(True,)}
    for pair in ([0, 1], [2, 3], [5, 6]):
        assert (taken[:, pair].sum(1) == 1).all()
        assert 0.35 < taken[:, pair[0]].mean() < 0.65
    np.testing.assert_array_equal(representatives(np.arange(7), chosen, 0), True)


@pytest.mark.parametrize("mixed", [False, True])
def test_copies_make_no_false_positives(mixed):
    """The chosen neurons of a layer are two sets of near-copies; where mixed, the rest has copies, too."""
    sizes = {"layers": 2, "width": 40, "copies": 4, "chosen": 2, "mixed": mixed}
    p, naive = [], []
    for seed in range(500):
        values, cluster, chosen, layer = reference.simulated(seed, **sizes)
        once = representatives(cluster, chosen, seed)
        p.append(LayerContrast(chosen[once], layer[once], 99, seed).of(values[once]))
        if seed < 200:
            naive.append(LayerContrast(chosen, layer, 99, seed).of(values))
    rate = lambda found, name: np.mean([getattr(one, name) <= 0.05 for one in found])
    # Three standard errors of 500 tests; benchmarks/near_copies.py has the rate to a few thousandths.
    bound = 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(p))
    assert rate(p, "p_auc") <= bound
    assert rate(p, "p_ks") <= bound
    assert mixed or rate(naive, "p_auc") > 0.2
