"""Checks of networks against reference tensors, by family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from wanbench.generator import image_tower, text
from wanbench.generator.build import build_dit
from wanbench.generator.configurations import RELEASED_DITS, RELEASED_VAES, dit_config_of, vae_config_of
from wanbench.generator.rope import THETA, full_grid, rotate, rotation
from wanbench.generator.times import sinusoid
from wanbench.generator.vae import VAE

from .golden import Case, load_dit, load_vae, shapes_of


def dit(case: Case) -> None:
    """Sample by sample, without padding to a common length, whatever the file's sizes."""
    config, given = case.config, case.inputs
    network = load_dit(config, case.weights)
    for b in range(config["batch"]):
        x = given[f"x.{b}"][None]
        tokens = x.shape[2] * (x.shape[3] // 2) * (x.shape[4] // 2)
        t = given["t"].expand(config["batch"], *given["t"].shape[1:])[b : b + 1]  # one time may serve the whole batch
        call = (x, t[:, :tokens] if t.dim() == 2 else t, [given[f"context.{b}"]])
        others: dict[str, Any] = {}
        if f"y.{b}" in given:
            others["y"] = given[f"y.{b}"][None]
        if "clip_fea" in given:
            images = len(given["clip_fea"]) // config["batch"]
            others["image"] = given["clip_fea"][b * images : (b + 1) * images].flatten(0, 1)[None]
        if f"vace_context.{b}" in given:
            others |= {"context": given[f"vace_context.{b}"][None], "scale": config["vace_context_scale"]}
        if "audio_input" in given:
            names = {"audio": "audio_input", "pose": "cond_states", "reference": "ref_latents", "motion": "motion_latents"}
            others |= {ours: given[theirs][b : b + 1] for ours, theirs in names.items()}
            others["motion_frames"] = tuple(config["motion_frames"])
            case.close(f"v_drop_motion.{b}", network(*call, **{**others, "motion": None})[0], 5e-5)
        case.close(f"v.{b}", network(*call, **others)[0], 5e-5)


def vae(case: Case) -> None:
    """Whole at once and chunk by chunk."""
    network = load_vae(case.config, case.weights, case.inputs["latent_mean"], case.inputs["latent_std"])
    for name, tensor in case.inputs.items():
        kind, _, suffix = name.partition(".")
        if kind == "video":
            usable = (tensor.shape[2] - 1) // 4 * 4 + 1
            case.close(f"mu_raw.{suffix}", network.encode_chunk(tensor[:, :, :usable])[0], 2e-5)
            case.close(f"mu_normalised.{suffix}", network.encode(tensor), 2e-5)
        elif kind == "latent":
            case.close(f"video_unclamped.{suffix}", network.decode_chunk(network.denormalise(tensor))[0], 2e-5)
            case.close(f"video.{suffix}", network.decode(tensor), 2e-5)


def umt5(case: Case) -> None:
    c = case.config
    config = text.TextConfig(
        vocab=c["vocab"],
        dim=c["dim"],
        head_dim=c["dim_attn"] // c["num_heads"],
        ffn_dim=c["dim_ffn"],
        num_heads=c["num_heads"],
        num_layers=c["num_layers"],
        num_buckets=c["num_buckets"],
        max_distance=c["max_distance"],
    )
    encoder: Any = text.build_text_encoder(config)
    text.load_text_encoder(encoder, case.weights)
    assert encoder.encoder.embed_tokens.weight is encoder.shared.weight
    ids, mask = case.inputs["ids"], case.inputs["mask"]
    for b, rows in enumerate(text.encode_tokens(ids, mask, encoder)):
        case.close(f"context.{b}", rows, 2e-5)
    case.close("hidden", encoder(input_ids=ids, attention_mask=mask).last_hidden_state, 2e-5)
    length = ids.shape[1]
    case.close("pos_bias.block0", encoder.encoder.block[0].layer[0].SelfAttention.compute_bias(length, length), 2e-5)


def clip(case: Case) -> None:
    c = case.config
    config = image_tower.TowerConfig(
        image_size=c["image_size"],
        patch_size=c["patch_size"],
        dim=c["dim"],
        ffn_dim=int(c["dim"] * c["mlp_ratio"]),
        num_heads=c["num_heads"],
        num_layers=c["num_layers"],
    )
    tower = image_tower.build_image_tower(config)
    image_tower.load_image_tower(tower, case.weights)
    pixels = image_tower.preprocess([case.inputs[f"image.{b}"] for b in range(c["n_images"])], c["image_size"])
    case.close("preprocessed", pixels, 2e-5)
    case.close("tokens", image_tower.image_tokens(pixels, tower), 2e-5)
    case.close("tokens_full_depth", tower(pixel_values=pixels, output_hidden_states=True).hidden_states[-1], 2e-5)


def rope(case: Case) -> None:
    c, q = case.config, case.inputs["q"]
    assert c["theta"] == THETA
    line = torch.arange(len(case.outputs["table_angle_cos"]))[:, None].expand(-1, 3)
    table = rotation(line, c["head_dim"])
    case.close("table_angle_cos", table.cos, 2e-6)
    case.close("table_angle_sin", table.sin, 2e-6)
    grid = full_grid(*c["grid_fhw"])
    turned = rotate(q[:, : len(grid)], rotation(grid, c["head_dim"]))
    case.close("rotated", torch.cat((turned, q[:, len(grid) :]), dim=1), 2e-6)


def temb(case: Case) -> None:
    case.close("sinusoid", sinusoid(case.inputs["t"], case.config["freq_dim"]), 1e-6)


def keys(case: Case) -> None:
    """A released network at full size, without memory, has exactly these names and shapes."""
    wanted = {name: tuple(shape) for name, shape in case.config["tensors"].items()}
    for belongs, check in _KEYS:
        if belongs in wanted:
            with torch.device("meta"):
                check(case, wanted)
            case.compared.add("tensors")
            return
    raise AssertionError(f"tensors of no network that is known: {sorted(wanted)[:3]}")


def _dit_keys(case: Case, wanted: dict[str, tuple[int, ...]]) -> None:
    released = [config for config in RELEASED_DITS.values() if config == dit_config_of(wanted)]
    assert released, f"no released transformer is {dit_config_of(wanted)}"
    assert shapes_of(build_dit(released[0]).state_dict()) == wanted


def _vae_keys(case: Case, wanted: dict[str, tuple[int, ...]]) -> None:
    config = vae_config_of(wanted)
    assert config in RELEASED_VAES.values()
    assert shapes_of(VAE(config).state_dict()) == wanted


def _text_keys(case: Case, wanted: dict[str, tuple[int, ...]]) -> None:
    mapped = {text.transformers_name(name): shape for name, shape in wanted.items()}
    assert {name: text.transformers_name(name) for name in wanted} == case.config["transformers"]
    mapped["encoder.embed_tokens.weight"] = mapped["shared.weight"]
    assert shapes_of(text.build_text_encoder(text.UMT5_XXL).state_dict()) == mapped


def _tower_keys(case: Case, wanted: dict[str, tuple[int, ...]]) -> None:
    original = {name: torch.empty(shape) for name, shape in wanted.items()}
    ours = shapes_of(image_tower.transformers_tensors(original))
    told: dict[str, list[int]] = {}
    for name, targets in case.config["transformers_CLIPVisionModel"].items():
        if name != "visual.head":  # belongs to the class with a projection
            told |= targets
    assert ours == {name: tuple(shape) for name, shape in told.items()}
    tower: nn.Module = image_tower.build_image_tower(image_tower.VIT_H_14)
    assert shapes_of(tower.state_dict()) == ours


_KEYS: list[tuple[str, Callable[[Case, dict[str, tuple[int, ...]]], None]]] = [
    ("patch_embedding.weight", _dit_keys),
    ("decoder.conv1.weight", _vae_keys),
    ("token_embedding.weight", _text_keys),
    ("visual.patch_embedding.weight", _tower_keys),
]
"""A tensor that only this kind of network has -> its check."""
