"""Decoding in squares, for frames that a device cannot decode whole: less memory, and a small error at the seams ("ours").

Neighbouring tiles overlap, and in the overlap one fades into the other. Each tile has a state of its own, so that frames still
come as they are decoded; states wait on the host for their turn, since all of them together are more than that of whole frames.
The error: a tile does not see beyond its edge, and the attention in the middle sees only the tile.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from wanbench.generator.causal import State
from wanbench.generator.vae import VAE

OVERLAP = 0.25
"""[ours] Share of a tile's side that its neighbour repeats."""


def decode_tiled(vae: VAE, latents: Tensor, tile: int, *, chunk: int = 1) -> Iterator[Tensor]:
    """Pixels in [-1, 1] as they come: normalised latents [B, z, F, H', W'] -> [B, 3, T, H, W]; tiles of `tile` pixels a side."""
    stride = vae.config.stride[1]
    side = tile // stride
    step = side - max(1, round(side * OVERLAP))
    rows, columns = (_starts(length, side, step) for length in latents.shape[3:])
    states: dict[tuple[int, int], State] = {}
    for part in torch.split(vae.denormalise(latents), chunk, dim=2):
        yield _chunk(vae, part, states, (rows, columns), side)


def _chunk(
    vae: VAE, part: Tensor, states: dict[tuple[int, int], State], grid: tuple[list[int], list[int]], side: int
) -> Tensor:  # fmt: skip
    stride = vae.config.stride[1]
    height, width = part.shape[3] * stride, part.shape[4] * stride
    total, weights = None, torch.zeros(height, width, device=part.device)
    for y in grid[0]:
        for x in grid[1]:
            window = part[:, :, :, y : y + side, x : x + side]
            pixels, state = vae.decode_chunk(window, moved(states.pop((y, x), None), part.device))
            states[y, x] = moved(state, torch.device("cpu") if part.is_cuda else part.device)
            del state
            pixels = pixels.clamp(-1, 1)
            top, left, (h, w) = y * stride, x * stride, pixels.shape[3:]
            ramp = _fade(h, part.device)[:, None] * _fade(w, part.device)
            if total is None:
                total = torch.zeros(*pixels.shape[:3], height, width, device=part.device)
            total[:, :, :, top : top + h, left : left + w] += pixels * ramp
            weights[top : top + h, left : left + w] += ramp
    assert total is not None
    return total / weights


def moved(state: State, device: torch.device) -> State:
    """What layers remember, on another device."""
    if isinstance(state, Tensor):
        return state.to(device)
    return tuple(moved(part, device) for part in state) if isinstance(state, tuple | list) else state


def _starts(length: int, side: int, step: int) -> list[int]:
    """Where tiles begin: the last ends with the frame, so that all are of one size."""
    if length <= side:
        return [0]
    return [*range(0, length - side, step), length - side]


def _fade(length: int, device: torch.device) -> Tensor:
    """Weights of a tile's pixels along one side: rising from its edges to the middle of the overlap, and never 0."""
    near = torch.arange(1, length + 1, device=device, dtype=torch.float32)
    edge = torch.minimum(near, near.flip(0))
    return (edge / max(1.0, length * OVERLAP)).clamp(max=1.0)
