"""Which frames the judge sees, and at what size: spread over the clip, or windows of it; losslessly, up to a pixel budget.

Ours. What is shown at a time is the last distinct grid frame that came before it, or at most half a grid step after it: a grid
frame is the nearest in time, and may come late. A frozen clip is the same picture again and again, and the judge is told so by
the times.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import cv2
import numpy as np

from wanbench.clip import Clip
from wanbench.decoding import prepare
from wanbench.judge.protocol import Frame, Picture

PIXEL_BUDGET = 602_112
"""[ours] 768 tokens of 28 x 28 pixels, Qwen2-VL's own budget for a frame of a video: 480p and 576p are seen as they are."""
LINES = 776
"""Short side of the grid frames asked of the decoder: the square that fills the budget; every other shape is larger than it."""
FRAMES = 8
"""The definition's, for what every frame shows: style, objects, people."""
EVENT_FRAMES = 16
"""[ours] For what happens in the clip: a fall takes half a second, and 8 frames of 5 s lie 0.7 s apart."""
WINDOW_SECONDS = 2.0
"""The definition's, for smoothness."""
WINDOW_PER_SECOND = 8

SETTINGS: dict[str, str | int | float] = {
    "event_frames": EVENT_FRAMES,
    "pixel_budget": PIXEL_BUDGET,
    "lines": LINES,
    "resize_to_budget": "area",
    "shown": "the last distinct grid frame up to half a grid step after each time",
}


def spread_over(clip: Clip, count: int) -> list[Frame]:
    """`count` frames at equal distances over the measured time, its first and last among them."""
    return shown_at(clip, list(np.linspace(0.0, _duration(clip), count)))


def windows(clip: Clip) -> list[list[Frame]]:
    """Windows of two seconds at 8 frames a second that together cover the clip evenly; of a shorter clip, all of it.

    They begin on the grid: between its times, a frame rate that the grid does not divide would show some pictures twice.
    """
    duration = _duration(clip)
    count = max(1, math.ceil(duration / WINDOW_SECONDS - 1e-6))
    length = min(WINDOW_SECONDS, duration)
    rate = prepare.GRID_PER_SECOND
    starts = np.floor(np.linspace(0.0, duration - length, count) * rate + 1e-6) / rate
    frames = max(1, round(length * WINDOW_PER_SECOND)) + 1
    return [shown_at(clip, [start + length * k / max(1, frames - 1) for k in range(frames)]) for start in starts]


def shown_at(clip: Clip, seconds: Sequence[float]) -> list[Frame]:
    """The frames that are to be seen at some times.

    Without the half step a 30 fps video would stutter: of its grid frames every fourth comes 8 ms after the time it stands for.
    """
    grid, late = clip.grid_frames(LINES), 0.5 / prepare.GRID_PER_SECOND
    numbers = [max(0, int(np.searchsorted(clip.grid_times, t + late, side="right")) - 1) for t in seconds]
    pictures = {n: within_budget(grid[n]) for n in set(numbers)}
    keys = {n: key_of(picture) for n, picture in pictures.items()}
    return [Frame(seconds=float(t), picture=pictures[n], key=keys[n]) for n, t in zip(numbers, seconds, strict=True)]


def key_of(picture: Picture) -> str:
    """A digest of a picture's pixels and shape."""
    content = np.ascontiguousarray(picture)
    return hashlib.blake2b(content.data, digest_size=16, person=repr(content.shape).encode()[:16]).hexdigest()


def within_budget(picture: Picture, budget: int = PIXEL_BUDGET) -> Picture:
    """The picture itself, or shrunk so that it has at most `budget` pixels."""
    height, width = picture.shape[:2]
    if height * width <= budget:
        return picture
    scale = math.sqrt(budget / (height * width))
    size = (max(1, math.floor(width * scale)), max(1, math.floor(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _duration(clip: Clip) -> float:
    return clip.facts.measured_seconds
