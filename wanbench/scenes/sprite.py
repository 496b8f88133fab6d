"""Painted things that move in front of a backdrop: balloon, boat, bird, kite, ball, and a textured blob.

Ours. Drawn large and reduced, so that edges are soft; colours are multiplied by coverage, so that they can be interpolated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from wanbench.scenes.backdrop import Plane, Rng, noise, smoothstep

Kind = Literal["balloon", "boat", "bird", "kite", "ball", "blob"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SUPERSAMPLED = 4
MARGIN = 0.12
"""Of the side, left free around the drawing, so that a wobble does not cut it off."""
BRIGHT = np.asarray(
    [(0.90, 0.22, 0.20), (0.98, 0.78, 0.16), (0.16, 0.48, 0.82), (0.96, 0.95, 0.90), (0.20, 0.62, 0.42), (0.95, 0.50, 0.15)]
)


def paint(kind: Kind, side_px: int, rng: Rng) -> npt.NDArray[np.uint8]:
    """A square (side_px, side_px, 4) uint8: RGB multiplied by coverage, and coverage."""
    side = max(8, side_px) * SUPERSAMPLED
    colour, cover = DRAWN[kind](side, rng)
    relief = noise((side, side), rng, cell=side / 5, octaves=6)
    colour = np.clip(colour * (0.84 + 0.32 * relief[..., None]), 0, 1)
    image = np.concatenate([colour * cover[..., None], cover[..., None]], axis=2).astype(np.float32)
    small = cv2.resize(image, (max(8, side_px), max(8, side_px)), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(small * 255 + 0.5, 0, 255), np.uint8)


def _axes(side: int) -> tuple[Plane, Plane]:
    """x to the right and y down, -1 to 1 over the part inside the margin."""
    line = (np.arange(side, dtype=np.float32) + 0.5) / np.float32(side) * 2 - 1
    x, y = np.meshgrid(line / np.float32(1 - 2 * MARGIN), line / np.float32(1 - 2 * MARGIN))
    return x, y


def _polygon(side: int, points: list[tuple[float, float]]) -> Plane:
    corners = (np.asarray(points) * (1 - 2 * MARGIN) + 1) / 2 * side
    mask = np.zeros((side, side), np.float32)
    cv2.fillPoly(mask, [corners.round().astype(np.int32)], 1.0)
    return mask


def _over(colour: Plane, cover: Plane, paint: npt.NDArray[np.floating], mask: Plane) -> tuple[Plane, Plane]:
    return (colour * (1 - mask[..., None]) + paint * mask[..., None]).astype(np.float32), np.maximum(cover, mask)


def _blank(side: int) -> tuple[Plane, Plane]:
    return np.zeros((side, side, 3), np.float32), np.zeros((side, side), np.float32)


def _shaded(x: Plane, y: Plane) -> Plane:
    """Light on a ball of radius 1 from the upper left, as a factor."""
    z = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    return np.asarray(0.38 + 0.78 * np.clip(-0.45 * x - 0.55 * y + 0.72 * z, 0, 1.2), np.float32)[..., None]


def _two(rng: Rng) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    first, second = rng.choice(len(BRIGHT), 2, replace=False)
    return BRIGHT[first], BRIGHT[second]


def _balloon(side: int, rng: Rng) -> tuple[Plane, Plane]:
    x, y = _axes(side)
    colour, cover = _blank(side)
    a, b = _two(rng)
    for left, right in ((-0.2, -0.13), (0.2, 0.13)):
        colour, cover = _over(
            colour, cover, np.full(3, 0.25), _polygon(side, [(left, 0.4), (left + 0.02, 0.4), (right + 0.02, 0.8), (right, 0.8)])
        )
    basket = _polygon(side, [(-0.16, 0.78), (0.16, 0.78), (0.13, 0.99), (-0.13, 0.99)])
    colour, cover = _over(colour, cover, np.asarray((0.45, 0.29, 0.15)), basket)
    up = (y + 0.3) / np.float32(0.7)
    girth = np.where(
        up > 0, np.sqrt(np.clip(1 - up * up, 0, 1)) * 0.35 + (1 - up) * 0.42, np.sqrt(np.clip(1 - up * up, 0, 1)) * 0.77
    )
    girth = np.maximum(girth, 1e-3)
    across = np.clip(x / girth, -1, 1)
    stripe = (np.floor((np.arcsin(across) / np.pi + 0.5) * 8) % 2)[..., None]
    skin = (a * stripe + b * (1 - stripe)) * _shaded(x / np.float32(0.82), up * np.float32(0.9))
    return _over(colour, cover, skin, ((np.abs(x) < girth) & (up > -1) & (up < 1.0)).astype(np.float32))


def _boat(side: int, rng: Rng) -> tuple[Plane, Plane]:
    x, y = _axes(side)
    colour, cover = _blank(side)
    a, b = _two(rng)
    main = _polygon(side, [(0.02, -0.98), (0.06, 0.52), (0.80, 0.46), (0.5, -0.1)])
    jib = _polygon(side, [(-0.05, -0.80), (-0.06, 0.5), (-0.75, 0.50)])
    cloth = np.asarray((0.97, 0.94, 0.88)) * (1.02 - 0.25 * (x[..., None] + 0.3) + 0.06 * np.sin(y[..., None] * 9))
    colour, cover = _over(colour, cover, cloth, main)
    colour, cover = _over(colour, cover, (0.55 * a + 0.4) * (0.95 + 0.2 * x[..., None]), jib)
    colour, cover = _over(
        colour, cover, np.asarray((0.3, 0.2, 0.12)), _polygon(side, [(-0.03, -1), (0.02, -1), (0.04, 0.62), (-0.03, 0.62)])
    )
    hull = _polygon(side, [(-0.98, 0.56), (0.92, 0.60), (0.66, 0.96), (-0.62, 0.96)])
    planks = np.where((y > 0.66)[..., None], b * 0.75, np.asarray((0.93, 0.9, 0.85))) * (1.15 - 0.45 * (y[..., None] - 0.5))
    return _over(colour, cover, planks, hull)


def _bird(side: int, rng: Rng) -> tuple[Plane, Plane]:
    x, y = _axes(side)
    colour, cover = _blank(side)
    tone = np.asarray((0.93, 0.93, 0.95)) if rng.random() < 0.6 else np.asarray((0.22, 0.22, 0.27))
    wing = np.abs(y + np.float32(0.34) * np.sin(np.abs(x) * np.float32(2.7))) < 0.15 * np.clip(1 - np.abs(x), 0, 1) ** 0.6
    tips = smoothstep(np.abs(x), 0.6, 0.95)[..., None]
    colour, cover = _over(colour, cover, tone * (1 - 0.7 * tips) * (0.8 - 0.9 * (y[..., None])), wing.astype(np.float32))
    body = (x / 0.16) ** 2 + ((y - 0.03) / 0.17) ** 2 < 1
    colour, cover = _over(colour, cover, tone * _shaded(x / np.float32(0.2), y / np.float32(0.2)), body.astype(np.float32))
    beak = _polygon(side, [(-0.04, 0.14), (0.04, 0.14), (0.0, 0.30)])
    return _over(colour, cover, np.asarray((0.95, 0.62, 0.15)), beak)


def _kite(side: int, rng: Rng) -> tuple[Plane, Plane]:
    x, y = _axes(side)
    colour, cover = _blank(side)
    a, b = _two(rng)
    checked = ((x > 0) ^ (y > -0.3))[..., None]
    colour, cover = _over(
        colour,
        cover,
        np.where(checked, a, b) * (1 - 0.2 * y[..., None]),
        _polygon(side, [(0, -1), (0.55, -0.3), (0, 0.5), (-0.55, -0.3)]),
    )
    tail = (np.abs(x - 0.16 * np.sin((y - 0.5) * 14)) < 0.035 + 0.05 * (np.sin((y - 0.5) * 40) > 0.6)) & (y > 0.48) & (y < 1)
    return _over(colour, cover, b * 0.9, tail.astype(np.float32))


def _ball(side: int, rng: Rng) -> tuple[Plane, Plane]:
    x, y = _axes(side)
    a, b = _two(rng)
    inside = (x * x + y * y < 1).astype(np.float32)
    panel = (np.floor((np.arctan2(y + 0.35, x - 0.2) / np.pi + 1) * 3) % 2)[..., None]
    gloss = np.exp(-(((x + 0.38) ** 2 + (y + 0.45) ** 2) / 0.03))[..., None] * 0.7
    return _over(*_blank(side), (a * panel + b * (1 - panel)) * _shaded(x, y) + gloss, inside)


def _blob(side: int, rng: Rng) -> tuple[Plane, Plane]:
    x, y = _axes(side)
    a, b = _two(rng)
    angle, bumps = np.arctan2(y, x), rng.uniform(0, 2 * np.pi, 4)
    radius = 0.82 + sum(0.06 * np.sin((k + 2) * angle + phase) for k, phase in enumerate(bumps))
    fine = noise((side, side), rng, cell=side / 6, octaves=7, gain=0.7)[..., None]
    share = (fine > 0.5) * 1.0
    skin = (a * share + b * (1 - share)) * (0.5 + fine) * _shaded(x, y)
    return _over(*_blank(side), skin, (np.hypot(x, y) < radius).astype(np.float32))


DRAWN: Mapping[Kind, Callable[[int, Rng], tuple[Plane, Plane]]] = {
    "balloon": _balloon, "boat": _boat, "bird": _bird, "kite": _kite, "ball": _ball, "blob": _blob,
}  # fmt: skip
