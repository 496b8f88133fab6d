"""From what a user calls a model to its networks: a name, the hub's name, or a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from wanbench import checkpoints
from wanbench.errors import MissingCheckpoints, UsageError
from wanbench.generator import loading, tiny
from wanbench.generator.configurations import DiTConfig, VAEConfig
from wanbench.generator.dit import Transformer
from wanbench.generator.folder import ModelFolder, open_folder
from wanbench.generator.lora import Lora
from wanbench.generator.models import MODELS, Model, Task
from wanbench.generator.text import TextConfig
from wanbench.generator.vae import VAE


class Networks(Protocol):
    """A model whose networks are loaded when they are asked for, each time anew."""

    @property
    def name(self) -> str:
        """What results are called by."""

    @property
    def model(self) -> Model:
        """Shapes, and how it is sampled by default."""

    @property
    def threads(self) -> int | None:
        """Threads of a CPU; None: as many as the library chooses. The last digits of a video may depend on it."""

    @property
    def text_config(self) -> TextConfig:
        """Shape of the text encoder."""

    def fingerprint(self) -> str:
        """SHA-256 of everything that can move a video."""

    def text(self, device: str, dtype: torch.dtype) -> tuple[Any, nn.Module]:
        """Tokenizer and text encoder."""

    def tower(self, device: str, dtype: torch.dtype) -> nn.Module | None:
        """The image tower, where the model has one."""

    def experts(self, device: str, dtype: torch.dtype) -> list[Transformer]:
        """One transformer, or the low-noise and the high-noise one."""

    def vae(self, device: str) -> VAE:
        """The autoencoder, float32."""


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """`wan-tiny`."""

    name: str = tiny.NAME
    model: Model = tiny.TINY
    threads: int | None = 1  # more only wait for each other where there is so little to do
    text_config: TextConfig = tiny.TEXT

    def fingerprint(self) -> str:
        return tiny.fingerprint()

    def text(self, device: str, dtype: torch.dtype) -> tuple[Any, nn.Module]:
        return tiny.tokenizer(), tiny.text_encoder().to(device, dtype)

    def tower(self, device: str, dtype: torch.dtype) -> nn.Module | None:
        return None

    def experts(self, device: str, dtype: torch.dtype) -> list[Transformer]:
        network = tiny.transformer().to(device)
        islands = loading.float32_names(network)
        for name, parameter in network.named_parameters():
            parameter.data = parameter.data.to(torch.float32 if name in islands else dtype)
        return [network]

    def vae(self, device: str) -> VAE:
        return tiny.autoencoder().to(device)


@dataclass(frozen=True, kw_only=True)
class FromFolder:
    """A model of a folder, in the released or diffusers' layout."""

    name: str
    model: Model
    folder: ModelFolder
    text_config: TextConfig
    loras: tuple[Lora, ...] = ()
    threads: int | None = None

    def fingerprint(self) -> str:
        found = self.folder.fingerprint()
        merged = [f"{checkpoints.digest_of(lora.path)}:{lora.strength}:{lora.expert}" for lora in self.loras]
        return hashlib.sha256("\n".join([found, *merged]).encode()).hexdigest() if merged else found

    def text(self, device: str, dtype: torch.dtype) -> tuple[Any, nn.Module]:
        return loading.load_tokenizer(self.folder.tokenizer), loading.load_text_encoder(
            self.folder.text, device=device, dtype=dtype
        )

    def tower(self, device: str, dtype: torch.dtype) -> nn.Module | None:
        if self.model.dit.image is None or self.folder.tower is None:
            return None
        return loading.load_image_tower(self.folder.tower, device=device, dtype=dtype)

    def experts(self, device: str, dtype: torch.dtype) -> list[Transformer]:
        names = ("low", "high")
        return [
            loading.load_transformer(
                part, device=device, dtype=dtype, loras=[lora for lora in self.loras if lora.expert in (None, name)]
            )
            for name, part in zip(names, self.folder.experts, strict=False)
        ]

    def vae(self, device: str) -> VAE:
        return loading.load_vae(self.folder.vae, device=device)


def open_model(given: str, loras: Sequence[Lora] = ()) -> Networks:
    """A model by name, by its name on the hub, or by folder; every file is found and fits, nothing is loaded.

    Raises `UsageError`, or `MissingCheckpoints` for a known model that is not in the store.
    """
    if given == tiny.NAME:
        if loras:
            raise UsageError(f"{tiny.NAME} has random parameters: a LoRA file has nothing to change there")
        return Tiny()
    by_hub = {model.repository: name for name, model in MODELS.items()}
    name = given if given in MODELS else by_hub.get(given)
    root = Path(given)
    if name is None and not root.is_dir():
        where = f"the folder {given} does not exist" if "/" in given else f"no model is called {given!r}"
        raise UsageError(f"{where}: there are {', '.join((tiny.NAME, *MODELS))}, or give a folder")
    if name is not None and not root.is_dir():
        root = checkpoints.home() / "checkpoints" / name
        if not root.is_dir():
            raise MissingCheckpoints(
                f"{name} is not in the store ({root}): run `wanbench checkpoints pull {name}`, or give its folder to --model"
            )
    folder = open_folder(root)
    dit, vae, told = loading.check_folder(folder)
    model = _with(MODELS[name], dit, vae, name) if name else recognised(folder, dit, vae)
    for lora in loras:
        if lora.expert and len(folder.experts) == 1:
            raise UsageError(f"{lora.path} is for the {lora.expert}-noise network, and this model has one network")
        for part in folder.experts:
            lora.read(loading.open_transformer(part)[0].shapes)
    return FromFolder(name=name or root.resolve().name, model=model, folder=folder, text_config=told, loras=tuple(loras))


def _with(model: Model, dit: DiTConfig, vae: VAEConfig, name: str) -> Model:
    if dit != model.dit:
        raise UsageError(f"the files in the store's folder {name} are of another model ({dit}): fetch them again")
    return replace(model, vae=vae)


def recognised(folder: ModelFolder, dit: DiTConfig, vae: VAEConfig) -> Model:
    """A released model's defaults for a user's own folder: of the same network, or else of the same task."""
    kin = [model for model in MODELS.values() if model.dit == dit and (model.boundary is not None) == (len(folder.experts) == 2)]
    if len(kin) > 1:  # two sizes of one network: the smaller, unless the folder's name says otherwise
        kin.sort(key=lambda model: (("720" in folder.root.name) != (model.size_HW[0] == 720), model.size_HW))
    if not kin:
        task = task_of(dit, vae)
        alike = [model for model in MODELS.values() if model.task == task]
        kin = sorted(alike, key=lambda model: (model.boundary is not None) != (len(folder.experts) == 2))
    boundary = folder.index.get("boundary_ratio") or kin[0].boundary
    return replace(kin[0], dit=dit, vae=vae, boundary=boundary if len(folder.experts) == 2 else None)


def task_of(dit: DiTConfig, vae: VAEConfig) -> Task:
    """What a transformer of this shape is for."""
    if dit.speech is not None:
        return "s2v"
    if dit.vace is not None:
        return "vace"
    if dit.in_dim > dit.out_dim:
        return "flf2v" if dit.image is not None and dit.image.positions else "i2v"
    return "ti2v" if vae.release == "2.2" else "t2v"
