"""Settings of the correlation analysis."""

from dataclasses import dataclass
from enum import StrEnum

from un_lightning.config.analysis import AnalysisConfig
from un_lightning.config.checks import at_least, require
from un_lightning.config.models import Site


class Pairs(StrEnum):
    """`star` pairs the reference with every other member; `all` takes every pair of members."""

    star = "star"
    all = "all"


class Baseline(StrEnum):
    """Random matrices of the rotation baseline: Haar orthogonal, or Gaussian with rows of length one."""

    rotation = "rotation"
    gaussian_rows = "gaussian_rows"


class Gemm(StrEnum):
    """Input type of the matrix products; the accumulator is float32 in every case."""

    auto = "auto"
    float32 = "float32"
    tf32 = "tf32"
    bfloat16 = "bfloat16"


@dataclass
class CorrelationConfig(AnalysisConfig):
    """Correlation of every pair of units of two models, with its baseline (paper sections 3 and 4)."""

    kind: str = "correlation"
    site: Site = Site.mlp_post
    pairs: Pairs = Pairs.star
    threshold: float = 0.5
    """Excess correlation above which a unit is universal."""
    baseline: Baseline = Baseline.rotation
    draws: int = 3
    """Random matrices a layer; their spread is the baseline's standard error."""
    top_k: int = 10
    """Best and worst partners kept a unit (the reference scripts keep 50)."""
    bins: int = 100
    """Bins of each unit's histogram of correlations over [-1, 1]."""
    gemm: Gemm = Gemm.auto
    tile: int = 4096
    """Rows of the correlation matrix that are reduced at a time."""
    pilot: int = 4
    """Blocks whose mean activation is subtracted from all others, for precision."""

    def __post_init__(self) -> None:
        at_least("analysis", self, draws=1, top_k=1, bins=1, tile=1, pilot=1)
        require(-2 <= self.threshold <= 2, f"analysis.threshold is {self.threshold}, outside [-2, 2]")
