"""What the second reading says of the leading labels: separation, errors, significance."""

import numpy as np
import pandas as pd
import torch
from scipy.stats import false_discovery_control
from scipy.stats import t as student
from torch import Tensor

from un_lightning.analyses.families.findings import FamilyFindings
from un_lightning.analyses.families.follow import FamilyFollow
from un_lightning.analyses.families.word_role import ROLES
from un_lightning.stats.followed_labels import NONE
from un_lightning.stats.jackknife import standard_error
from un_lightning.stats.operating_curve import Separation, separate


CONFIDENCE = 0.95
"""Level of the intervals of the reduction in variance."""


def measured(findings: FamilyFindings, follow: FamilyFollow, tests: int) -> pd.DataFrame:
    """One row a neuron and leading label, the best first.

    The error of a correlation is a jackknife over groups of neighbouring blocks, so that tokens of one
    document are no independent evidence. `p` is that of Student's t with one degree of freedom less than
    groups; `q` is adjusted by Benjamini and Hochberg for every neuron and label that was compared, of which
    those that do not lead count as if their p were 1, which can only make it larger.

    Args:
        findings: The first reading.
        follow: The second reading.
        tests: Pairs of a neuron and a label that were compared in all.

    Returns:
        Columns `column` (of the neuron), `slot`, `label` (index), `auroc, auroc_error, f1, f1_threshold,
        vr_low, vr_high, p, q`.
    """
    leading = findings.leading[:, : -len(ROLES)]
    groups = follow.followed.group_sums(leading)
    corr = groups.total().correlation()[0]
    error = standard_error(corr, groups.without_each().correlation(), groups.tokens)
    found = separation(follow, slice(0, leading.shape[1]), corr.view_as(leading) < 0)
    column, slot = (leading != NONE).nonzero(as_tuple=True)
    flat = column * leading.shape[1] + slot
    table = pd.DataFrame(
        {"column": _numpy(column), "slot": _numpy(slot), "label": _numpy(leading[column, slot])}
    )
    value, error = _numpy(corr[flat]), _numpy(error[flat])
    for name in ("auroc", "auroc_error", "f1"):
        table[name] = _numpy(getattr(found, name)[flat])
    histogram = follow.histogram
    edge = histogram.low.double()[column] + (found.bin[flat] - 1) * histogram.bin_width[column]
    table["f1_threshold"] = _numpy(edge)
    dof = max(len(groups.tokens) - 1, 1)
    reach = student.ppf(0.5 + CONFIDENCE / 2, dof) * error
    low, high = np.abs(value) - reach, np.minimum(np.abs(value) + reach, 1)
    table["vr_low"], table["vr_high"] = np.square(np.maximum(low, 0)), np.square(high)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * student.sf(np.abs(value) / error, dof)
    table["p"] = np.where(error > 0, p, np.nan)
    table["q"] = adjusted(table["p"].fillna(1.0).to_numpy(), tests)
    return table


def adjusted(p: np.ndarray, tests: int) -> np.ndarray:
    """Benjamini-Hochberg's q-values where only some of `tests` p-values are known, and all others are 1."""
    if len(p) == 0:
        return p
    # The known ones have the first ranks, so that theirs only differ by the number of tests.
    return np.minimum(false_discovery_control(p, method="bh") * tests / len(p), 1)


def separation(follow: FamilyFollow, slots: slice, below: Tensor) -> Separation:
    """AUROC and F1 of some slots of every neuron, of its pre-activation.

    Args:
        follow: The second reading.
        slots: Which slots.
        below: True where the label lowers the neuron, [units, slots].
    """
    having = follow.followed.tensors["having"][:, slots].flatten(0, 1)
    lacking = follow.followed.lacking(follow.histogram)[:, slots].flatten(0, 1)
    parts = [
        separate(*part)
        for part in zip(having.split(4096), lacking.split(4096), below.flatten().split(4096), strict=True)
    ]
    return Separation(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _numpy(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()
