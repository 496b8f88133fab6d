"""From decoded frames to a `Clip`, in one pass and in bounded memory (`docs/definitions.md`, "What every dimension sees").

All constants here are ours and enter every fingerprint through `SETTINGS`: the report says nothing of sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from wanbench.clip import Clip, Frames, StreamFacts
from wanbench.decoding.video import RGB, Video

WINDOW_SECONDS = 5.0
"""Only this much is measured, from the first frame: consistency falls with duration, so durations must be equal."""
GRID_PER_SECOND = 8
"""The slowest rate that candidates come in; motion is compared on it, whatever the native rate."""
WORKING_LINES = 240
"""Short side of the frames that flow (DIS) and pixel differences see."""
LONG_SIDE_LIMIT = 1024
"""Of a working frame, at most: bounds the memory of a very elongated video."""
NATIVE_PER_SECOND = 120
"""Faster streams are thinned to this rate: bounds memory, and no display or model exceeds it."""
REPEAT_DIFFERENCE = 0.15
"""Mean absolute difference (of 255, at thumbnail size) under which a frame repeats the last kept one."""
THUMBNAIL_SIZE_HW = (36, 64)
HALVING_SLACK = 0.02
"""A factor this near to 2 is taken as 2: widths are rounded."""
BLUR_OVER_FACTOR = 1.6
"""Shrinking bilinearly by more than this would alias, so a 3x3 binomial blur goes first."""
BAR_LUMA = 24
"""A bar's brightest luma over the whole clip: limited-range black plus what compression leaves of it."""
BAR_LIT_SHARE = 0.4
"""A bar ends at a straight edge: this share of the first line inside must be lit at some time, else it is dark scenery."""
BAR_LIT_LUMA = 40
BARS_SCALE_LIMIT = 2
"""A frame with bars is kept larger so that its content gets all lines, but at most this many times: bounds memory."""

SETTINGS: dict[str, str | int | float] = {
    "window_seconds": WINDOW_SECONDS,
    "grid_per_second": GRID_PER_SECOND,
    "working_lines": WORKING_LINES,
    "long_side_limit": LONG_SIDE_LIMIT,
    "native_per_second": NATIVE_PER_SECOND,
    "repeat_difference": REPEAT_DIFFERENCE,
    "bars": f"luma {BAR_LUMA}, edge {BAR_LIT_SHARE} over {BAR_LIT_LUMA}",
    "resize": f"box, 3x3 blur over {BLUR_OVER_FACTOR}, bilinear; RGB uint8, never enlarged",
}
"""What every method's fingerprint holds of how frames are chosen and resized."""

Box = tuple[int, int, int, int]
"""top, bottom, left, right of the content, in pixels, half open."""


def prepare(path: Path, lines: Iterable[int] = (), heartbeat: Callable[[], None] = lambda: None) -> Clip:
    """Decode `path` once into a `Clip` with grid views at the given short sides.

    `heartbeat` is called for every packet of the file. Raises `UndecodableVideo`.
    """
    with Video(path, heartbeat) as video:
        builder = _Builder(lines=tuple(sorted(set(lines))))
        for seconds, rgb in video.frames(window_seconds=WINDOW_SECONDS, min_interval_seconds=1 / NATIVE_PER_SECOND):
            if not builder.times:
                builder.sample_aspect_ratio = video.facts().sample_aspect_ratio  # as shown: known with the first frame
            builder.add(seconds, rgb)
        facts = video.facts()
    return builder.clip(facts)


def prepare_frames(frames: Iterable[tuple[float, RGB]], lines: Iterable[int] = ()) -> Clip:
    """The `Clip` of frames that are in no file: (seconds, increasing from any start; RGB uint8 (H, W, 3)), rendered or damaged.

    Windowed, thinned, gridded and resized exactly as `prepare` does.
    """
    builder = _Builder(lines=tuple(sorted(set(lines))))
    start, given, count, size_HW = None, -1.0, 0, (0, 0)
    for seconds, rgb in frames:
        start = seconds if start is None else start
        seconds -= start
        if seconds > WINDOW_SECONDS + 1e-6:
            break
        if given < 0 or seconds - given >= 1 / NATIVE_PER_SECOND - 1e-6:
            builder.add(seconds, rgb)
            given = seconds
        last, count, size_HW = seconds, count + 1, (rgb.shape[0], rgb.shape[1])
    if not count:
        raise ValueError("no frame to prepare")
    facts = StreamFacts(
        container="none",
        codec="none",
        pixel_format="rgb24",
        size_HW=size_HW,
        rotation_degrees=0,
        sample_aspect_ratio=1.0,
        nominal_fps=None,
        frames_decoded=count,
        frames_promised=None,
        duration_seconds=None,
        measured_seconds=last,
    )
    return builder.clip(facts)


