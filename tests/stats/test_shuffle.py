"""The order of tokens behind the permutation baseline."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from un_lightning.stats.shuffle import _hashed, shuffled_tokens


CONTEXT = 16


def counted_tokens(blocks, seed=0):
    counted = torch.rand(blocks, CONTEXT, generator=torch.Generator().manual_seed(seed)) > 0.2
    counted[:, 0] = False
    return counted


@settings(max_examples=20, deadline=None)
@given(blocks=st.integers(1, 9), seed=st.integers(-(2**63), 2**63 - 1))
def test_counted_tokens_change_places_within_their_block_and_others_stay(blocks, seed):
    counted = counted_tokens(blocks, seed % 1000)
    source = shuffled_tokens(counted, torch.arange(blocks) * 7, seed)
    assert sorted(source.tolist()) == list(range(blocks * CONTEXT))
    assert torch.equal(source // CONTEXT, torch.arange(blocks * CONTEXT) // CONTEXT)
    flat = counted.flatten()
    assert torch.equal(flat[source], flat)
    assert torch.equal(source[~flat], (~flat).nonzero().flatten())


def test_the_order_depends_on_the_block_and_not_on_the_batch():
    counted, blocks = counted_tokens(6), torch.tensor([4, 100, 3, 7, 8, 55])
    whole = shuffled_tokens(counted, blocks, 9).view(6, CONTEXT) % CONTEXT
    some = [5, 0, 3]
    parts = shuffled_tokens(counted[some], blocks[some], 9).view(3, CONTEXT) % CONTEXT
    assert torch.equal(parts, whole[some])
    assert not torch.equal(shuffled_tokens(counted, blocks, 10).view(6, CONTEXT) % CONTEXT, whole)


def test_all_places_are_equally_likely():
    """Chi-square over 20,000 blocks: its mean is 225, its deviation 21."""
    counted = torch.ones(20_000, CONTEXT, dtype=torch.bool)
    source = shuffled_tokens(counted, torch.arange(20_000), 1).view(-1, CONTEXT) % CONTEXT
    counts = torch.stack([torch.bincount(source[:, place], minlength=CONTEXT) for place in range(CONTEXT)])
    expected = 20_000 / CONTEXT
    assert ((counts - expected) ** 2 / expected).sum() < 225 + 5 * 21


def test_the_hash_is_splitmix64():
    def splitmix64(number):
        mask = 2**64 - 1
        mixed = (number + 0x9E3779B97F4A7C15) & mask
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        return mixed ^ (mixed >> 31)

    numbers = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 50)
    expected = [splitmix64(int(number) % 2**64) for number in numbers]
    assert [found % 2**64 for found in _hashed(torch.from_numpy(numbers)).tolist()] == expected
