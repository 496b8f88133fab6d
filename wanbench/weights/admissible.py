"""Every weighting that agrees with the report's Table 2, and what can be said of scores and rankings over all of them (ours).

The report's weights were not published. Both sides of its Table 2 are rounded to three decimals, so the weightings it allows are
the polytope |X w - y| <= 0.001, w >= 0, sum w = 1: half a unit of the last place of y, and at most as much again from X, since
the weights add up to 1. Extremes over it are linear programs (HiGHS). Light half: numpy and SciPy.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wanbench.fourteen import FOURTEEN
from wanbench.published import TABLE_2_MODELS
from wanbench.types import SCORE_DECIMALS, JSONObject
from wanbench.weights import weighting
from wanbench.weights.weighting import Floats

TOLERANCE = 0.001
"""Rounding of a total (0.0005) and of the scores it is a mean of (0.0005)."""
SOLVER_TOLERANCE = 1e-7
"""HiGHS meets constraints to 1e-7: smaller differences between scores are called none."""
MOST_RANKINGS = 200
"""Rankings are counted up to here (ours): beyond it nobody reads them."""
SIMPLEX_DRAWS = 1_000_000
"""Of all weightings, for shares with a standard error of 0.05 % (ours)."""
DRAWS_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Span:
    """The least and the largest value over the admissible set."""

    low: float
    high: float


def _solve(objective: Floats, rows: Floats | None = None) -> float | None:
    """The least `objective @ w` over the admissible set where also `rows @ w >= 0`; None where no weighting is left.

    `objective` (14,), `rows` (constraints, 14).
    """
    from scipy.optimize import linprog

    scores, totals = weighting.table_2()
    above, below = [-scores, scores], [TOLERANCE - totals, TOLERANCE + totals]
    if rows is not None and len(rows):
        above.append(-rows)
        below.append(np.zeros(len(rows)))
    found = linprog(
        objective, A_ub=np.vstack(above), b_ub=np.concatenate(below), A_eq=np.ones((1, len(FOURTEEN))), b_eq=[1.0], method="highs"
    )
    if found.status == 2:
        return None
    if not found.success:
        raise ArithmeticError(f"linear program: {found.message}")
    return float(found.fun or 0.0)


def span(scores: Floats) -> Span:
    """The range of the weighted score `scores @ w` of one candidate, `scores` (14,) in the order of the fourteen."""
    low, high = _solve(scores), _solve(-scores)
    if low is None or high is None:
        raise ArithmeticError("the admissible set is empty")
    return Span(low, -high)


def weight_spans() -> dict[str, Span]:
    """Dimension -> interval of its weight over the admissible set."""
    return {d: span(row) for d, row in zip(FOURTEEN, np.eye(len(FOURTEEN)), strict=True)}


def vector(scores: Mapping[str, float]) -> Floats:
    """Scores of all fourteen dimensions in their order, (14,)."""
    return np.array([scores[d] for d in FOURTEEN])


def differences(scores: Mapping[str, Floats]) -> dict[tuple[str, str], Span]:
    """(a, b) -> range of a's weighted score less b's, for every two candidates in the order given."""
    names = list(scores)
    return {(a, b): span(scores[a] - scores[b]) for i, a in enumerate(names) for b in names[i + 1 :]}


def always_ahead(spans: Mapping[tuple[str, str], Span]) -> list[tuple[str, str]]:
    """(winner, loser) for each pair whose order holds for every admissible weighting."""
    ahead = [(a, b) for (a, b), s in spans.items() if s.low > SOLVER_TOLERANCE]
    return ahead + [(b, a) for (a, b), s in spans.items() if s.high < -SOLVER_TOLERANCE]


def rankings(scores: Mapping[str, Floats], ahead: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, ...]], bool]:
    """The rankings, best first, that some admissible weighting gives, and whether these are all of them.

    Found place by place: a candidate can be next if a weighting puts the places so far in order and it before all the rest. At
    most `MOST_RANKINGS` are looked for. A tie counts as either order.
    """
    found: list[tuple[str, ...]] = []
    for ranking in _extended((), scores, set(ahead)):
        if len(found) == MOST_RANKINGS:
            return found, False
        found.append(ranking)
    return found, True


def _extended(places: tuple[str, ...], scores: Mapping[str, Floats], ahead: set[tuple[str, str]]) -> Iterator[tuple[str, ...]]:
    rest = [name for name in scores if name not in places]
    if len(rest) <= 1:
        yield (*places, *rest)
        return
    for name in rest:
        others = [o for o in rest if o != name]
        if any((o, name) in ahead for o in others):
            continue
        if all((name, o) in ahead for o in others) or _possible((*places, name), others, scores):
            yield from _extended((*places, name), scores, ahead)


def _possible(places: tuple[str, ...], rest: Sequence[str], scores: Mapping[str, Floats]) -> bool:
    pairs = [*itertools.pairwise(places), *((places[-1], o) for o in rest)]
    return _solve(np.zeros(len(FOURTEEN)), np.array([scores[a] - scores[b] for a, b in pairs])) is not None


def first_shares(scores: Mapping[str, Floats], seed: int, draws: int = SIMPLEX_DRAWS) -> dict[str, float]:
    """Candidate -> share of all weightings, admissible or not, under which it has the largest weighted score.

    Weightings are drawn uniformly from the simplex w >= 0, sum w = 1 (Dirichlet with every parameter 1). A tie goes to the first.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    table = np.array(list(scores.values()))
    counts = np.zeros(len(table))
    for start in range(0, draws, DRAWS_AT_ONCE):
        drawn = generator.dirichlet(np.ones(len(FOURTEEN)), size=min(DRAWS_AT_ONCE, draws - start))
        counts += np.bincount(np.argmax(drawn @ table.T, axis=1), minlength=len(table))
    return {name: float(share) for name, share in zip(scores, counts / draws, strict=True)}


