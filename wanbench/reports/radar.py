"""A radar of up to fourteen dimensions as lengths and paths of SVG: the candidate with its intervals, the baseline behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wanbench.fourteen import FOURTEEN
from wanbench.reports.scores import Estimate

RADIUS = 100.0
LABEL_RADIUS = 112.0
RINGS = (0.25, 0.5, 0.75, 1.0)
FEWEST_AXES = 3
"""Two axes span no area."""
SHORT = {
    "large_motion_generation": "motion",
    "human_artifacts": "humans",
    "pixel_level_stability": "stability",
    "id_consistency": "identity",
    "physical_plausibility": "physics",
    "smoothness": "smoothness",
    "comprehensive_image_quality": "image",
    "scene_generation_quality": "scene",
    "stylization_ability": "style",
    "single_object_accuracy": "one object",
    "multiple_object_accuracy": "objects",
    "spatial_position_accuracy": "position",
    "camera_control": "camera",
    "action_instruction_following": "action",
}
"""Names that fit around a circle and over a column."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    text: str
    x: str
    y: str
    anchor: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """One candidate: its line, the band of its intervals, its points."""

    line: str
    closed: bool
    """Whether no axis is missing; else the line has gaps, and intervals are drawn along the axes instead of as a band."""
    band: str
    reaches: tuple[tuple[tuple[str, str], tuple[str, str]], ...]
    points: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Radar:
    """All axes run from 0 in the middle to 1."""

    spokes: tuple[tuple[str, str], ...]
    rings: tuple[str, ...]
    """Radii."""
    labels: tuple[Label, ...]
    outlines: Mapping[str, Outline]


def radar(summary: Mapping[str, Any], dimensions: Sequence[str]) -> Radar | None:
    """Of all candidates of a summary over these dimensions, of which those of the fourteen are drawn; None for too few."""
    axes = [d for d in dimensions if d in FOURTEEN]
    if len(axes) < FEWEST_AXES:
        return None
    angles = [2 * math.pi * k / len(axes) for k in range(len(axes))]
    return Radar(
        spokes=tuple(_point(a, RADIUS) for a in angles),
        rings=tuple(_length(RADIUS * r) for r in RINGS),
        labels=tuple(_label(SHORT[d], a) for d, a in zip(axes, angles, strict=True)),
        outlines={
            name: _outline([Estimate.of(entry["dimensions"].get(d)) for d in axes], angles)
            for name, entry in summary["candidates"].items()
        },
    )


def _outline(found: Sequence[Estimate | None], angles: Sequence[float]) -> Outline:
    def path(ends: Sequence[float | None]) -> str:
        return _path([None if end is None else _point(a, RADIUS * end) for end, a in zip(ends, angles, strict=True)])

    score = [e.score if e else None for e in found]
    sure = [e if e and e.low is not None and e.high is not None else None for e in found]
    closed = None not in sure
    band = " ".join(path([getattr(e, end) for e in sure]) for end in ("high", "low")) if closed else ""
    reaches = [
        (_point(a, RADIUS * e.low), _point(a, RADIUS * e.high))
        for e, a in zip(sure, angles, strict=True)
        if not closed and e and e.low is not None and e.high is not None
    ]
    points = [_point(a, RADIUS * s) for s, a in zip(score, angles, strict=True) if s is not None]
    return Outline(line=path(score), closed=None not in score, band=band, reaches=tuple(reaches), points=tuple(points))


def _path(points: Sequence[tuple[str, str] | None]) -> str:
    """Neighbours are joined; a missing one leaves a gap."""
    if None not in points:
        return "M" + "L".join(f"{p[0]},{p[1]}" for p in points if p) + "Z"
    around = zip(points, [*points[1:], points[0]], strict=True)
    return "".join(f"M{a[0]},{a[1]}L{b[0]},{b[1]}" for a, b in around if a and b)


def _label(text: str, angle: float) -> Label:
    x, y = _point(angle, LABEL_RADIUS)
    side = math.sin(angle)
    return Label(text=text, x=x, y=y, anchor="middle" if abs(side) < 0.2 else "start" if side > 0 else "end")


def _point(angle: float, radius: float) -> tuple[str, str]:
    """The first axis points up; they follow clockwise."""
    return _length(radius * math.sin(angle)), _length(-radius * math.cos(angle))


def _length(value: float) -> str:
    return f"{value + 0.0:.1f}".replace("-0.0", "0.0")
