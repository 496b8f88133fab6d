"""Reference tensors: one file is one case, found by what its own metadata says; every output of it must be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from wanbench.generator.build import build_dit
from wanbench.generator.configurations import (
    EPS,
    PATCH,
    DiTConfig,
    ImageBranch,
    Shapes,
    SpeechBranch,
    VaceBranch,
    VAEConfig,
    dit_config_of,
)
from wanbench.generator.dit import Transformer
from wanbench.generator.vae import VAE

INFORMATIVE = "stage."
"""Outputs that help to find a difference and need not be asserted."""

JSON_FAMILIES = {"tensors": "keys", "cases": "text_clean"}
"""A key that only files of this family have."""


@dataclass
class Case:
    """A file, and what of it has been compared so far."""

    family: str
    config: dict[str, Any]
    weights: dict[str, Tensor] = field(default_factory=dict)
    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    compared: set[str] = field(default_factory=set)
    worst: float = 0.0
    """Largest deviation as a share of its tolerance."""

    def close(self, name: str, ours: Tensor, tolerance: float) -> None:
        """Our tensor is the output of this name, within a largest absolute deviation."""
        theirs = self.outputs[name]
        assert ours.shape == theirs.shape, f"{name}: {tuple(ours.shape)}, wanted {tuple(theirs.shape)}"
        deviation = float((ours.double() - theirs.double()).abs().max())
        assert deviation <= tolerance, f"{name}: off by {deviation:.2e}, at most {tolerance:.0e}"
        self.worst = max(self.worst, deviation / tolerance)
        self.compared.add(name)

    def equal(self, name: str, ours: Any) -> None:
        """Ours (tensor, number or list) is exactly the output of this name."""
        theirs = self.outputs[name]
        assert torch.equal(torch.as_tensor(ours).to(theirs.dtype), theirs), f"{name}: {ours}, wanted {theirs}"
        self.compared.add(name)

    def assert_complete(self) -> None:
        """Nothing in the file went unseen."""
        left = {name for name in self.outputs if not name.startswith(INFORMATIVE)} - self.compared
        assert not left, f"outputs that nothing was compared with: {sorted(left)}"
        assert self.compared, "nothing was compared"


def read(path: Path) -> Case:
    """A case from a file of tensors or of JSON."""
    if path.suffix == ".json":
        content = json.loads(path.read_text("utf-8"))
        family = next((name for mark, name in JSON_FAMILIES.items() if mark in content), f"none: {sorted(content)}")
        return Case(family, content)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    return Case(metadata["runner"], json.loads(metadata["config"]), part("weights."), part("input."), part("output."))


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def dit_config(config: Mapping[str, Any], shapes: Shapes) -> DiTConfig:
    """Ours from the official one, which says with a `kind` which network it is."""
    fixed = (tuple(config["patch_size"]), config["eps"], config["qk_norm"], config["cross_attn_norm"])
    assert fixed == (PATCH, EPS, True, True), f"not a Wan network: {fixed}"
    kind = config["kind"]
    same = ("dim", "ffn_dim", "num_heads", "num_layers", "in_dim", "out_dim", "text_dim", "text_len", "freq_dim")
    image, vace, speech = None, None, None
    if kind in ("i2v21", "flf2v21"):
        positions = 2 * config["image_tokens"] if kind == "flf2v21" else None
        image = ImageBranch(width=config["image_dim"], positions=positions)
    if kind == "vace":
        vace = VaceBranch(in_dim=config["vace_in_dim"], layers=tuple(config["vace_layers"]))
    if kind == "s2v":
        speech = SpeechBranch(
            audio_dim=config["audio_dim"],
            audio_layers=shapes["casual_audio_encoder.weights"][1],  # not in the official configuration
            audio_tokens=config["num_audio_token"],
            pose_dim=config["cond_dim"],
            inject_after=tuple(config["audio_inject_layers"]),
        )
    return DiTConfig(**{name: config[name] for name in same}, image=image, vace=vace, speech=speech)


def load_dit(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Transformer:
    """The network of a file, loaded strictly; what its tensors alone tell agrees with its configuration."""
    shapes = shapes_of(weights)
    wanted = dit_config(config, shapes)
    derived = dit_config_of(shapes, num_heads=wanted.num_heads, text_len=wanted.text_len)
    for name in ("dim", "ffn_dim", "num_layers", "in_dim", "out_dim", "text_dim", "freq_dim", "image"):
        assert getattr(derived, name) == getattr(wanted, name), name
    assert (derived.vace is None, derived.speech is None) == (wanted.vace is None, wanted.speech is None)
    dit = build_dit(wanted)
    dit.load_state_dict(dict(weights))
    return dit.eval()


def load_vae(config: Mapping[str, Any], weights: Mapping[str, Tensor], mean: Tensor, std: Tensor) -> VAE:
    """The autoencoder of a file. What the file leaves out, half of it or more, has no part in its outputs: it is not a number."""
    vae = VAE(
        VAEConfig(
            release={"vae21": "2.1", "vae22": "2.2"}[config["kind"]],
            z_dim=config["z_dim"],
            encoder_dim=config["dim"],
            decoder_dim=config.get("dec_dim", config["dim"]),
            dim_mult=tuple(config["dim_mult"]),
            num_res_blocks=config["num_res_blocks"],
            temporal_downsample=tuple(config["temperal_downsample"]),
            latent_mean=tuple(mean.tolist()),
            latent_std=tuple(std.tolist()),
        )
    )
    missing, unexpected = vae.load_state_dict(dict(weights), strict=False)
    assert not unexpected
    parameters = dict(vae.named_parameters())
    for name in missing:
        parameters[name].data.fill_(torch.nan)
    return vae.eval()
