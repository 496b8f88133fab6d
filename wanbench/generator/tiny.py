"""`wan-tiny`: every part of wan-1.3b at small widths, with random parameters from a fixed seed; nothing is fetched.

For trying the whole path (commands, files, scoring) on any machine. It was never trained and follows no prompt, but another
prompt is another video. "Ours": the spread of the parameters, chosen so that its videos are coloured shapes that drift and not
flat grey: kernels of the autoencoder are smoothing ones with random channels, and the gains below.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from wanbench.errors import MissingDependency
from wanbench.generator.build import build_dit
from wanbench.generator.causal import ResidualBlock, Up
from wanbench.generator.configurations import T2V_1_3B, VAE_21
from wanbench.generator.dit import Transformer
from wanbench.generator.loading import settled
from wanbench.generator.models import MODELS, Model
from wanbench.generator.text import TextConfig, build_text_encoder
from wanbench.generator.vae import VAE

N = TypeVar("N", bound=nn.Module)

NAME = "wan-tiny"
SEED = 20250320
TEXT = TextConfig(vocab=259, dim=32, head_dim=8, ffn_dim=64, num_heads=4, num_layers=2)
"""Padding, end, unknown, and the 256 bytes."""
TINY: Model = replace(
    MODELS["wan-1.3b"],
    repository="",
    dit=replace(T2V_1_3B, dim=48, ffn_dim=96, num_heads=2, num_layers=2, text_dim=TEXT.dim),
    vae=replace(VAE_21, encoder_dim=8, decoder_dim=8, num_res_blocks=1),
    steps=6,
    frames=33,
    size_HW=(112, 192),
)
SMOOTH = 0.9
"""[ours] Share of a convolution's kernel that is smooth; the rest differs from pixel to pixel."""
DEPTH = 3.0
"""[ours] Gain of residual branches: what has been smoothed more often outweighs the shortcut."""
STEADY = 0.99
"""[ours] Likeness of the two frames that one becomes: independent ones would flicker."""
CONTRAST = 1.6
"""[ours] Gain of the last convolution: most of [-1, 1] is used, and little is cut off."""


def transformer() -> Transformer:
    """The transformer."""
    return drawn(build_dit(TINY.dit), "transformer")


def autoencoder() -> VAE:
    """The autoencoder: both ways, though only decoding is used."""
    network = drawn(VAE(TINY.vae), "autoencoder")
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)) and module.kernel_size[-1] == 3:
                module.weight.copy_(smoothed(module.weight))
        for module in network.modules():
            if isinstance(module, ResidualBlock):
                convolution: Any = module.residual[-1]
                convolution.weight.mul_(DEPTH)
            if isinstance(module, Up) and module.time_conv is not None:
                for parameter in module.time_conv.parameters():
                    even, odd = parameter.chunk(2)
                    odd.copy_(STEADY * even + (1 - STEADY**2) ** 0.5 * odd)
        last: Any = network.decoder.head[-1]
        last.weight.mul_(CONTRAST)
    return network


def text_encoder() -> nn.Module:
    """The umT5 encoder."""
    return drawn(build_text_encoder(TEXT), "text")


def tokenizer() -> Any:
    """Bytes as tokens, 1 at the end, 0 for padding: the interface of umT5's."""
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast
    except ImportError as error:
        raise MissingDependency("encoding of text", "generate") from error
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(("<pad>", "</s>", "<unk>", *alphabet))}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def fingerprint() -> str:
    """What the parameters follow from, as SHA-256."""
    told = f"{NAME} {SEED} {SMOOTH} {DEPTH} {STEADY} {CONTRAST} {TINY.dit} {TINY.vae} {TEXT}"
    return hashlib.sha256(told.encode()).hexdigest()


def drawn(network: N, part: str) -> N:
    """Parameters drawn anew, each from its own name, so that no order of building matters: gains near 1, small biases, and
    weights that keep the spread of what goes through."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            digest = hashlib.sha256(f"{SEED} {part} {name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:6], "big"))
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(_scaled(name, noise))
    settled(network)
    return network


def _scaled(name: str, noise: Tensor) -> Tensor:
    if noise.dim() < 2 or name.endswith("gamma"):
        return 0.1 * noise if name.endswith("bias") else 1 + 0.1 * noise
    if name.endswith("modulation"):
        return noise / math.sqrt(noise.shape[-1])
    return noise / math.sqrt(noise[0].numel())


def smoothed(weight: Tensor) -> Tensor:
    """A kernel [out, in, ..., 3, 3] -> mostly one random number for each pair of channels, spread over the kernel."""
    axes = weight.dim() - 2
    kernel = torch.ones(())
    for axis, size in enumerate(weight.shape[2:], start=5 - weight.dim()):
        taps = [1.0] if size == 1 else [1.0, 1.0, 1.0] if axis == 0 else [0.5, 1.0, 0.5]
        kernel = kernel[..., None] * torch.tensor(taps)
    kernel = kernel / kernel.norm()
    channels = weight.flatten(2).sum(dim=2) / weight[0, 0].numel() ** 0.5
    smooth = channels.view(*channels.shape, *(1,) * axes) * kernel
    mixed: Tensor = SMOOTH * smooth + (1 - SMOOTH**2) ** 0.5 * weight
    return mixed
