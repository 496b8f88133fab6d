"""VBench's result files and its three totals (facts of its leaderboard scripts, as of March 2026). Light half.

Each dimension is normalised, (x - min) / (max - min), not clipped, and weighted; Quality is the sum over seven dimensions / 6.5,
Semantic that over nine / 9, Total = (4 Quality + Semantic) / 5. VBench enters 0 for a dimension that was not measured; here it
takes the totals that need it with it.

`wanbench export --format vbench` writes our dimensions in the shape that `read` reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wanbench import record
from wanbench.errors import UsageError
from wanbench.types import SCORE_DECIMALS, JSONObject


@dataclass(frozen=True, slots=True)
class Scale:
    """How a dimension enters a total."""

    low: float
    high: float
    weight: float = 1.0


QUALITY: dict[str, Scale] = {
    "subject_consistency": Scale(0.1462, 1.0),
    "background_consistency": Scale(0.2615, 1.0),
    "temporal_flickering": Scale(0.6293, 1.0),
    "motion_smoothness": Scale(0.706, 0.9975),
    "dynamic_degree": Scale(0.0, 1.0, 0.5),
    "aesthetic_quality": Scale(0.0, 1.0),
    "imaging_quality": Scale(0.0, 1.0),
}
SEMANTIC: dict[str, Scale] = {
    "object_class": Scale(0.0, 1.0),
    "multiple_objects": Scale(0.0, 1.0),
    "human_action": Scale(0.0, 1.0),
    "color": Scale(0.0, 1.0),
    "spatial_relationship": Scale(0.0, 1.0),
    "scene": Scale(0.0, 0.8222),
    "appearance_style": Scale(0.0009, 0.2855),
    "temporal_style": Scale(0.0, 0.364),
    "overall_consistency": Scale(0.0, 0.364),
}
QUALITY_SHARE = 4 / 5
"""Of Quality in Total; Semantic has the rest."""
SUFFIX = "_eval_results.json"
PERCENT = "imaging_quality"
"""In VBench's files 0 to 100 for a video, but 0 to 1 in the aggregate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One dimension of a result file."""

    mean: float
    """The aggregate, as VBench writes it; 0 to 1 for its own dimensions."""
    videos: Sequence[Mapping[str, Any]]
    """`video_path`, `video_results` and what else VBench says of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """VBench's totals in [0, 1] as a rule; None where a dimension is missing."""

    quality: float | None
    semantic: float | None
    total: float | None
    missing: Sequence[str]
    """VBench's dimensions without a result."""

    def to_json(self) -> JSONObject:
        numbers = {"quality": self.quality, "semantic": self.semantic, "total": self.total}
        told: JSONObject = {k: None if v is None else round(v, SCORE_DECIMALS) for k, v in numbers.items()}
        return {**told, "missing": list(self.missing)}


def total(quality: float, semantic: float) -> float:
    """Total from Quality and Semantic, in their unit."""
    return QUALITY_SHARE * quality + (1 - QUALITY_SHARE) * semantic


def totals(means: Mapping[str, float]) -> Totals:
    """VBench's totals from its dimensions' aggregates; other dimensions are left alone."""
    quality, semantic = (_sum(means, scales) for scales in (QUALITY, SEMANTIC))
    return Totals(
        quality=quality,
        semantic=semantic,
        total=None if quality is None or semantic is None else total(quality, semantic),
        missing=[d for d in (*QUALITY, *SEMANTIC) if d not in means],
    )


def table(results: Mapping[str, Result]) -> list[JSONObject]:
    """A row a dimension (`value` as VBench has it, `normalised` and `weight` as its totals use them), then the three totals."""
    rows: list[JSONObject] = []
    for name, result in results.items():
        scale = {**QUALITY, **SEMANTIC}.get(name)
        normalised = None if scale is None else round((result.mean - scale.low) / (scale.high - scale.low), SCORE_DECIMALS)
        group = "quality" if name in QUALITY else "semantic" if name in SEMANTIC else None
        rows.append(
            {
                "name": name,
                "value": result.mean,
                "normalised": normalised,
                "weight": scale.weight if scale else None,
                "total": group,
                "videos": len(result.videos),
            }
        )
    found = totals({name: result.mean for name, result in results.items()})
    for name, value in (("Quality", found.quality), ("Semantic", found.semantic), ("Total", found.total)):
        empty = {"normalised": None, "weight": None, "total": None, "videos": None}
        rows.append({"name": name, "value": None if value is None else round(value, SCORE_DECIMALS), **empty})
    return rows


def is_result(path: Path) -> bool:
    """Whether a path is a VBench result file, or a folder with some."""
    return path.name.endswith(SUFFIX) or (path.is_dir() and any(path.glob(f"*{SUFFIX}")))


def _sum(means: Mapping[str, float], scales: Mapping[str, Scale]) -> float | None:
    if any(d not in means for d in scales):
        return None
    parts = [(means[d] - scale.low) / (scale.high - scale.low) * scale.weight for d, scale in scales.items()]
    return math.fsum(parts) / math.fsum(scale.weight for scale in scales.values())


def read(paths: Iterable[Path]) -> dict[str, Result]:
    """The dimensions of VBench's result files of one model; a folder stands for its `*_eval_results.json`.

    VBench writes one file a call, often with one dimension. Raises `UsageError`, also for a dimension that two files give.
    """
    found: dict[str, Result] = {}
    origin: dict[str, Path] = {}
    for path in (file for given in paths for file in _files(given)):
        for name, value in record.read_json(path).items():
            dimension = name.strip().replace(" ", "_")
            if dimension in found:
                raise UsageError(
                    f"{path} and {origin[dimension]} both hold {dimension}: give the files of one model and one evaluation"
                )
            found[dimension] = _result(dimension, value, path)
            origin[dimension] = path
    if not found:
        raise UsageError("no VBench results: the files hold no dimension")
    return found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        if not path.exists():
            raise UsageError(f"{path} does not exist; VBench names its files *{SUFFIX}")
        return [path]
    files = sorted(path.glob(f"*{SUFFIX}"))
    if not files:
        raise UsageError(f"{path} holds no *{SUFFIX}")
    return files


def _result(dimension: str, value: Any, path: Path) -> Result:
    shaped = isinstance(value, list) and len(value) == 2 and type(value[0]) in (int, float) and isinstance(value[1], list)
    if not shaped or not all(isinstance(v, dict) and {"video_path", "video_results"} <= v.keys() for v in value[1]):
        raise UsageError(f"{path} is not a VBench result file: {dimension} should be [mean, [videos]]")
    if not math.isfinite(value[0]):
        raise UsageError(f"{path}: the aggregate of {dimension} is not a number")
    if dimension in QUALITY | SEMANTIC and value[0] > 1:
        hint = " (a percentage? VBench divides it by 100 in the aggregate)" if dimension == PERCENT else ""
        raise UsageError(f"{path}: the aggregate of {dimension} is {value[0]}, over 1{hint}")
    return Result(mean=float(value[0]), videos=value[1])
