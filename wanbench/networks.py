"""Networks: declared once, built once per process, placed on one device in one dtype."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from wanbench.errors import UsageError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")


def require_device(name: str) -> None:
    """Raises `UsageError` for what is no device's name; whether it is there shows when a network is put on it."""
    if name != "auto" and not DEVICE.fullmatch(name):
        raise UsageError(f"--device takes auto, cpu, mps, cuda or cuda:N, not {name!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where networks live and how much they take at once."""

    device: str
    """A torch device: `cpu`, `cuda:0`, `mps`."""
    dtype: str
    """`float32`, `bfloat16` or `float16`: of the parameters and the arithmetic; results come back as float32."""
    batch_size: int
    """Frames or pairs per forward pass; memory and speed depend on it, scores do not (within 1e-5)."""

    def torch_dtype(self) -> torch.dtype:
        import torch

        return cast("torch.dtype", getattr(torch, self.dtype))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Network(Generic[T]):
    """A network that methods can ask for."""

    name: str
    checkpoints: tuple[str, ...]
    """Names in the checkpoint table (`wanbench.checkpoints.TABLE`)."""
    build: Callable[[Mapping[str, Path], Placement], T]
    """(checkpoint name -> its folder in the store, placement) -> the loaded network, in inference mode.

    Loads strictly: a missing, unexpected or misshaped tensor raises `UsageError` with the file's name.
    """


class NetworkPool:
    """Builds each network at its first use and keeps it."""

    def __init__(self, folders: Mapping[str, Path], placement: Placement) -> None:
        self._folders = folders
        self._placement = placement
        self._built: dict[str, Any] = {}

    def get(self, network: Network[T]) -> T:
        if network.name not in self._built:
            folders = {name: self._folders[name] for name in network.checkpoints}
            self._built[network.name] = network.build(folders, self._placement)
        return cast(T, self._built[network.name])
