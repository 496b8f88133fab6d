"""Weights from votes: correlations against SciPy, shrinkage against statsmodels, and truths that a fit must find again."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN
from wanbench.weights import fitting, results, weighting
from wanbench.weights.fitting import Fit
from wanbench.weights.votes import Comparisons, Preference, Vote, code

from ..synthetic import row, rows, write_run

THREE = ["smoothness", "camera_control", "stylization_ability"]


def vote(a: str, b: str, prompt: str, value: float, annotator: str = "n", *, scored: bool = True) -> Vote:
    """`value`: the human difference of a over b."""
    preference: Preference = "a" if value > 0 else "b" if value < 0 else "tie"
    scores = (value, 0.0) if scored else None
    return Vote(a=a, b=b, prompt=prompt, preference=preference, annotator=annotator, aspect="overall", scores=scores, line=2)


def made(
    models: str,
    prompts: int,
    truth: Sequence[float],
    noise: float,
    seed: int = 0,
    annotators: int = 1,
    offsets: Sequence[float] = (),
) -> tuple[list[Vote], dict[str, dict[str, dict[str, float]]]]:
    """Scores at random around each model's offset, and votes by the weighted difference of scores less offsets plus noise."""
    generator = np.random.default_rng(seed)
    dimensions = list(FOURTEEN)[: len(truth)] if len(truth) > len(THREE) else THREE[: len(truth)]
    table = {m: generator.uniform(0.2, 0.8, (prompts, len(truth))) for m in models}
    shift = dict(zip(models, offsets or [0.0] * len(models), strict=True))
    votes = [
        vote(a, b, f"p{p:03}", float((table[a][p] - table[b][p]) @ np.array(truth) + generator.normal(0, noise)), f"n{k}")
        for a, b in itertools.combinations(models, 2)
        for p in range(prompts)
        for k in range(annotators)
    ]
    scores = {
        m: {f"p{p:03}": {d: float(table[m][p, k] + shift[m]) for k, d in enumerate(dimensions)} for p in range(prompts)}
        for m in models
    }
    return votes, scores


def pearson(votes: Sequence[Vote], scores: Mapping[str, Any], a: str, b: str, dimension: str) -> tuple[int, float]:
    """Of one pair, by SciPy: how many votes, and their correlation."""
    mine = [v for v in votes if (v.a, v.b) == (a, b)]
    x = [scores[a][v.prompt][dimension] - scores[b][v.prompt][dimension] for v in mine]
    h = [v.scores[0] - v.scores[1] if v.scores else {"a": 1, "b": -1, "tie": 0}[v.preference] for v in mine]
    return len(mine), float(scipy.stats.pearsonr(x, h).statistic)


@pytest.mark.parametrize("scored", [True, False])
def test_pairs_are_pooled_by_fishers_z(scored: bool) -> None:
    votes, scores = made("xyz", 30, (0.6, 0.3, 0.0), 0.15)
    votes = [v for v in votes if (v.a, v.b) != ("y", "z") or int(v.prompt[1:]) < 12]  # pairs of 30, 30 and 12
    if not scored:
        votes = [vote(v.a, v.b, v.prompt, v.scores[0] - v.scores[1], scored=False) for v in votes if v.scores]
    found = fitting.fit(votes, scores, THREE, 0)
    assert found.valued_by == ("scores" if scored else "preference")
    for dimension in THREE:
        pairs = [pearson(votes, scores, a, b, dimension) for a, b in itertools.combinations("xyz", 2)]
        z = sum((n - 3) * np.arctanh(r) for n, r in pairs) / sum(n - 3 for n, _ in pairs)
        assert found.correlations[dimension].r.value == pytest.approx(np.tanh(z), abs=1e-9)
        assert (found.correlations[dimension].pairs, found.correlations[dimension].votes) == (3, 72)


def test_the_pull_of_a_vote_is_the_derivative() -> None:
    """Counting a vote 1e-6 more moves SciPy's weighted correlation, and so z, by what `pull` says, but for sqrt(n / (n - 3))."""
    votes, scores = made("xy", 12, (0.6,), 0.2)
    coded = code(votes)
    pooled = fitting.pool(coded, scores, THREE[:1])
    x = np.array([scores["x"][p][THREE[0]] - scores["y"][p][THREE[0]] for p in (coded.prompts[k] for k in coded.prompt)])

    def z(weights: np.ndarray) -> float:
        covariance = np.cov(x, coded.value, aweights=weights, ddof=0)
        return float(np.arctanh(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])))

    assert pooled.z[0] == pytest.approx(z(np.ones(12)))
    for k in range(12):
        step = np.where(np.arange(12) == k, 1e-6, 0.0)
        slope = (z(np.ones(12) + step) - z(np.ones(12) - step)) / 2e-6
        assert pooled.pull[k, 0] == pytest.approx(slope * np.sqrt(12 / 9), abs=1e-6)


