"""Two candidates held against each other: which prompts and seeds count, what is refused, totals, a run's summary."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from wanbench.comparison.as_json import in_one_run, to_json
from wanbench.comparison.comparing import Comparison, DimensionComparison, compare
from wanbench.comparison.conditions import Incomparable
from wanbench.comparison.sides import Side, sides
from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN, PILLARS
from wanbench.weights import weighting
from wanbench.weights.weighting import TABLE_2_WEIGHTS

from ..synthetic import SUITE, Outcomes, row, rows, simulated

D = "camera_control"


def side(dimensions: Mapping[str, Outcomes], name: str = "c", suite: Mapping[str, Any] | None = SUITE, **fields: Any) -> Side:
    return sides(rows(name, dimensions, **fields), suite, "run")[name]


def contrast(a: Side, b: Side, **options: Any) -> Comparison:
    return compare(a, b, **{"weights": weighting.load("table2"), "seed": 0, **options})


def one(a: Outcomes, b: Outcomes) -> DimensionComparison:
    return contrast(side({D: a}), side({D: b})).dimensions[0]


def test_a_difference_by_hand() -> None:
    """Shared are p and q: (0.5 - 0.3 + 0.9 - 0.8) / 2 = 0.15; r and s stand on one side only."""
    found = one({"p": 0.5, "q": 0.9, "r": 0.1}, {"p": 0.3, "q": 0.8, "s": 1.0})
    assert found.n == 2
    assert found.difference
    assert found.difference.value == pytest.approx(0.15)
    assert found.differences == pytest.approx({"p": 0.2, "q": 0.1})


def test_seeds_are_matched_where_they_match_else_means_are_taken() -> None:
    """p: seed 1 on both sides, 0.6 - 0.5. q: no seed in common, (0.2 + 0.4) / 2 - 0.9. r: seeds unknown on both sides match."""
    a: Outcomes = {"p": {0: 0.1, 1: 0.6}, "q": {0: 0.2, 1: 0.4}, "r": {None: 0.5}}
    b: Outcomes = {"p": {1: 0.5, 2: 1.0}, "q": {7: 0.9}, "r": {None: 0.25}}
    assert one(a, b).differences == pytest.approx({"p": 0.1, "q": -0.6, "r": 0.25})


def test_a_seed_that_failed_does_not_match() -> None:
    """Seed 0 has no score in b, so that seed 1 alone is matched: 0.4 - 0.1."""
    assert one({"p": {0: 0.9, 1: 0.4}}, {"p": {0: "error", 1: 0.1}}).differences == pytest.approx({"p": 0.3})


def test_interval_and_p_are_scipys() -> None:
    a, b = simulated(seed=1, prompts=60, dimensions=[D])[D], simulated(-0.05, seed=2, prompts=60, dimensions=[D])[D]
    found = one(a, b)
    values = [round(a[p], 6) - round(b[p], 6) for p in a]
    usual = scipy.stats.ttest_1samp(values, 0)
    interval = usual.confidence_interval(0.95)
    assert found.difference
    assert (found.difference.low, found.difference.high) == pytest.approx((interval.low, interval.high))
    drawn = scipy.stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=40_000, rng=np.random.default_rng(1)
    )
    assert found.difference.p == pytest.approx(drawn.pvalue, abs=0.02)


def test_holm_over_the_dimensions() -> None:
    found = contrast(side(simulated(seed=1)), side(simulated(-0.03, seed=2)))
    p = [d.difference.p for d in found.comparable if d.difference]
    assert len(p) == 14
    assert [d.p_holm for d in found.comparable] == pytest.approx(list(multipletests(p, method="holm")[1]))


def test_a_total_is_the_weighted_sum_of_differences() -> None:
    a, b = simulated(seed=1, prompts=5), simulated(-0.03, seed=2, prompts=5)
    totals = {t.name: t for t in contrast(side(a), side(b)).totals}
    means = {d: sum(round(a[d][p], 6) - round(b[d][p], 6) for p in a[d]) / 5 for d in FOURTEEN}
    found = {name: t.difference.value for name, t in totals.items() if t.difference}
    assert found["weighted"] == pytest.approx(sum(TABLE_2_WEIGHTS[d] * m for d, m in means.items()), abs=1e-8)
    assert found["uniform"] == pytest.approx(sum(means.values()) / 14)
    for pillar in PILLARS:
        own = [m for d, m in means.items() if FOURTEEN[d] == pillar]
        assert found[pillar] == pytest.approx(sum(own) / len(own))
    assert all(
        not t.missing and t.difference and t.difference.low < t.difference.value < t.difference.high for t in totals.values()
    )
    assert (totals["weighted"].n, totals["image"].n) == (70, 15)
    assert totals["weighted"].a is not None
    assert totals["weighted"].b is not None
    assert totals["weighted"].a - totals["weighted"].b == pytest.approx(found["weighted"])


def test_a_totals_interval_is_about_that_of_independent_strata() -> None:
    """With 40 prompts a dimension the bootstrap is near value +- 1.96 sqrt(sum w^2 s^2 / n), and so is what can be shown."""
    a, b = simulated(seed=1), simulated(seed=2)
    found = next(t.difference for t in contrast(side(a), side(b)).totals if t.name == "weighted")
    differences = {d: np.array([a[d][p] - b[d][p] for p in a[d]]) for d in FOURTEEN}
    error = sum(TABLE_2_WEIGHTS[d] ** 2 * v.var(ddof=1) / len(v) for d, v in differences.items()) ** 0.5
    assert found
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.05)
    assert found.minimum_detectable == pytest.approx((1.96 + 0.8416) * error, rel=0.02)


def test_a_partial_total_is_over_the_same_dimensions_on_both_sides() -> None:
    full, fewer = simulated(seed=1, prompts=5), simulated(seed=2, prompts=5, dimensions=["smoothness", D])
    found = contrast(side(full), side(fewer))
    weighted = found.totals[0]
    assert weighted.dimensions == ("smoothness", D)
    assert set(weighted.missing) == FOURTEEN.keys() - {"smoothness", D}
    means = {d: sum(full[d][p] - fewer[d][p] for p in fewer[d]) / 5 for d in fewer}
    w, v = TABLE_2_WEIGHTS["smoothness"], TABLE_2_WEIGHTS[D]
    assert weighted.difference
    assert weighted.difference.value == pytest.approx((w * means["smoothness"] + v * means[D]) / (w + v), abs=1e-5)
    assert all(t.difference is None for t in found.totals if t.name in PILLARS)
    assert {d.reason for d in found.dimensions if d.dimension not in fewer} == {"measured only in a"}


def test_a_dimension_with_too_few_measured_enters_no_total() -> None:
    """7 of 10 prompts are under the eight tenths from which a dimension counts; its own comparison stands."""
    thin: dict[str, float | str] = {f"p{k}": 0.5 if k < 7 else "error" for k in range(10)}
    found = contrast(side({D: thin, "smoothness": {"s": 0.5}}), side({D: dict.fromkeys(thin, 0.4), "smoothness": {"s": 0.4}}))
    assert {d.dimension: d.n for d in found.comparable} == {"smoothness": 1, D: 7}
    assert found.totals[0].dimensions == ("smoothness",)


@pytest.mark.parametrize(("skipped", "comparable"), [(5, True), (6, False)])
def test_skip_rates_that_differ_by_more_than_five_points(skipped: int, comparable: bool) -> None:
    """Of 100 clips 5 more skipped are 5 points, 6 more are not comparable."""
    a: Outcomes = {f"p{k:03}": 0.5 + k / 1000 for k in range(100)}
    b: Outcomes = {p: "skipped" if k < skipped else 0.5 for k, p in enumerate(a)}
    both = contrast(side({D: a, "smoothness": {"s": 0.1}}), side({D: b, "smoothness": {"s": 0.2}}))
    found = both.dimensions[1]
    assert found.skip_rates == (0.0, skipped / 100)
    assert (found.difference is not None) is comparable
    assert (D in both.totals[0].dimensions) is comparable
    if not comparable:
        assert found.reason == "not comparable: it does not apply to 0% of a's clips and 6% of b's"


def test_win_rate_by_hand() -> None:
    """Two wins, one tie, one loss: (2 + 0.5) / 4."""
    found = contrast(
        side({D: {"p": 0.5, "q": 0.6, "r": 0.7, "s": 0.1}}), side({D: {"p": 0.4, "q": 0.5, "r": 0.7, "s": 0.2}})
    ).wins
    assert found
    assert (found.wins, found.ties, found.losses, found.rate) == (2, 1, 1, 0.625)
    assert 0 < found.low < 0.625 < found.high < 1


def test_the_clips_that_changed_most() -> None:
    found = contrast(side({D: {"p": 0.5, "q": 0.6, "r": 0.7, "s": 0.3}}), side({D: {"p": 0.4, "q": 0.9, "r": 0.7, "s": 0.1}}))
    gained, lost = found.changed()
    assert [c.prompt for c in gained] == ["s", "p"]
    assert [(c.prompt, c.a, c.b) for c in lost] == [("q", 0.6, 0.9)]
    assert [c.prompt for c in found.changed(1)[0]] == ["s"]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (side({D: {"p": 0.5}}, fingerprint="x"), r"measured in different ways \(fingerprints differ\): camera_control"),
        (side({D: {"p": 0.5}}, suite=SUITE | {"hash": "1" * 64}), r"different suites: full 1.0 \(0f0f0f0f\) and full 1.0 \(1111"),
        (side({D: {"p": 0.5}}, suite=SUITE | {"track": "rewritten"}), "different tracks or languages: raw en and rewritten en"),
        (side({D: {"p": 0.5}}, suite=SUITE | {"language": "zh"}), "different tracks or languages: raw en and raw zh"),
        (side({D: {"p": 0.5}}, suite=None), "was measured on the suite full 1.0 .*, c .run. on none"),
    ],
)
def test_what_must_not_be_compared_is_refused_unless_asked_for(other: Side, reason: str) -> None:
    with pytest.raises(Incomparable, match=reason) as refused:
        contrast(side({D: {"p": 0.5}}), other)
    assert "\n" not in str(refused.value)
    found = contrast(side({D: {"p": 0.5}}), other, allow_mismatch=True)
    assert len(found.mismatches) == 1
    assert found.mismatches[0] in str(refused.value)


def test_a_mismatch_outside_the_asked_dimensions_does_not_matter() -> None:
    a = side({D: {"p": 0.5}, "smoothness": {"s": 0.5}})
    b = sides([row("c", D, "p", 0.4), row("c", "smoothness", "s", 0.5, fingerprint="x")], SUITE, "run")["c"]
    assert len(contrast(a, b, dimensions=[D]).dimensions) == 1
    with pytest.raises(UsageError, match="unknown dimension 'speed'; known are large_motion_generation"):
        contrast(a, b, dimensions=["speed"])


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(Incomparable, match="camera_control: no prompt was measured on both sides"):
        contrast(side({D: {"p": 0.5}}), side({D: {"q": 0.5}}))
    without = sides([row("c", D, None, 0.5)], SUITE, "run")["c"]
    with pytest.raises(Incomparable, match="no clip that has a prompt was measured"):
        contrast(without, without)


def test_two_ways_in_one_side_are_an_error() -> None:
    with pytest.raises(UsageError, match="camera_control was measured in 2 different ways"):
        sides([row("c", D, "p", 0.5), row("c", D, "q", 0.5, fingerprint="x")], SUITE, "run")


def test_exploratory_rows_and_dimensions_that_were_not_measured_are_left_out() -> None:
    measured = [
        row("c", D, "p", 0.5),
        row("c", D, "q", 0.5, exploratory=True),
        row("c", "smoothness", "p", "skipped", method=None, fingerprint=None),
    ]
    found = sides(measured, SUITE, "run")["c"]
    assert {d: list(m.outcomes) for d, m in found.dimensions.items()} == {D: ["p"]}


def test_a_summary_compares_every_two_candidates() -> None:
    measured = [m for k, name in enumerate("abc") for m in rows(name, simulated(-0.02 * k, seed=k, prompts=10))]
    found = in_one_run(measured, weighting.load("table2"), 0)
    comparisons = found["comparisons"]
    assert [(r["a"], r["b"]) for r in comparisons[::14]] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [r["dimension"] for r in comparisons[:14]] == list(FOURTEEN)
    wanted = ["a", "b", "dimension", "difference", "low", "high", "p", "p_holm", "n", "minimum_detectable"]
    assert all(list(r) == wanted for r in comparisons)
    assert all(r["low"] <= r["difference"] <= r["high"] and r["n"] == 10 for r in comparisons)
    assert [t["total"] for t in found["total_comparisons"][:5]] == ["weighted", "uniform", *PILLARS]
    assert found == in_one_run(measured[::-1], weighting.load("table2"), 0)
    assert found != in_one_run(measured, weighting.load("table2"), 1)
    assert in_one_run(rows("a", simulated(prompts=2)), weighting.load("table2"), 0) == {}


def test_a_pair_says_the_same_in_a_run_of_two_and_of_three() -> None:
    measured = [rows(name, simulated(seed=k, prompts=25, dimensions=[D])) for k, name in enumerate("abc")]
    two, three = (in_one_run(itertools.chain(*measured[:k]), weighting.load("table2"), 0) for k in (2, 3))
    assert two["comparisons"] == three["comparisons"][:1]
    assert two["total_comparisons"] == three["total_comparisons"][:2]


def test_what_cannot_be_compared_in_a_run_stands_there_with_its_reason() -> None:
    found = in_one_run([row("a", D, "p", 0.5), row("b", D, "q", 0.5)], weighting.load("table2"), 0)
    assert found["comparisons"] == [
        {
            **{"a": "a", "b": "b", "dimension": D, "difference": None, "low": None, "high": None, "p": None, "p_holm": None},
            **{"n": 0, "minimum_detectable": None, "reason": "no prompt was measured on both sides"},
        }
    ]
    assert found["total_comparisons"] == []


def test_the_json_of_a_comparison_holds_no_surprise() -> None:
    found = to_json(contrast(side(simulated(seed=1, prompts=12)), side(simulated(seed=2, prompts=12))))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["difference"] == "a - b"
    assert len(found["gained"]) == len(found["lost"]) == 10
    assert all(c["difference"] > 0 for c in found["gained"])
    assert all(c["difference"] < 0 for c in found["lost"])


def test_clips_that_share_prompt_and_seed_are_averaged() -> None:
    """0.2 and 0.6 are 0.4; 0.2 and an error are 0.2; an error and a skip are an error."""
    measured = [
        *(row("c", D, "p", score, video=f"/{score}.mp4") for score in (0.2, 0.6)),
        *(row("c", D, "q", outcome, video=f"/q{outcome}.mp4") for outcome in (0.2, "error")),
        *(row("c", D, "r", outcome, video=f"/r{outcome}.mp4") for outcome in ("error", "skipped")),
    ]
    assert sides(measured, SUITE, "run")["c"].dimensions[D].outcomes == {"p": {"0": 0.4}, "q": {"0": 0.2}, "r": {"0": "error"}}
