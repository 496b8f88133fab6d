"""Pieces of the causal video autoencoders of Wan (arXiv 2503.20314, section 4.1), for videos that come in chunks.

What a layer remembers of a chunk is a value: `y, state = layer(x, state)`, none at the start of a video. Nothing stays in a
module, so that two videos can be worked on in turn and none haunts the next. Chunks may have any length that the strides allow,
and any cutting gives the same video: that of the official code, which takes one latent frame at a time.

Axes: B C T H W of a chunk. Parameters are named as in the released checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ONEDNN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]

State = Any
"""What a layer remembers: none before the first chunk, a tensor, or a tuple with the states of its parts."""


class Streaming(nn.Module):
    """A layer that remembers: x [B, C, T, H, W] and state -> y [B, C', T', H', W'] and state."""


class CausalConv3d(Streaming, nn.Conv3d):
    """A convolution that looks at this frame and the two before it, zeros before the first."""

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int, int] = (3, 3, 3)) -> None:
        assert kernel[0] == 3
        super().__init__(in_channels, out_channels, kernel, padding=(0, kernel[1] // 2, kernel[2] // 2))

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # the state
        """x [B, C, T, H, W], past [B, C, 0..2, H, W] -> y [B, C', T, H, W] and the last two frames."""
        known = () if past is None else (past,)
        x = torch.cat((*known, x), dim=2)
        missing = 2 - (0 if past is None else past.shape[2])
        if missing:
            x = functional.pad(x, (0, 0, 0, 0, missing, 0))
        return convolve(self, x), x[:, :, -2:].clone()  # a view would keep the whole chunk


def convolve(layer: nn.Conv3d, x: Tensor) -> Tensor:
    """x [B, C, T, H, W] through a convolution; on a CPU by oneDNN, where PyTorch chooses ten times slower for narrow layers."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or not ONEDNN:
        return nn.Conv3d.forward(layer, x)
    assert not isinstance(layer.padding, str)
    return torch.mkldnn_convolution(x, layer.weight, layer.bias, layer.padding, layer.stride, layer.dilation, layer.groups)


class Chain(Streaming, nn.ModuleList):
    """Layers in a row, those that remember and those that do not."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__(layers)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x [B, C, T, H, W] -> y and one state for each layer."""
        return through(list(self), x, state)


def through(layers: Sequence[nn.Module], x: Tensor, state: State = None) -> tuple[Tensor, State]:
    """x [B, C, T, H, W] through layers, each that remembers with its own part of the state -> y and their states."""
    states = list(state or (None,) * len(layers))
    for i, layer in enumerate(layers):
        if isinstance(layer, Streaming):
            x, states[i] = layer(x, states[i])
        else:
            x = layer(x)
    return x, tuple(states)


class ChannelNorm(nn.Module):
    """x / ||x|| over channels * sqrt(C) * gamma. The norm is cut off at 1e-12; no epsilon stands under the root."""

    def __init__(self, channels: int, *, image: bool = False) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, 1, 1) if image else torch.ones(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, ...] -> the same shape."""
        # The library's vector norm is four times slower on a CPU, where channels lie far apart.
        length = x.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
        out: Tensor = x / length * len(self.gamma) ** 0.5 * self.gamma
        return out


class ResidualBlock(Streaming):
    """Two causal convolutions beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.residual = Chain(
            [
                ChannelNorm(in_channels),
                nn.SiLU(),
                CausalConv3d(in_channels, out_channels),
                ChannelNorm(out_channels),
                nn.SiLU(),
                nn.Identity(),  # a dropout in training; holds the place in the names
                CausalConv3d(out_channels, out_channels),
            ]
        )
        self.shortcut = nn.Conv3d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x [B, C, T, H, W] -> [B, C', T, H, W]"""
        y, state = self.residual(x, state)
        return y + self.shortcut(x), state


class FrameAttention(nn.Module):
    """Self-attention over the pixels of each frame, one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, image=True)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, H, W] -> the same shape."""
        return x + per_frame(self._attend, x)

    def _attend(self, frames: Tensor) -> Tensor:
        qkv = self.to_qkv(self.norm(frames))
        q, k, v = qkv.flatten(2).transpose(1, 2)[:, None].chunk(3, dim=-1)
        seen = functional.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2)
        out: Tensor = self.proj(seen.reshape(frames.shape))
        return out


class Down(Streaming):
    """Half the height and width; with `time`, half the frames after the first."""

    def __init__(self, channels: int, *, time: bool) -> None:
        super().__init__()
        # Padded on the right and below only: elsewhere the picture would move by half a pixel.
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))
        self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if time else None

    def forward(self, x: Tensor, last: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """x [B, C, T, H, W] -> [B, C, T', H/2, W/2]. T' = T; with time (T - 1)/2 + 1 of an odd T at the start, and T/2 later."""
        x = per_frame(self.resample, x)
        if self.time_conv is None:
            return x, None
        first = x[:, :, : 1 if last is None else 0]  # the first frame of a video stays as it is
        x = x if last is None else torch.cat((last, x), dim=2)
        parts = [first, self.time_conv(x)] if x.shape[2] >= 3 else [first]
        return torch.cat(parts, dim=2), x[:, :, -1:].clone()


class Up(Streaming):
    """Twice the height and width; with `time`, twice the frames after the first."""

    def __init__(self, in_channels: int, out_channels: int, *, time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.Upsample(scale_factor=2.0), nn.Conv2d(in_channels, out_channels, 3, padding=1))
        self.time_conv = CausalConv3d(in_channels, 2 * in_channels, (3, 1, 1)) if time else None

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """x [B, C, T, H, W] -> [B, C', T', 2H, 2W]; T' = T, or with time 2T - 1 at the start and 2T later."""
        if self.time_conv is not None:
            x, past = self._double(self.time_conv, x, past)
        return per_frame(self.resample, x), past

    @staticmethod
    def _double(time_conv: CausalConv3d, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """The first frame of a video is neither doubled nor remembered: the second one's past is zeros."""
        first, rest = (x[:, :, :1], x[:, :, 1:]) if past is None else (x[:, :, :0], x)
        past = x[:, :, :0] if past is None else past
        if not rest.shape[2]:
            return first, past
        doubled, past = time_conv(rest, past)
        b, c, t, h, w = doubled.shape
        even_and_odd = doubled.view(b, 2, c // 2, t, h, w).permute(0, 2, 3, 1, 4, 5)
        return torch.cat((first, even_and_odd.flatten(2, 3)), dim=2), past


def per_frame(layer: Any, x: Tensor) -> Tensor:
    """Apply a layer of images to each frame: x [B, C, T, H, W] -> [B, C', T, H', W']."""
    frames = x.transpose(1, 2)
    y: Tensor = layer(frames.flatten(0, 1))
    return y.view(*frames.shape[:2], *y.shape[1:]).transpose(1, 2)


def head(channels: int, out_channels: int) -> Chain:
    """Norm, SiLU and a causal convolution."""
    return Chain([ChannelNorm(channels), nn.SiLU(), CausalConv3d(channels, out_channels)])


def middle(channels: int) -> Chain:
    """Two residual blocks with attention between them."""
    return Chain([ResidualBlock(channels, channels), FrameAttention(channels), ResidualBlock(channels, channels)])
