"""Gaps by hand, Krippendorff's published example, and strengths against statsmodels; intervals by simulation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from wanbench.weights import preferences
from wanbench.weights.preferences import Strengths
from wanbench.weights.resampling import RESAMPLES, draws, estimate
from wanbench.weights.votes import OUTCOMES, Coded, Preference, Vote, code


def vote(a: str, b: str, prompt: str, preference: Preference, annotator: str | None = None) -> Vote:
    return Vote(a=a, b=b, prompt=prompt, preference=preference, annotator=annotator, aspect="overall", scores=None, line=0)


def simulated(logs: Sequence[float], tie: float, prompts: int, annotators: int, seed: int) -> Coded:
    """Every annotator compares every pair on every prompt, by Davidson's model."""
    generator = np.random.default_rng(seed)
    votes = []
    for i, j in itertools.combinations(range(len(logs)), 2):
        a, b = np.exp(logs[i]), np.exp(logs[j])
        shares = np.array([a, b, tie * np.sqrt(a * b)])
        for p in range(prompts):
            for k in range(annotators):
                votes.append(vote(f"m{i}", f"m{j}", f"p{p}", OUTCOMES[generator.choice(3, p=shares / shares.sum())], f"x{k}"))
    return code(votes)


def observed(coded: Coded) -> np.ndarray:
    return np.asarray(preferences.counts(coded, np.ones((1, len(coded.pair))))[0])


def test_counts_and_gaps_by_hand() -> None:
    """x beats y twice, loses once, ties once: (2 - 1) / 4. Annotator n counted three times, m never: 3 wins of 3."""
    votes = [
        vote("x", "y", "1", "a", "n"),
        vote("x", "y", "2", "a", "m"),
        vote("x", "y", "3", "b", "m"),
        vote("x", "y", "4", "tie", "m"),
    ]
    coded = code(votes)
    assert observed(coded).tolist() == [[2, 1, 1]]
    weights = np.array([[3.0 if coded.annotators[k] == "n" else 0.0 for k in coded.annotator]])
    assert preferences.counts(coded, weights).tolist() == [[[3, 0, 0]]]
    (gap,) = preferences.gaps(observed(coded), preferences.resampled_counts(coded, 0))
    assert gap.value == 0.25
    # No vote is left where only n is drawn and prompt 1 is not, or only m and prompt 1: 1/4 (3/4)^4 + 1/4 (1/4)^4 = 0.080.
    assert (gap.low, gap.reason) == (None, "no interval: 8 % of the resamples have no estimate")


def test_the_interval_of_a_gap_is_the_binomial_one_where_votes_are_independent() -> None:
    """400 prompts, one vote each, no ties: gap = 2 p - 1, standard error 2 sqrt(p (1 - p) / n)."""
    generator = np.random.default_rng(1)
    wins = generator.random(400) < 0.6
    coded = code([vote("x", "y", str(k), "a" if w else "b") for k, w in enumerate(wins)])
    (gap,) = preferences.gaps(observed(coded), preferences.resampled_counts(coded, 0))
    p = wins.mean()
    half = 1.96 * 2 * np.sqrt(p * (1 - p) / 400)
    assert gap.value == pytest.approx(2 * p - 1)
    assert (gap.low, gap.high) == (pytest.approx(2 * p - 1 - half, abs=0.01), pytest.approx(2 * p - 1 + half, abs=0.01))


KRIPPENDORFF_2011 = """
    1 2 3 3 2 1 4 1 2 . . .
    1 2 3 3 2 2 4 1 2 5 . 3
    . 3 3 3 2 3 4 2 2 5 1 .
    1 2 3 3 2 4 4 1 2 5 1 .
"""


def units(text: str, values: str) -> np.ndarray:
    """A row an observer, a column a unit, `.` for none -> how often each value was given to each unit."""
    rows = [line.split() for line in text.split("\n") if line.strip()]
    return np.array([[column.count(v) for v in values] for column in zip(*rows, strict=True)], float)


def test_alpha_of_the_published_example() -> None:
    """Section C of Computing Krippendorff's Alpha-Reliability: 0.743.

    By hand: 40 values can be paired (unit 12 has one), of each value 9, 13, 10, 5, 3; agreements o_cc 7, 10, 8, 4, 3.
    alpha = ((40 - 1) 32 - 344) / (40 39 - 344), where 344 = 9 8 + 13 12 + 10 9 + 5 4 + 3 2.
    """
    table = units(KRIPPENDORFF_2011, "12345")
    (found,) = preferences.alpha(table, np.ones((1, 12)))
    assert found == pytest.approx((39 * 32 - 344) / (40 * 39 - 344))
    assert f"{found:.3f}" == "0.743"