def test_the_standard_error_of_independent_normal_votes_is_fishers() -> None:
    """Mean over 300 data sets of the resampled variance of z, n = 12: 1 / (n - 3)."""
    generator, found = np.random.default_rng(0), []
    for _ in range(300):
        x = generator.normal(size=12)
        _, pull = fitting._fisher(x, 0.5 * x + generator.normal(size=12))
        found.append((pull**2).sum())
    assert np.mean(found) == pytest.approx(1 / 9, rel=0.15)


def test_means_of_the_models_do_not_confound() -> None:
    """x has higher scores in everything and wins nothing by it: only differences around the pair's mean count."""
    plain = fitting.fit(*made("xyz", 40, (0.5, 0.2, 0.1), 0.1), THREE, 0)
    moved = fitting.fit(*made("xyz", 40, (0.5, 0.2, 0.1), 0.1, offsets=(0.2, 0.0, -0.2)), THREE, 0)
    for d in THREE:
        assert moved.correlations[d].r.value == pytest.approx(plain.correlations[d].r.value, abs=1e-9)
        assert moved.weights[d].value == pytest.approx(plain.weights[d].value, abs=1e-9)


def test_shrinkage_is_that_of_a_meta_analysis() -> None:
    """The variance between by DerSimonian and Laird's moments, from statsmodels; then each value's share by hand."""
    from statsmodels.stats.meta_analysis import combine_effects

    z, errors = np.array([0.5, 0.1, 0.3, -0.05, 0.2]), np.array([0.05, 0.1, 0.08, 0.06, 0.2])
    theirs = combine_effects(z, errors**2, method_re="chi2")
    between = theirs.tau2
    assert between > 0
    share = 1 / (errors**2 + between)
    centre = (share * z).sum() / share.sum()
    by_hand = [(between * v + e**2 * centre) / (between + e**2) for v, e in zip(z, errors, strict=True)]
    assert theirs.mean_effect_re == pytest.approx(centre)
    assert fitting.shrink(z, errors) == pytest.approx(by_hand)


def test_what_varies_by_error_only_is_drawn_to_the_mean_altogether() -> None:
    """Two values, 0.2 and 0.3, of standard error 0.1: Q = 2 (0.05 / 0.1)^2 = 0.5 is under its 1 degree of freedom."""
    assert fitting.shrink(np.array([0.2, 0.3]), np.array([0.1, 0.1])) == pytest.approx([0.25, 0.25])
    assert fitting.shrink(np.array([0.4]), np.array([0.1])) == pytest.approx([0.4])
    rows = fitting.shrink(np.array([[0.2, 0.3], [0.0, 0.9]]), np.array([0.1, 0.1]))
    assert rows[0] == pytest.approx([0.25, 0.25])
    # Q = 2 (0.45 / 0.1)^2 = 40.5; between = (40.5 - 1) / (200 - 100) = 0.395: each keeps 0.395 / 0.405 of 0.45 from the mean
    assert rows[1] == pytest.approx([0.45 - 0.45 * 0.395 / 0.405, 0.45 + 0.45 * 0.395 / 0.405])


def test_weights_are_the_positive_shrunk_correlations_over_their_sum() -> None:
    found = fitting.fit(*made("xyz", 60, (0.6, 0.3, -0.4), 0.1), THREE, 0)
    positive = [max(c.shrunk, 0.0) for c in found.correlations.values()]
    assert positive[2] == 0
    assert [w.value for w in found.weights.values()] == pytest.approx([p / sum(positive) for p in positive])
    assert found.weights[THREE[2]].value == 0
    assert sum(fitting.rounded(found).values()) == pytest.approx(1, abs=1e-8)


def test_votes_against_every_dimension_are_an_error() -> None:
    with pytest.raises(UsageError, match="every correlation is 0 or less"):
        fitting.fit(*made("xy", 60, (-0.5, -0.5, -0.5), 0.05), THREE, 0)


def test_intervals_hold_the_true_correlation() -> None:
    """One pair, 100 prompts by 2 annotators, 60 simulations. Scores are uniform on [0.2, 0.8], so a difference has the variance
    2 0.36 / 12 = 0.06, and the correlation of one vote with one dimension is 0.5 0.06 / sqrt(0.06 (0.34 0.06 + 0.01))."""
    truth = 0.5 * 0.06 / np.sqrt(0.06 * ((0.25 + 0.09) * 0.06 + 0.01))
    missed = 0
    for seed in range(60):
        votes, scores = made("xy", 100, (0.5, 0.3), 0.1, seed=seed, annotators=2)
        r = fitting.fit(votes, scores, THREE[:2], seed).correlations[THREE[0]].r
        assert r.low is not None
        assert r.high is not None
        missed += not r.low <= truth <= r.high
    assert missed <= 9  # 5 % of 60 is 3; more than 9 has a probability of 0.0005


