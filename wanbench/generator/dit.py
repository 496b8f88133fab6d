"""The Wan diffusion transformer (arXiv 2503.20314, section 4.2): text-, image- and first-last-frame-to-video of 2.1, and the
networks of 2.2, which differ in allowing a time for each token.

Velocity of a flow from data to noise (v = noise - data) from noisy latents, times and text. Axes: B samples of one size, C
channels, F H W latents, f h w patches, L = f*h*w tokens, D width. Samples of different sizes are evaluated one by one; nothing
is padded. Parameters are named as in the released checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from wanbench.generator.attention import Attend, CrossAttention, ImageCrossAttention, SelfAttention, attend
from wanbench.generator.configurations import EPS, PATCH, DiTConfig, ImageBranch
from wanbench.generator.layers import LayerNorm32, Linear, Linear32, PatchEmbedding, layer_norm, tokens_of
from wanbench.generator.rope import Rotation, full_grid, rotation
from wanbench.generator.times import Times, distinct, sinusoid


class Given(NamedTuple):
    """What every block is given besides the tokens."""

    times: Times
    rotation: Rotation
    text: Tensor
    """[B, text_len, D]"""
    image: Tensor | None
    """[B, image tokens, D], Wan2.1 image-to-video"""
    attend: Attend
    """Of self-attention."""


class Block(nn.Module):
    """Self-attention, cross-attention and feed-forward. The norms are numbered as in the checkpoints: 1, 3, 2."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        dim, heads = config.dim, config.num_heads
        cross = CrossAttention if config.image is None else ImageCrossAttention
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)
        self.self_attn = SelfAttention(dim, heads, EPS)
        self.norm3 = LayerNorm32(dim, eps=EPS)
        self.cross_attn = cross(dim, heads, EPS)
        self.ffn = nn.Sequential(Linear(dim, config.ffn_dim), nn.GELU("tanh"), Linear(config.ffn_dim, dim))

    def forward(self, x: Tensor, given: Given) -> Tensor:
        """x [B, L, D] float32 -> the same."""
        spread = given.times.spread  # late: six vectors for each token of a long video are gigabytes
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation.float() + given.times.modulation).unbind(1)
        normed = layer_norm(x, EPS) * (1 + spread(scale1)) + spread(shift1)
        x = x + self.self_attn(normed, given.rotation, given.attend) * spread(gate1)
        x = x + self.cross_attn(self.norm3(x), given.text, given.image)
        normed = layer_norm(x, EPS) * (1 + spread(scale2)) + spread(shift2)
        x = x + self.ffn(normed) * spread(gate2)
        return x


