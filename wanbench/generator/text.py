"""Text for the Wan networks: cleaning, and umT5 (arXiv 2304.09151), whose encoder comes from transformers."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wanbench.errors import MissingDependency

TEXT_LEN = 512


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Shape of a umT5 encoder."""

    vocab: int
    dim: int
    head_dim: int
    ffn_dim: int
    num_heads: int
    num_layers: int
    num_buckets: int = 32
    max_distance: int = 128


UMT5_XXL = TextConfig(vocab=256384, dim=4096, head_dim=64, ffn_dim=10240, num_heads=64, num_layers=24)


def clean(text: str) -> str:
    """Repair mojibake and full-width forms, undo HTML entities (twice), one space for every run of white space."""
    try:
        import ftfy
    except ImportError as error:
        raise MissingDependency("cleaning of prompts", "generate") from error
    # Without the repair, prompts with such characters would be other tokens: never left out.
    repaired = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(repaired.split())


def build_text_encoder(config: TextConfig) -> nn.Module:
    """transformers' UMT5EncoderModel with random parameters, in the state of evaluation."""
    try:
        from transformers import UMT5Config, UMT5EncoderModel
    except ImportError as error:
        raise MissingDependency("encoding of text", "generate") from error
    encoder: nn.Module = UMT5EncoderModel(
        UMT5Config(
            vocab_size=config.vocab,
            d_model=config.dim,
            d_kv=config.head_dim,
            d_ff=config.ffn_dim,
            num_heads=config.num_heads,
            num_layers=config.num_layers,
            relative_attention_num_buckets=config.num_buckets,
            relative_attention_max_distance=config.max_distance,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=True,
        )
    )
    return encoder.eval()


def transformers_name(name: str) -> str:
    """Name of an original umT5 tensor in transformers' encoder; KeyError for a name that is none."""
    whole = {"token_embedding.weight": "shared.weight", "norm.weight": "encoder.final_layer_norm.weight"}
    if name in whole:
        return whole[name]
    blocks, index, part = name.split(".", 2)
    if blocks != "blocks":
        raise KeyError(name)
    return f"encoder.block.{index}.layer.{_PARTS[part]}.weight"


_PARTS = {
    "norm1.weight": "0.layer_norm",
    **{f"attn.{p}.weight": f"0.SelfAttention.{p}" for p in "qkvo"},
    "pos_embedding.embedding.weight": "0.SelfAttention.relative_attention_bias",
    "norm2.weight": "1.layer_norm",
    "ffn.gate.0.weight": "1.DenseReluDense.wi_0",
    "ffn.fc1.weight": "1.DenseReluDense.wi_1",
    "ffn.fc2.weight": "1.DenseReluDense.wo",
}
"""Parts of a block: original -> transformers."""


def load_text_encoder(encoder: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put original tensors (name -> tensor) into the encoder, strictly."""
    state = {transformers_name(name): tensor for name, tensor in tensors.items()}
    state["encoder.embed_tokens.weight"] = state["shared.weight"]
    encoder.load_state_dict(state, assign=True)
    # transformers 5 left the inner embedding as it was in some versions: noise for text, and no error.
    parts: Any = encoder
    parts.encoder.embed_tokens.weight = parts.shared.weight


@torch.no_grad()
def encode_text(prompts: Sequence[str], tokenizer: Any, encoder: nn.Module) -> list[Tensor]:
    """Rows [tokens, dim] of each prompt, as many as it has tokens with the final one, at most 512.

    `tokenizer` is that of google/umt5-xxl, from transformers.
    """
    given = tokenizer(
        [clean(prompt) for prompt in prompts],
        padding="max_length",
        truncation=True,
        max_length=TEXT_LEN,
        add_special_tokens=True,
        return_tensors="pt",
    )
    device = next(encoder.parameters()).device
    return encode_tokens(given.input_ids.to(device), given.attention_mask.to(device), encoder)


def encode_tokens(ids: Tensor, mask: Tensor, encoder: nn.Module) -> list[Tensor]:
    """ids [B, S] and mask [B, S] of ones and zeros -> B tensors [tokens, dim]; what was padding is cut off."""
    hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    return [rows[: int(count)] for rows, count in zip(hidden, mask.sum(dim=1), strict=True)]
