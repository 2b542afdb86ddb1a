"""Each unit's excess correlation over chance (paper eq. 3), how sure it is, and whether chance would do."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from un_lightning.analyses.correlation.member_sums import MemberSums
from un_lightning.analyses.correlation.pair_correlation import View
from un_lightning.stats.chance import false_discovery_rate, p_above_chance
from un_lightning.stats.sampling_error import SamplingError, over_draws, over_members, reach
from un_lightning.stats.support import UnitSupport


class Compared(NamedTuple):
    """One model's units against each other model; NaN for invalid units and where there is no baseline."""

    corr: Float[np.ndarray, "others units"]
    """Largest correlation with any unit of the other model."""
    drawn: Float[np.ndarray, "others draws units"]
    """The same for each draw of the baseline."""

    @property
    def excess(self) -> Float[np.ndarray, "others units"]:
        """Largest correlation minus baseline, with each other model."""
        return self.corr - self.drawn.mean(1)


def compare(member: MemberSums, views: Mapping[str, View]) -> Compared:
    """What was kept of a model's rows of correlations, as far as it exists.

    Args:
        member: The model.
        views: Its units against each other model.
    """
    valid = member.moments.valid.cpu().numpy()
    corr = np.stack([view.summary.best[:, 0].double().cpu().numpy() for view in views.values()])
    drawn = np.stack([view.baseline.double().cpu().numpy() for view in views.values()])
    corr[:, ~valid] = np.nan
    corr[~np.isfinite(corr)] = np.nan  # a model without a valid unit has no largest correlation
    drawn[:, :, ~valid] = np.nan
    return Compared(corr, drawn)


def neuron_table(
    member: MemberSums, compared: Compared, threshold: float, support: UnitSupport
) -> pd.DataFrame:
    """One row a unit: correlation, baseline and excess over the other models (paper eq. 3).

    `max_corr`, `mean_corr` and `min_corr` are over the other models, of the largest correlation with any
    of their units; the same for the baseline, averaged over draws. Invalid units have NaN.

    Args:
        member: The model.
        compared: Its units against each other model.
        threshold: Excess above which a unit is universal.
        support: Tokens and documents in which its units are active.
    """
    layer, neuron = member.units.locate(np.arange(member.units.count))
    valid = member.moments.valid.cpu().numpy()
    table = pd.DataFrame({"model": member.units.model, "layer": layer, "neuron": neuron, "valid": valid})
    for name, values in (("corr", compared.corr), ("baseline", compared.drawn.mean(1))):
        for what in ("max", "mean", "min"):
            table[f"{what}_{name}"] = getattr(values, what)(axis=0)
    table["baseline_stderr"] = over_draws(compared.drawn).stderr
    table["excess_corr"] = table["mean_corr"] - table["mean_baseline"]
    table["universal"] = table["excess_corr"] > threshold
    table["excess_stderr_seeds"] = over_members(compared.excess).stderr
    table["p_chance"] = p_above_chance(compared.corr, compared.drawn, member.units.layer_slices())
    table["q_chance"] = false_discovery_rate(table["p_chance"].to_numpy())
    table["support_tokens"] = support.tokens.cpu().numpy()
    table["support_documents"] = support.documents.cpu().numpy()
    table["effective_tokens"] = np.where(valid, support.effective.cpu().numpy(), np.nan)
    table["rare"] = valid & support.rare.cpu().numpy()
    return table


def excess_bounds(table: pd.DataFrame, compared: Compared, degrees: int, confidence: float) -> pd.DataFrame:
    """Intervals of the excess, for these models and for models of other seeds.

    Args:
        table: The model's rows of the neuron table, with `corr_stderr`, the error over text.
        compared: What they were made from.
        degrees: Degrees of freedom of the error over text.
        confidence: Of the intervals, such as 0.95.

    Returns:
        `excess_low` and `excess_high` hold for these models on other text of the kind, with other draws of
        the baseline. `excess_low_seeds` and `excess_high_seeds` hold for other models besides; the spread
        over models has that over draws in it. NaN where an error is unknown: one draw, one other model.
    """
    text = SamplingError(table["corr_stderr"].to_numpy(), degrees)
    excess = table["excess_corr"].to_numpy()
    columns = {}
    for name, other in (("", over_draws(compared.drawn)), ("_seeds", over_members(compared.excess))):
        half = reach([text, other], confidence)
        columns[f"excess_low{name}"], columns[f"excess_high{name}"] = excess - half, excess + half
    return pd.DataFrame(columns, index=table.index)
