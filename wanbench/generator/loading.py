"""Networks from files: built without memory, then given their parameters on their device and in their type, strictly.

The official GPU run computes products in bfloat16 and has islands of float32; the parameters of the islands stay float32 here as
they do there (about one percent of a network), the others take the asked type. The autoencoder is float32 throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wanbench.checkpoints import misfit
from wanbench.errors import MissingDependency, UsageError
from wanbench.generator import image_tower, names, text
from wanbench.generator.build import build_dit
from wanbench.generator.configurations import DiTConfig, VAEConfig, dit_config_of, vae_config_of
from wanbench.generator.dit import Transformer
from wanbench.generator.folder import ModelFolder, Part
from wanbench.generator.layers import LayerNorm32, Linear32, RMSNorm
from wanbench.generator.lora import Lora, merged
from wanbench.generator.tensors import Tensors
from wanbench.generator.vae import VAE

LOOSE_ISLANDS = ("modulation", "emb_pos", "casual_audio_encoder.weights", "trainable_cond_mask.weight")
"""Parameters outside the layers that know their precision, and used in float32."""
TOWER_HEADS = 16
"""Of the released image tower: what its tensors do not tell."""


def open_transformer(part: Part) -> tuple[Tensors, DiTConfig]:
    """Tensors and configuration of a transformer, nothing read yet. Raises `UsageError`."""
    tensors = Tensors(part.paths, lambda name: names.dit_name(names.unprefixed(name)))
    given = part.config
    heads = given.get("num_heads") or given.get("num_attention_heads")
    try:
        config = dit_config_of(tensors.shapes, num_heads=heads, text_len=given.get("text_len") or text.TEXT_LEN)
    except (KeyError, ValueError, IndexError) as error:
        raise UsageError(f"{part.paths[0]} is not a transformer of Wan (no usable {error}): choose another file") from error
    if config.vace and given.get("vace_layers"):
        config = replace(config, vace=replace(config.vace, layers=tuple(given["vace_layers"])))
    for key in ("dim", "ffn_dim", "num_layers", "in_dim", "out_dim"):
        if key in given and given[key] != getattr(config, key):
            where = part.paths[0].parent / "config.json"
            raise UsageError(
                f"{where} says {key} {given[key]}, and the tensors {getattr(config, key)}: they belong to two models"
            )
    if not config.num_heads or config.dim % config.num_heads:
        raise UsageError(
            f"{part.paths[0]}: a width of {config.dim} cannot be cut into {config.num_heads} heads: give config.json"
        )
    with torch.device("meta"):
        wanted = shapes(build_dit(config).state_dict())
    _demand(wanted, tensors)
    return tensors, config


def load_transformer(part: Part, *, device: str, dtype: torch.dtype, loras: Sequence[Lora] = ()) -> Transformer:
    """A transformer of a folder. `dtype` is of the parameters outside the islands."""
    tensors, config = open_transformer(part)
    with torch.device("meta"):
        network = build_dit(config)
    fill(network, tensors, device=device, dtype=dtype, loras=[lora.read(tensors.shapes) for lora in loras])
    return network


def open_vae(part: Part) -> tuple[Tensors, VAEConfig]:
    """Tensors and configuration of an autoencoder, nothing read yet. Raises `UsageError`."""
    raw = Tensors(part.paths).shapes
    nested = any(name.startswith("encoder.down_blocks.0.resnets.") for name in raw)
    tensors = Tensors(part.paths, lambda name: names.vae_name(name, nested=nested))
    try:
        config = vae_config_of(tensors.shapes)
    except (KeyError, ValueError, IndexError) as error:
        raise UsageError(f"{part.paths[0]} is not a video autoencoder of Wan (no usable {error}): choose another file") from error
    with torch.device("meta"):
        wanted = shapes(VAE(config).state_dict())
    _demand(wanted, tensors)
    return tensors, config


def load_vae(part: Part, *, device: str) -> VAE:
    """The autoencoder of a folder, in float32."""
    tensors, config = open_vae(part)
    with torch.device("meta"):
        network = VAE(config)
    fill(network, tensors, device=device, dtype=torch.float32)
    return network


def open_text_encoder(part: Part) -> tuple[Tensors, text.TextConfig]:
    """Tensors and configuration of a umT5 encoder, nothing read yet. Raises `UsageError`."""
    tensors = Tensors(part.paths, names.text_name)
    try:
        config = _text_config(tensors.shapes, part.config)
    except (KeyError, ValueError, IndexError) as error:
        raise UsageError(f"{part.paths[0]} is not a umT5 encoder (no usable {error}): choose another file") from error
    with torch.device("meta"):
        named = shapes(text.build_text_encoder(config).state_dict())
    _demand({known: shape for name, shape in named.items() if (known := names.text_name(name))}, tensors)
    return tensors, config


def load_text_encoder(part: Part, *, device: str, dtype: torch.dtype) -> nn.Module:
    """The text encoder of a folder."""
    tensors, config = open_text_encoder(part)
    with torch.device("meta"):
        encoder = text.build_text_encoder(config)
    text.load_text_encoder(encoder, {name: tensors[name].to(device, dtype) for name in tensors})
    return settled(encoder)


def _text_config(found: Mapping[str, tuple[int, ...]], given: Mapping[str, Any]) -> text.TextConfig:
    vocab, dim = found["token_embedding.weight"]
    buckets, heads = found["blocks.0.pos_embedding.embedding.weight"]
    return text.TextConfig(
        vocab=vocab,
        dim=dim,
        head_dim=found["blocks.0.attn.q.weight"][0] // heads,
        ffn_dim=found["blocks.0.ffn.fc1.weight"][0],
        num_heads=heads,
        num_layers=1 + max(int(name.split(".")[1]) for name in found if name.startswith("blocks.")),
        num_buckets=buckets,
        max_distance=given.get("relative_attention_max_distance", 128),
    )


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer that lies in a folder, from transformers; the network is never asked."""
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingDependency("encoding of text", "generate") from error
    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # whatever a damaged tokenizer makes the library raise, the folder is the cause
        raise UsageError(f"the tokenizer in {folder} cannot be read ({type(error).__name__}): fetch it again") from error


