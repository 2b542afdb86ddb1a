import numpy as np
import pytest
import torch

from tests.reference import correlation, measures
from tests.stats.measures.sums import of, pair_sums
from un_lightning.stats.measures.mutual import mutual, nearest


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("shape", [(12, 9), (5, 30)])
def test_equals_looking_at_every_pair(k, shape):
    rho = np.random.default_rng(k).normal(size=shape)
    rows, columns = (torch.from_numpy(values).topk(k, dim=1).indices for values in (rho, rho.T.copy()))
    np.testing.assert_array_equal(mutual(rows, columns).numpy(), measures.mutual(rho, k))
    np.testing.assert_array_equal(mutual(columns, rows).numpy(), measures.mutual(rho.T, k))


def test_who_has_no_partner_is_nobodys():
    forward = torch.tensor([[-1, -1], [0, -1], [2, 1]])
    backward = torch.tensor([[1, 0], [-1, -1], [0, 2]])
    assert mutual(forward, backward).tolist() == [False, True, True]


def test_nearest_units_are_valid_ones(activations):
    rho = correlation.correlations(activations.left.double().numpy(), activations.right.double().numpy())
    rows, columns = nearest(of(activations))
    keep = np.delete(np.arange(18), 5)
    np.testing.assert_array_equal(rows[keep, 0], np.nanargmax(rho[keep], axis=1))
    assert rows[5] == -1
    assert columns[3] == -1


def test_copies_of_a_unit_share_one_mutual_partner():
    """Three units that resemble the same one: it chooses the most similar."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(500, 1, dtype=torch.float64, generator=generator)
    unit = draw()
    left = torch.cat([unit + 0.1 * draw(), unit + 0.5 * draw(), unit + draw()], 1)
    rows, columns = nearest(pair_sums(left, torch.cat([unit, draw()], 1), (3,), (2,)))
    assert rows.flatten().tolist() == [0, 0, 0]
    assert mutual(rows, columns).tolist()[:2] == [True, False]
