"""The numbers of a correlation run with their errors, and the rows that it ends with."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from un_lightning.analyses.correlation.excess import Compared
from un_lightning.analyses.correlation.intervals import WithoutEach
from un_lightning.config import Baseline, CorrelationConfig
from un_lightning.models.units import Units
from un_lightning.stats.jackknife import standard_error
from un_lightning.stats.sampling_error import leave_one_out_error, over_draws


FALSE_DISCOVERY_RATE = 0.05
"""At which an excess counts as above chance in the summary."""

Scalars = dict[str, float | int | str | bool | list]


class Found(NamedTuple):
    """What the summary is made from."""

    neurons: pd.DataFrame
    """Rows of all models."""
    reference: str
    compared: Compared
    """The reference against each other model."""
    tokens: int
    """Counted tokens."""
    without: WithoutEach | None = None
    """The reference's correlations without each group of tokens, where there are intervals."""

    @property
    def own(self) -> pd.DataFrame:
        """Rows of the reference."""
        return self.neurons[self.neurons["model"] == self.reference]


def correlation_scalars(config: CorrelationConfig, found: Found) -> Scalars:
    """Numbers of the summary, about the reference unless a name says otherwise.

    Args:
        config: Threshold and confidence.
        found: What they are made from.
    """
    own = found.own
    universal, above = own["universal"], own["q_chance"] < FALSE_DISCOVERY_RATE
    scalars: Scalars = {
        "universal/count": int(universal.sum()),
        "universal/percent": float(100 * universal.mean()),
        "universal/above_chance": int((universal & above).sum()),
        "universal/rare": int((universal & own["rare"]).sum()),
        "neurons/rare": int(own["rare"].sum()),
        "excess/mean": float(own["excess_corr"].mean()),
        "excess/max": float(own["excess_corr"].max()),
        "excess/above_chance_percent": float(100 * above.mean()),
        "false_discovery_rate": FALSE_DISCOVERY_RATE,
        "max_corr/mean": float(own["mean_corr"].mean()),
        "baseline/mean": float(own["mean_baseline"].mean()),
        "neurons/count": len(own),
        "neurons/invalid": int((~own["valid"]).sum()),
        "threshold": config.threshold,
        "others": len(found.compared.corr),
        "counted_tokens": found.tokens,
    }
    scalars |= _errors(config, found)
    if found.without is not None:
        scalars["universal/low"] = int((own["excess_low"] > config.threshold).sum())
        scalars["universal/high"] = int(
            (universal & own["excess_high"].isna() | (own["excess_high"] > config.threshold)).sum()
        )
        scalars["neurons/not_followed"] = int((own["valid"] & ~own["followed"]).sum())
        scalars["split_corr/mean"] = float(own["split_corr"].mean())
        scalars["confidence"] = config.confidence
    for name, table in found.neurons.groupby("model"):
        scalars[f"universal/percent/{name}"] = float(100 * table["universal"].mean())
    return scalars


def _errors(config: CorrelationConfig, found: Found) -> Scalars:
    """Standard errors of the summary's numbers, and what each of them is over."""
    own, compared = found.own, found.compared
    others, draws, _ = compared.drawn.shape
    valid = own["valid"].to_numpy()
    percent = lambda excess: 100 * np.sum(excess > config.threshold, axis=-1) / len(own)
    without_one = _without_each_other(compared.excess)
    of_draws = float(over_draws(compared.drawn[:, :, valid].mean(2)).stderr)
    seeds = f"other seeds, from the {others} other models"
    scalars: Scalars = {
        "baseline/stderr": of_draws,
        "excess/stderr_seeds": leave_one_out_error(without_one[:, valid].mean(1)),
        "universal/percent_stderr_seeds": leave_one_out_error(percent(without_one)),
    }
    meaning = {
        "baseline/stderr": f"other draws of the baseline, from {draws} for each of {others} other models",
        "excess/stderr_seeds": seeds,
        "universal/percent_stderr_seeds": seeds,
    }
    if found.without is not None:
        corr, tokens = found.without
        mean = own["mean_corr"].to_numpy()
        # A unit without an interval has no value without each group, and stays as it is.
        moving = own["followed"].to_numpy() & np.isfinite(corr).all(axis=0)
        corr = np.where(moving, corr, mean)
        excess = corr - own["mean_baseline"].to_numpy()
        text = f"other text, from {len(tokens)} groups of it"
        scalars["max_corr/stderr"] = _over_text(corr[:, valid].mean(1), mean[valid].mean(), tokens)
        scalars["excess/stderr"] = float(np.hypot(scalars["max_corr/stderr"], np.nan_to_num(of_draws)))
        scalars["universal/percent_stderr"] = _over_text(
            percent(excess), percent(own["excess_corr"].to_numpy()), tokens
        )
        meaning["max_corr/stderr"] = meaning["universal/percent_stderr"] = text
        meaning["excess/stderr"] = f"{text}" + (", and other draws of the baseline" if draws > 1 else "")
    scalars["errors"] = [f"{name}: standard error over {over}" for name, over in sorted(meaning.items())]
    return scalars


