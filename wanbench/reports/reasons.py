"""Why there is no score: dimensions nobody measured, clips that were skipped, files that failed; each reason told once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wanbench.fourteen import FOURTEEN
from wanbench.types import JSONObject, Measurement

NOT_ASKED = "not part of this run"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One file that could not be measured, for one reason."""

    candidate: str
    video: str
    sha256: str
    reason: str
    dimensions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SkipCount:
    """One reason for skipping and how often it was given."""

    reason: str
    count: int
    dimensions: tuple[str, ...]


def dimension_order(dimensions: Iterable[str]) -> list[str]:
    """The fourteen in the order of the report's Table 2, then others by name."""
    rank = {name: place for place, name in enumerate(FOURTEEN)}
    return sorted(set(dimensions), key=lambda name: (rank.get(name, len(rank)), name))


def counted_dimensions(summary: JSONObject) -> list[str]:
    """Dimensions with a score, or with errors where a score should be, in some candidate."""
    named = (
        name
        for entry in summary.get("candidates", {}).values()
        for name, found in entry.get("dimensions", {}).items()
        if found.get("score") is not None or found.get("errors")
    )
    return dimension_order(named)


def why_unmeasured(run: JSONObject, summary: JSONObject, measurements: Iterable[Measurement]) -> dict[str, str]:
    """Dimension -> reason, for each of the fourteen (and any other named by the run) without score and errors."""
    counted = set(counted_dimensions(summary))
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for row in measurements:
        if row.dimension not in counted:
            reasons[row.dimension][row.reason or "measured for exploration only, which never enters scores"] += 1
    methods: Mapping[str, Any] = run.get("methods") or {}
    names = set(FOURTEEN) | set(methods) | set(reasons)
    return {name: _worded(reasons[name], methods.get(name)) for name in dimension_order(names - counted)}


def _worded(seen: Counter[str], method: Any) -> str:
    if isinstance(method, Mapping) and method.get("skipped"):
        return str(method["skipped"])
    if not seen:
        return NOT_ASKED
    (reason, _), others = seen.most_common(1)[0], len(seen) - 1
    return f"{reason} (and {others} other reason{'s' if others > 1 else ''})" if others else reason


def by_reason(why: Mapping[str, str]) -> list[tuple[str, tuple[str, ...]]]:
    """(reason, dimensions) with the reason that explains most dimensions first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for dimension, reason in why.items():
        groups[reason].append(dimension)
    return sorted(((reason, tuple(names)) for reason, names in groups.items()), key=lambda group: -len(group[1]))


def failures(measurements: Iterable[Measurement]) -> list[Failure]:
    """Every `error` row, gathered by file and reason, in the order of the record."""
    groups: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for row in measurements:
        if row.status == "error":
            groups[row.candidate, row.video, row.sha256, row.reason or ""].append(row.dimension)
    return [
        Failure(candidate=candidate, video=video, sha256=sha256, reason=reason, dimensions=tuple(dimension_order(names)))
        for (candidate, video, sha256, reason), names in groups.items()
    ]


def skips(measurements: Iterable[Measurement]) -> list[SkipCount]:
    """Reasons of `skipped` rows, the most frequent first."""
    counts: Counter[str] = Counter()
    dimensions: dict[str, set[str]] = defaultdict(set)
    for row in measurements:
        if row.status == "skipped":
            counts[row.reason or ""] += 1
            dimensions[row.reason or ""].add(row.dimension)
    return [
        SkipCount(reason=reason, count=count, dimensions=tuple(dimension_order(dimensions[reason])))
        for reason, count in counts.most_common()
    ]
