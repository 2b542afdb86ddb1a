"""The paper's published tables, recomputed and compared with what is known of them, check by check."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from un_lightning.analyses.properties import published_quantities as quantities
from un_lightning.analyses.properties.published_quantities import MODELS, Quantities
from un_lightning.config import PublishedConfig
from un_lightning.errors import UserError
from un_lightning.figures.published import medians_by_depth, universal_by_layer
from un_lightning.results.results import Results


GROUND_TRUTH = "ground_truth.json"
UNIVERSAL = "universal.csv"


class PublishedReport:
    """Counts, distributions and memberships of the published universal neurons."""

    def __init__(self, config: PublishedConfig, seed: int) -> None:  # noqa: ARG002
        """Read the tables.

        Raises:
            UserError: The folder or a table is missing. Without the ground truth all is recomputed all the
                same, and compared with nothing.
        """
        if config.tables is None:
            raise UserError(f"analysis.tables is not set: {_ADVICE}")
        folder = Path(config.tables).expanduser()
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}: {_ADVICE}")
        truth = folder / GROUND_TRUTH
        self.truth = json.loads(truth.read_text(encoding="utf-8")) if truth.is_file() else {}
        read = lambda *parts: pd.read_csv(_existing(folder.joinpath(*parts)))
        self.universal = {name: read(model.folder, UNIVERSAL) for name, model in MODELS.items()}
        small, medium = MODELS["small"].folder, MODELS["medium"].folder
        self.high = read(small, "high_excess_correlation.csv")
        self.sub = read(small, "sub_gaussian_activation_kurtosis.csv")
        self.features = read(medium, "prediction_neurons.csv")

    def __call__(self) -> Results:
        """Recompute and compare."""
        found = self.quantities()
        checks = check_table(self.truth.get("csv_checks", []), found)
        sizes = {name: (model.layers, model.width) for name, model in MODELS.items()}
        results = Results(
            tables={
                "checks": checks,
                "quantities": pd.DataFrame(
                    {"name": list(found), "value": [json.dumps(value) for value in found.values()]}
                ),
            },
            figures={
                "universal_by_layer": universal_by_layer(self.universal, sizes),
                "medians_by_depth": medians_by_depth(self.universal, sizes),
            },
        )
        passed = int(checks["passed"].sum())
        results.scalars = {"checks/passed": passed, "checks/count": len(checks)}
        for name, model in MODELS.items():
            count, percent = found[f"{name}.n_universal"], found[f"{name}.pct_universal"]
            total = found[f"{name}.n_neurons_total"]
            results.scalars |= {f"universal/count/{name}": count, f"universal/percent/{name}": percent}
            line = f"{count:,} of {total:,} ({percent:.4f} %)"
            results.headline.append((f"{model.folder}: universal neurons", line))
        agreeing = f"{passed} of {len(checks)} agree" if len(checks) else _NO_TRUTH.format(len(found))
        results.headline.append(("Published numbers recomputed", agreeing))
        failed = checks.loc[~checks["passed"], "check"]
        results.headline += [(f"  differs: {name}", "see tables/checks.parquet") for name in failed]
        return results

    def quantities(self) -> Quantities:
        """Every number, under the names of the ground truth."""
        found: Quantities = {}
        families = self.truth.get("families", {})
        for name, model in MODELS.items():
            table = self.universal[name]
            own = quantities.universal_quantities(table, model)
            own |= quantities.membership_quantities(table, families)
            found |= {f"{name}.{key}": value for key, value in own.items()}
        medium = quantities.lost_rows_quantities(self.universal["medium"])
        small, layers = self.universal["small"], MODELS["small"].layers
        high, sub = quantities.older_run_quantities(self.high, self.sub, small, layers)
        features = quantities.feature_quantities(self.features, self.universal["medium"])
        position = quantities.position_quantities(self.sub)
        parts = {"small": position, "medium": medium, "small_high": high, "small_sub": sub, "pred": features}
        return found | {f"{part}.{key}": value for part, own in parts.items() for key, value in own.items()}


def check_table(checks: list[dict[str, Any]], found: Mapping[str, Any]) -> pd.DataFrame:
    """Compare published with recomputed values.

    Args:
        checks: `name, file, expression, value` and, for numbers, `tolerance`.
        found: Recomputed values by name.

    Returns:
        One row a check with both values as JSON; one that is not recomputed has `null` and does not pass.
    """
    rows = [
        {
            "check": check["name"],
            "file": check["file"],
            "what": check["expression"],
            "published": json.dumps(check["value"]),
            "recomputed": json.dumps(found.get(check["name"])),
            "tolerance": check.get("tolerance", 0.0),
            "passed": agrees(check["value"], found.get(check["name"]), check.get("tolerance", 0.0)),
        }
        for check in checks
    ]
    return pd.DataFrame(rows, columns=_CHECK_COLUMNS).astype({"passed": bool, "tolerance": float})


def agrees(published: Any, ours: Any, tolerance: int | float) -> bool:
    """Whether two values are equal, numbers at any depth within an absolute tolerance."""
    if isinstance(published, dict):
        return (
            isinstance(ours, dict)
            and published.keys() == ours.keys()
            and all(agrees(value, ours[key], tolerance) for key, value in published.items())
        )
    if isinstance(published, list):
        return (
            isinstance(ours, list)
            and len(published) == len(ours)
            and all(agrees(a, b, tolerance) for a, b in zip(published, ours, strict=True))
        )
    if isinstance(published, bool) or not isinstance(published, int | float):
        return published == ours
    # Rounding may differ in the last digits of float64, even where a table gives a number exactly.
    return isinstance(ours, int | float) and math.isclose(published, ours, rel_tol=1e-12, abs_tol=tolerance)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"there is no {path}: {_ADVICE}")
    return path


_CHECK_COLUMNS = ["check", "file", "what", "published", "recomputed", "tolerance", "passed"]
_NO_TRUTH = f"{{:,}} in tables/quantities.parquet; no {GROUND_TRUTH} beside the tables to compare them with"
_ADVICE = (
    "set analysis.tables to the folder with the paper's tables (github.com/wesg52/universal-neurons), with "
    f"one folder a model as in {MODELS['small'].folder}/{UNIVERSAL}"
)
