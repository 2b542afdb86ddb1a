"""What correlations rest on: against loops, and units that fire on one token or in one document."""

import numpy as np
import pytest
import torch

from tests.reference.support import support
from un_lightning.stats.support import DOCUMENTS, Support


CPU = torch.device("cpu")
TOKENS, UNITS = 3000, 6


def planted():
    """Noise, of which unit 1 fires at one token, 2 in one document, 3 never and 4 at a few tokens."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(TOKENS, UNITS, generator=generator) / 100
    document = torch.arange(TOKENS) // 100
    values[:, 1:5] = -0.01 * torch.rand(TOKENS, 4, generator=generator)
    values[700, 1] = 5.0
    values[document == 4, 2] = 1.0
    values[torch.tensor([10, 1000, 2000]), 4] = 3.0
    return values, document


def sums(values):
    return {"sum": values.double().sum(0), "squares": values.double().square().sum(0)}


@pytest.mark.parametrize("sizes", [(TOKENS,), (1, 1500, 1499)])
def test_equals_loops_and_finds_the_rare(sizes):
    values, document = planted()
    counted = torch.arange(TOKENS) % 7 > 0
    counted[700] = True
    shift = values[:200].mean(0)
    shifted = (values - shift).masked_fill_(~counted[:, None], 0)
    statistic = Support(UNITS, CPU)
    parts = [tensor.split(sizes) for tensor in (shifted, document, counted)]
    for part, own, kept in zip(*parts, strict=True):
        statistic.add(part, 0.0 - shift, own, kept)
    found = statistic.found(sums(shifted), int(counted.sum()))
    expected = support(values[counted].double().numpy(), 0.0, document[counted].numpy())
    np.testing.assert_array_equal(found.tokens, expected["support_tokens"])
    np.testing.assert_array_equal(found.documents, expected["support_documents"])
    np.testing.assert_allclose(found.effective, expected["effective_tokens"], rtol=1e-4)  # float32 squares
    assert found.rare.tolist() == [False, True, True, True, True, False]


def test_text_of_one_document_makes_nothing_rare():
    values = torch.randn(500, 3, generator=torch.Generator().manual_seed(1))
    statistic = Support(3, CPU)
    one = torch.zeros(500, dtype=torch.long)
    statistic.add(values, torch.zeros(3), one, one == 0)
    found = statistic.found(sums(values), 500)
    assert found.documents.tolist() == [1, 1, 1]
    assert not found.rare.any()


def test_many_documents_are_counted_as_far_as_they_are_told_apart():
    count = 10 * DOCUMENTS
    values = torch.ones(count, 2)
    values[5:, 1] = -1
    document = torch.arange(count)
    document[0] = -1  # a BOS is a token of no document
    statistic = Support(2, CPU)
    statistic.add(values, torch.zeros(2), document, torch.ones(count, dtype=torch.bool))
    found = statistic.found(sums(values), count)
    assert found.documents.tolist() == [DOCUMENTS, 4]
    assert found.tokens.tolist() == [count, 5]
