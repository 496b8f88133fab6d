"""Names of tensors in other layouts than the released one: diffusers', and what third parties put before names.

No tensor changes its shape. The norms of a block swap their numbers: the one with parameters is `norm3` here and `norm2` there,
so that a loose load would leave it as it was made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

PREFIXES = ("model.diffusion_model.", "diffusion_model.")
"""Before every name of some repacked files."""

Rules = Sequence[tuple[str, str]]
"""Regular expression -> replacement; all are applied, in this order."""

_DIT: Rules = (
    (r"^condition_embedder\.text_embedder\.linear_1\.", "text_embedding.0."),
    (r"^condition_embedder\.text_embedder\.linear_2\.", "text_embedding.2."),
    (r"^condition_embedder\.time_embedder\.linear_1\.", "time_embedding.0."),
    (r"^condition_embedder\.time_embedder\.linear_2\.", "time_embedding.2."),
    (r"^condition_embedder\.time_proj\.", "time_projection.1."),
    (r"^condition_embedder\.image_embedder\.norm1\.", "img_emb.proj.0."),
    (r"^condition_embedder\.image_embedder\.ff\.net\.0\.proj\.", "img_emb.proj.1."),
    (r"^condition_embedder\.image_embedder\.ff\.net\.2\.", "img_emb.proj.3."),
    (r"^condition_embedder\.image_embedder\.norm2\.", "img_emb.proj.4."),
    (r"^condition_embedder\.image_embedder\.pos_embed$", "img_emb.emb_pos"),
    (r"^scale_shift_table$", "head.modulation"),
    (r"^proj_out\.", "head.head."),
    (r"\.scale_shift_table$", ".modulation"),
    (r"\.attn1\.", ".self_attn."),
    (r"\.attn2\.", ".cross_attn."),
    (r"_attn\.to_([qkv])\.", r"_attn.\1."),
    (r"_attn\.to_out\.0\.", "_attn.o."),
    (r"_attn\.add_([kv])_proj\.", r"_attn.\1_img."),
    (r"_attn\.norm_added_k\.", "_attn.norm_k_img."),
    (r"^((?:vace_)?blocks\.\d+)\.norm2\.", r"\1.norm3."),
    (r"\.ffn\.net\.0\.proj\.", ".ffn.0."),
    (r"\.ffn\.net\.2\.", ".ffn.2."),
    (r"^(vace_blocks\.\d+)\.proj_in\.", r"\1.before_proj."),
    (r"^(vace_blocks\.\d+)\.proj_out\.", r"\1.after_proj."),
)

_VAE: Rules = (
    (r"^quant_conv\.", "conv1."),
    (r"^post_quant_conv\.", "conv2."),
    (r"\.conv_in\.", ".conv1."),
    (r"\.norm_out\.", ".head.0."),
    (r"\.conv_out\.", ".head.2."),
    (r"\.mid_block\.resnets\.0\.", ".middle.0."),
    (r"\.mid_block\.attentions\.0\.", ".middle.1."),
    (r"\.mid_block\.resnets\.1\.", ".middle.2."),
)
_RESIDUAL: Rules = (
    (r"\.norm1\.", ".residual.0."),
    (r"\.conv1\.", ".residual.2."),
    (r"\.norm2\.", ".residual.3."),
    (r"\.conv2\.", ".residual.6."),
    (r"\.conv_shortcut\.", ".shortcut."),
)
_STAGES_22: Rules = (
    (r"^encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.downsamples.\1.downsamples."),
    (r"^encoder\.down_blocks\.(\d+)\.downsampler\.", r"encoder.downsamples.\1.downsamples.2."),
    (r"^decoder\.up_blocks\.(\d+)\.resnets\.", r"decoder.upsamples.\1.upsamples."),
    (r"^decoder\.up_blocks\.(\d+)\.upsampler\.", r"decoder.upsamples.\1.upsamples.3."),
)
RESNETS_21 = 3
"""Residual blocks of a decoder's stage before what enlarges it, which is counted after them in the flat row."""


def dit_name(name: str) -> str | None:
    """The released name of a transformer's tensor, from diffusers' or its own; None for one that no network reads."""
    if ".norm_added_q." in name:  # left in some converted files
        return None
    return _renamed(name, _DIT)


def vae_name(name: str, *, nested: bool = False) -> str:
    """The released name of an autoencoder's tensor, from diffusers' or its own; `nested` for 2.2, whose stages are folded in.

    Only the tensors as a whole tell the two apart: both call the upper stages `decoder.up_blocks.N.resnets.N`.
    """
    if not _DIFFUSERS_VAE.match(name):
        return name
    name = _renamed(name, _VAE)
    if nested:
        name = _renamed(name, _STAGES_22)
    elif found := re.match(r"decoder\.up_blocks\.(\d+)\.(resnets|upsamplers)\.(\d+)\.(.*)", name):
        stage, kind, number, rest = int(found[1]), found[2], int(found[3]), found[4]
        index = stage * (RESNETS_21 + 1) + (number if kind == "resnets" else RESNETS_21)
        name = f"decoder.upsamples.{index}.{rest}"
    name = name.replace("encoder.down_blocks.", "encoder.downsamples.")
    deep = re.match(r"(encoder|decoder)\.(middle|downsamples|upsamples)\.", name)
    return _renamed(name, _RESIDUAL) if deep else name


_DIFFUSERS_VAE = re.compile(
    r"(quant_conv|post_quant_conv|(en|de)coder\.(conv_in|conv_out|norm_out|mid_block|down_blocks|up_blocks))\."
)


def text_name(name: str) -> str | None:
    """The released name of a umT5 tensor, from transformers' or its own; None for the second name of the embedding."""
    if name == "encoder.embed_tokens.weight":
        return None
    whole = {"shared.weight": "token_embedding.weight", "encoder.final_layer_norm.weight": "norm.weight"}
    return whole.get(name) or _renamed(name, _TEXT)


_TEXT: Rules = (
    (r"^encoder\.block\.(\d+)\.layer\.0\.layer_norm\.", r"blocks.\1.norm1."),
    (r"^encoder\.block\.(\d+)\.layer\.1\.layer_norm\.", r"blocks.\1.norm2."),
    (r"^encoder\.block\.(\d+)\.layer\.0\.SelfAttention\.relative_attention_bias\.", r"blocks.\1.pos_embedding.embedding."),
    (r"^encoder\.block\.(\d+)\.layer\.0\.SelfAttention\.", r"blocks.\1.attn."),
    (r"^encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wi_0\.", r"blocks.\1.ffn.gate.0."),
    (r"^encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wi_1\.", r"blocks.\1.ffn.fc1."),
    (r"^encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wo\.", r"blocks.\1.ffn.fc2."),
)


def unprefixed(name: str) -> str:
    """Without what repackers put before every name."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _renamed(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