def test_intervals_stay_around_few_votes_a_pair() -> None:
    """Six models, nine prompts a pair: the interval of r must lie around it, as far up as down within a factor of two."""
    for seed in range(5):
        votes, scores = made("uvwxyz", 9, (0.6, 0.3), 0.1, seed=seed)
        r = fitting.fit(votes, scores, THREE[:2], 0).correlations[THREE[0]].r
        assert r.value is not None
        assert r.low is not None
        assert r.high is not None
        low, high = np.arctanh(r.value) - np.arctanh(r.low), np.arctanh(r.high) - np.arctanh(r.value)
        assert 0.5 < high / low < 2


def test_a_dimension_measured_on_its_own_prompts_is_fitted_to_those() -> None:
    votes, scores = made("xy", 60, (0.5, 0.3, 0.2), 0.05)
    own = {m: {p: {THREE[k % 3]: ds[THREE[k % 3]]} for k, (p, ds) in enumerate(prompts.items())} for m, prompts in scores.items()}
    found = fitting.fit(votes, own, THREE, 0)
    for k, dimension in enumerate(THREE):
        mine = [v for v in votes if int(v.prompt[1:]) % 3 == k]
        n, r = pearson(mine, own, "x", "y", dimension)
        assert (found.correlations[dimension].votes, n) == (20, 20)
        assert found.correlations[dimension].r.value == pytest.approx(r, abs=1e-9)


@pytest.mark.parametrize("what", ["few", "constant"])
def test_what_has_no_correlation_is_named(what: str) -> None:
    votes, scores = made("xy", 30, (0.5, 0.3, 0.2), 0.05)
    for prompts in scores.values():
        for k, row_ in enumerate(prompts.values()):
            if what == "constant":
                row_[THREE[1]] = 0.5
            elif k >= fitting.SMALLEST_PAIR - 1:
                del row_[THREE[1]]
    with pytest.raises(UsageError, match="nothing can be said of camera_control: no two candidates have 5 prompts"):
        fitting.fit(votes, scores, THREE, 0)
    assert set(fitting.fit(votes, scores, [THREE[0], THREE[2]], 0).weights) == {THREE[0], THREE[2]}


def test_leaving_one_model_out_is_the_fit_without_it() -> None:
    votes, scores = made("xyz", 30, (0.6, 0.3, 0.1), 0.1)
    found = fitting.leave_one_out(votes, scores, THREE, 0)
    assert list(found) == ["x", "y", "z"]
    left = found["x"]
    assert isinstance(left, Fit)
    assert left == fitting.fit([v for v in votes if (v.a, v.b) == ("y", "z")], scores, THREE, 0)
    assert fitting.leave_one_out([v for v in votes if "z" not in (v.a, v.b)], scores, THREE, 0) == {}
    two = [v for v in votes if (v.a, v.b) != ("y", "z")]
    assert fitting.leave_one_out(two, scores, THREE, 0)["x"] == "every vote concerns it"
    few = [v for v in votes if (v.a, v.b) != ("y", "z") or v.prompt < "p004"]
    assert "nothing can be said" in str(fitting.leave_one_out(few, scores, THREE, 0)["x"])


def test_influence_by_hand() -> None:
    """Scores 0.2 and 0.4: SD sqrt(0.02) = 0.1414; 0.5 and 0.5: none."""
    scores = {"x": {"smoothness": 0.2, "camera_control": 0.5}, "y": {"smoothness": 0.4, "camera_control": 0.5}}
    found = fitting.influence({"smoothness": 0.3, "camera_control": 0.6, "stylization_ability": 0.1}, scores)
    assert found == {"smoothness": pytest.approx(0.3 * 0.02**0.5), "camera_control": 0, "stylization_ability": None}


def test_the_order_of_votes_does_not_matter() -> None:
    votes, scores = made("xyz", 20, (0.6, 0.3, 0.1), 0.1, annotators=2)
    assert fitting.fit(votes, scores, THREE, 0) == fitting.fit(votes[::-1], scores, THREE, 0)
    assert fitting.fit(votes, scores, THREE, 0) != fitting.fit(votes, scores, THREE, 1)


