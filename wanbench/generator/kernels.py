"""Which kernel computes attention: the fastest that is installed and takes the numbers at hand. "Ours": the order.

FlashAttention 4 and 3 (arXiv 2407.08608) come as packages of their own; cuDNN's, FlashAttention 2 and the memory-efficient one
are in PyTorch. All compute the same softmax and differ in rounding only. Float32 goes to what PyTorch chooses.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from wanbench.errors import UsageError
from wanbench.generator.attention import Attend, attend

PACKAGES = {"flash4": "flash_attn.cute", "flash3": "flash_attn_interface", "flash2": "flash_attn"}
"""Kernel -> module whose `flash_attn_func` takes [B, L, heads, d]."""
BUILT_IN = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
ORDER = ("flash4", "flash3", "cudnn", "flash2", "flash", "efficient")
"""Fastest first on the GPUs that each is for; one that is for another GPU fails its trial."""
CHOICES = ("auto", *PACKAGES, *BUILT_IN)


def choose(device: torch.device | str, dtype: torch.dtype, head_dim: int, wanted: str = "auto") -> tuple[str, Attend]:
    """Name and function of a kernel that works here, found by trying. `UsageError` where the wanted one does not."""
    device = torch.device(device)
    if wanted not in CHOICES:
        raise UsageError(f"there is no attention {wanted!r}: choose one of {', '.join(CHOICES)}")
    if wanted == "auto":
        tried = ORDER if device.type == "cuda" and dtype in (torch.float16, torch.bfloat16) else ()
        for name in tried:
            if (kernel := working(name, device, dtype, head_dim)) is not None:
                return name, kernel
        return "torch", attend
    kernel = working(wanted, device, dtype, head_dim)
    if kernel is None:
        raise UsageError(
            f"attention {wanted} does not work with {dtype} on {device} here: install it, or leave the choice to auto"
        )
    return wanted, kernel


def working(name: str, device: torch.device, dtype: torch.dtype, head_dim: int) -> Attend | None:
    """The kernel, if a small trial of it succeeds."""
    try:
        kernel = _packaged(PACKAGES[name]) if name in PACKAGES else _built_in(BUILT_IN[name])
        trial = torch.ones(1, 128, 1, head_dim, device=device, dtype=dtype)
        return kernel if torch.allclose(kernel(trial, trial, trial), trial, atol=0.01) else None
    except (ImportError, AttributeError, RuntimeError, AssertionError, ValueError, TypeError):
        return None  # not installed, or not for this device, type or width


def _packaged(module: str) -> Attend:
    function: Callable[..., Any] = importlib.import_module(module).flash_attn_func

    def kernel(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = function(q.to(v.dtype), k.to(v.dtype), v)
        # Releases differ in whether the logarithms of the sums come along.
        made: Tensor = out[0] if isinstance(out, tuple) else out
        return made

    return kernel


def _built_in(backend: SDPBackend) -> Attend:
    def kernel(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (part.to(v.dtype).transpose(1, 2) for part in (q, k, v))
        with sdpa_kernel(backend):
            return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)

    return kernel
