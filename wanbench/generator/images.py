"""Pixels in and out: images to tensors in [-1, 1], resizing as the official code does it, and frames to bytes."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from wanbench.generator.sizes import Fit, Size


def to_tensor(pixels: Tensor) -> Tensor:
    """pixels [H, W, 3] uint8 -> [3, H, W] float32 in [-1, 1]."""
    return ((pixels.float() / 255) - 0.5).div(0.5).permute(2, 0, 1)


def to_bytes(video: Tensor) -> Tensor:
    """video [3, T, H, W] in [-1, 1], clamped -> [T, H, W, 3] uint8. Truncated, not rounded, as official videos are."""
    return ((video.float().clamp(-1, 1) + 1) / 2 * 255).to(torch.uint8).permute(1, 2, 3, 0)


def squeeze(image: Tensor, size: Size) -> Tensor:
    """image [3, H, W] -> [3, *size]: bicubic without antialiasing, without crop; may leave [-1, 1]."""
    return functional.interpolate(image[None], size=size, mode="bicubic", align_corners=False)[0]


def cover(pixels: Tensor, fit: Fit) -> Tensor:
    """pixels [H, W, 3] uint8 -> [3, *fit.size] in [-1, 1]: Lanczos (PIL), then cropped in the middle."""
    resized = Image.fromarray(pixels.numpy()).resize(fit.resize[::-1], Image.Resampling.LANCZOS)
    height, width = fit.size
    cropped = np.array(resized)[fit.top : fit.top + height, fit.left : fit.left + width]
    return to_tensor(torch.from_numpy(cropped))


def inscribe(image: Tensor, size: Size) -> Tensor:
    """image [3, H, W] in [-1, 1] -> [3, *size]: bilinear, as large as fits, in the middle of white (VACE references)."""
    if image.shape[1:] == size:
        return image
    scale = min(size[0] / image.shape[1], size[1] / image.shape[2])
    height, width = int(image.shape[1] * scale), int(image.shape[2] * scale)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas = torch.ones(3, *size, dtype=image.dtype, device=image.device)
    canvas[:, top : top + height, left : left + width] = functional.interpolate(
        image[None], size=(height, width), mode="bilinear", align_corners=False
    )[0]
    return canvas


def centre(image: Tensor, size: Size) -> Tensor:
    """image [3, H, W] -> [3, *size]: cropped in the middle, or surrounded by zeros where it is smaller."""
    missing_h, missing_w = (max(0, size[i] - image.shape[1 + i]) for i in (0, 1))
    padding = (missing_w // 2, (missing_w + 1) // 2, missing_h // 2, (missing_h + 1) // 2)
    image = functional.pad(image, padding)
    top, left = (round((image.shape[1 + i] - size[i]) / 2) for i in (0, 1))
    return image[:, top : top + size[0], left : left + size[1]]
