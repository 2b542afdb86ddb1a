"""Settings of the correlation analysis."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from un_lightning.config.analysis import AnalysisConfig
from un_lightning.config.checks import at_least, require
from un_lightning.config.models import Site
from un_lightning.entry_points import find_extensions


FEWEST_GROUPS = 3
"""Of batches, for intervals: on one share the first chooses the candidates, and two others are compared."""


class Pairs(StrEnum):
    """`star` pairs the reference with every other member; `all` takes every pair of members."""

    star = "star"
    all = "all"


class Baseline(StrEnum):
    """What a largest correlation is compared with (docs/measures.md).

    Three random matrices mix the units of each layer of the other model, after the pass and at no cost in it:
    Haar orthogonal, Gaussian with rows of length one, and Haar orthogonal on z-scored units.
    `permutation` gives each token the other model's activations at another token of its block: one more
    matrix product and accumulator for every pair and draw. `noise` draws from the distribution of the largest
    correlation with independent noise, at no cost.
    """

    rotation = "rotation"
    gaussian_rows = "gaussian_rows"
    rotation_z = "rotation_z"
    permutation = "permutation"
    noise = "noise"

    @property
    def is_rotation(self) -> bool:
        """Whether it comes from a random matrix and the products within each layer."""
        return self in (Baseline.rotation, Baseline.gaussian_rows, Baseline.rotation_z)


class BaselineOf(StrEnum):
    """Whose units are compared with the baseline.

    `reference` leaves the other members' baseline and excess empty, as the paper does. It spares the products
    within the reference's layers, unless a measure reads them, and half of the rotations.
    """

    all = "all"
    reference = "reference"


class MeasureName(StrEnum):
    """Measures of similarity besides the correlation (docs/measures.md).

    `mutual` is free and `cka` nearly so; `cosine`, `linreg` and `matching` take time after the pass only;
    `jaccard` takes one more matrix product and accumulator for every pair.
    """

    cosine = "cosine"
    jaccard = "jaccard"
    cka = "cka"
    linreg = "linreg"
    mutual = "mutual"
    matching = "matching"


class Method(StrEnum):
    """`exact` correlates all pairs of units over all tokens.

    `screen` does so on a sample of the tokens and follows only each unit's best partners over all of them
    (docs/screening.md): about as dear as running the models, and without a matrix of all pairs.
    """

    exact = "exact"
    screen = "screen"


class Gemm(StrEnum):
    """Input type of the matrix products; the accumulator is float32 in every case."""

    auto = "auto"
    float32 = "float32"
    tf32 = "tf32"
    bfloat16 = "bfloat16"


class Split(StrEnum):
    """What several devices share out: the text, or the rows of the products.

    With `rows`, all devices of a node read the same batches and each keeps some layers of the row models, so
    that nothing of the size of all pairs is ever added up between them. Nodes share out the text in any case.
    """

    tokens = "tokens"
    rows = "rows"


FROM_PARTS = (MeasureName.mutual, MeasureName.cka)
"""Measures that are put together from what rows and blocks give; all others need all products of a pair in
one place."""


def packaged_measures() -> list[str]:
    """Names of the measures that other packages bring."""
    return sorted(find_extensions("un_lightning.measures", frozenset(MeasureName)).extensions)


@dataclass
class CorrelationConfig(AnalysisConfig):
    """Correlation of every pair of units of two models, with its baseline (paper sections 3 and 4)."""

    kind: str = "correlation"
    method: Method = Method.exact
    site: Site = Site.mlp_post
    pairs: Pairs = Pairs.star
    threshold: float = 0.5
    """Excess correlation above which a unit is universal."""
    baseline: Baseline = Baseline.rotation
    baseline_of: BaselineOf = BaselineOf.all
    draws: int = 3
    """Draws of the baseline; their spread is its standard error."""
    measures: list[str] = field(default_factory=lambda: [str(name) for name in FROM_PARTS])
    """Measures to report besides the correlation, of `MeasureName` or of installed packages; `screen` reports
    none."""
    active_above: float = 0.0
    """Activation above which a unit is active, for `jaccard`."""
    ridge: float = 1e-4
    """Ridge of `linreg`, as a share of the mean variance of the predicting units."""
    full_gram: bool = False
    """Let `linreg` also predict from all layers together: one more accumulator of all pairs of units, and
    0.6 to 0.8 of a pair's matrix product, for every model."""
    matching_size: int = 4096
    """Widest layer whose units `matching` assigns exactly (about one second a block of 3,072, on the CPU);
    wider ones are matched greedily."""
    top_k: int = 10
    """Best and worst partners kept a unit (the reference scripts keep 50)."""
    bins: int = 100
    """Bins of each unit's histogram of correlations over [-1, 1]."""
    gemm: Gemm = Gemm.auto
    gemm_error: float = 1e-4
    """Largest error of a correlation, expected from the pilot, with which `gemm=auto` takes a faster type."""
    split: Split = Split.tokens
    memory_gb: float | None = None
    """What all sums may take on each device, in 10⁹ bytes; null takes 90 % of what is free. Where the
    products of all pairs do not fit, the text is read several times, for some of them each."""
    tile: int = 1024
    """Rows of the correlation matrix that are reduced at a time."""
    candidates: int = 16
    """Partners of each unit that are followed through the pass."""
    sample: int | None = None
    """Tokens on which `screen` correlates all pairs; null takes 2 %, at least 16,384 and at most 131,072."""
    floor: float = 0.2
    """Of units whose correlations are all below it, `screen` follows only the best partner on the sample."""
    confidence: float = 0.95
    """Of intervals and certificates."""
    jackknife: int = 20
    """Groups of whole documents, at most, whose differences give the intervals; 0 makes none.
    `screen` has certificates instead."""
    pilot: int = 4
    """Blocks whose mean activation is subtracted from all others, for precision."""

    def __post_init__(self) -> None:
        at_least("analysis", self, draws=1, top_k=1, bins=1, tile=1, pilot=1, candidates=1, jackknife=0)
        require(
            self.jackknife == 0 or self.jackknife >= FEWEST_GROUPS,
            f"analysis.jackknife is {self.jackknife}: the first group chooses candidates and two others must "
            f"be left to differ, so name at least {FEWEST_GROUPS}, or 0 for no intervals",
        )
        require(0 < self.confidence < 1, f"analysis.confidence is {self.confidence}, outside (0, 1)")
        require(-2 <= self.threshold <= 2, f"analysis.threshold is {self.threshold}, outside [-2, 2]")
        at_least("analysis", self, matching_size=0)
        require(self.gemm_error > 0, f"analysis.gemm_error is {self.gemm_error}, but must be above 0")
        require(
            self.memory_gb is None or self.memory_gb > 0,
            f"analysis.memory_gb is {self.memory_gb}, but must be above 0, or null for what is free",
        )
        require(
            self.baseline_of is BaselineOf.all or self.pairs is Pairs.star,
            "analysis.baseline_of=reference compares the reference alone: use analysis.pairs=star",
        )
        known = [*map(str, MeasureName), *packaged_measures()]
        for name in self.measures:
            require(name in known, f"analysis.measures holds '{name}', but allowed are {', '.join(known)}")
        if self.method is Method.screen:
            self._check_screen()
        if self.split is Split.rows:
            self._check_rows()
        require(self.ridge > 0, f"analysis.ridge is {self.ridge}, but must be above 0")
        require(
            len(set(self.measures)) == len(self.measures),
            f"analysis.measures names a measure twice: {', '.join(self.measures)}",
        )
        require(
            not self.full_gram or MeasureName.linreg in self.measures,
            "analysis.full_gram is for linreg alone: add linreg to analysis.measures or leave it out",
        )

    def _check_screen(self) -> None:
        require(self.sample is None or self.sample >= 1, f"analysis.sample is {self.sample}, below 1")
        require(
            self.baseline.is_rotation,
            f"analysis.method=screen has no baseline {self.baseline}: choose rotation, gaussian_rows or "
            "rotation_z",
        )
        needs_all = sorted(self.whole_pair_measures)
        require(
            not needs_all, f"analysis.measures={needs_all} need all pairs of units: use analysis.method=exact"
        )

    def _check_rows(self) -> None:
        require(
            not self.whole_pair_measures,
            f"analysis.measures={self.whole_pair_measures} need all products of a pair on one device: use "
            "analysis.split=tokens, or only mutual and cka",
        )
        require(
            self.method is Method.exact, "analysis.method=screen has no rows to share out: leave out split"
        )

    def variant(self) -> str:
        """`screen`, where that is the method."""
        return "screen" if self.method is Method.screen else ""

    @property
    def whole_pair_measures(self) -> list[str]:
        """Chosen measures that need all products of a pair in one place."""
        return [str(name) for name in self.measures if name not in FROM_PARTS]

    def gram_models(self, pairs: Sequence[tuple[str, str]]) -> set[str]:
        """Models whose products within each layer are read.

        Args:
            pairs: Row and column model of each pair.
        """
        reading = {MeasureName.cka, MeasureName.linreg, *packaged_measures()}
        measured = not reading.isdisjoint(self.measures)
        columns = measured or self.baseline.is_rotation  # the column model's units are rotated for the rows'
        rows = measured or (self.baseline.is_rotation and self.baseline_of is BaselineOf.all)
        return {name for pair in pairs for name, read in zip(pair, (rows, columns), strict=True) if read}