def test_alpha_of_two_observers_by_hand() -> None:
    """Krippendorff's section A, binary, two observers, ten units: 0.095. Of twenty values 14 are 0 and 6 are 1;
    four units disagree: D_o = 8 / 20, D_e = 2 14 6 / (20 19), alpha = 1 - 8 19 / (2 14 6)."""
    table = units("0 1 0 0 0 0 0 0 1 0\n1 1 1 0 0 1 0 0 0 0", "01")
    (found,) = preferences.alpha(table, np.ones((1, 10)))
    assert found == pytest.approx(1 - 8 * 19 / (2 * 14 * 6))
    assert f"{found:.3f}" == "0.095"


def test_units_that_count_twice_are_units_given_twice() -> None:
    table = units(KRIPPENDORFF_2011, "12345")
    drawn = np.array([[2.0, 0, 1, 1, 3, 1, 0, 1, 1, 1, 1, 1]])
    repeated = np.repeat(table, drawn[0].astype(int), axis=0)
    assert preferences.alpha(table, drawn) == pytest.approx(preferences.alpha(repeated, np.ones((1, len(repeated)))))


def test_agreement_of_annotators() -> None:
    same = [vote("x", "y", f"p{k}", "a" if k % 2 else "b", n) for k in range(10) for n in ("n", "m")]
    found = preferences.agreement(code(same), 0)
    assert (found.value, found.low, found.high) == (1, 1, 1)
    for votes, reason in (
        ([vote("x", "y", f"p{k}", "a") for k in range(5)], "one annotator, or none named"),
        ([vote("x", "y", f"p{k}", "a", f"n{k}") for k in range(5)], "no two annotators compared the same"),
        ([vote("x", "y", f"p{k}", "a", n) for k in range(5) for n in ("n", "m")], "all gave the same answer"),
    ):
        found = preferences.agreement(code(votes), 0)
        assert found.value is None
        assert reason in str(found.reason)


def test_agreement_by_chance_is_nought() -> None:
    generator = np.random.default_rng(0)
    votes = [vote("x", "y", f"p{k}", OUTCOMES[generator.integers(3)], f"n{n}") for k in range(400) for n in range(3)]
    found = preferences.agreement(code(votes), 0)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert found.high - found.low < 0.12


def test_strengths_are_those_of_a_poisson_regression() -> None:
    """Davidson's model is a log-linear one (Fienberg 1979): a level for each pair, the strengths, and one for ties."""
    import statsmodels.api as sm

    coded = simulated([0.8, 0.1, -0.3, -0.6], 0.7, prompts=40, annotators=2, seed=3)
    table = observed(coded)
    found = preferences.strengths(coded.pairs, table, preferences.resampled_counts(coded, 0))
    assert isinstance(found, Strengths)
    rows, columns = [], len(coded.pairs) + 5
    for k, (a, b) in enumerate(coded.pairs):
        for outcome in range(3):
            row = np.zeros(columns)
            row[k] = 1
            for name, share in ((a, (1, 0, 0.5)[outcome]), (b, (0, 1, 0.5)[outcome])):
                row[len(coded.pairs) + int(name[1])] = share
            row[-1] = outcome == 2
            rows.append(row)
    design = np.delete(np.array(rows), len(coded.pairs) + 3, axis=1)  # the last strength is the reference
    fitted = sm.GLM(table.ravel(), design, family=sm.families.Poisson()).fit(tol=1e-12)
    reference = np.append(fitted.params[len(coded.pairs) : len(coded.pairs) + 3], 0.0)
    ours = [s.value for s in found.strengths.values()]
    assert ours == pytest.approx(list(reference - reference.mean()), abs=1e-6)
    assert found.tie.value == pytest.approx(np.exp(fitted.params[-1]), abs=1e-6)
    assert sum(s for s in ours if s is not None) == pytest.approx(0)


def test_without_ties_it_is_bradley_and_terry_as_a_logistic_regression() -> None:
    import statsmodels.api as sm

    coded = simulated([0.5, 0.0, -0.5], 0.0, prompts=50, annotators=1, seed=5)
    table = observed(coded)
    assert table[:, 2].sum() == 0
    found = preferences.strengths(coded.pairs, table, preferences.resampled_counts(coded, 0))
    assert isinstance(found, Strengths)
    design = np.array([[1.0, -1, 0], [1, 0, -1], [0, 1, -1]])[:, :2]
    fitted = sm.GLM(table[:, :2], design, family=sm.families.Binomial()).fit(tol=1e-12)
    reference = np.append(fitted.params, 0.0)
    assert [s.value for s in found.strengths.values()] == pytest.approx(list(reference - reference.mean()), abs=1e-6)
    assert (found.tie.value, found.tie.low, found.tie.high) == (0, 0, 0)