MOST_FRAMES = int(WINDOW_SECONDS * NATIVE_PER_SECOND) + 2
MOST_GRID_FRAMES = int(WINDOW_SECONDS * GRID_PER_SECOND) + 2


class _Stack:
    """Frames of one size one after another, in memory reserved for as many as there can be: what is not touched takes none."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._memory: RGB | None = None
        self.count = 0

    def put(self, rgb: RGB, size_HW: tuple[int, int]) -> RGB:
        """Shrink `rgb` into the next free place; it stays there once `count` is raised."""
        if self._memory is None:
            self._memory = np.empty((self._most, *size_HW, 3), np.uint8)
        return shrink(rgb, size_HW, self._memory[self.count])

    @property
    def size_HW(self) -> tuple[int, int]:
        assert self._memory is not None
        return self._memory.shape[1], self._memory.shape[2]

    def frames(self, inside: tuple[slice, slice], lines: int) -> Frames:
        """(count, h, w, 3): what is kept, cut to `inside` and brought to `lines`."""
        assert self._memory is not None
        kept = self._memory[: self.count, inside[0], inside[1]]
        height, width = kept.shape[1:3]
        scale = _scale((height, width), lines)
        size_HW = (max(1, round(height * scale)), max(1, round(width * scale)))
        if kept.shape == self._memory[: self.count].shape and size_HW == (height, width):
            return kept
        result = np.empty((self.count, *size_HW, 3), np.uint8)
        for source, target in zip(kept, result, strict=True):
            shrink(source, size_HW, target)
        return result


@dataclass(slots=True)
class _Builder:
    """Keeps working frames of all distinct frames and larger views of the grid's; never more than one full-size frame."""

    lines: tuple[int, ...]
    sample_aspect_ratio: float = 1.0
    times: list[float] = field(default_factory=list)
    grid: list[int] = field(default_factory=list)
    thumbnails: list[RGB] = field(default_factory=list)
    repeats: int = 0
    _frames: _Stack | None = None
    _views: dict[int, _Stack] = field(default_factory=dict)
    _brightest: npt.NDArray[np.uint8] | None = None
    _content: Box = (0, 0, 0, 0)
    _may_have_bars: bool = False
    _previous: RGB | None = None
    _next_grid: int = 0

    def add(self, seconds: float, rgb: RGB) -> None:
        if self._frames is None:
            self._frames = _Stack(MOST_FRAMES)
            luma = _luma(rgb)
            self._content = content_box(luma)
            borders = (luma[0], luma[-1], luma[:, 0], luma[:, -1])
            self._may_have_bars = any(int(border.max()) <= BAR_LUMA for border in borders)  # which may show later: it fades in
            self._views = {n: _Stack(MOST_GRID_FRAMES) for n in self.lines}
        working = self._frames.put(rgb, self._size(rgb, WORKING_LINES))
        thumbnail = shrink(working, THUMBNAIL_SIZE_HW)
        if self.thumbnails and cv2.norm(thumbnail, self.thumbnails[-1], cv2.NORM_L1) / thumbnail.size < REPEAT_DIFFERENCE:
            self.repeats += 1
            return
        self._choose_grid(until=seconds, arriving=(seconds, rgb))
        self._previous = rgb
        self.times.append(seconds)
        self.thumbnails.append(thumbnail)
        self._frames.count += 1
        if self._may_have_bars:
            luma = _luma(working)
            self._brightest = luma if self._brightest is None else np.maximum(self._brightest, luma)

    def clip(self, facts: StreamFacts) -> Clip:
        """What was added, as every dimension sees it."""
        frames, views, bars_TBLR = self.crop()
        times = np.array(self.times)
        span = facts.measured_seconds
        return Clip(
            facts=facts,
            frames=frames,
            thumbnails=np.stack(self.thumbnails),
            times=times,
            grid=np.array(self.grid, dtype=np.intp),
            views=views,
            repeated_share=self.repeats / (self.repeats + len(times)),
            effective_fps=(len(times) - 1) / span if span > 0 else 0.0,
            frozen=len(times) == 1 and self.repeats > 0,
            bars_TBLR=bars_TBLR,
        )

    def crop(self) -> tuple[Frames, dict[int, Frames], tuple[float, float, float, float]]:
        """(working frames, views, bars): bars black throughout the clip cut away, every size as asked for."""
        if self._previous is not None:
            self._choose_grid(until=self.times[-1] + 0.5 / GRID_PER_SECOND, arriving=None)
            self._previous = None
        shares = (0.0, 0.0, 0.0, 0.0)
        if self._brightest is not None:
            height, width = self._brightest.shape
            top, bottom, left, right = content_box(self._brightest)
            shares = (top / height, 1 - bottom / height, left / width, 1 - right / width)
        assert self._frames is not None
        frames = _cut(self._frames, shares, WORKING_LINES)
        return frames, {lines: _cut(stack, shares, lines) for lines, stack in self._views.items()}, shares

    def _choose_grid(self, until: float, arriving: tuple[float, RGB] | None) -> None:
        """Give every grid time up to `until` its nearest distinct frame: the last kept one or the arriving one."""
        while self._next_grid / GRID_PER_SECOND <= until + 1e-9:
            due = self._next_grid / GRID_PER_SECOND
            self._next_grid += 1
            nearer = arriving is not None and (not self.times or arriving[0] - due < due - self.times[-1] - 1e-9)
            index = len(self.times) if nearer else len(self.times) - 1
            if self.grid and self.grid[-1] == index:
                continue
            rgb = arriving[1] if nearer and arriving is not None else self._previous
            assert rgb is not None
            self.grid.append(index)
            for lines in self.lines:
                self._views[lines].put(rgb, self._size(rgb, lines))
                self._views[lines].count += 1

    def _size(self, rgb: RGB, lines: int) -> tuple[int, int]:
        """Of the whole frame with square pixels, and a content short side of at most `lines`."""
        height, width = rgb.shape[:2]
        top, bottom, left, right = self._content
        squeeze_H = min(1.0, 1 / self.sample_aspect_ratio)
        squeeze_W = min(1.0, self.sample_aspect_ratio)
        shown = ((bottom - top) * squeeze_H, (right - left) * squeeze_W)
        scale = min(_scale(shown, lines), BARS_SCALE_LIMIT * _scale((height * squeeze_H, width * squeeze_W), lines))
        return max(1, round(height * squeeze_H * scale)), max(1, round(width * squeeze_W * scale))


