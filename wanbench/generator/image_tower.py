"""The image tower of Wan2.1 image-to-video: CLIP ViT-H/14 (OpenCLIP, with XLM-RoBERTa), from transformers.

The network takes the features that enter the last layer, without the final norm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wanbench.errors import MissingDependency
from wanbench.generator.images import squeeze

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """Shape of a vision transformer."""

    image_size: int
    patch_size: int
    dim: int
    ffn_dim: int
    num_heads: int
    num_layers: int


VIT_H_14 = TowerConfig(image_size=224, patch_size=14, dim=1280, ffn_dim=5120, num_heads=16, num_layers=32)


def build_image_tower(config: TowerConfig) -> nn.Module:
    """transformers' CLIPVisionModel with random parameters, in the state of evaluation."""
    try:
        from transformers import CLIPVisionConfig, CLIPVisionModel
    except ImportError as error:
        raise MissingDependency("encoding of images", "generate") from error
    tower: nn.Module = CLIPVisionModel(
        CLIPVisionConfig(
            image_size=config.image_size,
            patch_size=config.patch_size,
            hidden_size=config.dim,
            intermediate_size=config.ffn_dim,
            num_attention_heads=config.num_heads,
            num_hidden_layers=config.num_layers,
            hidden_act="gelu",  # exact; CLIP's own "quick" one is another network
            layer_norm_eps=1e-5,
        )
    )
    return tower.eval()


_WHOLE = {
    "visual.cls_embedding": "embeddings.class_embedding",
    "visual.patch_embedding.weight": "embeddings.patch_embedding.weight",
    "visual.pos_embedding": "embeddings.position_embedding.weight",
    "visual.pre_norm": "pre_layrnorm",
    "visual.post_norm": "post_layernorm",
}
_PARTS = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.proj": "self_attn.out_proj",
    "mlp.0": "mlp.fc1",
    "mlp.2": "mlp.fc2",
}


def transformers_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Original tensors (name -> tensor) in transformers' names and shapes; those of the text tower and the head are left out.

    KeyError for a name of the visual tower that is none.
    """
    state: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.startswith("visual.") and name != "visual.head":
            state |= _converted(name, tensor)
    return state


def _converted(name: str, tensor: Tensor) -> dict[str, Tensor]:
    module, kind = name.rsplit(".", 1)
    if name in _WHOLE:
        shape = {"visual.cls_embedding": tensor.shape[-1:], "visual.pos_embedding": tensor.shape[-2:]}.get(name, tensor.shape)
        return {_WHOLE[name]: tensor.reshape(shape)}
    if module in _WHOLE:
        return {f"{_WHOLE[module]}.{kind}": tensor}
    _, transformer, index, part = module.split(".", 3)
    if transformer != "transformer":
        raise KeyError(name)
    layer = f"encoder.layers.{index}"
    if part == "attn.to_qkv":
        return {f"{layer}.self_attn.{p}_proj.{kind}": rows for p, rows in zip("qkv", tensor.chunk(3), strict=True)}
    return {f"{layer}.{_PARTS[part]}.{kind}": tensor}


def load_image_tower(tower: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put original tensors into the tower, strictly."""
    tower.load_state_dict(transformers_tensors(tensors), assign=True)


def preprocess(images: Sequence[Tensor], side: int) -> Tensor:
    """images [3, h, w] in [-1, 1] at their own sizes -> [B, 3, side, side]: squeezed, neither antialiased nor cropped."""
    squeezed = torch.stack([squeeze(image, (side, side)) for image in images]) * 0.5 + 0.5
    mean, std = torch.tensor((MEAN, STD), dtype=squeezed.dtype, device=squeezed.device)[:, None, :, None, None]
    normed: Tensor = (squeezed - mean) / std
    return normed


def image_tokens(pixels: Tensor, tower: nn.Module) -> Tensor:
    """pixels [B, 3, side, side] from `preprocess` -> [B, tokens, dim]: what enters the last layer."""
    tokens: Tensor = tower(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]
    return tokens
