"""Linear layers in 8 bits (arXiv 2209.05433): e4m3 weights with one scale a tensor, inputs with one scale a token.

Products are accumulated in float32 and scaled back. On GPUs with such units (compute capability 8.9 and later) this is one
kernel; elsewhere the same numbers are multiplied in float32, where products of e4m3 numbers are exact, so that only the order of
sums differs. Approximate: e4m3 has three bits after the leading one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from wanbench.generator.layers import Linear

E4M3 = torch.float8_e4m3fn
LARGEST = torch.finfo(E4M3).max
"""448"""
SMALLEST_SCALE = 1e-12
"""[ours] Of a token that is all zero."""


def quantised(x: Tensor, scale: Tensor) -> Tensor:
    """x / scale in e4m3; the scale is positive and broadcasts."""
    return (x.float() / scale).clamp(-LARGEST, LARGEST).to(E4M3)  # beyond the largest, a cast gives NaN


class FP8Linear(nn.Module):
    """In place of `Linear`. Memory: half of bfloat16."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scale = (weight.float().abs().amax() / LARGEST).clamp(min=SMALLEST_SCALE)
        self.out_dtype = weight.dtype
        self.register_buffer("weight", quantised(weight, scale))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())
        self.weight: Tensor
        self.scale: Tensor
        self.bias: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out] in the type that the weights had."""
        rows = x.flatten(0, -2)
        scales = (rows.float().abs().amax(dim=1, keepdim=True) / LARGEST).clamp(min=SMALLEST_SCALE)
        multiply = by_kernel if has_kernel(x.device) else by_hand
        out = multiply(quantised(rows, scales), scales, self.weight, self.scale, self.bias)
        return out.to(self.out_dtype).view(*x.shape[:-1], -1)


def by_kernel(rows: Tensor, scales: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """rows [N, in] with scales [N, 1], weight [out, in] with one scale, bias [out] -> [N, out] bfloat16."""
    # The kernel wants scales by row and by column, or one each: the weight's one is repeated. It adds biases in bfloat16 only.
    columns = scale.expand(1, len(weight)).contiguous()
    added = None if bias is None else bias.to(torch.bfloat16)
    out: Tensor = torch._scaled_mm(
        rows, weight.t(), scale_a=scales, scale_b=columns, bias=added, out_dtype=torch.bfloat16, use_fast_accum=False
    )
    return out


def by_hand(rows: Tensor, scales: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """The same in float32 on any device."""
    out = functional.linear(rows.float(), weight.float()) * scales * scale
    return out if bias is None else out + bias.float()


def has_kernel(device: torch.device) -> bool:
    """Whether the device multiplies in 8 bits."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


def use_fp8(blocks: Sequence[nn.Module]) -> int:
    """Replace the linear layers of these blocks, in place; how many. Embeddings and head, a hundredth of the work, stay."""
    found = [
        (module, name, child)
        for block in blocks
        for module in block.modules()
        for name, child in module.named_children()
        if isinstance(child, Linear)
    ]
    for module, name, child in found:
        setattr(module, name, FP8Linear(child))
    return len(found)
