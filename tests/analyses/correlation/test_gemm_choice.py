"""The input type of the products is chosen by the error that it makes."""

import numpy as np
import pytest
import torch

from un_lightning.analyses.correlation.gemm_choice import choose_gemm, correlation_errors, run_error
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
    expected = (covariance / np.outer(*deviations))[:, kept] - exact
    assert np.abs(expected).max() > 1e-6
    found = correlation_errors(*pilot, 2000, gemm).numpy()
    np.testing.assert_allclose(found[:, kept], expected, rtol=1e-5, atol=1e-12)
    assert not found[:, 3].any()


def test_a_coarser_type_makes_a_larger_error(pilot):
    types = Gemm.float32, Gemm.tf32, Gemm.bfloat16
    errors = [run_error(*pilot, 2000, 10**6, gemm) for gemm in types]
    assert errors[0] == 0 < errors[1] < errors[2]


def test_errors_of_single_tokens_shrink_with_the_run(pilot):
    short, long = (run_error(*pilot, 2000, tokens, Gemm.bfloat16) for tokens in (2000, 2_000_000))
    assert short == float(correlation_errors(*pilot, 2000, Gemm.bfloat16).abs().max())
    # By √1000 if the errors were wholly independent; what the halves have in common by chance stays.
    assert short / 40 < long < short / 3


def test_an_error_that_repeats_stays(pilot):
    """Values that are rounded alike in every token: one unit is a copy of another, shifted by half a step."""
    values = torch.randint(0, 2, (2000, 1), generator=torch.Generator().manual_seed(2)).float()
    one = torch.cat([1.0 + values, pilot[0][:, :3]], dim=1)
    other = torch.cat([values + (1 + 2**-8) * 64 + 0.1 * pilot[1][:, :1]], dim=1)
    short, long = (run_error(one, other, 2000, tokens, Gemm.bfloat16) for tokens in (2000, 2_000_000))
    assert long > 0.3 * short


def test_the_cpu_and_the_config_decide_first(pilot):
    assert choose_gemm(CorrelationConfig(), *pilot, 2000, 10**8) is Gemm.float32
    assert choose_gemm(CorrelationConfig(gemm=Gemm.tf32), *pilot, 2000, 10**8) is Gemm.tf32
