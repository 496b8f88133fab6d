"""Scenes with exactly known motion: a camera over a painted picture, things moving in front, and damage if asked.

Ours. Motion is a function of time in seconds, so that a scene at 8 and at 60 frames per second is the same scene, in the units of
the dimensions: pan in widths, tilt in heights, zoom in half the logarithm of scale, each per second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from wanbench.scenes import backdrop, damage, sprite
from wanbench.scenes.damage import Frame, Timed

Movement = Literal["static", "pan-left", "pan-right", "tilt-up", "tilt-down", "zoom-in", "zoom-out"]
MOVEMENTS: tuple[Movement, ...] = get_args(Movement)

PICTURE_PER_FRAME_HW = (2.2, 2.6)
"""How much larger than the frame the painted picture is; a camera that leaves it sees it mirrored, so motion stays exact."""
WIDE_VIEW, CLOSE_VIEW = 0.5, 1.25
"""Frame pixels per picture pixel where a zoom in and a zoom out begin: both stay near the painted resolution for some seconds."""
HALF_KERNEL = 4
"""Pixels on either side that take part when a picture is shifted by a part of a pixel."""
SHUTTER_SAMPLES = 6
"""Moments averaged while the shutter is open."""
SUBJECT_SHARPNESS = 1.5
"""A subject is painted this much larger than first seen, for a zoom brings it nearer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A thing that moves in a straight line at constant speed."""

    kind: sprite.Kind = "blob"
    size: float = 0.3
    """Side of its square as a share of the frame's height (of the first frame, when `anchored`)."""
    start_XY: tuple[float, float] = (0.5, 0.5)
    """Centre at time 0, as shares of the frame's width and height."""
    velocity_XY: tuple[float, float] = (0.0, 0.0)
    """Frame widths and heights per second, to the right and down."""
    anchored: bool = False
    """It stands in the scene, so that the camera's movement carries it along; otherwise its path is that on the screen."""
    wobble: float = 0.0
    """How far its sides swing up and down, as a share of its size: 0 is rigid, 0.1 flaps a bird's wings."""
    wobble_hertz: float = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What is filmed and how; the damages are those of `wanbench.scenes.damage`, in the order given here."""

    size_HW: tuple[int, int] = (256, 448)
    movement: Movement = "static"
    speed: float = 0.0
    """Pan: widths per second; tilt: heights per second; zoom: half the logarithm of scale per second."""
    picture: backdrop.Backdrop = "mosaic"
    subjects: tuple[Subject, ...] = ()
    shutter_seconds: float = 0.0
    """How long a frame is exposed: motion blur."""
    cuts_seconds: tuple[float, ...] = ()
    """Times at which another picture, with other subjects of the same kinds, takes over; its movement starts anew."""
    shake_px: float = 0.0
    jitter_px: float = 0.0
    flicker: float = 0.0
    noise_sigma: float = 0.0
    bars_TBLR: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.movement not in MOVEMENTS or self.picture not in backdrop.BACKDROPS:
            raise ValueError(
                f"movement {self.movement!r} or picture {self.picture!r} is unknown: {MOVEMENTS}, {backdrop.BACKDROPS}"
            )
        if self.speed < 0 or (self.movement == "static" and self.speed):
            raise ValueError(
                f"speed {self.speed} with movement {self.movement}: the movement names the direction, static has none"
            )
        if min(self.size_HW) < 16 or list(self.cuts_seconds) != sorted(self.cuts_seconds):
            raise ValueError(f"size {self.size_HW} is under 16 px, or cuts {self.cuts_seconds} are not in order")


def render(scene: Scene, *, fps: Fraction | float, seconds: float, seed: int) -> Iterator[Timed]:
    """round(seconds · fps) frames (H, W, 3) uint8 RGB with their times k/fps; the same arguments give the same bytes.

    The picture depends on seed, size and kind of picture alone, so that scenes differ in nothing but what was changed.
    """
    frames = _filmed(scene, Fraction(fps), seconds, seed)
    rng = {name: np.random.default_rng((seed, 1, k)) for k, name in enumerate(("shake", "jitter", "flicker", "noise"))}
    if scene.shake_px:
        frames = damage.shake(frames, amplitude_px=scene.shake_px, rng=rng["shake"])
    if scene.jitter_px:
        frames = damage.jitter(frames, amplitude_px=scene.jitter_px, rng=rng["jitter"])
    if scene.flicker:
        frames = damage.flicker(frames, amplitude=scene.flicker, rng=rng["flicker"])
    if scene.noise_sigma:
        frames = damage.noise(frames, sigma=scene.noise_sigma, rng=rng["noise"])
    if any(scene.bars_TBLR):
        frames = damage.bars(frames, shares_TBLR=scene.bars_TBLR)
    return frames


def _filmed(scene: Scene, fps: Fraction, seconds: float, seed: int) -> Iterator[Timed]:
    begins = (0.0, *scene.cuts_seconds)
    stage, shown = None, -1
    for index in range(round(seconds * fps)):
        time = float(index / fps)
        part = sum(time >= begin for begin in begins) - 1
        if stage is None or part != shown:
            stage, shown = _Stage(scene, seed, part), part
        yield time, stage.exposed(time - begins[part])


@dataclass(frozen=True, slots=True)
class _View:
    """Where the camera looks: screen = (picture − centre) · scale + middle of the frame."""

    centre_XY: tuple[float, float]
    """In picture pixels."""
    scale: float
    """Frame pixels per picture pixel."""


class _Stage:
    """One uncut take: the painted picture and subjects, and what the camera sees of them at a time."""

    def __init__(self, scene: Scene, seed: int, part: int) -> None:
        self.scene = scene
        height, width = scene.size_HW
        self.picture_HW = (round(height * PICTURE_PER_FRAME_HW[0]), round(width * PICTURE_PER_FRAME_HW[1]))
        self.levels = _painted(scene.picture, self.picture_HW, (seed, 0, part))
        self.sprites = []
        for number, subject in enumerate(scene.subjects):
            rng = np.random.default_rng((seed, 2, part, number))
            sharp = SUBJECT_SHARPNESS if subject.anchored else 1.0
            self.sprites.append(_pyramid(sprite.paint(subject.kind, round(subject.size * height * sharp), rng)))
        self.first = self.view(0.0)
        self.last_seen: tuple[_View, Frame] | None = None

    def view(self, seconds: float) -> _View:
        """A pan or tilt starts far enough to one side to have room; the picture's content moves against the camera."""
        speed, (height, width) = self.scene.speed, self.scene.size_HW
        spare_y, spare_x = ((p - f) / 2 for p, f in zip(self.picture_HW, self.scene.size_HW, strict=True))
        x, y, scale = 0.0, 0.0, 1.0
        match self.scene.movement:
            case "pan-left":
                x = 0.8 * spare_x - speed * seconds * width
            case "pan-right":
                x = -0.8 * spare_x + speed * seconds * width
            case "tilt-up":
                y = 0.5 * spare_y - speed * seconds * height
            case "tilt-down":
                y = -0.5 * spare_y + speed * seconds * height
            case "zoom-in":
                scale = WIDE_VIEW * float(np.exp(2 * speed * seconds))
            case "zoom-out":
                scale = CLOSE_VIEW * float(np.exp(-2 * speed * seconds))
        middle_y, middle_x = ((n - 1) / 2 for n in self.picture_HW)
        return _View((middle_x + x, middle_y + y), scale)

    def exposed(self, seconds: float) -> Frame:
        """The frame at a time, averaged over the shutter's opening around it."""
        if not self.scene.shutter_seconds:
            return self.seen(seconds)
        moments = seconds + self.scene.shutter_seconds * ((np.arange(SHUTTER_SAMPLES) + 0.5) / SHUTTER_SAMPLES - 0.5)
        total = np.zeros((*self.scene.size_HW, 3), np.float32)
        for moment in moments:
            cv2.accumulate(self.seen(float(moment)), total)
        return np.asarray(cv2.convertScaleAbs(total, alpha=1 / SHUTTER_SAMPLES), np.uint8)

    def seen(self, seconds: float) -> Frame:
        view = self.view(seconds)
        if self.last_seen is None or self.last_seen[0] != view:
            if view.scale == 1:
                frame = _shifted(self.levels[0], view.centre_XY, self.scene.size_HW)
            else:
                frame = _sampled(self.levels, view.centre_XY, view.scale, self.scene.size_HW, cv2.BORDER_REFLECT_101)
            self.last_seen = (view, frame)
        frame = self.last_seen[1].copy()
        for subject, levels in zip(self.scene.subjects, self.sprites, strict=True):
            self._place(frame, subject, levels, view, seconds)
        return frame

    def _place(self, frame: Frame, subject: Subject, levels: Sequence[Frame], view: _View, seconds: float) -> None:
        height, width = self.scene.size_HW
        side = subject.size * height
        (x0, y0), (vx, vy) = subject.start_XY, subject.velocity_XY
        x, y = (x0 + vx * seconds) * width - 0.5, (y0 + vy * seconds) * height - 0.5
        if subject.anchored:
            grown = view.scale / self.first.scale
            middle = ((width - 1) / 2, (height - 1) / 2)
            x = (x - middle[0]) * grown - (view.centre_XY[0] - self.first.centre_XY[0]) * view.scale + middle[0]
            y = (y - middle[1]) * grown - (view.centre_XY[1] - self.first.centre_XY[1]) * view.scale + middle[1]
            side *= grown
        _draw(frame, levels, (x, y), side, subject.wobble * float(np.sin(2 * np.pi * subject.wobble_hertz * seconds)))


