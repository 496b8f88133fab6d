"""What a forward pass of a Wan transformer costs, from its configuration alone: operations and bytes; without torch.

Counted are products of matrices, two operations for each multiply-add, as is usual for model FLOPs utilisation: nothing for
norms, rotations and softmax. Text is projected once a pass and not for every token, so that the rule "two operations for each
parameter and token" counts too much here (8 % for the 14B at 480P).
"""

from __future__ import annotations

from wanbench.generator.configurations import CLIP_TOKENS, PATCH, DiTConfig, VAEConfig

CELL = PATCH[0] * PATCH[1] * PATCH[2]


def token_count(vae: VAEConfig, frames: int, height: int, width: int) -> int:
    """Tokens of a video: 32,760 for 81 frames of 480x832. Raises `UsageError` for sizes that make no whole tokens."""
    _, f, h, w = vae.latent_shape(frames, height, width)
    return f * h * w // CELL


def block_flops(config: DiTConfig, tokens: int) -> int:
    """Operations of one block for one sample."""
    dim, text = config.dim, config.text_len
    context = [text] if config.image is None else [text, config.image.positions or CLIP_TOKENS]
    products = 6 * tokens * dim * dim + 2 * sum(context) * dim * dim + 2 * tokens * dim * config.ffn_dim
    attention = 2 * tokens * (tokens + sum(context)) * dim
    return 2 * (products + attention)


def forward_flops(config: DiTConfig, tokens: int) -> int:
    """Operations of one pass for one sample with one time; text-, image- and first-last-frame-to-video, and VACE."""
    assert config.speech is None, "speech-to-video is not counted"
    dim = config.dim
    once = config.text_len * (config.text_dim * dim + dim * dim) + config.freq_dim * dim + dim * dim + 6 * dim * dim
    each = CELL * (config.in_dim + config.out_dim) * dim
    if config.image is not None:
        once += (config.image.positions or CLIP_TOKENS) * (config.image.width**2 + config.image.width * dim)
    blocks = config.num_layers
    if config.vace is not None:
        rows = len(config.vace.layers)
        blocks += rows
        each += CELL * config.vace.in_dim * dim + (rows + 1) * dim * dim
    return blocks * block_flops(config, tokens) + 2 * (once + tokens * each)


def block_parameters(config: DiTConfig) -> int:
    """Numbers in one block of the main stack."""
    dim = config.dim
    attentions = 8 * (dim * dim + dim) + 4 * dim
    if config.image is not None:
        attentions += 2 * (dim * dim + dim) + dim
    return attentions + 2 * dim * config.ffn_dim + config.ffn_dim + dim + 2 * dim + 6 * dim


def activation_bytes(config: DiTConfig, tokens: int, samples: int = 1) -> int:
    """Most bytes that the activations of a pass occupy at a time, without compilation, products in 2 bytes and residuals in 4.

    Two places compete: keys turned in float32 while turned queries wait, and the feed-forward, which holds four float32 vectors
    of the width and two hidden ones. The counts 34 and 16 were read off a trace of every allocation, which is a test.
    """
    hints = 0 if config.vace is None else 2 * len(config.vace.layers) * config.dim  # all of them wait for their layers
    return samples * tokens * (hints + max(34 * config.dim, 16 * config.dim + 4 * config.ffn_dim))


def decode_bytes(vae: VAEConfig, height: int, width: int) -> int:
    """Most bytes that decoding holds at a time, a latent frame after the other, in float32 and not in tiles; from a trace too.

    Of the released autoencoders; of a narrower one in proportion, which is a little too much.
    """
    bytes_a_pixel, released = {"2.1": (25191, 96), "2.2": (20540, 256)}[vae.release]
    return height * width * bytes_a_pixel * vae.decoder_dim // released


def encode_bytes(vae: VAEConfig, height: int, width: int) -> int:
    """The same of encoding, four frames after the other."""
    bytes_a_pixel, released = {"2.1": (17322, 96), "2.2": (7387, 160)}[vae.release]
    return height * width * bytes_a_pixel * vae.encoder_dim // released
