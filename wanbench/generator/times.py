"""Diffusion times: the sinusoid (DDPM, arXiv 2006.11239, with cosines first) and what it becomes for each token.

A clip has one time, or (Wan2.2) each token has its own. Only distinct times are embedded, and tokens point at them: six vectors
per token would take 2 GB for 27,280 tokens of the 5B network.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Times(NamedTuple):
    """Embeddings of K distinct times and which of them each token has."""

    embedding: Tensor
    """[K, D], for the head"""
    modulation: Tensor
    """[K, 6, D], for the blocks"""
    rows: Tensor | None
    """[B, L] indices into K; none where each sample has one time, and K is B or 1"""

    def spread(self, vectors: Tensor) -> Tensor:
        """vectors [K, D] -> what broadcasts over tokens: [B, 1, D], or [B, L, D] where tokens differ."""
        return vectors[:, None] if self.rows is None else vectors[self.rows]

    def first(self, tokens: int) -> Times:
        """The same for the first `tokens` of each sample."""
        return self if self.rows is None else self._replace(rows=self.rows[:, :tokens])


def distinct(t: Tensor) -> tuple[Tensor, Tensor | None]:
    """t [B] -> itself and none; t [B, L] -> the distinct times [K] and rows [B, L], or none where there is one time for all."""
    if t.dim() == 1:
        return t, None
    values, rows = torch.unique(t, return_inverse=True)
    return values, rows if len(values) > 1 else None


def sinusoid(t: Tensor, dim: int) -> Tensor:
    """t [K] on the scale 0..1000 -> [K, dim] float32: cosines, then sines, of t * 10000^(-j / (dim/2)).

    In float64: float32 is off by 4e-5 near 1000, and in bfloat16 999 becomes 1000.
    """
    half = dim // 2
    frequencies = 10000.0 ** -(torch.arange(half, dtype=torch.float64, device=t.device) / half)
    angle = t.double()[:, None] * frequencies
    return torch.cat((angle.cos(), angle.sin()), dim=1).float()
