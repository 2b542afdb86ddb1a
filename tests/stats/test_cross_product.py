"""Products of bfloat16 inputs go by parts into float32; on the CPU, with a stand-in for CUDA's products."""

import pytest
import torch

from un_lightning.stats import cross_product
from un_lightning.stats.cross_product import CrossProduct, LayerGrams


CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def products_of_other_types(monkeypatch):
    """What CUDA does with `out_dtype`: bfloat16 in, float32 added up and out. Notes the shapes made."""
    made = []

    def stand_in(product):
        def run(left, right, *, out_dtype):
            assert left.dtype == right.dtype == torch.bfloat16
            made.append((left.shape[:-1], right.shape[-1]))
            return product(left.to(out_dtype), right.to(out_dtype))

        return run

    monkeypatch.setattr(torch, "mm", stand_in(torch.mm))
    monkeypatch.setattr(torch, "bmm", stand_in(torch.bmm))
    monkeypatch.setattr(cross_product, "MIXED_ROWS", 4)
    return made


def values(units):
    generator = torch.Generator().manual_seed(units)
    return torch.randn(20, units, generator=generator).bfloat16()


@pytest.mark.parametrize(("rows", "parts"), [(3, 1), (4, 1), (11, 3)])
def test_all_pairs_by_blocks_of_rows(products_of_other_types, rows, parts):
    total = CrossProduct(rows, 5, CPU)
    for _ in range(2):
        total.add(values(rows), values(5))
    expected = 2 * values(rows).double().T @ values(5).double()
    torch.testing.assert_close(total.tensors["product"].double(), expected, atol=1e-5, rtol=1e-6)
    assert len(products_of_other_types) == 2 * parts
    assert all(shape[0] <= 4 for shape, _ in products_of_other_types)


@pytest.mark.parametrize("widths", [(8, 8, 8), (40,), (3, 9, 9), (1, 1, 1, 1, 1)])
def test_layers_by_parts_of_a_strip(products_of_other_types, widths):
    grams, batch = LayerGrams(widths, CPU), values(sum(widths))
    grams.add(batch)
    for layer, part in enumerate(batch.double().split(list(widths), dim=1)):
        torch.testing.assert_close(grams.gram(layer).double(), part.T @ part, atol=1e-5, rtol=1e-6)
    assert all(layers * rows <= 4 for (layers, rows), _ in products_of_other_types)