def content_box(brightest: npt.NDArray[np.uint8]) -> Box:
    """Where the picture is, given the brightest luma (H, W) that each pixel ever had; the whole frame when there are no bars."""
    rows = _content_range(brightest, axis=0)
    columns = _content_range(brightest[rows[0] : rows[1]], axis=1)
    return rows[0], rows[1], columns[0], columns[1]


def _content_range(brightest: npt.NDArray[np.uint8], axis: int) -> tuple[int, int]:
    lines = brightest if axis == 0 else brightest.T
    lit = np.flatnonzero(lines.max(axis=1) > BAR_LUMA)
    count = len(lines)
    if lit.size == 0 or lit[-1] + 1 - lit[0] < count // 4:
        return 0, count
    first, last = int(lit[0]), int(lit[-1]) + 1
    # Scaling blurs a bar's edge over a line or two, so the second line inside is asked, and the first is given up with the bar.
    start = first + 1 if first >= 2 and _is_edge(lines[first + 1 : first + 3]) else 0
    end = last - 1 if count - last >= 2 and _is_edge(lines[last - 3 : last - 1]) else count
    return start, end


def _is_edge(lines: npt.NDArray[np.uint8]) -> bool:
    return bool((lines.max(axis=0) > BAR_LIT_LUMA).mean() >= BAR_LIT_SHARE)


def _luma(rgb: RGB) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _scale(size_HW: tuple[float, float], lines: int) -> float:
    limit = LONG_SIDE_LIMIT * lines / WORKING_LINES
    return min(1.0, lines / min(size_HW), limit / max(size_HW))


def shrink(rgb: RGB, size_HW: tuple[int, int], out: RGB | None = None) -> RGB:
    """Resize (H, W, 3) to a smaller size, into `out` if given: halved by averages while it can be, the rest bilinearly.

    Half a grey level from OpenCV's exact area resizing on usual footage (2.5 on dithered pictures) at a fifth of its cost, and
    without the bias of swscale's.
    """
    factor = min(rgb.shape[0] / size_HW[0], rgb.shape[1] / size_HW[1])
    while factor >= 2 - HALVING_SLACK:
        height, width = rgb.shape[0] // 2, rgb.shape[1] // 2
        last = out if (height, width) == size_HW else None
        halves = rgb[: 2 * height, : 2 * width]
        rgb = np.asarray(cv2.resize(halves, (width, height), dst=last, interpolation=cv2.INTER_AREA), np.uint8)
        factor /= 2
    if rgb.shape[:2] == size_HW:
        if out is not None and rgb is not out:
            np.copyto(out, rgb)
        return rgb if out is None else out
    if factor > BLUR_OVER_FACTOR:
        rgb = np.asarray(cv2.GaussianBlur(rgb, (3, 3), 0), np.uint8)
    return np.asarray(cv2.resize(rgb, size_HW[::-1], dst=out, interpolation=cv2.INTER_LINEAR), np.uint8)


def _cut(stack: _Stack, shares_TBLR: tuple[float, float, float, float], lines: int) -> Frames:
    height, width = stack.size_HW
    top, bottom = round(height * shares_TBLR[0]), height - round(height * shares_TBLR[1])
    left, right = round(width * shares_TBLR[2]), width - round(width * shares_TBLR[3])
    return stack.frames((slice(top, bottom), slice(left, right)), lines)
