"""Ways of spoiling a clip: what `wanbench controls` does to given clips, and what a rendered scene may ask for.

Ours. Each takes timed frames and yields timed frames, so that they compose; randomness comes from
the given generator only. Lengths are in pixels of the frame, grey levels of 0-255, times in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""
Timed = tuple[float, Frame]
"""Presentation time in seconds, and the frame."""

JITTER_BLOCK_PX = 32
"""Blocks that move independently; four times the usual displacement, so that the picture is torn but does not fold over."""


def noise(frames: Iterable[Timed], *, sigma: float, rng: np.random.Generator) -> Iterator[Timed]:
    """Independent Gaussian noise of `sigma` grey levels on every channel of every pixel of every frame."""
    for time, frame in frames:
        grain = rng.standard_normal(frame.shape, dtype=np.float32)
        yield time, _bytes(frame + np.float32(sigma) * grain)


def flicker(frames: Iterable[Timed], *, amplitude: float, rng: np.random.Generator) -> Iterator[Timed]:
    """Brightness of each frame multiplied by 1 + a, a uniform in ±amplitude and independent between frames."""
    for time, frame in frames:
        yield time, _bytes(frame * np.float32(1 + rng.uniform(-amplitude, amplitude)))


def shake(frames: Iterable[Timed], *, amplitude_px: float, rng: np.random.Generator) -> Iterator[Timed]:
    """Each whole frame displaced by its own (dx, dy), uniform in ±amplitude_px; the border is mirrored."""
    for time, frame in frames:
        dx, dy = rng.uniform(-amplitude_px, amplitude_px, 2)
        matrix = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])
        moved = cv2.warpAffine(frame, matrix, _WH(frame), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        yield time, np.asarray(moved, np.uint8)


def jitter(
    frames: Iterable[Timed], *, amplitude_px: float, rng: np.random.Generator, block_px: int = JITTER_BLOCK_PX
) -> Iterator[Timed]:
    """Every block displaced by its own (dx, dy), uniform in ±amplitude_px, new in every frame; smooth between block centres."""
    for time, frame in frames:
        height, width = frame.shape[:2]
        grid = rng.uniform(-amplitude_px, amplitude_px, (height // block_px + 1, width // block_px + 1, 2)).astype(np.float32)
        field = np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        x = field[..., 0] + np.arange(width, dtype=np.float32)[None, :]
        y = field[..., 1] + np.arange(height, dtype=np.float32)[:, None]
        moved = cv2.remap(frame, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        yield time, np.asarray(moved, np.uint8)


def blur(frames: Iterable[Timed], *, sigma_px: float) -> Iterator[Timed]:
    """Every frame smoothed by a Gaussian."""
    for time, frame in frames:
        yield time, np.asarray(cv2.GaussianBlur(frame, (0, 0), sigma_px), np.uint8)


def bars(frames: Iterable[Timed], *, shares_TBLR: tuple[float, float, float, float]) -> Iterator[Timed]:
    """Black borders over the top, bottom, left and right shares of the frame; the size stays."""
    for time, frame in frames:
        height, width = frame.shape[:2]
        top, bottom, left, right = (round(s * n) for s, n in zip(shares_TBLR, (height, height, width, width), strict=True))
        barred = np.zeros_like(frame)
        inside = (slice(top, height - bottom), slice(left, width - right))
        barred[inside] = frame[inside]
        yield time, barred


def freeze(frames: Iterable[Timed]) -> Iterator[Timed]:
    """The first frame at every time."""
    first: Frame | None = None
    for time, frame in frames:
        first = frame if first is None else first
        yield time, first


def shuffle(frames: Iterable[Timed], *, rng: np.random.Generator) -> Iterator[Timed]:
    """The same frames at the same times in random order; holds all of them."""
    clip = list(frames)
    for (time, _), index in zip(clip, rng.permutation(len(clip)), strict=True):
        yield time, clip[index][1]


def reverse(frames: Iterable[Timed]) -> Iterator[Timed]:
    """Last frame first, at the same times; holds all of them."""
    clip = list(frames)
    for (time, _), (_, frame) in zip(clip, reversed(clip), strict=True):
        yield time, frame


def repeat(frames: Iterable[Timed], *, times: int) -> Iterator[Timed]:
    """Each frame `times` times within its own display time: `times` the frame rate, the same motion."""
    iterator = iter(frames)
    current, interval = next(iterator, None), 0.0
    while current is not None:
        following = next(iterator, None)
        interval = following[0] - current[0] if following else interval  # the last frame lasts as long as the one before
        yield from ((current[0] + k * interval / times, current[1]) for k in range(times if interval else 1))
        current = following


def thin(frames: Iterable[Timed], *, keep_every: int) -> Iterator[Timed]:
    """Frames 0, n, 2n, ...: at keep_every = 2 half the frame rate, the same motion. `repeat` after it makes a choppy clip."""
    return (timed for index, timed in enumerate(frames) if index % keep_every == 0)


def drop(frames: Iterable[Timed], *, share: float, rng: np.random.Generator) -> Iterator[Timed]:
    """Each frame but the first is left out with probability `share`; the others keep their times."""
    return (timed for index, timed in enumerate(frames) if rng.random() >= share or index == 0)


def cut(frames: Iterable[Timed], other: Iterable[Timed], *, at_seconds: float) -> Iterator[Timed]:
    """From `at_seconds` on the frames of `other`, started there from its beginning, at the times of `frames`."""
    others = iter(other)
    for time, frame in frames:
        if time < at_seconds:
            yield time, frame
        elif (replacement := next(others, None)) is not None:
            yield time, replacement[1]
        else:
            return


def _bytes(values: npt.NDArray[np.float32]) -> Frame:
    return np.asarray(cv2.convertScaleAbs(np.maximum(values, 0)), np.uint8)  # rounds and saturates in one pass


def _WH(frame: Frame) -> tuple[int, int]:
    return frame.shape[1], frame.shape[0]
