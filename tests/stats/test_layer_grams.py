"""Products within layers: against float64, shared out over devices, and of layers of several widths."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from un_lightning.stats.cross_product import LayerGrams


CPU = torch.device("cpu")
WIDTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(tuple)


def batches(widths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(tokens, sum(widths), generator=generator) for tokens in (7, 1, 12)]


def by_layer(widths):
    """Σ v vᵀ of each layer in float64, a layer at a time."""
    values = torch.cat(batches(widths)).double()
    return [layer.T @ layer for layer in values.split(list(widths), dim=1)]


@given(WIDTHS)
def test_products_within_each_layer(widths):
    grams = LayerGrams(widths, CPU)
    for values in batches(widths):
        grams.add(values)
    for layer, exact in enumerate(by_layer(widths)):
        # Twenty tokens of float32: a few roundings of sums near twenty.
        torch.testing.assert_close(grams.gram(layer).double(), exact, atol=2e-5, rtol=1e-5)


@given(WIDTHS)
def test_exactly_symmetric(widths):
    grams = LayerGrams(widths, CPU)
    for values in batches(widths):
        grams.add(values)
    for layer in range(len(widths)):
        assert torch.equal(grams.gram(layer), grams.gram(layer).T)


@given(WIDTHS, st.integers(2, 4))
def test_devices_share_out_the_layers(widths, devices):
    shares = [LayerGrams(widths, CPU, torch.float64) for _ in range(devices)]
    for values in batches(widths):
        for device, share in enumerate(shares):
            share.add(values.double(), device, devices)
    for layer, exact in enumerate(by_layer(widths)):
        own = [share.gram(layer) for share in shares]
        torch.testing.assert_close(own[layer % devices], exact)
        assert all(not gram.any() for device, gram in enumerate(own) if device != layer % devices)


def test_columns_of_a_larger_matrix():
    """The activations of a batch that is not full are the first rows of a reused matrix."""
    whole = torch.randn(10, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grams = LayerGrams((4, 4), CPU, torch.float64)
    grams.add(whole[:6, 3:11])
    for layer in range(2):
        part = whole[:6, 3 + 4 * layer : 7 + 4 * layer]
        torch.testing.assert_close(grams.gram(layer), part.T @ part)


@pytest.mark.parametrize("widths", [(8, 8, 8), (512,) * 4])
def test_little_more_than_half_is_kept(widths):
    full = sum(width**2 for width in widths) * 4
    assert LayerGrams(widths, CPU).bytes == full * 10 / 16
