"""The curve of a neuron that was fixed at several activations, as the paper draws it."""

import pandas as pd


PAPER_VALUES = (-0.17, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
"""Activations of the published curves."""


def entropy_curve(
    curves: pd.DataFrame, untouched: pd.DataFrame, layer: int, neuron: int, metric: str, change: bool
) -> list[float] | float | None:
    """A metric, or its change, at the published activations.

    Args:
        curves: Table `curves` of the entropy analysis.
        untouched: Its table `untouched`.
        layer: Layer of the neuron.
        neuron: Its index in the layer.
        metric: Column `metric` of the tables.
        change: Whether the metric of the untouched model is taken off.

    Returns:
        One number an activation; None if the neuron was not fixed at all of them.
    """
    own = curves[(curves["layer"] == layer) & (curves["neuron"] == neuron) & (curves["metric"] == metric)]
    found = dict(zip(own["value"].round(6), own["mean"], strict=True))
    if any(value not in found for value in PAPER_VALUES):
        return None
    level = float(untouched.loc[untouched["metric"] == metric, "mean"].iloc[0]) if change else 0.0
    return [float(found[value]) - level for value in PAPER_VALUES]
