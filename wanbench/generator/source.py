"""The video that VACE changes, fitted as the official code does it: one size, and a mask of the same size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from wanbench.generator.sizes import Size

STEP = 16
"""Sides are multiples of it: two latents of eight pixels."""


@dataclass(frozen=True)
class Source:
    """What was read: bytes, RGB."""

    frames: Tensor
    """[T, h, w, 3] uint8"""
    mask: Tensor | None
    """[T, h', w', 3] uint8, white where something is to be made; None: everywhere."""


def source_size(size: Size, area: int) -> Size:
    """Size of the result in multiples of 16, of at most `area` pixels and at most the source's: its shape, rounded in tokens.

    1080p at 832x480 becomes 832x480, which is what the networks were trained on, and not 832x464.
    """
    tokens = min(area // STEP**2, max(1, size[0] // STEP) * max(1, size[1] // STEP))
    rows = min(tokens, max(1, round(math.sqrt(tokens * size[0] / size[1]))))
    return rows * STEP, tokens // rows * STEP


def prepared(source: Source, area_HW: Size) -> tuple[Tensor, Tensor]:
    """Frames [3, T, H, W] in [-1, 1] and mask [1, T, H, W] in [0, 1]; of `area_HW` only the area counts."""
    size = source_size((source.frames.shape[1], source.frames.shape[2]), area_HW[0] * area_HW[1])
    frames = _covered(source.frames, size)
    if source.mask is None:
        return frames, torch.ones(1, *frames.shape[1:])
    mask = (_covered(source.mask, size)[:1] + 1) / 2
    return frames, mask


def _covered(pixels: Tensor, size: Size) -> Tensor:
    """[T, h, w, 3] bytes -> [3, T, *size] in [-1, 1]: bicubic with antialiasing to cover the size, then cropped in the middle."""
    video = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    scale = max(size[0] / video.shape[2], size[1] / video.shape[3])
    height, width = (max(size[i], round(video.shape[2 + i] * scale)) for i in (0, 1))
    if (height, width) != tuple(video.shape[2:]):
        video = functional.interpolate(video, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return video[:, :, top : top + size[0], left : left + size[1]].clamp(-1, 1).transpose(0, 1)
