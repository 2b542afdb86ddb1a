"""Near-copies: neurons of one model that read or write the same, or match the same neurons of other models.

They are no independent observations. A test that takes them for such finds differences where there are none.
"""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64, Shaped
from numpy import ndarray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


SAME_DIRECTION = 0.8
"""Absolute cosine of two input weights, or of two output weights, above which neurons are near-copies."""
_NEURON = ["layer", "neuron"]
_PARTNER = ["match_layer", "match_neuron"]


def sharing_partners(matches: pd.DataFrame) -> pd.DataFrame:
    """Pairs of neurons that have more than half of their best partners in common.

    Args:
        matches: Best partners of neurons of one model: `layer, neuron, other, rank, match_layer,
            match_neuron`; rank 1 is the best in the model `other`.

    Returns:
        One row a pair, in both orders: `layer, neuron, match_layer, match_neuron`.
    """
    best = matches[matches["rank"] == 1]
    neurons = pd.MultiIndex.from_frame(best[_NEURON])
    row, found = pd.factorize(neurons)
    partner, partners = pd.factorize(pd.MultiIndex.from_frame(best[["other", *_PARTNER]]))
    has = coo_array((np.ones(len(best)), (row, partner)), shape=(len(found), len(partners))).tocsr()
    common = (has @ has.T).tocoo()
    count = np.bincount(row, minlength=len(found))
    first, second = common.coords
    most = (2 * common.data > np.maximum(count[first], count[second])) & (first != second)
    return _pairs(found, first[most], second[most])


def near_copies(
    neurons: pd.DataFrame, neighbours: pd.DataFrame, matches: pd.DataFrame
) -> Int64[ndarray, " neurons"]:
    """Clusters of near-copies: neurons that are linked, directly or by others in between.

    Two are linked by |cos| above `SAME_DIRECTION` of what they read or of what they write, or by partners.

    Args:
        neurons: `layer, neuron` of the neurons of one model.
        neighbours: Nearest neurons by weights, with `kind, match_layer, match_neuron, cosine`; kinds other
            than in_in and out_out do not count. Empty where weights are not known.
        matches: As of `sharing_partners`; empty where there are none.

    Returns:
        For each neuron the place of the first one of its cluster; its own where it has no copies.
    """
    links = []
    if len(neighbours):
        near = neighbours["cosine"].abs() > SAME_DIRECTION
        links.append(neighbours[near & neighbours["kind"].isin(["in_in", "out_out"])])
    if len(matches):
        links.append(sharing_partners(matches))
    places = pd.MultiIndex.from_frame(neurons[_NEURON])
    ends = [
        np.concatenate(
            [np.empty(0, np.int64), *(places.get_indexer(pd.MultiIndex.from_frame(e[side])) for e in links)]
        )
        for side in (_NEURON, _PARTNER)
    ]
    known = (ends[0] >= 0) & (ends[1] >= 0)
    first, second = ends[0][known], ends[1][known]
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(neurons), len(neurons)))
    _, label = connected_components(graph, directed=False)
    _, start, cluster = np.unique(label, return_index=True, return_inverse=True)
    return start[cluster].astype(np.int64)


def representatives(
    cluster: Shaped[ndarray, " neurons"], chosen: Bool[ndarray, " neurons"], seed: int
) -> Bool[ndarray, " neurons"]:
    """One neuron of each cluster and group, at random.

    A cluster with neurons of both groups keeps one of each: their likeness makes the groups more alike than
    chance does, so a test errs on the side of no difference.

    Args:
        cluster: Cluster of each neuron.
        chosen: The group of each neuron.
        seed: Seed of the choice.

    Returns:
        Which neurons were taken.
    """
    order = np.random.default_rng(seed).permutation(len(cluster))
    keys = pd.DataFrame({"cluster": cluster[order], "chosen": chosen[order]})
    taken = np.zeros(len(cluster), dtype=bool)
    taken[order[~keys.duplicated().to_numpy()]] = True
    return taken


def _pairs(found: pd.Index, first: ndarray, second: ndarray) -> pd.DataFrame:
    sides = ((_NEURON, found[first]), (_PARTNER, found[second]))
    return pd.DataFrame(
        {name: side.get_level_values(at) for names, side in sides for at, name in enumerate(names)}
    )
