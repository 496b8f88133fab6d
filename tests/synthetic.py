"""Run directories made of nothing but scores, as a finished run leaves them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wanbench import record, scoring
from wanbench.comparison.as_json import in_one_run
from wanbench.fourteen import FOURTEEN
from wanbench.types import Measurement
from wanbench.weights import weighting

SUITE = {"name": "full", "version": "1.0", "hash": "0f" * 32, "track": "raw", "language": "en"}

Outcomes = Mapping[str, float | str | Mapping[int | None, float | str]]
"""Prompt -> outcome, or seed -> outcome: a score, "skipped" or "error"."""


def row(
    candidate: str, dimension: str, prompt: str | None, outcome: float | str, seed: int | None = 0, **fields: Any
) -> Measurement:  # fmt: skip
    score = round(outcome, 6) if isinstance(outcome, float) else None
    video = f"/videos/{candidate}/{prompt}-{seed}.mp4"
    defaults: dict[str, Any] = {
        "candidate": candidate,
        "video": video,
        "sha256": hashlib.sha256(video.encode()).hexdigest(),
        "prompt_id": prompt,
        "seed": seed,
        "dimension": dimension,
        "status": "ok" if score is not None else outcome,
        "score": score,
        "reason": None if score is not None else "because",
        "exploratory": False,
        "method": "m",
        "fingerprint": f"f-{dimension}",
        "seconds": 0.1,
        "raw": {},
    }
    return Measurement(**{**defaults, **fields})


def rows(candidate: str, dimensions: Mapping[str, Outcomes], **fields: Any) -> list[Measurement]:
    found = []
    for dimension, outcomes in dimensions.items():
        for prompt, given in outcomes.items():
            seeds = given if isinstance(given, Mapping) else {0: given}
            found += [row(candidate, dimension, prompt, outcome, seed, **fields) for seed, outcome in seeds.items()]
    return found


def write_run(path: Path, measurements: Iterable[Measurement], suite: Mapping[str, Any] | None = SUITE, **facts: Any) -> Path:
    """A run directory with these measurements, without a report."""
    path.mkdir(parents=True)
    kept = list(measurements)
    info = {"schema_version": record.SCHEMA_VERSION, "status": "complete", "suite": suite, "prompts": {}, **facts}
    record.write_json(path / record.RUN, info)
    (path / record.RECORD).write_text("".join(json.dumps(m.to_json()) + "\n" for m in kept))
    weights = weighting.load("table2")
    record.write_json(path / record.SUMMARY, {**scoring.summarise(kept, {}, weights, 0), **in_one_run(kept, weights, 0)})
    return path


def simulated(
    shift: float = 0.0, *, spread: float = 0.1, prompts: int = 40, seed: int = 0, dimensions: Iterable[str] = FOURTEEN
) -> dict[str, dict[str, float]]:
    """Dimension -> prompt -> score: about 0.6, prompts differ by 0.1; then `shift`, and noise of `spread` of one's own."""
    base, own = np.random.default_rng(7), np.random.default_rng(100 + seed)
    found: dict[str, dict[str, float]] = {}
    for dimension in FOURTEEN:
        common = base.normal(0.6, 0.1, 1000)[:prompts]
        scores = np.clip(common + shift + own.normal(0, spread, prompts), 0, 1)
        found[dimension] = {f"{dimension}-{k:03}": float(s) for k, s in enumerate(scores)}
    return {d: found[d] for d in dimensions}
