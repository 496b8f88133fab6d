"""Attention of the Wan transformer (arXiv 2503.20314, section 4.2): over all tokens, and from tokens to text and image."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from wanbench.generator.layers import Linear, RMSNorm
from wanbench.generator.rope import Rotation, rotate

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(q [B, L, heads, d], k [B, S, heads, d], v [B, S, heads, d]) -> [B, L, heads, d]: another kernel, or several machines."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k / sqrt(d)) v: q [B, L, heads, d], k and v [B, S, heads, d] -> [B, L, heads, d]. No mask; in the type of v."""
    q, k, v = (part.to(v.dtype).transpose(1, 2) for part in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)


class Attention(nn.Module):
    """The projections that every attention of Wan has, named as in the checkpoints."""

    def __init__(self, dim: int, num_heads: int, eps: float) -> None:
        super().__init__()
        self.heads = (num_heads, dim // num_heads)
        self.q = Linear(dim, dim)
        self.k = Linear(dim, dim)
        self.v = Linear(dim, dim)
        self.o = Linear(dim, dim)
        self.norm_q = RMSNorm(dim, eps)
        self.norm_k = RMSNorm(dim, eps)

    def split(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, heads, d]"""
        return x.view(*x.shape[:-1], *self.heads)


class SelfAttention(Attention):
    """All tokens look at all tokens, with rotary positions."""

    def forward(self, x: Tensor, rotation: Rotation, attend: Attend) -> Tensor:
        """x [B, L, D] -> [B, L, D]"""
        q = rotate(self.split(self.norm_q(self.q(x))), rotation)
        k = rotate(self.split(self.norm_k(self.k(x))), rotation)
        out: Tensor = self.o(attend(q, k, self.split(self.v(x))).flatten(2))
        return out


class CrossAttention(Attention):
    """Tokens look at the context. No position, and no mask: text padding takes part, as it did in training."""

    def forward(self, x: Tensor, text: Tensor, image: Tensor | None = None) -> Tensor:
        """x [B, L, D], text [B, S, D] -> [B, L, D]. `image` is for the kind with an image branch."""
        out: Tensor = self.o(self.look(self.queries(x), text))
        return out

    def queries(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, heads, d]"""
        return self.split(self.norm_q(self.q(x)))

    def look(self, q: Tensor, text: Tensor) -> Tensor:
        """q [B, L, heads, d], text [B, S, D] -> [B, L, D], before the output projection."""
        return attend(q, self.split(self.norm_k(self.k(text))), self.split(self.v(text))).flatten(2)


class ImageCrossAttention(CrossAttention):
    """Wan2.1 image-to-video: image tokens have their own keys and values, the two results are summed before one projection."""

    def __init__(self, dim: int, num_heads: int, eps: float) -> None:
        super().__init__(dim, num_heads, eps)
        self.k_img = Linear(dim, dim)
        self.v_img = Linear(dim, dim)
        self.norm_k_img = RMSNorm(dim, eps)

    def forward(self, x: Tensor, text: Tensor, image: Tensor | None = None) -> Tensor:
        """x [B, L, D], text [B, S, D], image [B, S', D] -> [B, L, D]"""
        assert image is not None
        q = self.queries(x)
        seen = attend(q, self.split(self.norm_k_img(self.k_img(image))), self.split(self.v_img(image))).flatten(2)
        out: Tensor = self.o(self.look(q, text) + seen)
        return out
