"""Audio features of Wan2.2 speech-to-video: hidden states of wav2vec2 to tokens for each latent frame.

Causal convolutions over pixel frames, with two strides of 2: four pixel frames become one latent frame. The local branch gives
several tokens that tokens of the video look at, the global one a single vector that modulates them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from wanbench.generator.configurations import SpeechBranch
from wanbench.generator.layers import Linear, layer_norm

EPS = 1e-6


class CausalConv1d(nn.Module):
    """Kernel 3, the past of the first frame being copies of it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size=3, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, ceil(T / stride), C']"""
        padded = functional.pad(x.to(self.conv.weight.dtype).transpose(1, 2), (2, 0), mode="replicate")
        out: Tensor = self.conv(padded)
        return out.transpose(1, 2)


class AudioConvolutions(nn.Module):
    """The two branches; all but the first convolution are shared."""

    def __init__(self, speech: SpeechBranch, dim: int) -> None:
        super().__init__()
        self.tokens = speech.audio_tokens
        self.conv1_local = CausalConv1d(speech.audio_dim, dim // 4 * self.tokens)
        self.conv1_global = CausalConv1d(speech.audio_dim, dim // 4)
        self.conv2 = CausalConv1d(dim // 4, dim // 2, stride=2)
        self.conv3 = CausalConv1d(dim // 2, dim, stride=2)
        self.final_linear = Linear(dim, dim)
        self.padding_tokens = nn.Parameter(torch.zeros(1, 1, 1, dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, audio_dim] -> global [B, T/4, D] and local [B, T/4, tokens + 1, D], the learned token last"""
        whole: Tensor = self.final_linear(self.shorten(self.conv1_global(x)))
        groups = torch.stack(self.conv1_local(x).chunk(self.tokens, dim=2), dim=1).flatten(0, 1)
        local = torch.stack(self.shorten(groups).view(len(x), self.tokens, *whole.shape[1:]).unbind(1), dim=2)
        learned = self.padding_tokens.to(local.dtype).expand(*local.shape[:2], 1, -1)
        return whole, torch.cat((local, learned), dim=2)

    def shorten(self, x: Tensor) -> Tensor:
        """x [B, T, D/4] -> [B, T/4, D]"""
        x = functional.silu(layer_norm(x, EPS))
        x = functional.silu(layer_norm(self.conv2(x), EPS))
        return functional.silu(layer_norm(self.conv3(x), EPS))


class AudioEncoder(nn.Module):
    """A learned mean over the hidden states, then the convolutions."""

    def __init__(self, speech: SpeechBranch, dim: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((1, speech.audio_layers, 1, 1), 0.01))
        self.encoder = AudioConvolutions(speech, dim)

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """states [B, layers, audio_dim, T] -> global [B, T/4, D] and local [B, T/4, tokens + 1, D]"""
        weights = functional.silu(self.weights.float())
        feature = (states.float() * weights).sum(dim=1) / weights.sum(dim=1)
        out: tuple[Tensor, Tensor] = self.encoder(feature.transpose(1, 2))
        return out