def load_image_tower(part: Part, *, device: str, dtype: torch.dtype) -> nn.Module:
    """The image tower of a folder. Raises `UsageError`."""
    tensors = Tensors(part.paths, lambda name: name.removeprefix("vision_model."))
    try:
        state = dict(tensors) if "embeddings.class_embedding" in tensors else image_tower.transformers_tensors(tensors)
        config = _tower_config(shapes(state), part.config)
    except (KeyError, ValueError, IndexError) as error:
        raise UsageError(f"{part.paths[0]} is not the image tower of Wan2.1 (no usable {error}): choose another file") from error
    with torch.device("meta"):
        tower = image_tower.build_image_tower(config)
    state.pop("visual_projection.weight", None)
    state.pop("embeddings.position_ids", None)
    if fault := misfit(shapes(tower.state_dict()), shapes(state)):
        raise UsageError(f"{part.paths[0]} does not fit the image tower: {fault}: fetch it again")
    tower.load_state_dict({name: tensor.to(device, dtype) for name, tensor in state.items()}, assign=True)
    parts: Any = tower
    # Not in the file: a buffer that would stay without memory.
    parts.embeddings.position_ids = torch.arange(len(state["embeddings.position_embedding.weight"]), device=device)[None]
    return settled(tower)


def _tower_config(found: Mapping[str, tuple[int, ...]], given: Mapping[str, Any]) -> image_tower.TowerConfig:
    dim, _, patch, _ = found["embeddings.patch_embedding.weight"]
    side = round((found["embeddings.position_embedding.weight"][0] - 1) ** 0.5)
    return image_tower.TowerConfig(
        image_size=side * patch,
        patch_size=patch,
        dim=dim,
        ffn_dim=found["encoder.layers.0.mlp.fc1.weight"][0],
        num_heads=given.get("num_attention_heads", TOWER_HEADS),
        num_layers=1 + max(int(name.split(".")[2]) for name in found if name.startswith("encoder.layers.")),
    )


def fill(network: nn.Module, tensors: Tensors, *, device: str, dtype: torch.dtype, loras: Sequence[Lora] = ()) -> None:
    """Give a network on the meta device its parameters, one after the other: no second copy of it is ever in memory.

    Raises `UsageError` where names or shapes differ in any way.
    """
    wanted = shapes(network.state_dict())
    _demand(wanted, tensors)
    islands = float32_names(network)
    state = {
        name: merged(name, tensors[name], loras).to(device, torch.float32 if name in islands else dtype) for name in wanted
    }  # fmt: skip
    network.load_state_dict(state, strict=True, assign=True)
    settled(network)


def float32_names(network: nn.Module) -> set[str]:
    """Parameters that stay float32 whatever the type of the others."""
    held = {
        f"{prefix}.{name}"
        for prefix, module in network.named_modules()
        if isinstance(module, (Linear32, LayerNorm32, RMSNorm))
        for name, _ in module.named_parameters(recurse=False)
    }
    return held | {name for name, _ in network.named_parameters() if name.endswith(LOOSE_ISLANDS)}


def settled(network: nn.Module) -> nn.Module:
    """For evaluation, without gradients; nothing may have stayed without memory."""
    empty = [name for name, tensor in (*network.named_parameters(), *network.named_buffers()) if tensor.is_meta]
    assert not empty, f"{type(network).__name__} has no values for {empty[:3]}"
    return network.requires_grad_(False).eval()


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _demand(wanted: Mapping[str, tuple[int, ...]], tensors: Tensors) -> None:
    if fault := misfit(wanted, tensors.shapes):
        raise UsageError(f"{tensors.paths[0]} does not fit its configuration: {fault}: fetch it again")


def check_folder(folder: ModelFolder) -> tuple[DiTConfig, VAEConfig, text.TextConfig]:
    """The configurations of a folder whose parts are whole and belong together; reads no parameters. Raises `UsageError`."""
    configs = [open_transformer(part)[1] for part in folder.experts]
    if any(config != configs[0] for config in configs):
        raise UsageError(f"{folder.root}: the two transformers have different shapes: they belong to two models")
    dit, vae = configs[0], open_vae(folder.vae)[1]
    told = open_text_encoder(folder.text)[1]
    if dit.out_dim != vae.z_dim:
        raise UsageError(
            f"{folder.vae.paths[0]} is the wrong autoencoder for this model: it has {vae.z_dim} channels, "
            f"the transformer {dit.out_dim}"
        )
    if dit.text_dim != told.dim:
        raise UsageError(
            f"{folder.text.paths[0]} is {told.dim} wide, and the transformer reads {dit.text_dim}: another text encoder"
        )
    if dit.image and folder.tower is None:
        raise UsageError(f"{folder.root} holds no models_clip*: the image tower is missing")
    return dit, vae, told