def fit_file(votes: list[Vote], scores: dict[str, Any], dimensions: Sequence[str] | None = None) -> weighting.Weighting:
    return fitting.fit_weighting(
        Comparisons(votes=votes, sha256="0" * 64),
        scores,
        dict.fromkeys(FOURTEEN, 2),
        name="mine",
        date="2026-01-02",
        aspect="overall",
        dimensions=dimensions,
        seed=0,
    )


def test_the_file_says_what_stands_behind_it(tmp_path: Path) -> None:
    truth = (0.5, 0.3, *([0.05] * 12))
    votes, scores = made("xyz", 25, truth, 0.1)
    found = fit_file(votes, scores)
    path = tmp_path / "w.json"
    path.write_text(json.dumps(found.to_json()))
    again = weighting.load(path)
    assert again == found
    assert (again.date, again.versions, again.evidence["data"]["votes"]) == ("2026-01-02", dict.fromkeys(FOURTEEN, 2), 75)
    for d, c in again.evidence["correlations"].items():
        assert c["low"] <= c["r"] <= c["high"], d
    told = again.evidence["scores"]["x"]
    mean = {d: np.mean([scores["x"][p][d] for p in scores["x"]]) for d in FOURTEEN}
    assert told["fitted"] == pytest.approx(sum(found.weights[d] * mean[d] for d in FOURTEEN), abs=1e-6)
    assert told["uniform"] == pytest.approx(np.mean(list(mean.values())), abs=1e-6)
    without = again.evidence["leave_one_out"]["x"]["weights"]
    assert told["left_out"] == pytest.approx(sum(without[d] * mean[d] for d in FOURTEEN), abs=1e-6)


def test_dimensions_that_are_not_fitted_have_no_weight_and_are_named() -> None:
    votes, scores = made("xy", 25, (0.5, 0.3, 0.2), 0.05)
    with pytest.raises(UsageError, match="no run has scores of large_motion_generation, human_artifacts"):
        fit_file(votes, scores)
    found = fit_file(votes, scores, THREE)
    assert {d for d, w in found.weights.items() if w} == set(THREE)
    assert found.evidence["unfitted"] == [d for d in FOURTEEN if d not in THREE]
    assert found.evidence["leave_one_out"] == {"reason": "needs three candidates or more"}
    with pytest.raises(UsageError, match="'speed' is none of the fourteen"):
        fit_file(votes, scores, ["speed"])
    with pytest.raises(UsageError, match="line 2 of the votes is about the prompt 'other', which no run has for x or y"):
        fit_file([*votes, vote("x", "y", "other", 1.0)], scores, THREE)


def test_scores_of_runs_by_candidate_and_prompt(tmp_path: Path) -> None:
    """Seeds are averaged; skipped prompts are known but empty; exploratory rows only where asked for."""
    d = "smoothness"
    given = [
        row("x", d, "1", 0.2, seed=0),
        row("x", d, "1", 0.4, seed=1),
        row("x", d, "2", "skipped"),
        row("x", "camera_control", "1", 0.9, exploratory=True),
        row("y", d, "1", 0.7),
        row("y", d, "1", 0.1, prompt_id=None),
    ]
    run = write_run(tmp_path / "r", given, declarations={name: {"version": 3} for name in (d, "camera_control")})
    scores, versions = results.prompt_scores([run], {"x", "y"}, False, False)
    assert scores == {"x": {"1": {d: pytest.approx(0.3)}, "2": {}}, "y": {"1": {d: 0.7}}}
    assert versions == {d: 3}
    scores, versions = results.prompt_scores([run], {"x"}, True, False)
    assert scores["x"]["1"]["camera_control"] == 0.9
    assert versions == {d: 3, "camera_control": 3}


def test_candidates_that_votes_cannot_mean(tmp_path: Path) -> None:
    one, two = (write_run(tmp_path / n, rows("x", {"smoothness": {"1": 0.5}})) for n in ("one", "two"))
    with pytest.raises(UsageError, match="'y', and no run has it; known are x"):
        results.prompt_scores([one], {"x", "y"}, False, False)
    with pytest.raises(UsageError, match="'x', and 2 runs have one"):
        results.prompt_scores([one, two], {"x"}, False, False)
    assert results.prompt_scores([one, one], {"x"}, False, False)[0] == {"x": {"1": {"smoothness": 0.5}}}
    other = write_run(tmp_path / "other", rows("y", {"smoothness": {"1": 0.5}}, fingerprint="g"))
    with pytest.raises(UsageError, match="x and y cannot be compared: measured in different ways"):
        results.prompt_scores([one, other], {"x", "y"}, False, False)
    assert set(results.prompt_scores([one, other], {"x", "y"}, False, True)[0]) == {"x", "y"}
