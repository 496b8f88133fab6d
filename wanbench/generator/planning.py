"""`--memory`: from a model, its settings and a budget to where everything stays; nothing is loaded for it. "Ours".

A budget in bytes decides the same on every machine: whether frames are decoded in squares and whether both passes of guidance are
one batch, which move pixels and so belong to the settings; and where parameters wait, which moves nothing. What happens to be
free on a device decides the second kind only, since the same command must make the same video tomorrow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import nn

from wanbench.errors import UsageError
from wanbench.generator.build import build_dit
from wanbench.generator.configurations import VAEConfig
from wanbench.generator.cost import activation_bytes, decode_bytes, encode_bytes, token_count
from wanbench.generator.layers import Linear
from wanbench.generator.loading import float32_names
from wanbench.generator.models import Model
from wanbench.generator.placement import RESERVE, SLOTS, Placement, Sizes, gigabytes, needed, place
from wanbench.generator.settings import Settings
from wanbench.generator.text import TEXT_LEN, TextConfig, build_text_encoder
from wanbench.generator.vae import VAE

UNITS = {"": 10**9, "g": 10**9, "gb": 10**9, "gib": 2**30}
ASSEMBLY = 200
"""[ours] Bytes a pixel where squares are put together: four frames of three float32 channels, three times, and weights."""


def bytes_of(text: str) -> int | None:
    """`8.19`, `8.19GB`, `8GiB` -> bytes; `auto` -> None. Raises `UsageError`."""
    if text.strip().lower() == "auto":
        return None
    found = re.fullmatch(r"(\d+\.?\d*)\s*(|g|gb|gib)", text.strip().lower())
    if found is None or float(found[1]) == 0:
        raise UsageError(f"--memory takes gigabytes, such as 8.19GB, or auto, not {text!r}")
    return round(float(found[1]) * UNITS[found[2]])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a production stays within its budget."""

    budget: int
    placement: Placement
    blocks: int
    """Of a transformer."""
    experts: int
    tile: int | None
    """Side of the squares that are decoded; None: whole frames."""
    visiting: bool
    """Transformers and autoencoder are on the device in turn."""
    exact_least: int
    """Bytes of a pass of the network without 8-bit products, all its blocks outside."""

    @property
    def resident(self) -> bool:
        """Whether nothing has to wait outside once it is loaded."""
        placed = self.placement
        return not self.visiting and placed.experts_resident == self.experts and placed.blocks_resident == self.blocks

    def __str__(self) -> str:
        placed = self.placement
        parts = [
            f"{placed.blocks_resident} of {self.blocks} blocks stay on the device" if placed.blocks_resident < self.blocks
            else "all blocks on the device",
            *(["the two networks in turn"] if placed.experts_resident < self.experts else []),
            f"{placed.peak / 1e9:.2f} GB for latents with {'both passes at once' if placed.together else 'one pass at a time'}",
            *([] if placed.text_on_device else ["text encoder streamed"]),
            f"decoding in squares of {self.tile} pixels" if self.tile else "decoding whole frames",
        ]  # fmt: skip
        return f"{self.budget / 1e9:.2f} GB: {', '.join(parts)}"


def planned(model: Model, text: TextConfig, settings: Settings, dtype: torch.dtype, budget: int, passes: str | None) -> Plan:
    """Where everything stays within `budget` bytes. `passes`: as in `Settings`, or None where the plan may choose.

    Raises `UsageError` that says what the least is.
    """
    sizes = sizes_of(model, text, settings, dtype)
    encoding = _encoding(model, settings)
    least = {
        "encoding the text": RESERVE + _text_bytes(text, dtype, streamed=True),
        "encoding pictures": RESERVE + encoding,
        "decoding": RESERVE + sizes.decode,
    }
    stage, most = max(least.items(), key=lambda item: item[1])
    if most > budget and needed(sizes, experts=1, blocks=0, samples=1) < most:
        whole = stage == "decoding" and settings.tile is None
        raise UsageError(
            f"a memory of {budget / 1e9:.2f} GB is too little: {stage} at this size needs {gigabytes(most)}"
            + (" in whole frames: --memory with a number, or --vae-tile, decodes in squares; " if whole else "; ")
            + "give more, or a smaller --size"
        )
    placement = place(sizes, budget, guided=settings.guided, passes=passes)
    return Plan(
        budget=budget,
        placement=placement,
        blocks=sizes.blocks,
        experts=sizes.experts,
        tile=settings.tile,
        visiting=placement.peak + max(sizes.decode, encoding) > budget,
        exact_least=needed(sizes_of(model, text, replace(settings, fp8=False), dtype), experts=1, blocks=0, samples=1),
    )


