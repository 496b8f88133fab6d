"""Small networks with random parameters from a seed, none of them zero."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from wanbench.generator.build import build_dit
from wanbench.generator.configurations import DiTConfig, ImageBranch, SpeechBranch, VaceBranch, VAEConfig
from wanbench.generator.vae import VAE

T2V = DiTConfig(dim=24, ffn_dim=40, num_heads=2, num_layers=3, in_dim=4, out_dim=4, text_dim=10, text_len=6, freq_dim=16)
I2V = replace(T2V, in_dim=12, image=ImageBranch(width=8, positions=None))
FLF2V = replace(T2V, in_dim=12, image=ImageBranch(width=8, positions=10))
VACE = replace(T2V, vace=VaceBranch(in_dim=7, layers=(0, 2)))
S2V = replace(T2V, speech=SpeechBranch(audio_dim=5, audio_layers=3, audio_tokens=4, pose_dim=4, inject_after=(0, 2)))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


Network = TypeVar("Network", bound=nn.Module)


def randomised(network: Network, seed: int = 0) -> Network:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            spread = 1.0 if parameter.dim() < 2 else parameter[0].numel() ** -0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    return network.eval()


def dit(config: DiTConfig = T2V):
    return randomised(build_dit(config))


def vae(release: str) -> VAE:
    return randomised(
        VAE(
            VAEConfig(
                release=release,
                z_dim=3,
                encoder_dim=4,
                decoder_dim=4,
                num_res_blocks=1,
                latent_mean=(0.1, -0.2, 0.3),
                latent_std=(1.0, 2.0, 0.5),
            )
        )
    )
