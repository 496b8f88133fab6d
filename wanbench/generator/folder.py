"""What lies in a model's folder: transformers, autoencoder, text encoder, tokenizer, image tower; released or diffusers' layout.

Only looks: nothing is read but configurations and the list of files, so that what is missing is said before any long work.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wanbench.checkpoints import DIGESTS_FILE, digest_of
from wanbench.errors import UsageError
from wanbench.generator.tensors import INDEX, PICKLES, checkpoint_files

DIT = "diffusion_pytorch_model"
KINDS = (".safetensors", *PICKLES)


@dataclass(frozen=True, kw_only=True)
class Part:
    """The files of one network."""

    paths: tuple[Path, ...]
    config: dict[str, Any] = field(default_factory=dict)
    """Of the `config.json` beside them; empty without one."""


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A model as it lies on disk."""

    root: Path
    experts: tuple[Part, ...]
    """One transformer, or the low-noise and the high-noise one, in this order."""
    vae: Part
    text: Part
    tokenizer: Path
    tower: Part | None
    """Image tower of Wan2.1; None where there is none."""
    index: dict[str, Any]
    """diffusers' `model_index.json`; empty in the released layout."""

    def fingerprint(self) -> str:
        """SHA-256 over every file that can move a video: parameters, configurations, tokenizer."""
        parts = (*self.experts, self.vae, self.text, *((self.tower,) if self.tower else ()))
        paths = {path for part in parts for path in part.paths} | {part.paths[0].parent / "config.json" for part in parts}
        paths |= {path for path in self.tokenizer.iterdir() if path.name != DIGESTS_FILE}
        lines = [f"{path.relative_to(self.root)} {digest_of(path)}\n" for path in sorted(paths) if path.is_file()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def open_folder(root: Path) -> ModelFolder:
    """Find every part. Raises `UsageError` that names the first one missing."""
    if not root.is_dir():
        raise UsageError(f"the model folder {root} does not exist")
    return _diffusers(root) if (root / "transformer").is_dir() else _released(root)


def _released(root: Path) -> ModelFolder:
    low, high = root / "low_noise_model", root / "high_noise_model"
    if low.is_dir() != high.is_dir():
        present, absent = (low, high) if low.is_dir() else (high, low)
        raise UsageError(f"{absent} is missing beside {present.name}: this model has two transformers, fetch both")
    folders = (low, high) if low.is_dir() else (root,)
    return ModelFolder(
        root=root,
        experts=tuple(_transformer(folder) for folder in folders),
        vae=_file(root, "*VAE*", "the video autoencoder, such as Wan2.1_VAE.pth"),
        text=_file(root, "models_t5*", "the text encoder, such as models_t5_umt5-xxl-enc-bf16.pth"),
        tokenizer=_tokenizer(root / "google" / "umt5-xxl"),
        tower=_file(root, "models_clip*", "the image tower") if any(_files(root, "models_clip*")) else None,
        index={},
    )


def _diffusers(root: Path) -> ModelFolder:
    # diffusers calls the high-noise network the first, the released code the second.
    folders = (root / "transformer_2", root / "transformer") if (root / "transformer_2").is_dir() else (root / "transformer",)
    tower = root / "image_encoder"
    return ModelFolder(
        root=root,
        experts=tuple(_transformer(folder) for folder in folders),
        vae=_stemmed(root / "vae", DIT, "the video autoencoder"),
        text=_stemmed(root / "text_encoder", "model", "the text encoder"),
        tokenizer=_tokenizer(root / "tokenizer"),
        tower=_stemmed(tower, "model", "the image tower") if tower.is_dir() else None,
        index=_json(root / "model_index.json"),
    )


def _transformer(folder: Path) -> Part:
    return _stemmed(folder, DIT, "the transformer")


def _stemmed(folder: Path, stem: str, what: str) -> Part:
    """The files of a network, whole or in shards; a folder with another single file of parameters will do."""
    paths = checkpoint_files(folder, stem)
    if not paths and (named := list(folder.glob(f"*.safetensors{INDEX}"))):
        paths = checkpoint_files(folder, named[0].name.removesuffix(f".safetensors{INDEX}"))
    if not paths:
        paths = [p for p in _files(folder, "*.safetensors") if "VAE" not in p.name and not p.name.startswith("models_")]
        if len(paths) > 1:
            raise UsageError(
                f"{folder} holds several files that may be {what} ({paths[0].name}, {paths[1].name}): name it {stem}"
            )
    if not paths:
        raise UsageError(f"{folder} holds no {stem}.safetensors: {what} is missing")
    return Part(paths=tuple(paths), config=_json(folder / "config.json"))


def _file(folder: Path, pattern: str, what: str) -> Part:
    found = _files(folder, pattern)
    if len(found) != 1:
        several = f"several files {pattern} ({', '.join(p.name for p in found)}): keep {what}"
        raise UsageError(f"{folder} holds {several if found else f'no {pattern}: it is not complete, {what}, is missing'}")
    return Part(paths=(found[0],))


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.suffix in KINDS)


def _tokenizer(folder: Path) -> Path:
    if not any((folder / name).is_file() for name in ("tokenizer.json", "spiece.model")):
        raise UsageError(f"{folder} holds no tokenizer.json: the tokenizer is missing")
    return folder


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not valid JSON: fetch it again") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} is not a JSON object: fetch it again")
    return value
