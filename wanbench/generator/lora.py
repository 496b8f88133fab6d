"""LoRA files (arXiv 2106.09685) of the common layouts, merged into tensors as they are loaded.

Names: those of the released networks or diffusers', after `diffusion_model.`, `transformer.`, `base_model.model.` or nothing, or
kohya's `lora_unet_` with underscores for dots. Factors: `lora_down`/`lora_up` with `alpha`, or `lora_A`/`lora_B`. Whole
differences (`diff`, `diff_b`, `diff_m`), which few-step files hold beside the factors, are added too. Every tensor of a file must
find its place: a part that is left out gives another network without a word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from wanbench.errors import UsageError
from wanbench.generator.names import dit_name
from wanbench.generator.tensors import Tensors

PREFIXES = ("base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "lora_unet__", "lora_unet_")
FACTORS = {"lora_down": "down", "lora_A": "down", "lora_up": "up", "lora_B": "up"}
DIFFERENCES = {"diff": "weight", "diff_b": "bias", "diff_m": "modulation"}
"""Whole difference -> the parameter of the module that it is added to."""
_FACTOR = re.compile(r"(.*?)\.(lora_down|lora_up|lora_A|lora_B)(?:\.\w+)?\.weight")


@dataclass(kw_only=True)
class Change:
    """What is added to one tensor."""

    down: Tensor | None = None
    up: Tensor | None = None
    alpha: float | None = None
    whole: Tensor | None = None

    def delta(self, shape: Sequence[int]) -> Tensor:
        """The difference in float32, in the shape of the tensor."""
        total = torch.zeros(tuple(shape))
        if self.whole is not None:
            total += self.whole.float().reshape(total.shape)
        if self.down is not None and self.up is not None:
            rank = self.down.shape[0]
            product = self.up.float().flatten(1) @ self.down.float().flatten(1)
            total += product.reshape(total.shape) * ((rank if self.alpha is None else self.alpha) / rank)
        return total


@dataclass(frozen=True, kw_only=True)
class Lora:
    """A file and how much of it is merged."""

    path: Path
    strength: float = 1.0
    expert: str | None = None
    """`low` or `high`: only this network of two; None: all."""
    changes: Mapping[str, Change] = field(default_factory=dict, repr=False)
    """Tensor name in the released layout -> what is added to it; empty until `read`."""

    def read(self, shapes: Mapping[str, tuple[int, ...]]) -> Lora:
        """The same with what its file holds for a network of these tensors. Raises `UsageError` for what finds no place."""
        changes = _changes(self.path, shapes)
        return Lora(path=self.path, strength=self.strength, expert=self.expert, changes=changes)


def merged(name: str, tensor: Tensor, loras: Sequence[Lora]) -> Tensor:
    """The tensor with what the files hold for it, in float32 if anything is added."""
    for lora in loras:
        if name in lora.changes:
            tensor = tensor.float() + lora.strength * lora.changes[name].delta(tensor.shape)
    return tensor


def parse(text: str) -> Lora:
    """`FILE`, `FILE:STRENGTH`, `low=FILE:STRENGTH` or `high=...` -> a file not yet read. Raises `UsageError`."""
    expert = next((e for e in ("low", "high") if text.startswith(f"{e}=")), None)
    given = text.removeprefix(f"{expert}=") if expert else text
    file, strength = given, 1.0
    if not Path(given).is_file() and ":" in given:
        file, _, number = given.rpartition(":")
        try:
            strength = float(number)
        except ValueError as error:
            raise UsageError(f"--lora {text}: {number!r} is not a strength; write FILE:STRENGTH, such as {file}:1.0") from error
    if not Path(file).is_file():
        raise UsageError(f"the LoRA file {file} does not exist")
    return Lora(path=Path(file), strength=strength, expert=expert)


def _changes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Change]:
    modules = {name.rpartition(".")[0] for name in shapes}
    flat = {module.replace(".", "_"): module for module in modules}
    changes: dict[str, Change] = {}
    foreign = []
    for name, tensor in Tensors([path]).items():
        place = _place(name, flat)
        if place is None or place[0] not in shapes:
            foreign.append(name)
            continue
        target, part = place
        change = changes.setdefault(target, Change())
        if part == "alpha":
            change.alpha = float(tensor)
        else:
            setattr(change, part, tensor)
    if foreign or not changes:
        what = (
            f"{len(foreign)} tensors with no place in the network ({', '.join(foreign[:3])}{', ...' if len(foreign) > 3 else ''})"
        )
        raise UsageError(
            f"the LoRA file {path} holds {what if foreign else 'no tensor'}: it is for another network, or in no known layout"
        )
    for target, change in changes.items():
        _check(path, target, change, shapes[target])
    return changes


def _place(name: str, flat: Mapping[str, str]) -> tuple[str, str] | None:
    """(tensor that is changed, part of the change) for a name in the file; None for one of no known form."""
    if found := _FACTOR.fullmatch(name):
        module, parameter, part = found[1], "weight", FACTORS[found[2]]
    else:
        module, _, last = name.rpartition(".")
        if last not in ("alpha", *DIFFERENCES):
            return None
        parameter, part = ("weight", "alpha") if last == "alpha" else (DIFFERENCES[last], "whole")
    for prefix in PREFIXES:
        module = module.removeprefix(prefix)
    module = flat.get(module, module)
    target = dit_name(f"{module}.{parameter}" if module else parameter)
    return None if target is None else (target, part)


def _check(path: Path, target: str, change: Change, shape: tuple[int, ...]) -> None:
    down, up = change.down, change.up
    if change.whole is not None and change.whole.numel() != torch.Size(shape).numel():
        raise UsageError(f"the LoRA file {path} has {tuple(change.whole.shape)} to be added to {target}, which is {shape}")
    if (down is None) != (up is None) or (down is None and change.whole is None):
        raise UsageError(f"the LoRA file {path} has only one of the two factors of {target}: fetch it again")
    if down is None or up is None:
        return
    if up[0].numel() != down.shape[0] or up.shape[0] != shape[0] or down[0].numel() != torch.Size(shape[1:]).numel():
        raise UsageError(
            f"the LoRA file {path} has factors {tuple(up.shape)} and {tuple(down.shape)} for {target}, which is {shape}"
        )