def _without_each_other(values: Float[np.ndarray, "others units"]) -> Float[np.ndarray, "parts units"]:
    """Mean over the other models without each of them; nothing where there is but one."""
    others = len(values)
    if others < 2:
        return np.empty((0, values.shape[1]))
    return np.stack([np.delete(values, one, axis=0).mean(0) for one in range(others)])


def _over_text(
    without: Float[np.ndarray, " groups"], whole: float, tokens: Float[np.ndarray, " groups"]
) -> float:
    """Jackknife error of one number over groups of tokens."""
    column = torch.from_numpy(np.ascontiguousarray(without, dtype=np.float64))[:, None]
    return float(standard_error(torch.tensor([float(whole)]).double(), column, torch.from_numpy(tokens))[0])


def correlation_headline(
    scalars: Scalars, reference: str, units: Units, baseline: Baseline
) -> list[tuple[str, str]]:
    """The rows that end a run, from its scalars; each ± says what it is over."""
    universal, invalid = scalars["universal/count"], scalars["neurons/invalid"]
    rate = f"q < {scalars['false_discovery_rate']:g}"
    rare = scalars["universal/rare"]
    return [
        (
            f"Universal units of '{reference}' (excess > {scalars['threshold']:g})",
            f"{universal} of {units.count} "
            f"({scalars['universal/percent']:.2f} %{_plus_minus(scalars, 'universal/percent', '.2f')})"
            + (f"; {rare} of them rest on few tokens or one document" if rare else ""),
        ),
        (
            f"Of them above chance ({rate}), and of all",
            f"{scalars['universal/above_chance']} of {universal}, "
            f"{scalars['excess/above_chance_percent']:.1f} % of all",
        ),
        (
            f"Max correlation, mean over {scalars['others']} other models",
            f"{scalars['max_corr/mean']:.3f}{_plus_minus(scalars, 'max_corr', '.4f')}",
        ),
        (
            f"Baseline: {baseline}",
            f"{scalars['baseline/mean']:.3f}{_plus_minus(scalars, 'baseline', '.4f', 'draws')}",
        ),
        (
            "Excess correlation, mean; largest",
            f"{scalars['excess/mean']:.3f}{_plus_minus(scalars, 'excess', '.4f')}; "
            f"{scalars['excess/max']:.3f}",
        ),
        (
            "Tokens counted",
            f"{scalars['counted_tokens']:,}" + (f"; {invalid} invalid units" if invalid else ""),
        ),
        ("±", "standard errors"),
    ]


def _plus_minus(scalars: Scalars, name: str, digits: str, plain: str = "text") -> str:
    """The errors of a number that exist, with what they are over; the plain one is over text."""
    joint = "_" if name == "universal/percent" else "/"
    parts = [
        f"± {scalars[key]:{digits}} over {over}"
        for key, over in ((f"{name}{joint}stderr", plain), (f"{name}{joint}stderr_seeds", "seeds"))
        if key in scalars and np.isfinite(scalars[key])  # pyright: ignore[reportArgumentType]
    ]
    return f" {', '.join(parts)}" if parts else ""
