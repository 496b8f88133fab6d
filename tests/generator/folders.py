"""Small models with random parameters, written as the released folders and as diffusers' are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from wanbench.generator import text, tiny
from wanbench.generator.build import build_dit
from wanbench.generator.configurations import DiTConfig, ImageBranch, VaceBranch, VAEConfig
from wanbench.generator.image_tower import TowerConfig, build_image_tower
from wanbench.generator.vae import VAE

from .tiny import randomised

TEXT = text.TextConfig(vocab=259, dim=8, head_dim=4, ffn_dim=12, num_heads=2, num_layers=2)
VAE_SMALL: VAEConfig = replace(tiny.TINY.vae, encoder_dim=4, decoder_dim=4)
T2V = DiTConfig(dim=24, ffn_dim=40, num_heads=2, num_layers=2, in_dim=16, out_dim=16, text_dim=8)
I2V_22 = replace(T2V, in_dim=36)
I2V = replace(I2V_22, image=ImageBranch(width=32, positions=None))
FLF2V = replace(I2V_22, image=ImageBranch(width=32, positions=10))
VACE = replace(T2V, vace=VaceBranch(in_dim=96, layers=(0,)))
TI2V = replace(T2V, in_dim=48, out_dim=48)
TOWER = TowerConfig(image_size=4, patch_size=2, dim=32, ffn_dim=8, num_heads=16, num_layers=2)
"""Five tokens an image."""


def transformer(config: DiTConfig, seed: int = 0) -> nn.Module:
    return randomised(build_dit(config), seed)


def write_dit(folder: Path, network: nn.Module, *, shards: int = 1, **config: object) -> None:
    """The transformer's file, or its shards with an index, and a `config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    (folder / "config.json").write_text(json.dumps({"num_heads": network.config.num_heads, **config}))
    if shards == 1:
        save_file(tensors, folder / "diffusion_pytorch_model.safetensors")
        return
    names = list(tensors)
    files = {name: f"diffusion_pytorch_model-{i % shards + 1:05d}-of-{shards:05d}.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: tensors[name] for name in names if files[name] == file}, folder / file)
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


def write_rest(folder: Path, vae: VAEConfig = VAE_SMALL, told: text.TextConfig = TEXT) -> None:
    """Autoencoder, text encoder and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(randomised(VAE(vae)).state_dict(), folder / f"Wan{vae.release}_VAE.pth")
    encoder = randomised(text.build_text_encoder(told))
    torch.save(original_text(encoder), folder / "models_t5_umt5-xxl-enc-bf16.pth")
    tiny.tokenizer().save_pretrained(folder / "google" / "umt5-xxl")


def write_tower(folder: Path) -> None:
    """The image tower in its original names, with tensors of the text tower that nobody needs."""
    tower = randomised(build_image_tower(TOWER))
    torch.save(original_tower(tower.state_dict()), folder / "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth")


def write_model(folder: Path, config: DiTConfig = T2V, *, vae: VAEConfig = VAE_SMALL, shards: int = 1, experts: int = 1) -> Path:
    """A whole model in the released layout."""
    places = [folder] if experts == 1 else [folder / "low_noise_model", folder / "high_noise_model"]
    for seed, place in enumerate(places):
        write_dit(place, transformer(config, seed), shards=shards)
    write_rest(folder, vae)
    if config.image is not None:
        write_tower(folder)
    return folder


def original_text(encoder: nn.Module) -> dict[str, Tensor]:
    """A umT5 encoder's tensors under their original names."""
    from wanbench.generator.names import text_name

    return {known: tensor for name, tensor in encoder.state_dict().items() if (known := text_name(name))}


def original_tower(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """transformers' tensors of an image tower as the original file has them."""
    made = {
        "visual.cls_embedding": state["embeddings.class_embedding"][None, None],
        "visual.pos_embedding": state["embeddings.position_embedding.weight"][None],
        "visual.patch_embedding.weight": state["embeddings.patch_embedding.weight"],
        "visual.head": torch.zeros(2, 2),
        "textual.x": torch.zeros(1),
        "log_scale": torch.zeros(()),
    }
    for theirs, ours in (("pre_layrnorm", "pre_norm"), ("post_layernorm", "post_norm")):
        made |= {f"visual.{ours}.{kind}": state[f"{theirs}.{kind}"] for kind in ("weight", "bias")}
    parts = {
        "layer_norm1": "norm1",
        "layer_norm2": "norm2",
        "self_attn.out_proj": "attn.proj",
        "mlp.fc1": "mlp.0",
        "mlp.fc2": "mlp.2",
    }
    for i in range(TOWER.num_layers):
        theirs, ours = f"encoder.layers.{i}", f"visual.transformer.{i}"
        for kind in ("weight", "bias"):
            made |= {f"{ours}.{b}.{kind}": state[f"{theirs}.{a}.{kind}"] for a, b in parts.items()}
            made[f"{ours}.attn.to_qkv.{kind}"] = torch.cat([state[f"{theirs}.self_attn.{p}_proj.{kind}"] for p in "qkv"])
    return {name: tensor.clone() for name, tensor in made.items()}
