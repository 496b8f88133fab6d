"""The scores of a summary, arranged for the eye: one panel per dimension, one row per candidate, on an axis they share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wanbench.fourteen import FOURTEEN, PILLAR_TITLES, PILLARS, title
from wanbench.reports.reasons import counted_dimensions
from wanbench.types import JSONObject

AXIS_STEP = 0.05
"""Axis ends are multiples of this: readable at a glance, and fine enough for dimensions that live between 0.95 and 1."""
WIDEST_ZOOM = 0.5
"""Scores spread wider are drawn from 0 to 1; several closer ones would be one blot there: their axis is cut, and says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A score in [0, 1] with its 95 % interval, which a single prompt does not have."""

    score: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, entry: Any) -> Estimate | None:
        """From an object of `summary.json`; None where it is absent or has no score."""
        if not isinstance(entry, Mapping) or entry.get("score") is None:
            return None
        return cls(score=entry["score"], low=entry.get("low"), high=entry.get("high"))

    @property
    def value(self) -> str:
        return f"{self.score:.3f}"

    @property
    def interval(self) -> str:
        return f"{self.low:.3f}–{self.high:.3f}" if self.low is not None and self.high is not None else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """The part of [0, 1] that a panel shows."""

    low: float
    high: float

    @classmethod
    def over(cls, estimates: Iterable[Estimate]) -> Axis:
        compared = list(estimates)
        ends = [end for e in compared for end in (e.score, e.low, e.high) if end is not None]
        if len(compared) < 2 or max(ends) - min(ends) > WIDEST_ZOOM:
            return cls(low=0.0, high=1.0)
        # Rounded first: 0.15 / 0.05 is a hair under 3.
        low = math.floor(round(min(ends) / AXIS_STEP, 6)) * AXIS_STEP
        high = math.ceil(round(max(ends) / AXIS_STEP, 6)) * AXIS_STEP
        high = high if high > low else low + AXIS_STEP
        return cls(low=low, high=high) if high <= 1 else cls(low=1 - AXIS_STEP, high=1.0)

    @property
    def zoomed(self) -> bool:
        return self.high - self.low < 1 - AXIS_STEP / 2

    @property
    def labels(self) -> tuple[str, str, str]:
        middle = f"{(self.low + self.high) / 2:.3f}"
        return (f"{self.low:.2f}", middle.removesuffix("0"), f"{self.high:.2f}")

    def percent(self, value: float) -> str:
        """Where `value` stands on the axis, as a length of SVG."""
        return f"{100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))):.2f}%"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One candidate in one panel."""

    candidate: str
    slot: int
    """Colour of the candidate, the same all over the page."""
    estimate: Estimate | None
    n: int | None
    """Prompts counted; None where the summary gives no counts (pillars)."""
    expected: int
    skipped: int
    errors: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """A dimension, or the mean of a pillar."""

    title: str
    summary: str
    axis: Axis
    rows: tuple[Row, ...]
    subsets: tuple[tuple[str, tuple[Row, ...]], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A pillar: its dimensions that were measured, and its mean where the summary gives one."""

    title: str
    mean: Panel | None
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """What can be said of a candidate in one number, if anything."""

    candidate: str
    slot: int
    estimate: Estimate | None
    uniform: Estimate | None
    """The same by uniform weights."""
    partial_over: tuple[str, ...]
    """Titles of the dimensions a partial score is made of; empty for a complete one."""
    weights: str
    admissible: tuple[str, str] | None
    """Of a complete score: the least and the most that any weighting gives which agrees with the published table."""


COLOURS = 10


def slots(summary: JSONObject) -> dict[str, int]:
    """Candidate -> colour, in the order of the summary."""
    return {name: place % COLOURS for place, name in enumerate(summary.get("candidates", {}))}


def groups(run: JSONObject, summary: JSONObject) -> list[Group]:
    """The measured dimensions by pillar; dimensions of nobody's pillar come last."""
    counted = counted_dimensions(summary)
    declared: Mapping[str, Any] = run.get("declarations") or {}
    pillar_of = {name: FOURTEEN.get(name) or (declared.get(name) or {}).get("pillar") for name in counted}
    found = [
        Group(
            title=PILLAR_TITLES[pillar],
            mean=_panel(summary, "pillars", pillar, "Mean of the pillar", ""),
            panels=tuple(_dimension_panel(declared, summary, name) for name in counted if pillar_of[name] == pillar),
        )
        for pillar in PILLARS
    ]
    others = tuple(_dimension_panel(declared, summary, name) for name in counted if pillar_of[name] not in PILLARS)
    return [g for g in [*found, Group(title="Further dimensions", mean=None, panels=others)] if g.panels]


def _dimension_panel(declared: Mapping[str, Any], summary: JSONObject, name: str) -> Panel:
    summed_up = str((declared.get(name) or {}).get("summary") or "")
    named, _, about = summed_up.partition(": ")  # a summary opens with the name, which stands above it here
    about = about[:1].upper() + about[1:] if about and named.lower() == title(name).lower() else summed_up
    panel = _panel(summary, "dimensions", name, title(name), about)
    assert panel is not None, "only dimensions that the summary counts are asked for"
    return panel


def _panel(summary: JSONObject, part: str, name: str, heading: str, about: str) -> Panel | None:
    colour = slots(summary)
    entries = {who: (entry.get(part) or {}).get(name) for who, entry in summary.get("candidates", {}).items()}
    rows = tuple(_row(who, colour[who], entry) for who, entry in entries.items() if entry is not None)
    if not any(row.estimate or row.errors for row in rows):
        return None
    subsets: dict[str, list[Row]] = {}
    for who, entry in entries.items():
        for subset, found in ((entry or {}).get("subsets") or {}).items():
            if Estimate.of(found):
                subsets.setdefault(subset, []).append(_row(who, colour[who], found))
    drawn = [row.estimate for row in (*rows, *(r for part in subsets.values() for r in part)) if row.estimate]
    return Panel(
        title=heading,
        summary=about,
        axis=Axis.over(drawn),
        rows=rows,
        subsets=tuple((subset, tuple(part)) for subset, part in subsets.items()),
    )


def _row(candidate: str, slot: int, entry: Mapping[str, Any]) -> Row:
    return Row(
        candidate=candidate,
        slot=slot,
        estimate=Estimate.of(entry),
        n=entry.get("n"),
        expected=entry.get("expected") or 0,
        skipped=entry.get("skipped") or 0,
        errors=entry.get("errors") or 0,
    )


def headlines(summary: JSONObject) -> list[Headline]:
    """One per candidate: its weighted score, else the partial one with what it is made of, else none."""
    return [_headline(name, slot, summary["candidates"][name]) for name, slot in slots(summary).items()]


def _headline(name: str, slot: int, entry: Mapping[str, Any]) -> Headline:
    weighted = entry.get("weighted") or {}
    over: tuple[str, ...] = ()
    estimate, beside = Estimate.of(weighted), entry.get("uniform")
    weights = weighted.get("weights")
    if estimate is None:
        partial = entry.get("partial") or {}
        estimate, beside = Estimate.of(partial), partial.get("uniform")
        over = tuple(title(d) for d in partial.get("dimensions") or ()) if estimate else ()
    return Headline(
        candidate=name,
        slot=slot,
        estimate=estimate,
        uniform=Estimate.of(beside or {}),
        partial_over=over,
        weights=weights if isinstance(weights, str) else "",
        admissible=_admissible(entry) if estimate and not over else None,
    )


def _admissible(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    from wanbench.weights import admissible

    scores = {d: found["score"] for d, found in entry["dimensions"].items() if found.get("score") is not None}
    if not scores.keys() >= FOURTEEN.keys():
        return None
    found = admissible.span(admissible.vector(scores))
    return f"{found.low:.3f}", f"{found.high:.3f}"


def headline_axis(found: Iterable[Headline]) -> Axis:
    return Axis.over(h.estimate for h in found if h.estimate)
