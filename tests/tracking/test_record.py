"""How tables are shown in W&B."""

import numpy as np
import pandas as pd

from un_lightning.tracking import record as wandb_record
from un_lightning.tracking.record import _cell


def test_neurons_link_to_their_pages():
    neurons = pd.DataFrame({"model": ["a", "b/c"], "layer": [0, 3], "neuron": [5, 217], "kurt": [3.0, 9.0]})
    linked = wandb_record.linked(neurons, "https://example.org/site/")
    assert linked["page"].tolist() == [
        "https://example.org/site/#/a/L0.5",
        "https://example.org/site/#/b%2Fc/L3.217",
    ]
    pd.testing.assert_frame_equal(linked.drop(columns="page"), neurons)
    assert wandb_record.linked(neurons, None) is neurons
    other = neurons.drop(columns="model")
    assert wandb_record.linked(other, "https://example.org/") is other


def test_arrays_of_any_shape_are_shown_as_text():
    """W&B refuses a column of arrays that differ in length, such as contexts of examples."""
    cells = [_cell(value) for value in (np.arange(3), np.arange(2.0), [1], "x", 4, None)]
    assert cells == ["[0, 1, 2]", "[0.0, 1.0]", [1], "x", 4, None]
