"""Run directories with given scores, as a finished run leaves them but without videos."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wanbench import record, scoring, weighting
from wanbench.types import Measurement

Scores = Mapping[str, Mapping[str, Mapping[str, float | None]]]
"""Candidate -> dimension -> prompt id -> score; None: skipped."""
SUITE = {"name": "made", "version": "1", "hash": "0" * 64, "track": "raw", "language": "en"}


def row(candidate: str, dimension: str, prompt: str, score: float | None, **fields: Any) -> Measurement:
    given: dict[str, Any] = {
        "candidate": candidate,
        "video": f"/{candidate}/{prompt}.mp4",
        "sha256": "0" * 64,
        "prompt_id": prompt,
        "seed": None,
        "dimension": dimension,
        "status": "skipped" if score is None else "ok",
        "score": score,
        "reason": "because" if score is None else None,
        "exploratory": False,
        "method": "m",
        "fingerprint": "f",
        "seconds": 0.1,
        "raw": {},
    }
    return Measurement(**{**given, **fields})


def write_run(path: Path, scores: Scores, *, suite: Mapping[str, Any] | None = SUITE, **fields: Any) -> Path:
    """A run with one row a score; `fields` go into every row."""
    rows = [row(c, d, p, s, **fields) for c, ds in scores.items() for d, ps in ds.items() for p, s in ps.items()]
    return write_rows(path, rows, suite=suite)


def write_rows(path: Path, rows: list[Measurement], *, suite: Mapping[str, Any] | None = SUITE) -> Path:
    path.mkdir(parents=True)
    declared = {m.dimension: {"id": m.dimension, "version": 3} for m in rows}
    info = {"schema_version": 1, "suite": suite, "declarations": declared, "status": "complete", "statistics_seed": 0}
    record.write_json(path / record.RUN, info)
    (path / record.RECORD).write_text("".join(json.dumps(m.to_json()) + "\n" for m in rows))
    record.write_json(path / record.SUMMARY, scoring.summarise(rows, {}, weighting.load("table2"), 0))
    return path