@lru_cache(maxsize=4)
def _painted(picture: backdrop.Backdrop, size_HW: tuple[int, int], seeds: tuple[int, ...]) -> tuple[Frame, ...]:
    """Kept, for painting takes longer than filming, and one picture is often filmed in several ways; nobody writes into it."""
    return _pyramid(backdrop.paint(picture, size_HW, np.random.default_rng(seeds)))


def _pyramid(image: Frame) -> tuple[Frame, ...]:
    """The image and its halvings (each even pixel of the smoothed one before, so that x becomes x/2 exactly)."""
    levels = [image]
    while min(levels[-1].shape[:2]) >= 32 and len(levels) < 6:
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.uint8))
    return tuple(levels)


def _shifted(image: Frame, centre_XY: tuple[float, float], size_HW: tuple[int, int]) -> Frame:
    """`size_HW` pixels of an image at its own scale, its point `centre_XY` in the middle; the image is mirrored at its borders.

    Lagrange's kernel, which reproduces polynomials: OpenCV's cubic does not even a ramp, and puts content up to 0.07 px off, as
    much as a slow pan moves in a frame. One kernel serves every pixel, which also makes it quicker.
    """
    crops, kernels = [], []
    for centre, length, whole in zip(centre_XY, size_HW[::-1], image.shape[1::-1], strict=True):
        start = centre - (length - 1) / 2
        first = int(np.floor(start)) - HALF_KERNEL + 1
        period = 2 * whole - 2
        index = np.abs((np.arange(first, first + length + 2 * HALF_KERNEL - 1) + whole - 1) % period - (whole - 1))
        inside = first >= 0 and first + len(index) <= whole
        crops.append(slice(first, first + len(index)) if inside else index)
        taps = np.arange(1 - HALF_KERNEL, HALF_KERNEL + 1) - (start - np.floor(start))
        apart = taps[:, None] - taps[None, :] + np.eye(len(taps))
        kernels.append(np.prod(np.where(np.eye(len(taps)) > 0, 1, -taps[None, :] / apart), axis=1))
    part = np.ascontiguousarray(image[crops[1]][:, crops[0]])
    anchor = (HALF_KERNEL - 1, HALF_KERNEL - 1)
    filtered = cv2.sepFilter2D(part, cv2.CV_8U, kernels[0], kernels[1], anchor=anchor, borderType=cv2.BORDER_REPLICATE)
    low = HALF_KERNEL - 1
    return np.asarray(filtered[low : low + size_HW[0], low : low + size_HW[1]], np.uint8)


