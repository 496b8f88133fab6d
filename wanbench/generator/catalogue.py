"""What `wanbench models` tells: for every model its task, sizes, and the memory that its parameters take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wanbench import checkpoints
from wanbench.errors import UsageError
from wanbench.generator import tiny
from wanbench.generator.build import build_dit
from wanbench.generator.folder import open_folder
from wanbench.generator.loading import float32_names
from wanbench.generator.models import MODELS, Model
from wanbench.generator.vae import VAE

MAKES = {
    "t2v": "text to video, text to image",
    "i2v": "image to video",
    "flf2v": "first and last image to video",
    "vace": "text, references and a video to video",
    "ti2v": "text to video, image to video",
    "s2v": "speech to video (as a library)",
}
UMT5_XXL_PARAMETERS = 5_680_910_336
"""Counted from the released file's names and shapes."""
TOWER_PARAMETERS = 630_766_080
TINY_TEXT_PARAMETERS = 29_184
BFLOAT16, FLOAT32 = 2, 4


_480P, _720P, _704P = ((480, 832), (832, 480)), ((720, 1280), (1280, 720)), ((704, 1280), (1280, 704))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model."""

    name: str
    model: Model

    def to_json(self) -> dict[str, Any]:
        """Everything, for `--json`; sizes are [height, width], memory in bytes."""
        model = self.model
        parameters, memory = self._parameters()
        return {
            "name": self.name,
            "task": model.task,
            "makes": MAKES[model.task],
            "repository": model.repository or None,
            "folder": str(store_folder(self.name)) if model.repository else None,
            "present": present(self.name),
            "size": list(model.size_HW),
            "sizes": [list(size) for size in sizes(self.name, model)],
            "frames": model.frames,
            "fps": model.fps,
            "steps": model.steps,
            "shift": model.shift,
            "guidance": list(model.guidance),
            "boundary": model.boundary,
            "experts": self.experts,
            "parameters": parameters,
            "memory_bytes": memory,
        }

    @property
    def experts(self) -> int:
        """Transformers: one, or those of low and high noise."""
        return 2 if self.model.boundary is not None else 1

    def _parameters(self) -> tuple[dict[str, int], dict[str, int]]:
        with torch.device("meta"):
            dit, vae = build_dit(self.model.dit), VAE(self.model.vae)
        islands = float32_names(dit)
        own = sum(p.numel() * (FLOAT32 if name in islands else BFLOAT16) for name, p in dit.named_parameters())
        text = UMT5_XXL_PARAMETERS if self.model.repository else TINY_TEXT_PARAMETERS
        tower = TOWER_PARAMETERS if self.model.dit.image else 0
        parameters = {"transformer": count(dit), "text_encoder": text, "autoencoder": count(vae), "image_tower": tower}
        memory = {"transformer": own * self.experts, "text_encoder": text * BFLOAT16, "autoencoder": count(vae) * FLOAT32}
        memory |= {"image_tower": tower * BFLOAT16} if tower else {}
        return parameters, {**memory, "all": sum(memory.values())}


def catalogue() -> dict[str, Entry]:
    """Name -> model: the one that needs no file first, then the released ones."""
    return {name: Entry(name=name, model=model) for name, model in {tiny.NAME: tiny.TINY, **MODELS}.items()}


def count(network: nn.Module) -> int:
    """Parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def store_folder(name: str) -> Path:
    """Where the files of a known model lie, or are to be put by hand."""
    return checkpoints.home() / "checkpoints" / name


def present(name: str) -> bool:
    """Whether every part of a model is there."""
    if name == tiny.NAME:
        return True
    try:
        open_folder(store_folder(name))
    except UsageError:
        return False
    return True


def sizes(name: str, model: Model) -> tuple[tuple[int, int], ...]:
    """The sizes (height, width) that a model was made for; others work, less well."""
    if name == tiny.NAME:
        return (model.size_HW,)
    if model.task == "ti2v":
        return _704P
    if name.endswith("-1.3b"):
        return _480P
    if model.task == "s2v":
        return (model.size_HW, *_480P, *_720P)
    return (*_720P, *_480P, (1024, 1024)) if name == "wan-14b" else (*_720P, *_480P)
