"""Intervals against independent libraries and sums worked by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from wanbench import stats

scores = st.lists(st.floats(0, 1), min_size=2, max_size=60)


def wilson_by_roots(values: Sequence[float]) -> tuple[float, float]:
    """The p that satisfy (mean - p)^2 = t^2 p (1 - p) / n_eff, as the roots of that quadratic."""
    n, mean, variance = len(values), float(np.mean(values)), float(np.var(values, ddof=1))
    effective = n if variance == 0 else min(30 * n, n * mean * (1 - mean) / variance)
    share = scipy.stats.t.ppf(0.975, n - 1) ** 2 / effective
    low, high = sorted(np.roots([1 + share, -(2 * mean + share), mean * mean]).real)
    return float(low), float(high)


@pytest.mark.parametrize("values", [[0.2, 0.4, 0.9, 0.5], [0.97, 0.98, 0.99, 0.975, 0.96], [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]])
def test_wilson_solves_its_equation(values: list[float]) -> None:
    assert stats.wilson(values) == pytest.approx(wilson_by_roots(values), abs=1e-9)


def test_wilson_by_hand() -> None:
    """Three ones of three: s = 0, so n_eff = 3; p = 1, t(2) = 4.3027, low = 1 / (1 + t^2 / 3) = 0.13945."""
    assert stats.wilson([1.0, 1.0, 1.0]) == pytest.approx((1 / (1 + 4.302653**2 / 3), 1.0), abs=1e-6)


def test_wilson_of_many_tosses_is_the_usual_one() -> None:
    """Of 0/1 scores n_eff is n - 1 (the sample variance), and t tends to the normal quantile."""
    values = [1.0] * 3000 + [0.0] * 7000
    usual = proportion_confint(2999.7, 9999, method="wilson")
    assert stats.wilson(values) == pytest.approx(usual, abs=1e-4)


def test_one_value_says_nothing_and_none_is_an_error() -> None:
    assert stats.wilson([0.4]) == (0.0, 1.0)
    with pytest.raises(ValueError, match="no value"):
        stats.wilson([])


@given(scores)
def test_wilson_holds_the_mean_and_stays_in_range(values: list[float]) -> None:
    low, high = stats.wilson(values)
    assert 0 <= low <= stats.mean(values) + 1e-12
    assert stats.mean(values) - 1e-12 <= high <= 1


@given(scores)
@settings(max_examples=30)
def test_order_does_not_matter(values: list[float]) -> None:
    shuffled = sorted(values)
    assert stats.mean(values) == stats.mean(shuffled)
    assert stats.wilson(values) == stats.wilson(shuffled)
    if len(values) < 8:
        ours = stats.bootstrap_means({"a": values}, seed=0)["a"]
        assert np.array_equal(ours, stats.bootstrap_means({"a": shuffled}, seed=0)["a"])


def test_bootstrap_spread_is_the_standard_error() -> None:
    """The standard deviation of resampled means is s / sqrt(n), with s of the population form."""
    values = list(np.random.default_rng(5).beta(2, 3, 80))
    resampled = stats.bootstrap_means({"d": values}, seed=1)["d"]
    assert resampled.std() == pytest.approx(np.std(values) / math.sqrt(80), rel=0.03)
    assert resampled.mean() == pytest.approx(np.mean(values), abs=0.002)


def test_a_group_draws_alike_whatever_stands_beside_it() -> None:
    alone = stats.bootstrap_means({"d": [0.1, 0.5, 0.9]}, seed=3)["d"]
    beside = stats.bootstrap_means({"c": [0.2, 0.3], "d": [0.1, 0.5, 0.9]}, seed=3)["d"]
    assert np.array_equal(alone, beside)
    assert not np.array_equal(alone, stats.bootstrap_means({"d": [0.1, 0.5, 0.9]}, seed=4)["d"])


def total_of(groups: dict[str, list[float]], weights: dict[str, float], **options: float) -> stats.WeightedMean:
    intervals = {name: stats.wilson(values) for name, values in groups.items()}
    parts = stats.groups_of(groups, intervals, stats.bootstrap_means(groups, seed=0))
    return stats.weighted_mean(parts, weights, **options)  # type: ignore[arg-type]


def test_a_total_by_hand() -> None:
    """Weights 3 and 1 become 3/4 and 1/4: 0.75 x 0.4 + 0.25 x 0.8 = 0.5; variances of means 0.04 / 3 and 0.02 / 2."""
    found = total_of({"a": [0.2, 0.4, 0.6], "b": [0.7, 0.9]}, {"a": 3.0, "b": 1.0})
    assert found.value == pytest.approx(0.5)
    assert found.error == pytest.approx(math.sqrt(0.75**2 * 0.04 / 3 + 0.25**2 * 0.02 / 2))


def test_freedom_is_welchs() -> None:
    """The sum of two means has the degrees of freedom of their difference."""
    a, b = (list(np.random.default_rng(k).beta(2, 2 + k, n)) for k, n in ((1, 12), (2, 31)))
    welch = scipy.stats.ttest_ind(a, b, equal_var=False)
    assert total_of({"a": a, "b": b}, {"a": 0.5, "b": 0.5}).freedom == pytest.approx(welch.df)


def test_a_total_of_symmetric_scores_has_the_t_interval() -> None:
    """Fourteen dimensions of 70 prompts: value -+ t(freedom) x error, to the bootstrap's accuracy."""
    generator = np.random.default_rng(8)
    groups = {f"d{k}": list(generator.beta(5, 5, 70)) for k in range(14)}
    found = total_of(groups, dict.fromkeys(groups, 1.0))
    half = scipy.stats.t.ppf(0.975, found.freedom) * found.error
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.04 * half)
    narrower = total_of(groups, dict.fromkeys(groups, 1.0), confidence=0.9)
    half = scipy.stats.t.ppf(0.95, found.freedom) * found.error
    assert narrower.high - narrower.low == pytest.approx(2 * half, rel=0.04)


def test_no_total_is_surer_than_its_heaviest_dimension() -> None:
    """Ten scores at the ceiling vary so little that a bootstrap sees nothing; Wilson's interval of the one dimension does."""
    near = [1.0, 1.0, 0.99, 1.0, 1.0, 1.0, 0.98, 1.0, 1.0, 1.0]
    alone = total_of({"a": near}, {"a": 1.0})
    assert alone.low <= stats.wilson(near)[0]
    both = total_of({"a": near, "b": [0.5] * 10}, {"a": 0.9, "b": 0.1})
    assert both.low <= both.value - 0.9 * (stats.mean(near) - stats.wilson(near)[0]) + 1e-12


def test_a_dimension_of_one_prompt_may_be_anything() -> None:
    found = total_of({"a": [0.5]}, {"a": 1.0})
    assert (found.low, found.high) == (0.0, 1.0)
    assert found.error == pytest.approx(math.sqrt(1 / 12))  # of a uniform value on [0, 1]


@pytest.mark.parametrize("value", [0.003, 0.014, 0.37, 0.4, 0.5, 0.9999])
@pytest.mark.parametrize("n", [3, 7, 10, 70])
def test_equal_scores_are_so_many_tosses(n: int, value: float) -> None:
    """Their variance is 1e-36 and not 0 for some values: Wilson's interval with n tosses and t(n - 1) all the same."""
    low, high = stats.wilson([value] * n)
    t = scipy.stats.t.ppf(0.975, n - 1)
    for bound in (low, high):
        assert (bound - value) ** 2 == pytest.approx(t * t * bound * (1 - bound) / n, rel=1e-6)
