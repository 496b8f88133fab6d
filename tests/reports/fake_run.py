"""Builds run directories as the measuring side leaves them, of any size and with names that try to break the page."""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wanbench.fourteen import FOURTEEN
from wanbench.types import SCORE_DECIMALS, JSONObject, Measurement

LITE = ("large_motion_generation", "pixel_level_stability", "camera_control")
REFERENCE = (
    *("large_motion_generation", "human_artifacts", "pixel_level_stability", "id_consistency"),
    *("comprehensive_image_quality", "scene_generation_quality", "camera_control"),
)
USUAL = {
    "large_motion_generation": (0.41, 0.16),
    "human_artifacts": (0.82, 0.10),
    "pixel_level_stability": (0.972, 0.012),
    "id_consistency": (0.93, 0.03),
    "comprehensive_image_quality": (0.58, 0.06),
    "scene_generation_quality": (0.385, 0.02),
    "camera_control": (0.62, 0.25),
}
"""Dimension -> mean and spread of its scores."""
CAMERAS = ("static", "pan-left", "pan-right", "tilt-up", "zoom-in", "mixed")
METHOD = {"large_motion_generation": "dis", "pixel_level_stability": "dis", "camera_control": "dis"}

HOSTILE_NAMES = (
    "</script><script>window.hacked=1</script>.mp4",
    '<img src=x onerror="window.hacked=1">\'.mp4',
    "javascript:window.hacked=1.mp4",
    "ملف فيديو 🎬 \u202egpj.mp4",
    "a b#c?d%20&amp;{{ 7*7 }}.mp4",
    "<!--<script>.mp4",
)
HOSTILE_TEXT = "</script><script>window.hacked=1</script><b onmouseover='window.hacked=1'>\"q\" & {{ 7*7 }} \u2028 😀 עברית"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a fake run holds."""

    candidates: tuple[str, ...] = ("wan2.1-t2v-14b", "wan2.1-t2v-1.3b", "baseline-cogvideox")
    clips: int = 60
    dimensions: tuple[str, ...] = REFERENCE
    profile: str = "reference"
    status: str = "complete"
    hostile: bool = False
    pictures: bool = True
    errors: bool = True


def build(directory: Path, recipe: Recipe) -> Path:
    """Write run.json, measurements.jsonl, summary.json and evidence/ (no report) and return the run directory."""
    directory.mkdir(parents=True)
    chance = random.Random(0)
    samples = ((candidate, i) for candidate in recipe.candidates for i in range(recipe.clips))
    rows = [row for candidate, i in samples for row in _clip(directory, recipe, chance, candidate, i)]
    # ASCII, for a line separator inside a name would end a line for whoever reads with str.splitlines.
    lines = [json.dumps(row.to_json()) + "\n" for row in rows]
    (directory / "measurements.jsonl").write_text("".join(lines))
    _write(directory / "run.json", run_json(recipe))
    _write(directory / "summary.json", summary_json(recipe, rows))
    if recipe.pictures:
        draw_evidence(directory / "evidence", rows)
    return directory


def _clip(directory: Path, recipe: Recipe, chance: random.Random, candidate: str, i: int) -> list[Measurement]:
    """All rows of one clip: an unreadable one now and then, some without people, else measured."""
    name = HOSTILE_NAMES[i % len(HOSTILE_NAMES)] if recipe.hostile else f"{FAKE_STEMS[i % len(FAKE_STEMS)]}-{i:04}.mp4"
    # Clips of the first candidate lie beside the run, of the others anywhere.
    place = f"{directory.absolute().parent}/clips" if candidate == recipe.candidates[0] else "/data/videos"
    sha256 = hashlib.sha256(f"{candidate} {i}".encode()).hexdigest()
    camera = chance.choice(CAMERAS)
    shift = 0.4 * recipe.candidates.index(candidate)
    broken = recipe.errors and i % 29 == 11
    rows = []
    for dimension in recipe.dimensions:
        mean, spread = USUAL[dimension]
        score: float | None = round(min(1.0, max(0.0, chance.gauss(mean - shift * spread, spread))), SCORE_DECIMALS)
        status, reason = "ok", None
        if broken:
            status, reason = "error", "truncated: 31 of 81 frames, then: Invalid data found when processing input"
        elif dimension == "human_artifacts" and i % 3 == 0:
            status, reason = "skipped", "no person"
        elif dimension == "large_motion_generation" and i % 23 == 7:
            status, reason = "skipped", "too short: 3 distinct grid frames, 5 are needed"
        if reason:
            score = None
            reason = HOSTILE_TEXT if recipe.hostile else reason
        rows.append(
            Measurement(
                candidate=candidate,
                video=f"{place}/{candidate}/{name}" if not recipe.hostile else f"/data/{i}/{name}",
                sha256=sha256,
                prompt_id=f"camera_control-{i:04}",
                seed=0,
                dimension=dimension,
                status=status,  # type: ignore[arg-type]
                score=score,
                reason=reason,
                exploratory=False,
                method=METHOD.get(dimension, "network"),
                fingerprint=hashlib.sha256(dimension.encode()).hexdigest()[:16],
                seconds=0.1,
                raw=_raw(dimension, score, camera, recipe) if score is not None else None,
            )
        )
    return rows


FAKE_STEMS = (
    *("harbour_at_dawn", "woman_running", "cat_sofa", "kitchen_pullback", "cockatoo"),
    "a_very_long_file_name_that_somebody_gave_to_their_video",
)
SUBJECTS = (
    *("a fishing harbour at dawn, gulls above the masts", "a woman runs along the beach", "a cat jumps off a sofa"),
    "the camera pulls back through a kitchen, past a table laid for six, until the garden door frames all of it",
)


def _raw(dimension: str, score: float, camera: str, recipe: Recipe) -> JSONObject:
    own: JSONObject = {
        "large_motion_generation": {
            **{"flow_top5_diag_per_s": round(score / 2, 6), "plain_speed_diag_per_s": 0.31, "coherence_ratio": 0.68}
        },
        "pixel_level_stability": {"noise_of_255": round(85 * (1 - score), 4), "static_share": 0.41},
        "human_artifacts": {"boxes_per_frame": 0.7, "longest_artifact_seconds": 1.25},
        "camera_control": {"window_share": 0.8, "inlier_share": 0.74},
        "id_consistency": {"first_frame_cosine": 0.91, "neighbour_cosine": 0.97},
    }.get(dimension, {"mean_cosine": score})
    text = HOSTILE_TEXT if recipe.hostile else "ok"
    camera_facts = {"movement": camera, "pan_per_s": -0.213, "tilt_per_s": 0.002, "zoom_per_s": 0.0}
    common = {"repeated_share": 0.0, "effective_fps": 24.0, "frozen": False, "evidence": {"time_seconds": 1.2, "note": text}}
    return own | ({"camera": camera_facts} if dimension in ("camera_control", "large_motion_generation") else {}) | common


def run_json(recipe: Recipe) -> JSONObject:
    declared = {
        name: {"id": name, "pillar": FOURTEEN[name], "version": 1, "summary": ABOUT.get(name, ""), "raw": RAW.get(name, {})}
        for name in recipe.dimensions
    }
    measured: JSONObject = {
        name: {
            "method": METHOD.get(name, "network"),
            "fingerprint": hashlib.sha256(name.encode()).hexdigest()[:16],
            "settings": {"grid_fps": 8, "lines": 240, "window_seconds": 5.0, "preset": "medium"},
            "checkpoints": {} if name in METHOD else {"dino-vitb16": "ab" * 32, "laion-aesthetic": None},
            "dtype": "float32",
        }
        for name in recipe.dimensions
    }
    for name in FOURTEEN:
        if name not in measured:
            reason = "not in profile lite: needs networks" if name in REFERENCE else "no judge: give --judge NAME or URL"
            measured[name] = {"skipped": reason}
    text = HOSTILE_TEXT if recipe.hostile else None
    return {
        "schema_version": 1,
        "project_version": "0.1.0",
        "command": ["wanbench", "score", *(f"{name}=videos/{name}" for name in recipe.candidates), "--profile", recipe.profile],
        "plan": {"clips": recipe.clips, "dimensions": list(recipe.dimensions)},
        "profile": recipe.profile,
        "candidates": {name: {"name": name, "paths": [f"/data/videos/{name}"], "settings": {}} for name in recipe.candidates},
        "suite": {"name": "full", "version": "1.0", "hash": "0f" * 16},
        "prompts": {f"camera_control-{i:04}": text or f"{SUBJECTS[i % len(SUBJECTS)]}, take {i}" for i in range(recipe.clips)},
        "seeds": [0],
        "declarations": declared,
        "methods": measured,
        "environment": {
            **{"python": "3.11.9", "platform": "Linux x86_64", "torch": None, "device": "cpu"},
            **{"decoder": "PyAV 18.1.0", "opencv": "5.0.0", "threads": {"decode": 1, "measure": 2}},
        },
        "start": "2026-11-03T09:14:05+00:00",
        "end": "2026-11-03T09:33:47+00:00",
        "status": recipe.status,
        "warnings": [text or "two files with equal bytes and prompt are one sample: cat_sofa.mp4 and cat_sofa (copy).mp4"],
    }


ABOUT = {
    "large_motion_generation": "How much moves: coherent speed of the fastest pixels.",
    "human_artifacts": "Malformed people: how many, how large, for how long.",
    "pixel_level_stability": "Noise where nothing moves.",
    "id_consistency": "Subjects stay themselves from frame to frame.",
    "comprehensive_image_quality": "Mean of MANIQA, the LAION aesthetic predictor and MUSIQ.",
    "scene_generation_quality": "Frames agree with one another and with the prompt.",
    "camera_control": "The camera moves as asked.",
}
RAW = {
    "large_motion_generation": {
        "flow_top5_diag_per_s": "mean coherent speed of the fastest 5 % of pixels, frame diagonals per second",
        "plain_speed_diag_per_s": "the same without asking for coherence",
        "coherence_ratio": "one over the other; under 0.3 the motion is mostly noise",
    }
}


def summary_json(recipe: Recipe, rows: Sequence[Measurement]) -> JSONObject:
    """Means over prompts with an interval of about the right width; the statistics proper live elsewhere."""
    found: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for row in rows:
        found[row.candidate, row.dimension].append(row)
    candidates: JSONObject = {}
    for name in recipe.candidates:
        dimensions: dict[str, Any] = {d: _entry(found[name, d]) for d in recipe.dimensions}
        candidates[name] = {
            "dimensions": dimensions | {d: _entry([]) for d in FOURTEEN if d not in recipe.dimensions},
            "pillars": {p: {"score": None, "low": None, "high": None} for p in ("dynamic", "image", "instruction")},
            "weighted": {"score": None, "low": None, "high": None, "weights": "table2", "complete": False},
            "partial": _mean([e for e in dimensions.values() if e["score"] is not None], recipe.dimensions),
        }
    return {"candidates": candidates}


def _entry(rows: Sequence[Measurement]) -> JSONObject:
    scores = [row.score for row in rows if row.score is not None]
    mean = sum(scores) / len(scores) if scores else None
    half = 1.96 * float(np.std(scores)) / len(scores) ** 0.5 if scores else 0.0
    return {
        "score": mean,
        "low": None if mean is None else max(0.0, mean - half),
        "high": None if mean is None else min(1.0, mean + half),
        "n": len(scores),
        "skipped": sum(row.status == "skipped" for row in rows),
        "errors": sum(row.status == "error" for row in rows),
        "expected": len(rows),
        "method": rows[0].method if rows else None,
        "fingerprint": rows[0].fingerprint if rows else None,
        "subsets": {},
    }


def _mean(entries: Sequence[JSONObject], dimensions: Sequence[str]) -> JSONObject:
    if not entries:
        return {"score": None, "low": None, "high": None, "dimensions": []}
    means = {key: sum(entry[key] for entry in entries) / len(entries) for key in ("score", "low", "high")}
    return means | {"dimensions": list(dimensions)}


def draw_evidence(folder: Path, rows: Sequence[Measurement]) -> None:
    """Poster, flow, static and artifact pictures for every clip with a score, 320 x 180."""
    folder.mkdir()
    y, x = np.mgrid[0:180, 0:320].astype(np.float32)
    for place, sha256 in enumerate(dict.fromkeys(row.sha256 for row in rows if row.status == "ok")):
        hue = (place * 37) % 180
        sky = np.dstack([np.full_like(x, hue), 90 + 60 * y / 180, 230 - 110 * y / 180]).astype(np.uint8)
        poster = cv2.cvtColor(sky, cv2.COLOR_HSV2BGR)
        cv2.circle(poster, (60 + 53 * place % 200, 70), 26, (60, 190, 250), -1, cv2.LINE_AA)
        cv2.ellipse(poster, (160, 190), (220, 60), 0, 180, 360, (70, 90, 60), -1, cv2.LINE_AA)
        turning = np.dstack([(x / 3 + hue) % 180, np.full_like(x, 200), 120 + 100 * np.sin(y / 40)]).astype(np.uint8)
        static = poster // 3
        static[:90] = (0.6 * poster[:90] + np.array([110, 70, 0])).clip(0, 255).astype(np.uint8)
        boxed = poster.copy()
        cv2.rectangle(boxed, (120, 60), (190, 140), (60, 60, 255), 2)
        pictures = {"poster": poster, "flow": cv2.cvtColor(turning, cv2.COLOR_HSV2BGR), "static": static, "artifacts": boxed}
        for kind, picture in pictures.items():
            cv2.imwrite(str(folder / f"{sha256[:16]}-{kind}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 80])


def _write(file: Path, value: JSONObject) -> None:
    file.write_bytes(json.dumps(value, indent=2).encode())
