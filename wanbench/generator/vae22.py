"""Encoder and decoder of the Wan2.2 autoencoder: stages with shortcuts that have no parameters; strides 4, 16 and 16.

Pixels are folded two by two into channels before the encoder and unfolded after the decoder, which `vae.py` does.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from wanbench.generator.causal import CausalConv3d, Chain, Down, ResidualBlock, State, Streaming, Up, head, middle, through
from wanbench.generator.configurations import VAEConfig


def average_down(x: Tensor, channels: int, time: int, space: int) -> Tensor:
    """The shortcut of a stage that shrinks: x [B, C, T, H, W] -> [B, channels, ceil(T/time), H/space, W/space].

    Cells of time, row and column are folded into channels, in this order, and neighbouring channels are averaged. A first frame
    alone is preceded by a zero frame, as half of the channels then show.
    """
    x = functional.pad(x, (0, 0, 0, 0, -x.shape[2] % time, 0))
    b, c, t, h, w = x.shape
    cells = x.view(b, c, t // time, time, h // space, space, w // space, space).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return cells.reshape(b, channels, -1, t // time, h // space, w // space).mean(dim=2)


def repeat_up(x: Tensor, channels: int, time: int, space: int) -> Tensor:
    """The shortcut of a stage that grows: x [B, C, T, H, W] -> [B, channels, T*time, H*space, W*space].

    Channels are repeated and then spread over cells of time, row and column, in this order.
    """
    b, c, t, h, w = x.shape
    cells = x.repeat_interleave(channels * time * space**2 // c, dim=1).view(b, channels, time, space, space, t, h, w)
    return cells.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, channels, t * time, h * space, w * space)


class DownStage(Streaming):
    """Residual blocks and, but for the last stage, a halving."""

    def __init__(self, before: int, after: int, blocks: int, *, time: bool, space: bool) -> None:
        super().__init__()
        self.channels, self.time, self.space = after, 2 if time else 1, 2 if space else 1
        layers: list[nn.Module] = [ResidualBlock(before if i == 0 else after, after) for i in range(blocks)]
        self.downsamples = Chain([*layers, Down(after, time=time)] if space else layers)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x [B, C, T, H, W] -> [B, C', T', H', W']. The last stage, which halves nothing, adds its input as it is."""
        y, state = self.downsamples(x, state)
        return y + average_down(x, self.channels, self.time, self.space), state


class UpStage(Streaming):
    """Residual blocks and, but for the last stage, a doubling. The last stage has no shortcut."""

    def __init__(self, before: int, after: int, blocks: int, *, time: bool, space: bool) -> None:
        super().__init__()
        self.channels, self.time, self.space = after, 2 if time else 1, 2 if space else 1
        layers: list[nn.Module] = [ResidualBlock(before if i == 0 else after, after) for i in range(blocks)]
        self.upsamples = Chain([*layers, Up(after, after, time=time)] if space else layers)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x [B, C, T, H, W] -> [B, C', T', H', W']"""
        start = state is None
        y, state = self.upsamples(x, state)
        if self.space == 1:
            return y, state
        shortcut = repeat_up(x, self.channels, self.time, self.space)
        return y + shortcut[:, :, self.time - 1 if start else 0 :], state  # the first frame is not doubled


class Encoder22(Streaming):
    """Folded pixels to the moments of latents."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.encoder_dim * m for m in (1, *config.dim_mult)]
        halving = (*config.temporal_downsample, None)
        self.conv1 = CausalConv3d(3 * config.pixel_patch**2, widths[0])
        self.downsamples = Chain(
            DownStage(before, after, config.num_res_blocks, time=bool(time), space=time is not None)
            for (before, after), time in zip(pairwise(widths), halving, strict=True)
        )
        self.middle = middle(widths[-1])
        self.head = head(widths[-1], 2 * config.z_dim)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x [B, 12, T, H, W] -> [B, 2z, T', H/8, W/8]"""
        return through((self.conv1, self.downsamples, self.middle, self.head), x, state)


class Decoder22(Streaming):
    """Latents to folded pixels."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.decoder_dim * m for m in (config.dim_mult[-1], *reversed(config.dim_mult))]
        doubling = (*reversed(config.temporal_downsample), None)
        self.conv1 = CausalConv3d(config.z_dim, widths[0])
        self.middle = middle(widths[0])
        self.upsamples = Chain(
            UpStage(before, after, config.num_res_blocks + 1, time=bool(time), space=time is not None)
            for (before, after), time in zip(pairwise(widths), doubling, strict=True)
        )
        self.head = head(widths[-1], 3 * config.pixel_patch**2)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x [B, z, T, H, W] -> [B, 12, T', 8H, 8W]"""
        return through((self.conv1, self.middle, self.upsamples, self.head), x, state)
