"""Clips and flow for tests of what flow decides: measured by `lite`, or built by hand."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from wanbench.clip import Clip
from wanbench.decoding.prepare import prepare
from wanbench.dimension import Tools, load_all
from wanbench.evaluation.worker import ClipTools
from wanbench.metrics import camera_control
from wanbench.metrics._camera import Camera
from wanbench.metrics._dis import Field
from wanbench.metrics._flow import Flow
from wanbench.networks import NetworkPool, Placement
from wanbench.types import Prompt, Reading, Skipped

cv2.setNumThreads(1)  # as a worker does

DIMENSIONS = load_all()
POOL = NetworkPool({}, Placement(device="cpu", dtype="float32", batch_size=1))
prepared = functools.lru_cache(maxsize=64)(prepare)
"""Decoded once for all tests: a clip is at most 45 MB."""


def tools(clip: Clip, dimension: str = "camera_control") -> Tools:
    method = DIMENSIONS[dimension].method_for("lite")
    assert method is not None
    return cast(Tools, ClipTools(clip, method, POOL, {}))


def lite(clip: Clip, dimension: str, prompt: Prompt | None = None) -> Reading | Skipped:
    return DIMENSIONS[dimension].measure(clip, prompt, tools(clip, dimension))


def camera_of(clip: Clip) -> Camera:
    found = camera_control.observe(clip, tools(clip))
    assert isinstance(found, Camera), found
    return found


def motion(clip: Clip) -> float:
    """R in frame diagonals per second."""
    reading = lite(clip, "large_motion_generation")
    assert isinstance(reading, Reading), reading
    return float(reading.raw["flow_top5_diag_per_s"])


def stability(clip: Clip) -> float:
    reading = lite(clip, "pixel_level_stability")
    assert isinstance(reading, Reading), reading
    return reading.score


def labelled(clips: Path) -> list[dict[str, Any]]:
    """Lines of the clips' index that name a movement which flow decides; a single frame has none."""
    lines = [json.loads(line) for line in (clips / "index.jsonl").read_text().splitlines()]
    decided = [n for n in lines if n.get("camera") in camera_control.DECIDED]
    return [n for n in decided if n["frames"] > 1]


def flow(
    fields: Sequence[Field],
    *,
    back: Sequence[Field] | None = None,
    seconds: Sequence[float] | None = None,
    cuts: Sequence[int] = (),
) -> Flow:
    """Flow of given forward fields; backward ones default to their negatives, which is right for constant ones."""
    unbroken = np.array([i not in cuts for i in range(len(fields))])
    return Flow(
        forward=list(fields),
        backward=[np.asarray(-f, np.float32) for f in fields] if back is None else list(back),
        seconds=np.full(len(fields), 1 / 8) if seconds is None else np.asarray(seconds, np.float64),
        unbroken=unbroken,
        cut_times=tuple(float(i) for i in cuts),
    )


def uniform(dx: float, dy: float, size_HW: tuple[int, int] = (240, 320)) -> Field:
    return np.full((*size_HW, 2), (dx, dy), np.float32)


def field_of(function: Callable[[Any, Any], tuple[Any, Any]], size_HW: tuple[int, int] = (240, 320)) -> Field:
    """Displacements given as a function of x and y from the frame's middle."""
    height, width = size_HW
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    return np.stack(np.broadcast_arrays(*function(x - (width - 1) / 2, y - (height - 1) / 2)), axis=2).astype(np.float32)


def grain(size_HW: tuple[int, int] = (240, 320), seed: int = 0) -> npt.NDArray[np.uint8]:
    """A frame with structure everywhere."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size_HW, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint8)