def _sampled(
    levels: Sequence[Frame], centre_XY: tuple[float, float], scale: float, size_HW: tuple[int, int], border: int
) -> Frame:
    """`size_HW` pixels of an image, its point `centre_XY` in the middle, `scale` output pixels per image pixel.

    Cubic interpolation; when the image is reduced, a blend of the two nearest halvings, so that a zoom does not shimmer or jump.
    """
    fine = float(np.clip(-np.log2(scale), 0, len(levels) - 1))
    level, share = int(fine), fine - int(fine)
    sharp = _warped(levels[level], level, centre_XY, scale, size_HW, border)
    if share < 1e-6 or level + 1 >= len(levels):
        return sharp
    soft = _warped(levels[level + 1], level + 1, centre_XY, scale, size_HW, border)
    return np.asarray(cv2.addWeighted(sharp, 1 - share, soft, share, 0), np.uint8)


def _warped(
    image: Frame, level: int, centre_XY: tuple[float, float], scale: float, size_HW: tuple[int, int], border: int
) -> Frame:
    step = 1 / (scale * 2**level)
    x, y = centre_XY[0] / 2**level - step * (size_HW[1] - 1) / 2, centre_XY[1] / 2**level - step * (size_HW[0] - 1) / 2
    matrix = np.array([[step, 0.0, x], [0.0, step, y]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, size_HW[::-1], flags=flags, borderMode=border), np.uint8)


