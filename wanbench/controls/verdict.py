"""From the rows of a controls run to pass or fail, with the paired effect, and to the noise floor (ours; light half).

The median clip decides: an expectation holds where more than half of the clips obey it, and one that says "exactly so" where
all do; and the mean must not contradict it, with all of its interval on the wrong side, so that a few large failures are not
hidden by many that obey. A clip counts when it has a score unchanged; one that has lost its score under a control does not obey,
but under another clip's prompt it says nothing: that prompt may ask for nothing of the dimension's.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from wanbench.expectations import SAME, Expectation, Keeps, Skips
from wanbench.stats import CONFIDENCE, mean
from wanbench.types import JSONObject

ORIGINAL = "original"
EXACT = 1e-5
"""Within this an expectation is one of equality: network arithmetic may move a score by so much."""
Rows = Mapping[tuple[str, str, str], Mapping[str, Any]]
"""(clip, control, dimension) -> `status`, `score`, `reason`, `raw`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """Paired differences control - unchanged over clips."""

    clips: int
    median: float | None
    mean: float | None
    low: float | None
    """95 % t interval of the mean; None for fewer than two clips."""
    high: float | None
    largest: float | None
    """Largest absolute difference."""


def effect(differences: Sequence[float]) -> Effect:
    """Of any number of paired differences in [-1, 1]."""
    n = len(differences)
    if n == 0:
        return Effect(clips=0, median=None, mean=None, low=None, high=None, largest=None)
    middle, low, high = mean(differences), None, None
    if n > 1:
        from scipy.special import stdtrit  # takes half a second, which a command that fails early need not wait for

        half = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * statistics.stdev(differences) / math.sqrt(n)
        low, high = middle - half, middle + half
    largest = max(abs(d) for d in differences)
    return Effect(clips=n, median=statistics.median(differences), mean=middle, low=low, high=high, largest=largest)


def judge_dimension(dimension: str, expectations: Iterable[Expectation], clips: Sequence[str], rows: Rows) -> JSONObject:
    """`results` (one per expectation), `noise_floor`, `failed` and `unmeasured` controls of one dimension."""
    results = [_result(dimension, expectation, clips, rows) for expectation in expectations]
    return {
        "results": results,
        "noise_floor": noise_floor(dimension, clips, rows),
        "failed": [r["control"] for r in results if r["verdict"] == "fail"],
        "unmeasured": [r["control"] for r in results if r["verdict"] == "not measured"],
    }


def _result(dimension: str, expectation: Expectation, clips: Sequence[str], rows: Rows) -> JSONObject:
    pairs, errors = [], 0
    for clip in clips:
        before = rows.get((clip, ORIGINAL, dimension))
        after = rows.get((clip, expectation.control, dimension))
        if before is None or after is None or not _says_something(expectation, before):
            continue
        if after["status"] == "error":
            errors += 1
        elif after["score"] is not None or expectation.control != "other_prompt":
            pairs.append((clip, float(before["score"]), after["score"]))
    obeying = [expectation.obeyed(before, after) for _, before, after in pairs]
    moved = effect([after - before for _, before, after in pairs if after is not None])
    holds = all(obeying) if _is_exact(expectation) else 2 * sum(obeying) > len(obeying)
    if moved.low is not None and moved.high is not None:
        holds = holds and not expectation.contradicted(moved.low, moved.high)
    return {
        "control": expectation.control,
        "expectation": {"kind": type(expectation).__name__, "words": expectation.words(), **_parameters(expectation)},
        "verdict": "not measured" if not pairs else "pass" if holds else "fail",
        "clips": len(pairs),
        "obeying": sum(obeying),
        "skipped": sum(after is None for _, _, after in pairs),
        "errors": errors,
        "effect": _rounded(moved),
        "disobeying": [clip for (clip, _, _), obeys in zip(pairs, obeying, strict=True) if not obeys],
    }


def _says_something(expectation: Expectation, before: Mapping[str, Any]) -> bool:
    if before["status"] != "ok" or before["score"] < expectation.where_at_least:
        return False
    return expectation.unless is None or (before["raw"] or {}).get(expectation.unless[0]) != expectation.unless[1]


def _is_exact(expectation: Expectation) -> bool:
    return isinstance(expectation, Skips) or (isinstance(expectation, Keeps) and expectation.within <= EXACT)


def _parameters(expectation: Expectation) -> JSONObject:
    given = {f.name: getattr(expectation, f.name) for f in fields(expectation) if f.name != "control"}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def noise_floor(dimension: str, clips: Sequence[str], rows: Rows) -> JSONObject:
    """What a score moves when the clip stays the same to everybody who looks at it.

    `clip`: 95 % of the single clips move by less, over both re-encodings. `mean`: the largest |difference of means| that
    the 95 % intervals of the A/A controls hold: a smaller difference between two candidates may come from their encoders.
    """
    differences = {control: _differences(dimension, control, clips, rows) for control in SAME}
    effects = {control: effect(d) for control, d in differences.items()}
    absolute = sorted(abs(d) for control in SAME if control != "again" for d in differences[control])
    reaches = [max(abs(e.low), abs(e.high)) for e in effects.values() if e.low is not None and e.high is not None]
    return {
        "clips": max(e.clips for e in effects.values()),
        "clip": round(absolute[math.ceil(0.95 * len(absolute)) - 1], 6) if absolute else None,
        "mean": round(max(reaches), 6) if reaches else None,
        "controls": {control: _rounded(e) for control, e in effects.items()},
    }


def _differences(dimension: str, control: str, clips: Sequence[str], rows: Rows) -> list[float]:
    pairs = ((rows.get((clip, ORIGINAL, dimension)), rows.get((clip, control, dimension))) for clip in clips)
    return [b["score"] - a["score"] for a, b in pairs if a and b and a["status"] == "ok" and b["status"] == "ok"]


def _rounded(moved: Effect) -> JSONObject:
    values = {f.name: getattr(moved, f.name) for f in fields(moved)}
    return {name: round(v, 6) if isinstance(v, float) else v for name, v in values.items()}
