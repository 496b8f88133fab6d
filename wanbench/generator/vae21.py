"""Encoder and decoder of the Wan2.1 autoencoder: one flat row of layers each; strides 4, 8 and 8."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from wanbench.generator.causal import CausalConv3d, Chain, Down, ResidualBlock, State, Streaming, Up, head, middle, through
from wanbench.generator.configurations import VAEConfig


class Encoder21(Streaming):
    """Pixels to the moments of latents."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.encoder_dim * m for m in (1, *config.dim_mult)]
        layers: list[nn.Module] = []
        for stage, (before, after) in enumerate(pairwise(widths)):
            layers += [ResidualBlock(before if i == 0 else after, after) for i in range(config.num_res_blocks)]
            if stage < len(config.temporal_downsample):
                layers.append(Down(after, time=config.temporal_downsample[stage]))
        self.conv1 = CausalConv3d(3 * config.pixel_patch**2, widths[0])
        self.downsamples = Chain(layers)
        self.middle = middle(widths[-1])
        self.head = head(widths[-1], 2 * config.z_dim)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x [B, 3, T, H, W] -> [B, 2z, T', H/8, W/8]"""
        return through((self.conv1, self.downsamples, self.middle, self.head), x, state)


class Decoder21(Streaming):
    """Latents to pixels."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.decoder_dim * m for m in (config.dim_mult[-1], *reversed(config.dim_mult))]
        upsample = config.temporal_downsample[::-1]
        layers: list[nn.Module] = []
        for stage, (before, after) in enumerate(pairwise(widths)):
            entering = before if stage == 0 else before // 2  # the upsampling before it halves the width
            layers += [ResidualBlock(entering if i == 0 else after, after) for i in range(config.num_res_blocks + 1)]
            if stage < len(upsample):
                layers.append(Up(after, after // 2, time=upsample[stage]))
        self.conv1 = CausalConv3d(config.z_dim, widths[0])
        self.middle = middle(widths[0])
        self.upsamples = Chain(layers)
        self.head = head(widths[-1], 3 * config.pixel_patch**2)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x [B, z, T, H, W] -> [B, 3, T', 8H, 8W]"""
        return through((self.conv1, self.middle, self.upsamples, self.head), x, state)