def test_two_candidates_by_hand() -> None:
    """The model is saturated: log odds of wins halved, and v = ties / sqrt(wins losses)."""
    found = preferences.strengths([("x", "y")], np.array([[30.0, 10, 20]]), np.array([[[30.0, 10, 20]]] * 5))
    assert isinstance(found, Strengths)
    assert found.strengths["x"].value == pytest.approx(np.log(3) / 2)
    assert found.tie.value == pytest.approx(20 / np.sqrt(300))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([[5, 0, 0], [3, 0, 0], [2, 2, 0]], "x never lost"),
        ([[0, 0, 5], [0, 0, 5], [0, 0, 5]], "never"),
        ([[3, 2, 1], [0, 0, 0], [0, 0, 0]], "not all candidates were compared"),
    ],
)
def test_strengths_that_nothing_bounds(table: list[list[float]], reason: str) -> None:
    pairs = [("x", "y"), ("x", "z"), ("y", "z")]
    found = preferences.strengths(pairs, np.array(table, float), np.array([table], float))
    assert isinstance(found, str)
    assert reason in found


def test_ties_bound_the_strength_of_one_that_never_lost() -> None:
    """At the largest likelihood the expected wins + ties / 2 of each candidate are the observed ones, and so are all ties."""
    pairs, table = [("x", "y"), ("x", "z"), ("y", "z")], np.array([[5.0, 0, 2], [3, 0, 1], [2, 2, 1]])
    found = preferences.strengths(pairs, table, table[None])
    assert isinstance(found, Strengths)
    strength = {name: np.exp(s.value or 0.0) for name, s in found.strengths.items()}
    expected, ties = dict.fromkeys("xyz", 0.0), 0.0
    for (a, b), row in zip(pairs, table, strict=True):
        shares = np.array([strength[a], strength[b], (found.tie.value or 0.0) * np.sqrt(strength[a] * strength[b])])
        won, lost, tied = row.sum() * shares / shares.sum()
        expected[a], expected[b], ties = expected[a] + won + tied / 2, expected[b] + lost + tied / 2, ties + tied
    assert expected == {"x": pytest.approx(9.5), "y": pytest.approx(3.5), "z": pytest.approx(3.0)}
    assert ties == pytest.approx(4)


def test_intervals_of_strengths_hold_the_truth() -> None:
    """40 simulations of 60 prompts x 3 annotators: each of three intervals should miss in about 5 %; 120 trials, at most 15."""
    truth, missed = np.array([0.5, 0.0, -0.5]), 0
    for seed in range(40):
        coded = simulated(list(truth), 0.5, prompts=60, annotators=3, seed=seed)
        found = preferences.strengths(coded.pairs, observed(coded), preferences.resampled_counts(coded, seed)[:400])
        assert isinstance(found, Strengths)
        for value, s in zip(truth, found.strengths.values(), strict=True):
            assert s.low is not None
            assert s.high is not None
            missed += not s.low <= value <= s.high
    assert missed <= 15


def test_the_order_of_votes_does_not_matter_and_the_seed_does() -> None:
    generator = np.random.default_rng(0)
    votes = [vote("x", "y", f"p{k}", OUTCOMES[generator.integers(3)], f"n{k % 3}") for k in range(60)]
    told = preferences.describe(votes, 0)
    assert told == preferences.describe(votes[::-1], 0)
    assert told != preferences.describe(votes, 1)


def test_a_turned_pair_has_the_opposite_gap_and_strengths() -> None:
    generator = np.random.default_rng(2)
    plain = [vote("x", "y", f"p{k}", OUTCOMES[generator.choice(3, p=[0.5, 0.3, 0.2])]) for k in range(80)]
    opposite: dict[Preference, Preference] = {"a": "b", "b": "a", "tie": "tie"}
    turned = [vote("x", "y", v.prompt, opposite[v.preference]) for v in plain]
    one, other = (preferences.describe(v, 0)["overall"] for v in (plain, turned))
    assert one["gaps"][0]["gap"] == -other["gaps"][0]["gap"]
    assert one["bradley_terry"]["log_strengths"]["x"]["value"] == other["bradley_terry"]["log_strengths"]["y"]["value"]


def test_draws_count_every_prompt_and_annotator_as_often_as_there_are() -> None:
    drawn = list(draws(7, 3, 0))
    prompts, annotators = (np.concatenate([d[k] for d in drawn]) for k in (0, 1))
    assert prompts.shape == (RESAMPLES, 7)
    assert annotators.shape == (RESAMPLES, 3)
    assert set(prompts.sum(1)) == {7}
    assert set(annotators.sum(1)) == {3}
    assert prompts.mean(0) == pytest.approx(np.ones(7), abs=0.1)


def test_an_interval_is_not_given_where_many_resamples_have_none() -> None:
    values = np.linspace(0, 1, 100)
    found = estimate(0.5, np.where(np.arange(100) < 4, np.nan, values))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values[4:], [0.025, 0.975])))
    found = estimate(0.5, np.where(np.arange(100) < 6, np.nan, values))
    assert (found.low, found.reason) == (None, "no interval: 6 % of the resamples have no estimate")