def chosen_tile(model: Model, settings: Settings, budget: int) -> int | None:
    """The largest squares that fit, or whole frames; the smallest ones where nothing does."""
    if settings.tile is not None or RESERVE + _decoding(model, settings) <= budget:
        return settings.tile
    step, least = 2 * model.vae.stride[1], smallest_tile(model)
    fitting = [
        side
        for side in range(least, max(settings.size_HW), step)
        if RESERVE + _decoding(model, replace(settings, tile=side)) <= budget
    ]
    return fitting[-1] if fitting else least


def sizes_of(model: Model, text: TextConfig, settings: Settings, dtype: torch.dtype) -> Sizes:
    """Bytes of a model at work, from its configuration."""
    with torch.device("meta"):
        network = build_dit(replace(model.dit, num_layers=1))
    block, whole = _bytes(network.blocks[0], dtype, fp8=settings.fp8), _bytes(network, dtype)
    one = _bytes(network.blocks[0], dtype)
    tokens = token_count(model.vae, settings.frames, *settings.size_HW)
    frames = model.vae.latent_shape(settings.frames, *settings.size_HW)[1]
    if model.task == "vace":
        tokens += tokens // frames * len(settings.images)
    experts, wide = 1 if model.boundary is None else 2, dtype.itemsize
    remembered = settings.reuse is not None and settings.reuse.what == "attention"
    passes = 2 if settings.guided else 1
    return Sizes(
        block=block,
        blocks=model.dit.num_layers,
        rest=whole - one,
        experts=experts,
        # Counted for products in 2 bytes; with 4 it is at most twice as much.
        activations=activation_bytes(model.dit, tokens) * wide // 2,
        text=_text_bytes(text, dtype, streamed=False),
        decode=_decoding(model, settings),
        kept=experts * passes * model.dit.num_layers * tokens * model.dit.dim * wide if remembered else 0,
    )


def smallest_tile(model: Model) -> int:
    """Side of the smallest squares that are decoded, in pixels."""
    return 8 * model.vae.stride[1]


def _decoding(model: Model, settings: Settings) -> int:
    height, width = settings.size_HW
    if settings.tile is None:
        return _vae_bytes(model.vae) + decode_bytes(model.vae, height, width)
    side = settings.tile
    return _vae_bytes(model.vae) + decode_bytes(model.vae, min(side, height), min(side, width)) + ASSEMBLY * height * width


def _encoding(model: Model, settings: Settings) -> int:
    if not settings.images and not settings.video and model.task != "vace":
        return 0
    return _vae_bytes(model.vae) + encode_bytes(model.vae, *settings.size_HW)


@cache
def _vae_bytes(config: VAEConfig) -> int:
    with torch.device("meta"):
        return _bytes(VAE(config), torch.float32)


def _text_bytes(config: TextConfig, dtype: torch.dtype, *, streamed: bool) -> int:
    with torch.device("meta"):
        encoder: Any = build_text_encoder(replace(config, num_layers=1))
    block = _bytes(encoder.encoder.block[0], dtype)
    blocks = min(SLOTS, config.num_layers) if streamed else config.num_layers
    scores = 3 * 4 * config.num_heads * TEXT_LEN**2  # with their bias and softmax, of one text in float32
    return _bytes(encoder, dtype) - block + blocks * block + scores


def _bytes(network: nn.Module, dtype: torch.dtype, *, fp8: bool = False) -> int:
    """Of parameters; those of the islands take 4 bytes each, and 8-bit weights one."""
    islands = float32_names(network)
    eighth = {f"{name}.weight" for name, child in network.named_modules() if isinstance(child, Linear)} if fp8 else set()
    wide = {name: 4 if name in islands else 1 if name in eighth else dtype.itemsize for name, _ in network.named_parameters()}
    return sum(parameter.numel() * wide[name] for name, parameter in network.named_parameters())
