"""Paired statistics against independent libraries and sums worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from wanbench.comparison import paired


def drawn(n: int, mean: float = 0.1, spread: float = 0.3) -> list[float]:
    return [float(v) for v in np.clip(np.random.default_rng(n).normal(mean, spread, n), -1, 1)]


def p_value(differences: list[float], seed: int = 0) -> float:
    return paired.sign_flip(differences, paired.flipped_sums({"d": differences}, seed)["d"])


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_t_interval_is_scipys(confidence: float) -> None:
    values = drawn(37)
    usual = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    assert paired.t_interval(values, confidence) == pytest.approx((usual.low, usual.high), abs=1e-12)


def test_t_interval_by_hand() -> None:
    """0.1, 0.2, 0.6: mean 0.3, s^2 = (0.04 + 0.01 + 0.09) / 2 = 0.07, t(2) = 4.302653: 0.3 -+ 4.302653 sqrt(0.07 / 3)."""
    half = 4.302653 * math.sqrt(0.07 / 3)
    assert paired.t_interval([0.1, 0.2, 0.6]) == pytest.approx((0.3 - half, 0.3 + half), abs=1e-6)


def test_one_prompt_says_nothing() -> None:
    assert paired.t_interval([0.4]) == (-1.0, 1.0)
    assert paired.t_test_below([-0.9], 0.0) == 1.0
    assert paired.smallest_detectable([0.4]) is None
    with pytest.raises(ValueError, match="no difference"):
        paired.t_interval([])


def test_one_sided_t_test_is_scipys() -> None:
    values = drawn(25, mean=-0.1)
    usual = scipy.stats.ttest_1samp(values, -0.02, alternative="less").pvalue
    assert paired.t_test_below(values, -0.02) == pytest.approx(usual, rel=1e-9)
    assert (paired.t_test_below([-0.1, -0.1], 0.0), paired.t_test_below([0.1, 0.1], 0.0)) == (0.0, 1.0)


def test_exact_p_by_hand() -> None:
    """Three differences of one sign: of 8 choices of signs only all + and all - sum to as much, p = 2 / 8; zeros do not count."""
    assert p_value([0.1, 0.2, 0.3]) == 0.25
    assert p_value([0.1, 0.0, 0.2, 0.3, 0.0]) == 0.25
    assert p_value([0.1, 0.2, -0.3]) == 1.0
    assert p_value([0.0, 0.0]) == 1.0


def test_one_sided_exact_p_by_hand() -> None:
    """-0.1, -0.2, -0.3: only all minus sums to as little, 1 of 8; with +0.1 for -0.1 also (-0.1, -0.2, -0.3), so 2 of 8."""
    assert paired.sign_flip_below([-0.1, -0.2, -0.3, 0.0]) == 1 / 8
    assert paired.sign_flip_below([0.1, -0.2, -0.3]) == 2 / 8
    assert paired.sign_flip_below([]) == 1.0


@pytest.mark.parametrize("n", [5, 12, 19])
def test_exact_p_is_scipys(n: int) -> None:
    values = drawn(n)
    usual = scipy.stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert p_value(values) == pytest.approx(usual.pvalue, abs=1e-12)


@pytest.mark.parametrize("n", [20, 70])
def test_drawn_p_is_near_scipys(n: int) -> None:
    """Two independent sets of draws: p differs by a few standard errors sqrt(p (1 - p) / B) at most."""
    values = drawn(n, mean=0.07)
    usual = scipy.stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=40_000, rng=np.random.default_rng(1)
    ).pvalue
    assert p_value(values) == pytest.approx(usual, abs=5 * math.sqrt(usual * (1 - usual) / 9_999))
    assert p_value(values) * 10_000 == pytest.approx(round(p_value(values) * 10_000))  # (b + 1) / (9,999 + 1)


def test_drawn_p_is_never_zero() -> None:
    assert p_value([0.5] * 60) == 1 / 10_000


def test_neither_order_nor_direction_nor_company_moves_p() -> None:
    values = drawn(40, mean=0.05)
    assert p_value(values) == p_value(values[::-1]) == p_value([-v for v in values])
    beside = paired.flipped_sums({"other": drawn(40), "d": values}, 0)["d"]
    assert paired.sign_flip(values, beside) == p_value(values)
    assert not np.array_equal(paired.flipped_sums({"d": values}, 1)["d"], paired.flipped_sums({"d": values}, 0)["d"])


def test_dimensions_of_one_size_are_flipped_independently() -> None:
    sums = paired.flipped_sums({"a": [1.0] * 50, "b": [1.0] * 50}, 0)
    assert abs(np.corrcoef(sums["a"], sums["b"])[0, 1]) < 0.05
    assert np.std(sums["a"]) == pytest.approx(math.sqrt(50), rel=0.03)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(max_examples=50)
def test_holm_is_statsmodels(p: list[float]) -> None:
    named = {str(k): v for k, v in enumerate(p)}
    assert list(paired.holm(named).values()) == pytest.approx(list(multipletests(p, method="holm")[1]))


@pytest.mark.parametrize("n", [5, 10, 70, 1000])
def test_what_can_be_shown_is_statsmodels(n: int) -> None:
    """The effect size, in standard deviations, that a t test of n differences finds with 80 % power."""
    effect = TTestPower().solve_power(nobs=n, power=0.8, alpha=0.05)
    assert paired.detectable_errors(n - 1) / math.sqrt(n) == pytest.approx(effect, rel=1e-4)
    values = drawn(n, mean=0.0, spread=0.1)
    assert paired.smallest_detectable(values) == pytest.approx(effect * np.std(values, ddof=1), rel=1e-4)


def test_the_figures_of_the_definition() -> None:
    """Paired standard deviation 0.3: one dimension of 70 prompts shows 0.10."""
    assert paired.detectable_errors(69) * 0.3 / math.sqrt(70) == pytest.approx(0.10, abs=0.003)
    assert paired.detectable_errors(math.inf) == pytest.approx(1.959964 + 0.841621, abs=1e-5)
