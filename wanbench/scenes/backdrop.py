"""Painted pictures that look roughly like photographs: hills, sea, city, garden, and a mosaic that has texture everywhere.

Ours. Sums of noise octaves (amplitude falling with frequency, as in photographs), lit slopes, haze and perspective; nothing is
downloaded. A picture is larger than a frame, so that a camera can move over it. Sizes in pixels, colours as RGB in 0-1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

Backdrop = Literal["hills", "sea", "city", "garden", "mosaic"]
BACKDROPS: tuple[Backdrop, ...] = get_args(Backdrop)
Plane = npt.NDArray[np.float32]
"""(H, W) or (H, W, 3), mostly in 0-1."""
Colour = tuple[float, float, float]
Rng = np.random.Generator

LENS_BLUR_PX = 0.55
"""No lens resolves single pixels; a picture that did would flicker when sampled between them."""


def paint(backdrop: Backdrop, size_HW: tuple[int, int], rng: Rng) -> npt.NDArray[np.uint8]:
    """A picture (H, W, 3) uint8 RGB; the same size and generator state give the same bytes."""
    picture = PAINTERS[backdrop](size_HW, rng)
    picture = picture * (0.985 + 0.03 * noise(size_HW, rng, cell=3, octaves=2)[..., None])
    picture = smoothed(picture, LENS_BLUR_PX)
    return np.asarray(np.clip(picture * 255 + 0.5, 0, 255), np.uint8)


def noise(size_HW: tuple[int, int], rng: Rng, *, cell: float, octaves: int, stretch: float = 1.0, gain: float = 0.55) -> Plane:
    """Noise in 0-1 (mean 0.5): octaves of smooth random grids, the coarsest with cells of `cell` px, `stretch` times as wide."""
    height, width = size_HW
    total, weight, amplitude = np.zeros(size_HW, np.float32), 0.0, 1.0
    for _ in range(octaves):
        rows, columns = max(2, round(height / cell) + 1), max(2, round(width / (cell * stretch)) + 1)
        grid = rng.random((rows, columns), dtype=np.float32)
        total += amplitude * np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
        weight, amplitude, cell = weight + amplitude, amplitude * gain, cell / 2
        if cell < 2:
            break
    spread = float(np.std(total)) or 1.0
    return np.asarray(np.clip(0.5 + (total - float(np.mean(total))) / (5 * spread), 0, 1), np.float32)


def ridge(width: int, rng: Rng, *, cell: float, octaves: int = 6) -> Plane:
    """A skyline in 0-1, (W,)."""
    return np.asarray(noise((4, width), rng, cell=cell, octaves=octaves, gain=0.5)[1], np.float32)


def smoothed(plane: Plane, sigma_px: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma_px), np.float32)


def smoothstep(value: Any, low: float, high: float) -> Plane:
    t = np.clip((np.asarray(value, np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def mix(a: Any, b: Any, share: Plane) -> Plane:
    """`a` where share is 0, `b` where it is 1; `a` and `b` colours or pictures."""
    share = share[..., None]
    return np.asarray(np.asarray(a, np.float32) * (1 - share) + np.asarray(b, np.float32) * share, np.float32)


def lit(height: Plane, *, strength: float) -> Plane:
    """Light from the upper left on a relief: about 1, brighter on slopes that face it."""
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3) * 0.7 + cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3)
    return np.asarray(np.clip(1 + strength * slope, 0.35, 1.8), np.float32)


def rows(size_HW: tuple[int, int]) -> Plane:
    return np.arange(size_HW[0], dtype=np.float32)[:, None]


def below(size_HW: tuple[int, int], edge_W: Plane) -> Plane:
    """1 below the line `edge_W` (a y per column), 0 above, with a soft pixel between."""
    return np.asarray(np.clip(rows(size_HW) - edge_W[None, :] + 0.5, 0, 1), np.float32)


def sky(size_HW: tuple[int, int], rng: Rng, *, top: Colour, low: Colour, cloud: Colour, cover: float, horizon: float) -> Plane:
    """A gradient to the horizon (a share of the height) with lit clouds that flatten towards it."""
    down = np.broadcast_to(np.clip(rows(size_HW) / (horizon * size_HW[0]), 0, 1), size_HW)
    picture = mix(top, low, np.asarray(down, np.float32) ** np.float32(0.8))
    size = size_HW[0] / 8
    field = noise(size_HW, rng, cell=size, octaves=7, stretch=2.0, gain=0.62)
    density = smoothstep(field, 0.60 - 0.35 * cover, 0.95 - 0.3 * cover) * np.float32(0.95)
    shade = lit(smoothed(field, size / 40), strength=size / 9)
    bright = np.asarray(cloud, np.float32) * (0.66 + 0.3 * smoothed(shade, size / 30)[..., None])
    return mix(picture, bright, density)


def ground(
    size_HW: tuple[int, int], rng: Rng, *, horizon_px: float, cell: float, stretch: float = 1.0, octaves: int = 6
) -> Plane:
    """Noise on a plane that runs to the horizon: coarse in front, fine far away (faded there instead of aliased)."""
    height, width = size_HW
    tile = noise((1024, 1024), rng, cell=cell, octaves=octaves, gain=0.62)
    depth = np.maximum(rows(size_HW) - np.float32(horizon_px), 0.5) / np.float32(height * 0.35)
    u = (np.arange(width, dtype=np.float32)[None, :] - width / 2) / (depth * stretch) * np.float32(1.2) + np.float32(2300)
    v = np.broadcast_to(np.float32(420) / depth, size_HW)
    # The tile is mirrored at its borders; the offset keeps the mirror line of u = 0 out of the middle of the picture.
    flat = cv2.remap(tile, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(0.5 + (flat - 0.5) * smoothstep(depth, 0.03, 0.5), np.float32)


def discs(picture: Plane, rng: Rng, *, at_XY: Any, radius: Any, colours: Any, strength: float = 1.0) -> None:
    """Shaded balls drawn in place, in the order given: crowns of trees, shrubs, flowers."""
    height, width = picture.shape[:2]
    for (x, y), r, colour in zip(at_XY, radius, colours, strict=True):
        x0, x1, y0, y1 = int(max(x - r - 1, 0)), int(min(x + r + 2, width)), int(max(y - r - 1, 0)), int(min(y + r + 2, height))
        if x1 <= x0 or y1 <= y0:
            continue
        dx = (np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(x)) / np.float32(r)
        dy = (np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(y)) / np.float32(r)
        cover = np.clip((1 - np.sqrt(dx * dx + dy * dy)) * np.float32(r) * 0.7 + 0.3, 0, 1) * np.float32(strength)
        light = np.clip(0.8 - 0.4 * dx * 0.6 - 0.5 * dy, 0.3, 1.35)[..., None]
        picture[y0:y1, x0:x1] += (np.asarray(colour, np.float32) * light - picture[y0:y1, x0:x1]) * cover[..., None]


def trees(picture: Plane, rng: Rng, *, line_W: Plane, count: int, size: float, green: Colour) -> None:
    """Round crowns standing on a line (a y per column), each made of leafy balls, back to front."""
    width = picture.shape[1]
    for x in np.sort(rng.uniform(0, width, count)):
        tall = size * rng.uniform(0.6, 1.3)
        foot, tint = float(line_W[int(x)]) + size * rng.uniform(-0.1, 0.35), rng.uniform(0.65, 1.15)
        n = int(np.clip(tall * 3, 50, 260))
        around = np.clip(rng.normal(0, 0.27, (n, 2)), -0.55, 0.55) * (tall, tall * 0.8)
        around = around[np.argsort(-around[:, 1])]
        colours = np.asarray(green)[None] * tint * rng.uniform(0.6, 1.45, (n, 1)) * rng.uniform(0.9, 1.1, (n, 3))
        trunk = (int(x), int(foot - tall * 0.5)), (int(x), int(foot + tall * 0.35))
        cv2.line(picture, *trunk, (0.2, 0.15, 0.1), max(1, int(tall / 12)), cv2.LINE_AA)
        discs(
            picture,
            rng,
            at_XY=around + np.asarray((x, foot - tall * 0.75)),
            radius=rng.uniform(0.35, 1.0, n) * tall / n**0.45,
            colours=colours,
        )


def mountains(picture: Plane, rng: Rng, *, base: float, tall: float, near: Colour, haze: Colour, layers: int) -> Plane:
    """Layers of lit slopes from far (hazy) to near, drawn in place; returns the nearest skyline (W,)."""
    size_HW = (picture.shape[0], picture.shape[1])
    height, width = size_HW
    edge = np.zeros(width, np.float32)
    for layer in range(layers):
        close = (layer + 1) / layers
        edge = (
            base + 0.16 * layer / layers - tall * (1.25 - 0.8 * close) * (ridge(width, rng, cell=height * 0.55) - 0.25)
        ) * height
        relief = noise(size_HW, rng, cell=height * 0.11, octaves=6, gain=0.62)
        colour = (
            np.asarray(near)
            * (0.65 + 0.55 * relief[..., None])
            * lit(smoothed(relief, height / 400), strength=height / 130)[..., None]
        )
        hazy = np.full(size_HW, 0.85 * (1 - close) ** 0.8, np.float32)
        picture[:] = mix(picture, mix(colour, haze, hazy), below(size_HW, edge))
    return edge


def hills(size_HW: tuple[int, int], rng: Rng) -> Plane:
    warm = rng.uniform(0, 1)
    low: Colour = (0.80 + 0.14 * warm, 0.83, 0.88 - 0.14 * warm)
    picture = sky(size_HW, rng, top=(0.22, 0.42, 0.72), low=low, cloud=(1.0, 0.98, 0.95), cover=0.45, horizon=0.5)
    edge = mountains(picture, rng, base=0.47, tall=0.22, near=(0.28, 0.36, 0.16), haze=low, layers=4)
    height = size_HW[0]
    meadow = ground(size_HW, rng, horizon_px=height * 0.42, cell=60, octaves=8)
    patches = noise(size_HW, rng, cell=height * 0.12, octaves=4, stretch=4)
    colour = mix((0.30, 0.42, 0.13), (0.62, 0.58, 0.26), smoothstep(patches, 0.4, 0.65)) * (0.55 + 0.9 * meadow[..., None])
    picture = mix(picture, colour, below(size_HW, edge + height * 0.09))
    for row in range(4):
        line = edge + height * (0.085 + 0.055 * row * (1 + row * 0.35))
        trees(picture, rng, line_W=line, count=22 - 4 * row, size=height * (0.022 + 0.017 * row), green=(0.20, 0.33, 0.11))
    return picture


def sea(size_HW: tuple[int, int], rng: Rng) -> Plane:
    low: Colour = (0.98, 0.80, 0.62)
    picture = sky(size_HW, rng, top=(0.27, 0.40, 0.66), low=low, cloud=(1.0, 0.90, 0.82), cover=0.5, horizon=0.5)
    height, width = size_HW
    horizon = 0.49 * height
    mountains(picture, rng, base=0.475, tall=0.10, near=(0.30, 0.30, 0.33), haze=(0.85, 0.72, 0.66), layers=3)
    waves = ground(size_HW, rng, horizon_px=horizon, cell=42, stretch=2.6, octaves=6)
    depth = np.broadcast_to(np.clip((rows(size_HW) - horizon) / (0.4 * height), 0, 1), size_HW).astype(np.float32)
    water = mix((0.66, 0.62, 0.60), (0.07, 0.27, 0.36), depth ** np.float32(0.45)) * (0.60 + 0.8 * waves[..., None])
    across = np.exp(-(((np.arange(width) / width - 0.5) / 0.16) ** 2)).astype(np.float32)[None, :]
    glitter = smoothstep(waves, 0.58, 0.74) * (0.25 + 0.75 * across) * (1 - 0.55 * depth)
    water = mix(water, (1.0, 0.92, 0.78), glitter)
    foam = smoothstep(ground(size_HW, rng, horizon_px=horizon, cell=30, stretch=3), 0.72, 0.86) * depth
    picture = mix(
        picture, mix(water, (0.92, 0.96, 0.96), foam * np.float32(0.7)), below(size_HW, np.full(width, horizon, np.float32))
    )
    shore = (0.86 + 0.05 * (ridge(width, rng, cell=height * 0.5) - 0.5)) * height
    sand = np.asarray((0.80, 0.68, 0.49)) * (0.72 + 0.5 * noise(size_HW, rng, cell=24, octaves=5)[..., None])
    return mix(picture, sand, below(size_HW, shore))


def city(size_HW: tuple[int, int], rng: Rng) -> Plane:
    low: Colour = (0.96, 0.72, 0.52)
    picture = sky(size_HW, rng, top=(0.24, 0.30, 0.52), low=low, cloud=(0.98, 0.78, 0.70), cover=0.4, horizon=0.55)
    height = size_HW[0]
    for layer in range(4):
        close = (layer + 1) / 4
        _houses(picture, rng, top=0.36 + 0.075 * layer, spread=0.13, wide=height * (0.05 + 0.035 * layer), haze=low, close=close)
    street = ground(size_HW, rng, horizon_px=height * 0.6, cell=50, stretch=1.5, octaves=6)
    foot = np.full(size_HW[1], 0.80 * height, np.float32)
    water = mix((0.42, 0.36, 0.38), (0.95, 0.66, 0.42), smoothstep(street, 0.52, 0.75)) * (0.6 + 0.6 * street[..., None])
    picture = mix(picture, water, below(size_HW, foot))
    trees(picture, rng, line_W=foot, count=34, size=height * 0.05, green=(0.17, 0.24, 0.12))
    return picture


def _houses(picture: Plane, rng: Rng, *, top: float, spread: float, wide: float, haze: Colour, close: float) -> None:
    """One row of fronts with windows, some lit, drawn in place; far rows are hazy."""
    height, width = picture.shape[:2]
    x = -rng.uniform(0, wide)
    while x < width:
        w, y0 = wide * rng.uniform(0.6, 1.5), int(height * (top + spread * rng.uniform(-1, 0.8)))
        x0, x1 = int(max(x, 0)), int(min(x + w, width))
        x += w * rng.uniform(0.92, 1.25)
        if x1 - x0 < 3:
            continue
        base = np.asarray([(0.52, 0.38, 0.32), (0.42, 0.42, 0.48), (0.66, 0.56, 0.45), (0.34, 0.36, 0.42)][int(rng.integers(4))])
        front = np.ones((height - y0, x1 - x0, 1), np.float32) * base * rng.uniform(0.75, 1.15)
        front = front * np.linspace(1.12, 0.8, x1 - x0)[None, :, None] * (0.85 + 0.3 * rng.random())
        pitch = max(5.0, wide * rng.uniform(0.11, 0.17))
        yy, xx = np.mgrid[0 : height - y0, 0 : x1 - x0].astype(np.float32) / np.float32(pitch)
        window = (xx % 1 > 0.28) & (xx % 1 < 0.76) & (yy % 1.3 > 0.35) & (yy % 1.3 < 1.0) & (yy > 0.6)
        n = (int(yy.max() / 1.3) + 2, int(xx.max()) + 2)
        shine = rng.random(n) ** 3
        bright = shine[(yy / 1.3).astype(int), xx.astype(int)][..., None]
        pane = (1 - bright) * np.asarray((0.16, 0.19, 0.26)) + bright * np.asarray((1.0, 0.84, 0.52))
        front = np.where(window[..., None], pane, front)
        front[: max(1, int(pitch / 5))] *= 1.25
        front *= 0.9 + 0.2 * noise((height - y0, x1 - x0), rng, cell=max(6.0, wide / 4), octaves=4)[..., None]
        share = np.full((height - y0, x1 - x0), 0.78 * (1 - close), np.float32)
        picture[y0:, x0:x1] = mix(front, haze, share)


def garden(size_HW: tuple[int, int], rng: Rng) -> Plane:
    low: Colour = (0.90, 0.93, 0.93)
    picture = sky(size_HW, rng, top=(0.30, 0.55, 0.85), low=low, cloud=(1, 1, 1), cover=0.5, horizon=0.45)
    height, width = size_HW
    edge = mountains(picture, rng, base=0.44, tall=0.12, near=(0.22, 0.36, 0.15), haze=(0.75, 0.82, 0.80), layers=2)
    lawn = ground(size_HW, rng, horizon_px=height * 0.36, cell=26, octaves=7)
    tint = noise(size_HW, rng, cell=height * 0.1, octaves=4, stretch=3)
    grass = mix((0.20, 0.37, 0.10), (0.52, 0.60, 0.22), tint) * (0.45 + 1.1 * lawn[..., None])
    picture = mix(picture, grass, below(size_HW, edge + height * 0.03))
    trees(picture, rng, line_W=edge + height * 0.04, count=48, size=height * 0.06, green=(0.20, 0.38, 0.12))
    trees(picture, rng, line_W=edge + height * 0.10, count=7, size=height * 0.13, green=(0.26, 0.44, 0.13))
    palette = np.asarray([(0.93, 0.25, 0.30), (0.98, 0.80, 0.20), (0.95, 0.95, 0.97), (0.72, 0.36, 0.78), (0.98, 0.55, 0.25)])
    beds = noise(size_HW, rng, cell=height * 0.14, octaves=3, stretch=2)
    n = 5200
    y = height * (0.57 + 0.43 * rng.random(n) ** 1.3)
    x = rng.uniform(0, width - 1, n)
    kept = beds[y.astype(int), x.astype(int)] > 0.5
    order = np.argsort(y[kept])
    x, y = x[kept][order], y[kept][order]
    kind = (beds[y.astype(int), x.astype(int)] * 37).astype(int) % len(palette)
    colours = palette[kind] * rng.uniform(0.8, 1.1, (len(x), 1))
    radius = height * 0.0016 + (y - 0.52 * height) * rng.uniform(0.014, 0.026, len(x))
    discs(picture, rng, at_XY=np.stack([x, y], 1), radius=radius, colours=colours)
    return picture


def mosaic(size_HW: tuple[int, int], rng: Rng) -> Plane:
    """Coloured regions with sharp borders under 1/f noise: no sky, so that every part of the picture can be tracked."""
    height = size_HW[0]
    warp = [noise(size_HW, rng, cell=height * 0.12, octaves=5) for _ in range(2)]
    field = noise(size_HW, rng, cell=height * 0.22, octaves=3)
    index = ((field * 9 + warp[0] * 3).astype(int) * 3 + (warp[1] * 4).astype(int)) % 12
    hue = rng.permutation(12) / 12 * 2 * np.pi
    palette = 0.45 + 0.13 * np.stack([np.cos(hue), np.cos(hue + 2.1), np.cos(hue + 4.2)], 1) + rng.uniform(-0.12, 0.12, (12, 1))
    fine = noise(size_HW, rng, cell=height * 0.12, octaves=7, gain=0.62)
    return np.asarray(
        palette[index] * (0.45 + 1.1 * fine[..., None]) * lit(smoothed(fine, 1.0), strength=1.2)[..., None],
        np.float32,
    )


PAINTERS: Mapping[Backdrop, Callable[[tuple[int, int], Rng], Plane]] = {
    "hills": hills, "sea": sea, "city": city, "garden": garden, "mosaic": mosaic,
}  # fmt: skip
