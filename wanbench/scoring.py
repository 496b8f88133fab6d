"""From measurements to a summary: sample -> prompt -> dimension -> pillar -> total. Light half: never imports torch.

What a summary holds is `summary.json` of `docs/record.md`; when a dimension counts, and when a total may be given, is decided
here and nowhere else. Numbers are rounded to six decimals where they leave.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from wanbench import stats
from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN, PILLARS
from wanbench.types import SCORE_DECIMALS, JSONObject, Measurement
from wanbench.weights import weighting
from wanbench.weights.weighting import Weighting

SMALLEST_MEASURED_SHARE = 0.8
"""A dimension counts if at least this share of its prompts was measured."""


def summarise(
    measurements: Iterable[Measurement],
    subsets: Mapping[str, str],
    weights: Weighting,
    seed: int,
    asked: Mapping[str, int] = MappingProxyType({}),
) -> JSONObject:
    """The content of `summary.json`. Raises `UsageError` for results that cannot be averaged.

    `subsets`: prompt id -> subset. `asked`: dimension -> prompts of the suite that were to be measured in it, where videos for
    some of them may not even be there.
    """
    groups: dict[str, dict[str, list[Measurement]]] = defaultdict(lambda: defaultdict(list))
    for measurement in measurements:
        if not measurement.exploratory:
            groups[measurement.candidate][measurement.dimension].append(measurement)
    summary = {name: _candidate(dimensions, subsets, weights, seed, asked) for name, dimensions in sorted(groups.items())}
    return {"schema_version": 1, "candidates": summary}


def _candidate(
    groups: Mapping[str, list[Measurement]],
    subsets: Mapping[str, str],
    weights: Weighting,
    seed: int,
    asked: Mapping[str, int],
) -> JSONObject:
    ordered = sorted(groups, key=lambda d: (list(FOURTEEN).index(d) if d in FOURTEEN else len(FOURTEEN), d))
    prompts = {dimension: prompt_scores(groups[dimension]) for dimension in ordered}
    scores = {d: list(prompts[d].values()) for d in ordered if d in FOURTEEN and _counts(groups[d], prompts[d], asked.get(d, 0))}
    counted = _parts(scores, seed)
    entry: JSONObject = {
        "dimensions": {d: _dimension(groups[d], prompts[d], subsets) for d in ordered},
        "pillars": {p: _pillar([d for d in FOURTEEN if FOURTEEN[d] == p], counted) for p in PILLARS},
    }
    complete = len(counted) == len(FOURTEEN)
    total = _total(counted, weights.weights) if complete else NOTHING
    entry["weighted"] = {**total, "weights": weights.name, "complete": complete}
    entry["uniform"] = _total(counted, weighting.load("uniform").weights) if complete else NOTHING
    if not complete and any(weights.weights[d] for d in counted):  # a fitted set may give them all no weight
        beside = _total(counted, weighting.load("uniform").weights)
        entry["partial"] = {**_total(counted, weights.weights), "dimensions": list(counted), "uniform": beside}
    return entry


def total_over(
    measurements: Iterable[Measurement], dimensions: Sequence[str], weights: Mapping[str, float], seed: int
) -> JSONObject:
    """`score`, `low`, `high` of one candidate over the named dimensions, made as `summarise` makes them.

    Raises `ValueError` when one of them has no score, or when none has any weight.
    """
    groups: dict[str, list[Measurement]] = {d: [] for d in dimensions}
    for m in measurements:
        if not m.exploratory and m.dimension in groups:
            groups[m.dimension].append(m)
    counted = _parts({d: list(prompt_scores(group).values()) for d, group in groups.items()}, seed)
    if not any(weights[d] > 0 for d in counted):
        raise ValueError(f"no weight on any of {', '.join(dimensions)}")
    return _total(counted, weights)


def _parts(scores: Mapping[str, Sequence[float]], seed: int) -> dict[str, stats.Group]:
    return stats.groups_of(scores, {d: stats.wilson(v) for d, v in scores.items()}, stats.bootstrap_means(scores, seed))


NOTHING: JSONObject = {"score": None, "low": None, "high": None}


def prompt_scores(group: Sequence[Measurement]) -> dict[str, float]:
    """Prompt id (or video, where there is none) -> mean over its seeds of what was measured."""
    seeds: dict[str, list[float]] = defaultdict(list)
    for measurement in group:
        if measurement.score is not None:
            seeds[measurement.prompt_id or measurement.video].append(measurement.score)
    return {prompt: stats.mean(scores) for prompt, scores in seeds.items()}


def _counts(group: Sequence[Measurement], measured: Mapping[str, float], asked: int) -> bool:
    expected = {m.prompt_id or m.video for m in group}
    return bool(measured) and len(measured) >= SMALLEST_MEASURED_SHARE * max(asked, len(expected))


def _dimension(group: Sequence[Measurement], measured: Mapping[str, float], subsets: Mapping[str, str]) -> JSONObject:
    by_subset: dict[str, list[float]] = defaultdict(list)
    for prompt, score in measured.items():
        if prompt in subsets:
            by_subset[subsets[prompt]].append(score)
    return {
        **_mean(list(measured.values())),
        "n": sum(m.status == "ok" for m in group),
        "skipped": sum(m.status == "skipped" for m in group),
        "errors": sum(m.status == "error" for m in group),
        "expected": len(group),
        "prompts": len(measured),
        "method": _only("methods", group, [m.method for m in group]),
        "fingerprint": _only("fingerprints", group, [m.fingerprint for m in group]),
        "subsets": {name: {**_mean(scores), "n": len(scores)} for name, scores in sorted(by_subset.items())},
    }


def _only(what: str, group: Sequence[Measurement], values: Sequence[str | None]) -> str | None:
    known = {v for v in values if v is not None}
    if len(known) > 1:
        first = group[0]
        raise UsageError(f"{first.candidate} {first.dimension} was measured with different {what} ({', '.join(sorted(known))}): "
                         "these results cannot be averaged")  # fmt: skip
    return next(iter(known), None)


def _mean(scores: Sequence[float]) -> JSONObject:
    if not scores:
        return dict(NOTHING)
    return _rounded(stats.mean(scores), *stats.wilson(scores))


def _pillar(dimensions: Sequence[str], counted: Mapping[str, stats.Group]) -> JSONObject:
    if any(d not in counted for d in dimensions):
        return dict(NOTHING)
    return _total({d: counted[d] for d in dimensions}, dict.fromkeys(dimensions, 1.0))


def _total(counted: Mapping[str, stats.Group], weights: Mapping[str, float]) -> JSONObject:
    """Weighted mean of dimension means, weights renormalised over the given dimensions; bootstrap over prompts."""
    total = stats.weighted_mean(counted, weights)
    return _rounded(total.value, total.low, total.high)


def _rounded(score: float, low: float, high: float) -> dict[str, Any]:
    score, low, high = (round(v, SCORE_DECIMALS) for v in (score, low, high))
    return {"score": score, "low": min(low, score), "high": max(high, score)}
