"""The input type of the products is chosen by the error that it makes."""

import numpy as np
import pytest
import torch

from un_lightning.analyses.gemm_choice import choose_gemm, correlation_error
from un_lightning.config import CorrelationConfig, Gemm
from un_lightning.stats.cross_product import round_to


@pytest.mark.parametrize(("gemm", "bits"), [(Gemm.bfloat16, 7), (Gemm.tf32, 10), (Gemm.float32, 23)])
def test_rounding_keeps_the_fraction_of_its_type(gemm, bits):
    values = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    fraction, exponent = np.frexp(values.double().numpy())
    expected = np.round(fraction * 2 ** (bits + 1)) / 2 ** (bits + 1) * 2.0**exponent
    np.testing.assert_array_equal(round_to(gemm, values).double().numpy(), expected)


@pytest.fixture
def pilot():
    generator = torch.Generator().manual_seed(1)
    shared = torch.randn(2000, 40, generator=generator)
    mix = lambda: (shared + 0.5 * torch.randn(2000, 40, generator=generator)).pow(3)
    one, other = mix(), mix()
    other[:, 3] = float("nan")  # a broken unit has no correlation, and no error
    return one, other


@pytest.mark.parametrize("gemm", [Gemm.bfloat16, Gemm.tf32])
def test_the_error_is_the_largest_difference_of_a_correlation(pilot, gemm):
    one, other = (values.double().numpy() for values in pilot)
    rounded = [round_to(gemm, values).double().numpy() for values in pilot]
    kept = [column for column in range(40) if column != 3]
    exact = np.corrcoef(one.T, other.T[kept])[:40, 40:]
    means, deviations = (
        [getattr(values, what)(0) for values in (rounded if gemm is Gemm.bfloat16 else (one, other))]
        for what in ("mean", "std")
    )
    covariance = rounded[0].T @ rounded[1] / len(one) - np.outer(*means)
    found = (covariance / np.outer(*deviations))[:, kept]
    expected = np.abs(found - exact).max()
    assert expected > 1e-6
    assert correlation_error(*pilot, 2000, gemm) == pytest.approx(expected, rel=1e-6)


def test_a_coarser_type_makes_a_larger_error(pilot):
    errors = [correlation_error(*pilot, 2000, gemm) for gemm in (Gemm.float32, Gemm.tf32, Gemm.bfloat16)]
    assert errors[0] == 0 < errors[1] < errors[2]


def test_the_cpu_and_the_config_decide_first(pilot):
    assert choose_gemm(CorrelationConfig(), *pilot, 2000, 10**8) is Gemm.float32
    assert choose_gemm(CorrelationConfig(gemm=Gemm.tf32), *pilot, 2000, 10**8) is Gemm.tf32