class Head(nn.Module):
    """Tokens to patches of velocity."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.modulation = nn.Parameter(torch.randn(1, 2, config.dim) / config.dim**0.5)
        self.head = Linear32(config.dim, config.out_dim * PATCH[0] * PATCH[1] * PATCH[2])

    def forward(self, x: Tensor, times: Times) -> Tensor:
        """x [B, L, D] -> [B, L, 4 * out_dim] float32, channel fastest."""
        shift, scale = (self.modulation.float() + times.embedding[:, None]).unbind(1)
        out: Tensor = self.head(layer_norm(x, EPS) * (1 + times.spread(scale)) + times.spread(shift))
        return out


class ImageEmbedding(nn.Module):
    """Tokens of the image tower to the width of the transformer. Exact GELU here, unlike everywhere else."""

    def __init__(self, image: ImageBranch, dim: int) -> None:
        super().__init__()
        width = image.width
        # The two norms keep the library's epsilon of 1e-5, unlike all others.
        self.proj = nn.Sequential(LayerNorm32(width), Linear(width, width), nn.GELU(), Linear(width, dim), LayerNorm32(dim))
        self.emb_pos = None if image.positions is None else nn.Parameter(torch.zeros(1, image.positions, width))

    def forward(self, image: Tensor) -> Tensor:
        """image [B, tokens, width], those of a last image after those of the first -> [B, tokens, D]"""
        out: Tensor = self.proj(image if self.emb_pos is None else image + self.emb_pos)
        return out


class Transformer(nn.Module):
    """What all transformers of Wan share: embeddings, the stack of blocks, the head. Its kinds differ in `forward`."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config, dim = config, config.dim
        self.patch_embedding = PatchEmbedding(config.in_dim, dim, PATCH)
        self.text_embedding = nn.Sequential(Linear(config.text_dim, dim), nn.GELU("tanh"), Linear(dim, dim))
        self.time_embedding = nn.Sequential(Linear32(config.freq_dim, dim), nn.SiLU(), Linear32(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), Linear32(dim, 6 * dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.head = Head(config)

    def embed_times(self, t: Tensor) -> Times:
        """t [B] or [B, L] -> embeddings of its distinct values."""
        values, rows = distinct(t)
        embedding = self.time_embedding(sinusoid(values, self.config.freq_dim))
        return Times(embedding, self.time_projection(embedding).view(len(embedding), 6, -1), rows)

    def embed_text(self, text: Sequence[Tensor]) -> Tensor:
        """B tensors [tokens, text_dim] -> [B, text_len, D].

        Zeros are appended before the projection: padding becomes a vector of its own that takes part in attention.
        """
        assert all(len(rows) <= self.config.text_len for rows in text), [len(rows) for rows in text]
        padded = torch.stack([functional.pad(rows, (0, 0, 0, self.config.text_len - len(rows))) for rows in text])
        out: Tensor = self.text_embedding(padded)
        return out

    def rotation(self, positions: Tensor) -> Rotation:
        """positions [L, 3] -> how queries and keys there are turned."""
        return rotation(positions, self.config.head_dim)

    def run_blocks(self, x: Tensor, given: Given, after: Callable[[int, Tensor], Tensor] | None = None) -> Tensor:
        """The stack: x [B, L, D] -> the same. `after(layer, tokens)` may change what leaves a block."""
        for layer, block in enumerate(self.blocks):
            x = block(x, given)
            if after is not None:
                x = after(layer, x)
        return x


class DiT(Transformer):
    """Text-, image- and first-last-frame-to-video of 2.1 and 2.2, the 5B network among them."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__(config)
        self.img_emb = None if config.image is None else ImageEmbedding(config.image, config.dim)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text: Sequence[Tensor],
        *,
        y: Tensor | None = None,
        image: Tensor | None = None,
        attend: Attend = attend,
    ) -> Tensor:
        """Velocity [B, out, F, H, W], float32.

        x [B, C, F, H, W] noisy latents, H and W even; t [B] or [B, L] times on the scale 0..1000; text B tensors [tokens,
        text_dim] without padding; y [B, C', F, H, W] condition channels (mask, then latents); image [B, tokens, width] from the
        image tower (Wan2.1).
        """
        assert (image is None) == (self.img_emb is None), "image tokens are for networks with an image branch, which need them"
        patches = self.patch_embedding(x if y is None else torch.cat((x, y), dim=1))
        grid = patches.shape[2:]
        seen = None if self.img_emb is None else self.img_emb(image)
        turn = self.rotation(full_grid(*grid, device=x.device))
        given = Given(self.embed_times(t), turn, self.embed_text(text), seen, attend)
        tokens = self.run_blocks(tokens_of(patches), given)
        return unpatchify(self.head(tokens, given.times), grid)


def unpatchify(tokens: Tensor, grid: Sequence[int]) -> Tensor:
    """tokens [B, f*h*w, 1*2*2*C] -> [B, C, f, 2h, 2w]; in a token the channel is fastest."""
    f, h, w = grid
    pt, ph, pw = PATCH
    cells = tokens.view(len(tokens), f, h, w, pt, ph, pw, -1)
    return cells.permute(0, 7, 1, 4, 2, 5, 3, 6).reshape(len(tokens), -1, f * pt, h * ph, w * pw)
