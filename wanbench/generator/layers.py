"""Layers of the Wan networks (arXiv 2503.20314, section 4.2) that say in which precision they compute.

The official run has float32 residuals and bfloat16 products with islands of float32: time, modulation, norms and head. Here each
layer knows its own precision, so that nothing above it casts. In float32 all of this changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Linear(nn.Linear):
    """Computes in the type of its parameters, whatever the type of the input. Layers of other number formats take its place."""

    products: torch.dtype | None = None
    """Type to compute in where it is not that of the parameters: training has float32 parameters and bfloat16 products."""

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out] in the type of the products."""
        dtype = self.products or self.weight.dtype
        return functional.linear(x.to(dtype), self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype))


class Linear32(nn.Linear):
    """Computes in float32, whatever the type of its parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out] in float32."""
        return functional.linear(x.float(), self.weight.float(), None if self.bias is None else self.bias.float())


class LayerNorm32(nn.LayerNorm):
    """Layer norm with scale and bias, in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] -> [..., D] in float32."""
        return functional.layer_norm(x.float(), self.normalized_shape, self.weight.float(), self.bias.float(), self.eps)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis, in float32.

    Of queries and keys it is taken over the full width before the heads are split: per head it would be another network.
    """

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] -> [..., D] in float32."""
        return functional.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps)


class PatchEmbedding(nn.Conv3d):
    """Cuts latents into patches and projects them: a convolution whose stride is its kernel."""

    def __init__(self, in_channels: int, dim: int, patch: tuple[int, int, int]) -> None:
        super().__init__(in_channels, dim, kernel_size=patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, F, H, W] -> [B, D, f, h, w] in float32, computed in the type of the parameters."""
        return super().forward(x.to(self.weight.dtype)).float()


def layer_norm(x: Tensor, eps: float) -> Tensor:
    """Layer norm without parameters: x [..., D] -> [..., D] in float32."""
    return functional.layer_norm(x.float(), x.shape[-1:], eps=eps)


def tokens_of(patches: Tensor) -> Tensor:
    """[B, D, f, h, w] -> [B, f*h*w, D]: frame, then row, then column."""
    return patches.flatten(2).transpose(1, 2)
