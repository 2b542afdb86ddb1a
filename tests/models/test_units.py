"""Flat indices of units and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from un_lightning.config import Site
from un_lightning.models.units import Units


WIDTHS = st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any)


def units(*widths):
    return Units("a", Site.mlp_post, tuple(widths))


@settings(deadline=None)
@given(WIDTHS)
def test_locate_and_offsets_are_inverse(widths):
    every = units(*widths)
    flat = np.arange(every.count)
    layer, neuron = every.locate(flat)
    assert (np.array(every.offsets)[layer] + neuron == flat).all()
    assert (neuron >= 0).all()
    assert (neuron < np.array(widths)[layer]).all()


@settings(deadline=None)
@given(WIDTHS)
def test_layer_slices_cut_the_flat_index_without_gaps(widths):
    every = units(*widths)
    pieces = [np.arange(every.count)[piece] for piece in every.layer_slices()]
    assert [len(piece) for piece in pieces] == widths
    assert (np.concatenate(pieces) == np.arange(every.count)).all()


@settings(deadline=None)
@given(WIDTHS, st.data())
def test_labels_name_layer_and_neuron(widths, data):
    every = units(*widths)
    layer = data.draw(st.sampled_from([layer for layer, width in enumerate(widths) if width]))
    neuron = data.draw(st.integers(0, widths[layer] - 1))
    assert every.label(every.offsets[layer] + neuron) == f"L{layer}.{neuron}"


def test_label_example():
    assert units(512, 512, 512, 512).label(3 * 512 + 217) == "L3.217"


def test_locate_keeps_the_shape_and_takes_any_integer():
    layer, neuron = units(2, 3).locate(np.array([[0, 4], [1, 2]], dtype=np.int32))
    assert layer.tolist() == [[0, 1], [0, 1]]
    assert neuron.tolist() == [[0, 2], [1, 0]]


@pytest.mark.parametrize("flat", [-1, 5])
def test_an_index_outside_is_an_error(flat):
    with pytest.raises(IndexError, match=f"unit {flat} is outside the 5"):
        units(2, 3).locate(np.array([0, flat]))
