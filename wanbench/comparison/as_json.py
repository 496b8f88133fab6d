"""Comparisons as JSON: of every two candidates of a run for `summary.json`, and one alone for `wanbench compare --json`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from wanbench.comparison.comparing import (
    Changed,
    Comparison,
    Difference,
    DimensionComparison,
    TotalComparison,
    Wins,
    conclude,
    match,
    ordered,
)
from wanbench.comparison.sides import Side, sides
from wanbench.types import SCORE_DECIMALS, JSONObject, Measurement
from wanbench.weights.weighting import Weighting


def in_one_run(measurements: Iterable[Measurement], weights: Weighting, seed: int) -> JSONObject:
    """`comparisons` and `total_comparisons` of `summary.json`: every two candidates, a before b in the alphabet; {} for one."""
    found = list(sides(measurements, None, "").values())
    rows: list[JSONObject] = []
    wholes: list[JSONObject] = []
    pairs = list(itertools.combinations(found, 2))
    matched = [match(a, b, ordered({*a.dimensions, *b.dimensions})) for a, b in pairs]
    for (a, b), (dimensions, totals) in zip(pairs, conclude(matched, weights, seed), strict=True):
        rows += [_row(a, b, d) for d in dimensions]
        wholes += [_total_row(a, b, t) for t in totals if t.difference]
    return {"comparisons": rows, "total_comparisons": wholes} if len(found) > 1 else {}


def _row(a: Side, b: Side, compared: DimensionComparison) -> JSONObject:
    reason = {} if compared.reason is None else {"reason": compared.reason}
    row = {"a": a.candidate, "b": b.candidate, "dimension": compared.dimension}
    return {**row, **numbers(compared.difference, compared.p_holm, compared.n), **reason}


def _total_row(a: Side, b: Side, total: TotalComparison) -> JSONObject:
    row = {"a": a.candidate, "b": b.candidate, "total": total.name, "weights": total.weights, "complete": not total.missing}
    found = numbers(total.difference, None, total.n)
    found.pop("p_holm")
    return {**row, **found, "dimensions": list(total.dimensions)}


def numbers(difference: Difference | None, p_holm: float | None, n: int) -> JSONObject:
    """difference, low, high, p, p_holm, n, minimum_detectable, rounded as scores are; null where there is none."""
    if difference is None:
        return {**dict.fromkeys(("difference", "low", "high", "p", "p_holm")), "n": n, "minimum_detectable": None}
    value, low, high = (_rounded(v) for v in (difference.value, difference.low, difference.high))
    return {
        "difference": value,
        "low": min(low, value),
        "high": max(high, value),
        "p": _rounded(difference.p),
        "p_holm": None if p_holm is None else _rounded(p_holm),
        "n": n,
        "minimum_detectable": None if difference.minimum_detectable is None else _rounded(difference.minimum_detectable),
    }


def _rounded(value: float) -> float:
    return round(value, SCORE_DECIMALS) + 0.0  # no negative zero


def to_json(comparison: Comparison) -> JSONObject:
    """As `wanbench compare --json` prints it."""
    gained, lost = comparison.changed()
    return {
        "a": _side(comparison.a),
        "b": _side(comparison.b),
        "difference": "a - b",
        "mismatches": list(comparison.mismatches),
        "dimensions": {d.dimension: _dimension_json(d) for d in comparison.dimensions},
        "totals": {
            t.name: {
                **{"weights": t.weights, "complete": not t.missing, "dimensions": list(t.dimensions), "missing": list(t.missing)},
                **{"a": None if t.a is None else _rounded(t.a), "b": None if t.b is None else _rounded(t.b)},
                **{key: value for key, value in numbers(t.difference, None, t.n).items() if key != "p_holm"},
            }
            for t in comparison.totals
        },
        "wins": _wins(comparison.wins),
        "gained": [_changed(c) for c in gained],
        "lost": [_changed(c) for c in lost],
    }


def _side(side: Side) -> JSONObject:
    return {"candidate": side.candidate, "source": side.source, "suite": dict(side.suite) if side.suite else None}


def _dimension_json(d: DimensionComparison) -> JSONObject:
    return {
        "a": _rounded(d.scores[0]) if d.scores else None,
        "b": _rounded(d.scores[1]) if d.scores else None,
        **numbers(d.difference, d.p_holm, d.n),
        "wins": _wins(Wins.of(d.differences.values()) if d.difference else None),
        "skip_rate_a": _rounded(d.skip_rates[0]),
        "skip_rate_b": _rounded(d.skip_rates[1]),
        "counts": d.counts,
        "reason": d.reason,
    }


def _wins(wins: Wins | None) -> Any:
    if wins is None:
        return None
    counts = {"wins": wins.wins, "ties": wins.ties, "losses": wins.losses}
    return {**counts, "rate": _rounded(wins.rate), "low": _rounded(wins.low), "high": _rounded(wins.high)}


def _changed(clip: Changed) -> JSONObject:
    values = {"a": _rounded(clip.a), "b": _rounded(clip.b), "difference": _rounded(clip.a - clip.b)}
    return {"dimension": clip.dimension, "prompt_id": clip.prompt, **values}
