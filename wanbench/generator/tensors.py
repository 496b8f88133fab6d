"""Named tensors in files: their shapes without reading them, and a tensor when it is used, backed by the file.

Nothing is copied into memory here; what a network keeps is what it converts. No pickled code is ever run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wanbench.errors import MissingDependency, UsageError

Rename = Callable[[str], "str | None"]
"""Name in the file -> name in the released layout; None for a tensor to be left out."""
INDEX = ".index.json"
PICKLES = (".pth", ".pt", ".bin", ".ckpt")


class Tensors(Mapping[str, Tensor]):
    """Tensors of one or several files by their released names. A tensor of the same type shares its memory with the file."""

    def __init__(self, paths: Sequence[Path], rename: Rename = lambda name: name) -> None:
        self.paths = tuple(paths)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._read: dict[str, Callable[[], Tensor]] = {}
        for path in paths:
            for name, shape, read in _entries(path):
                known = rename(name)
                if known is None:
                    continue
                if known in self.shapes:
                    raise UsageError(
                        f"{path} holds the tensor {known} a second time: keep one copy of the checkpoint in its folder"
                    )
                self.shapes[known], self._read[known] = shape, read

    def __getitem__(self, name: str) -> Tensor:
        return self._read[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def _entries(path: Path) -> Iterator[tuple[str, tuple[int, ...], Callable[[], Tensor]]]:
    """(name, shape, how to read it) of every tensor of a file. Raises `UsageError` for one that is damaged."""
    if path.suffix in PICKLES:
        for name, tensor in _unpickled(path).items():
            yield name, tuple(tensor.shape), partial(_same, tensor)
        return
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise MissingDependency("loading network parameters", "generate") from error
    try:
        file: Any = safe_open(str(path), framework="pt", device="cpu")
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 -- not a mapping
    except Exception as error:  # whatever a damaged file makes the reader raise, the file is the cause
        raise unreadable(path, error) from error
    for name, shape in shapes.items():
        yield name, shape, partial(file.get_tensor, name)


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _unpickled(path: Path) -> dict[str, Tensor]:
    try:
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            loaded = torch.load(path, map_location="cpu", weights_only=True)  # a file of before 2020, which has no pages to map
    except Exception as error:
        raise unreadable(path, error) from error
    if isinstance(loaded, dict) and len(loaded) == 1 and isinstance(inner := next(iter(loaded.values())), dict):
        loaded = inner
    if not isinstance(loaded, dict) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
        raise UsageError(f"{path} holds something else than named tensors: fetch it again")
    return {str(name): tensor for name, tensor in loaded.items()}


def unreadable(path: Path, error: Exception) -> UsageError:
    """The one line for a file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return UsageError(f"{path} is missing")
    return UsageError(
        f"{path} cannot be read as network parameters ({type(error).__name__}: damaged or cut short): fetch it again"
    )


def checkpoint_files(folder: Path, stem: str) -> list[Path]:
    """The files that hold one network: `STEM.safetensors` (or .bin, .pth), or the shards of its index; none where there is none.

    Raises `UsageError` that names the first shard which is missing.
    """
    index = folder / f"{stem}.safetensors{INDEX}"
    if index.is_file():
        return _shards(index)
    single = [folder / f"{stem}{suffix}" for suffix in (".safetensors", *PICKLES) if (folder / f"{stem}{suffix}").is_file()]
    if single:
        return single[:1]
    numbered = re.compile(re.escape(stem) + r"-\d+-of-(\d+)\.safetensors")
    counts = {found[1] for path in folder.glob(f"{stem}-*") if (found := numbered.fullmatch(path.name))}
    if not counts:
        return []
    count = max(counts)
    return _present([folder / f"{stem}-{k:0{len(count)}d}-of-{count}.safetensors" for k in range(1, int(count) + 1)])


def _shards(index: Path) -> list[Path]:
    try:
        named = json.loads(index.read_bytes())["weight_map"].values()
        shards = sorted({index.parent / name for name in named})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{index} is not an index of shards ({type(error).__name__}): fetch it again") from error
    if outside := [path for path in shards if path.parent != index.parent]:
        raise UsageError(f"{index} names {outside[0].name} outside its folder: fetch it again")
    return _present(shards)


def _present(shards: list[Path]) -> list[Path]:
    absent = [path for path in shards if not path.is_file()]
    if absent:
        more = (
            f" and {len(absent) - 1} more of {len(shards)} shards are"
            if len(absent) > 1
            else f", one of {len(shards)} shards, is"
        )
        raise UsageError(f"{absent[0]}{more} missing: fetch the checkpoint again")
    return shards