def published() -> dict[str, Floats]:
    """Model -> its fourteen scores (14,) in the report's Table 2."""
    scores, _ = weighting.table_2()
    return dict(zip(TABLE_2_MODELS, scores, strict=True))


def largest_miss(weights: Mapping[str, float]) -> float:
    """How far these weights miss a published total at most; the admissible ones miss by `TOLERANCE` or less."""
    scores, totals = weighting.table_2()
    return float(np.abs(scores @ vector(weights) - totals).max())


def describe_weights() -> JSONObject:
    """The admissible set itself: each weight's interval, beside `table2` and `uniform`."""
    shipped = weighting.WEIGHTINGS
    spans = weight_spans()
    return {
        "tolerance": TOLERANCE,
        "weights": {
            d: {**_rounded(spans[d]), **{n: round(w.weights[d], SCORE_DECIMALS) for n, w in shipped.items()}} for d in FOURTEEN
        },
        "uniform_misses_by": round(largest_miss(shipped["uniform"].weights), SCORE_DECIMALS),
    }


def describe(scores: Mapping[str, Floats], seed: int) -> JSONObject:
    """Ranges, orders, rankings and shares for candidates with all fourteen scores, each (14,)."""
    spans = differences(scores)
    ahead = always_ahead(spans)
    found, complete = rankings(scores, ahead)
    shares = first_shares(scores, seed)
    return {
        "scores": {
            name: {
                **_rounded(span(row)),
                **{n: round(float(row @ vector(w.weights)), SCORE_DECIMALS) for n, w in weighting.WEIGHTINGS.items()},
                "places": _places(name, list(scores), ahead, found if complete else []),
                "first_share": round(shares[name], SCORE_DECIMALS),
            }
            for name, row in scores.items()
        },
        "first_share_method": f"uniform on the simplex, {SIMPLEX_DRAWS:,} draws, seed {seed}",
        "differences": [
            {"a": a, "b": b, **_rounded(s), "order": next((f"{w} > {x}" for w, x in ahead if {w, x} == {a, b}), None)}
            for (a, b), s in spans.items()
        ],
        "rankings": [list(r) for r in found],
        "rankings_complete": complete,
    }


def _places(name: str, names: Sequence[str], ahead: Sequence[tuple[str, str]], found: Sequence[tuple[str, ...]]) -> list[int]:
    """Best and worst place: from the rankings where all are known, else bounds from the orders of two."""
    if found:
        places = [ranking.index(name) + 1 for ranking in found]
        return [min(places), max(places)]
    return [1 + sum(loser == name for _, loser in ahead), len(names) - sum(winner == name for winner, _ in ahead)]


def _rounded(s: Span) -> dict[str, float]:
    return {"low": round(s.low, SCORE_DECIMALS) + 0.0, "high": round(s.high, SCORE_DECIMALS) + 0.0}