def _draw(frame: Frame, levels: Sequence[Frame], at_XY: tuple[float, float], side: float, swing: float) -> None:
    """Blend a subject, `side` px wide with its centre `at_XY`, into the frame in place; `swing`: see `_bent`."""
    height, width = frame.shape[:2]
    reach = side * (0.5 + abs(swing)) + 2
    x0, x1 = max(0, int(at_XY[0] - reach)), min(width, int(at_XY[0] + reach) + 2)
    y0, y1 = max(0, int(at_XY[1] - reach)), min(height, int(at_XY[1] + reach) + 2)
    if x1 <= x0 or y1 <= y0:
        return
    scale, native = side / levels[0].shape[0], (levels[0].shape[0] - 1) / 2
    middle = ((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2)
    centre = (native + (middle[0] - at_XY[0]) / scale, native + (middle[1] - at_XY[1]) / scale)
    layer = _sampled(levels, centre, scale, (y1 - y0, x1 - x0), cv2.BORDER_CONSTANT)
    if swing:
        layer = _bent(layer, at_XY[0] - x0, side, swing)
    clear = (255 - layer[..., 3:]).astype(np.uint16)
    behind = (frame[y0:y1, x0:x1] * clear + 127) // 255
    frame[y0:y1, x0:x1] = np.minimum(behind + layer[..., :3], 255).astype(np.uint8)


def _bent(layer: Frame, middle_x: float, side: float, swing: float) -> Frame:
    """Columns moved up or down by swing · side · |u|, u = -1 to 1 from the left to the right side."""
    height, width = layer.shape[:2]
    columns = np.arange(width, dtype=np.float32)
    moved = swing * side * np.abs(columns - np.float32(middle_x)) / np.float32(side / 2)
    rows = np.arange(height, dtype=np.float32)[:, None] - moved[None, :].astype(np.float32)
    x: npt.NDArray[np.float32] = np.broadcast_to(columns, (height, width)).astype(np.float32)
    bent = cv2.remap(layer, x, rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(bent, np.uint8)
