"""The video autoencoders of Wan (arXiv 2503.20314, section 4.1): 2.1 with 16 channels, 2.2 with 48, in chunks of time.

A video of 4k+1 frames has k+1 latent frames; the first frame stands alone. Latents are the mean of the posterior (nothing is
drawn), normalised by fixed moments of each channel. Pixels are RGB in [-1, 1]. Runs in float32: half precision shows as bands.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from wanbench.generator.causal import State
from wanbench.generator.configurations import VAEConfig
from wanbench.generator.vae21 import Decoder21, Encoder21
from wanbench.generator.vae22 import Decoder22, Encoder22


class VAE(nn.Module):
    """Encoder and decoder. The state of a video is none at its start; `encode` and `decode` do whole videos."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config, z = config, config.z_dim
        self.encoder = Encoder21(config) if config.release == "2.1" else Encoder22(config)
        self.conv1 = nn.Conv3d(2 * z, 2 * z, 1)
        self.conv2 = nn.Conv3d(z, z, 1)
        self.decoder = Decoder21(config) if config.release == "2.1" else Decoder22(config)

    def encode_chunk(self, video: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Raw posterior means of a chunk: video [B, 3, T, H, W] -> [B, z, T', H', W'] and the state for the next chunk.

        T is 4k+1 at the start of a video and 4k later.
        """
        assert video.shape[2] % 4 == (state is None), video.shape  # else 2.2 would pair other frames, in the right shape
        moments, state = self.encoder(fold(video, self.config.pixel_patch), state)
        mean: Tensor = self.conv1(moments)[:, : self.config.z_dim]
        return mean, state

    def decode_chunk(self, raw: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Pixels, not clamped, of a chunk of raw latents: raw [B, z, T, H', W'] -> [B, 3, T', H, W] and the next chunk's state.

        T' is 4T-3 at the start of a video and 4T later.
        """
        pixels, state = self.decoder(self.conv2(raw), state)
        return unfold(pixels, self.config.pixel_patch), state

    def encode(self, video: Tensor, *, chunk: int = 4) -> Tensor:
        """Normalised latents: video [B, 3, T, H, W] in [-1, 1] -> [B, z, (T-1)//4+1, H', W'].

        Works on the first frame and then on `chunk` frames (a multiple of 4) at a time; frames beyond 4k+1 are left out.
        """
        usable = (video.shape[2] - 1) // self.config.stride[0] * self.config.stride[0] + 1
        state, means = None, []
        for frames in (video[:, :, :1], *torch.split(video[:, :, 1:usable], chunk, dim=2)):
            if frames.shape[2]:
                mean, state = self.encode_chunk(frames, state)
                means.append(mean)
        return self.normalise(torch.cat(means, dim=2))

    def decode(self, latents: Tensor, *, chunk: int = 1) -> Tensor:
        """Pixels in [-1, 1]: normalised latents [B, z, F, H', W'] -> [B, 3, 4F-3, H, W]."""
        return torch.cat(list(self.decode_stream(latents, chunk=chunk)), dim=2)

    def decode_stream(self, latents: Tensor, *, chunk: int = 1) -> Iterator[Tensor]:
        """Pixels in [-1, 1] as they come: normalised latents [B, z, F, H', W'] -> [B, 3, T, H, W] for each `chunk` of them."""
        state = None
        for part in torch.split(self.denormalise(latents), chunk, dim=2):
            pixels, state = self.decode_chunk(part, state)
            yield pixels.clamp(-1, 1)

    def normalise(self, raw: Tensor) -> Tensor:
        """[B, z, F, H', W'] -> (raw - mean) / std of each channel."""
        mean, std = self._moments(raw)
        return (raw - mean) / std

    def denormalise(self, latents: Tensor) -> Tensor:
        """[B, z, F, H', W'] -> latents * std + mean of each channel."""
        mean, std = self._moments(latents)
        return latents * std + mean

    def _moments(self, like: Tensor) -> tuple[Tensor, Tensor]:
        pair = torch.tensor((self.config.latent_mean, self.config.latent_std), dtype=like.dtype, device=like.device)
        mean, std = pair.view(2, 1, -1, 1, 1, 1)
        return mean, std


def fold(video: Tensor, side: int) -> Tensor:
    """Squares of pixels to channels: [B, C, T, H, W] -> [B, C*side^2, T, H/side, W/side].

    Channel = (c * side + column in square) * side + row in square: the column is the slower one.
    """
    b, c, t, h, w = video.shape
    cells = video.reshape(b, c, t, h // side, side, w // side, side).permute(0, 1, 6, 4, 2, 3, 5)
    return cells.reshape(b, c * side**2, t, h // side, w // side)


def unfold(folded: Tensor, side: int) -> Tensor:
    """The inverse of `fold`: [B, C*side^2, T, H, W] -> [B, C, T, H*side, W*side]."""
    b, c, t, h, w = folded.shape
    cells = folded.reshape(b, c // side**2, side, side, t, h, w).permute(0, 1, 4, 5, 3, 6, 2)
    return cells.reshape(b, c // side**2, t, h * side, w * side)
