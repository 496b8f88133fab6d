"""Which size a video gets from that of its image: the rules of the official code, without torch. Sizes are (height, width)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wanbench.errors import UsageError

Size = tuple[int, int]


@dataclass(frozen=True)
class Fit:
    """How an image is brought to a size: resized to cover it, then cropped in the middle."""

    size: Size
    resize: Size
    top: int
    left: int


def latent_size(image: Size, area: int, *, stride: int = 8, patch: int = 2) -> Size:
    """Latent rows and columns for an image of any size and at most about `area` pixels (image-to-video, first-last-frame).

    Nothing is cropped: the image is squeezed to this times `stride`.
    """
    # In this order of operations: an image of 832x480 gets 58 rows, not 60, and a video of the official code has this size.
    ratio = image[0] / image[1]
    rows = math.sqrt(area * ratio) // stride // patch * patch
    columns = math.sqrt(area / ratio) // stride // patch * patch
    if not rows or not columns:
        raise UsageError(f"an image of {image[1]}x{image[0]} pixels is too narrow for a video of {area} pixels: crop it")
    return int(rows), int(columns)


def covering_fit(image: Size, area: int, *, step: int = 32) -> Fit:
    """Size in multiples of `step`, at most `area` pixels and nearest to the image's shape, and how to get there (Wan2.2 5B)."""
    height, width = image
    ratio = width / height
    ideal_width = (area * ratio) ** 0.5
    ideal_height = area / ideal_width
    if min(ideal_width, ideal_height) < step:
        raise UsageError(f"an image of {width}x{height} pixels is too narrow for a video of {area} pixels: crop it")
    width_first = int(ideal_width // step * step)
    height_first = int(ideal_height // step * step)
    by_width = (int(area / width_first // step * step), width_first)
    by_height = (height_first, int(area / height_first // step * step))

    def distance(size: Size) -> float:
        other = size[1] / size[0]
        return max(ratio / other, other / ratio)

    size = by_width if distance(by_width) < distance(by_height) else by_height
    scale = max(size[1] / width, size[0] / height)
    resize = (round(height * scale), round(width * scale))
    return Fit(size, resize, (resize[0] - size[0]) // 2, (resize[1] - size[1]) // 2)


def speech_size(image: Size, area: int, *, step: int = 64) -> Size:
    """Size in multiples of `step` near the image's, at most `area` pixels (Wan2.2 speech-to-video)."""
    height, width = image
    if height * width <= area:
        low, high = 0.1, 1.0
    else:
        a, b, c = height * width, (step - 1) * (height + width), (step - 1) ** 2 - area
        # 2ac where a root would want 4ac: as in the official code, whose sizes these are.
        low, high = (-b + math.sqrt(b * b - 2 * a * c)) / (2 * a), math.sqrt(area / (height * width))
    for i in range(100):
        scale = high - (high - low) * i / 100
        size = _round_up(int(height * scale), step), _round_up(int(width * scale), step)
        if size[0] * size[1] <= area:
            return size
    size = int(math.sqrt(area * height / width) // step * step), int(math.sqrt(area * width / height) // step * step)
    if size[0] >= height or size[1] >= width:
        return height // step * step, width // step * step
    return size


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
