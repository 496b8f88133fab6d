"""Pictures that explain a number: a poster, the flow, the static region, the artifact boxes. Small JPEG files in the run.

Drawn while the clip is at hand, so that a report never opens a video again.
"""

from __future__ import annotations

import colorsys
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wanbench.clip import Clip
from wanbench.metrics import _dis, _flow, pixel_level_stability
from wanbench.types import Measurement

WIDTH = 320
QUALITY = 72
NAME_HEX_DIGITS = 16
"""Of the file's SHA-256: pictures belong to content, so the same clip is drawn once."""
FULL_COLOUR_DIAGONALS_PER_SECOND = 0.4
"""The speed that is drawn in full colour: `large_motion_generation`'s scale."""

Picture = npt.NDArray[np.uint8]


def path(folder: Path, sha256: str, kind: str) -> Path:
    """Where the picture of a file lies."""
    return folder / f"{sha256[:NAME_HEX_DIGITS]}-{kind}.jpg"


def draw(folder: Path, sha256: str, clip: Clip, shared: Mapping[Any, Any], rows: Sequence[Measurement]) -> None:
    """Write the pictures that what was measured allows. Raises `OSError` when they cannot be written."""
    pictures: dict[str, Picture | None] = {
        "poster": poster(clip),
        "flow": flow_picture(clip, _first(shared, _flow.FLOWS), rows),
        "static": static_picture(clip, _first(shared, pixel_level_stability.STATIC_MASKS), rows),
        "artifacts": artifact_picture(clip, rows),
    }
    for kind, picture in pictures.items():
        target = path(folder, sha256, kind)
        if picture is not None and not target.exists():  # a resumed run keeps what it drew
            _write(target, picture)


def poster(clip: Clip) -> Picture:
    """The middle grid frame."""
    middle: Picture = clip.frames[clip.grid[len(clip.grid) // 2]]
    return middle


def flow_picture(clip: Clip, flow: _flow.Flow | None, rows: Sequence[Measurement]) -> Picture | None:
    """Direction as hue and speed as strength, at the fastest time of the clip."""
    if flow is None or not flow.unbroken.any():
        return None
    time = _evidence(rows, "large_motion_generation", "fastest_time_seconds")
    pair = int(np.abs(clip.grid_times[:-1] - time).argmin()) if time is not None else int(flow.unbroken.argmax())
    velocity = flow.forward[pair][:: _flow.STRIDE, :: _flow.STRIDE] / np.float32(flow.seconds[pair] * flow.diagonal)
    angle = np.arctan2(velocity[..., 1], velocity[..., 0]) / (2 * np.pi) % 1
    strength = np.clip(_dis.norm(velocity) / FULL_COLOUR_DIAGONALS_PER_SECOND, 0, 1)
    wheel = np.array([colorsys.hsv_to_rgb(h / 256, 0.85, 1.0) for h in range(256)], np.float32)
    colours = wheel[(angle * 255).astype(np.uint8)]
    return np.asarray((1 - strength[..., None] * (1 - colours)) * 255, np.uint8)


def static_picture(
    clip: Clip, masks: Mapping[int, npt.NDArray[np.bool_]] | None, rows: Sequence[Measurement]
) -> Picture | None:  # fmt: skip
    """The frame of the worst difference, what is not static washed out in blue."""
    if not masks:
        return None
    time = _evidence(rows, "pixel_level_stability", "worst_time_seconds")
    frame = min(masks, key=lambda g: abs(float(clip.grid_times[g]) - (time or 0.0)))
    picture = clip.frames[clip.grid[frame]].astype(np.float32)
    picture[~masks[frame]] = 0.35 * picture[~masks[frame]] + 0.65 * np.array([90, 110, 200], np.float32)
    return np.asarray(picture, np.uint8)


def artifact_picture(clip: Clip, rows: Sequence[Measurement]) -> Picture | None:
    """The worst frame with its artifact boxes."""
    boxes = _evidence(rows, "human_artifacts", "worst_boxes")
    if not boxes:
        return None
    time = _evidence(rows, "human_artifacts", "worst_time_seconds") or 0.0
    picture: Picture = clip.frames[clip.grid[np.abs(clip.grid_times - time).argmin()]].copy()
    height, width = picture.shape[:2]
    for box in boxes:
        x0, y0, x1, y1 = (round(v * side) for v, side in zip(box["x0_y0_x1_y1_shares"], (width, height) * 2, strict=True))
        cv2.rectangle(picture, (x0, y0), (x1, y1), (255, 60, 60), 2)
    return picture


def _first(shared: Mapping[Any, Any], features: Mapping[str, Callable[..., Any]]) -> Any:
    return next((shared[f] for f in features.values() if f in shared), None)


def _evidence(rows: Sequence[Measurement], dimension: str, key: str) -> Any:
    raws = (row.raw for row in rows if row.dimension == dimension and row.raw)
    return next((raw["evidence"][key] for raw in raws if key in raw.get("evidence", {})), None)


def _write(target: Path, picture: Picture) -> None:
    scale = min(1.0, WIDTH / picture.shape[1])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_bytes(encoded.tobytes())
    temporary.replace(target)
