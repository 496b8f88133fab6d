"""Rotary positions on three axes (RoPE, arXiv 2104.09864; the split over time, rows and columns is Wan's).

A head's width is cut into pairs of *adjacent* elements; the pairs are dealt to time, row and column, each axis with its own table
angle(p, j) = p * 10000^(-2j / width of the axis). A negative position turns the other way, which is all that speech-to-video's
motion frames need.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

THETA = 10000.0


class Rotation(NamedTuple):
    """Cosines and sines for every token and pair, float32."""

    cos: Tensor
    """[L, d/2]"""
    sin: Tensor
    """[L, d/2]"""


def grid_positions(frames: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Positions of every token of a grid, in token order.

    frames [f], rows [h], columns [w] (integers, may be negative) -> [f*h*w, 3].
    """
    return torch.cartesian_prod(frames, rows, columns).reshape(-1, 3)


def full_grid(f: int, h: int, w: int, *, device: torch.device | str | None = None) -> Tensor:
    """Positions 0.. of a grid of f frames, h rows and w columns of patches -> [f*h*w, 3]."""
    return grid_positions(*(torch.arange(n, device=device) for n in (f, h, w)))


def axis_widths(head_dim: int) -> tuple[int, int, int]:
    """Elements of a head that turn with time, row and column: 128 -> (44, 42, 42)."""
    side = 2 * (head_dim // 6)
    return head_dim - 2 * side, side, side


def rotation(positions: Tensor, head_dim: int) -> Rotation:
    """positions [L, 3] -> angles as cosines and sines [L, head_dim/2].

    Angles are formed in float64: in half precision neighbouring rows far from the origin would fall together.
    """
    angles = []
    for axis, width in enumerate(axis_widths(head_dim)):
        exponents = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width
        angles.append(positions[:, axis, None].double() * THETA**-exponents)
    angle = torch.cat(angles, dim=1)
    return Rotation(angle.cos().float(), angle.sin().float())


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn queries or keys: x [B, L, heads, d] -> the same shape in float32."""
    even, odd = x.float().view(*x.shape[:-1], -1, 2).unbind(-1)
    cos, sin = rotation.cos[:, None], rotation.sin[:, None]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)
