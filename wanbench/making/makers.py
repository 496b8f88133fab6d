"""Who makes videos: the Wan family, whatever diffusers runs, or any command line. One spec, opened in a worker process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from wanbench.dimension import digest
from wanbench.errors import WanbenchError
from wanbench.making.shelf import Request

Tick = Callable[[int, int], None]
"""Told (steps done, steps in all) of one video."""


class CannotMake(WanbenchError):
    """The maker gave no video for this request; the line says why."""


class Maker(Protocol):
    """A model, loaded."""

    notes: Sequence[str]
    """Lines for the user: how it was laid out."""

    def make(self, request: Request, path: Path, tick: Tick) -> Mapping[str, Any]:
        """Write the request's video to `path`; what should be noted of it. Raises `CannotMake`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class MakerOptions:
    """What a user may set of a model; None: the model's own default."""

    height: int | None = None
    width: int | None = None
    frames: int | None = None
    fps: float | None = None
    steps: int | None = None
    guidance: float | tuple[float, float] | None = None
    """Two numbers: of low and of high noise."""
    shift: float | None = None
    solver: str | None = None
    negative: str | None = None
    lora: tuple[str, ...] = ()
    dtype: str | None = None
    images: tuple[Path, ...] = ()
    video: Path | None = None
    mask: Path | None = None
    memory: str | None = None
    """Bytes of a device that may be used, as a user writes them; None: what is free."""
    tile: int | None = None
    """Decode in squares of so many pixels."""
    passes: str | None = None
    fp8: bool = False
    reuse: str | None = None
    compile: bool = False
    shard: bool = False
    """Of several processes each keeps a piece of the parameters."""
    pictures: bool = False
    """One frame may be asked for."""
    offline: bool = False
    video_seconds: float | None = None
    device: str = "auto"
    """Where videos will be made: memory is planned with the numbers that its kind computes in."""

    def given(self) -> dict[str, object]:
        """The options of the model that were set."""
        return {name: value for name, value in asdict(self).items() if name not in ASIDE and value not in (None, (), False)}


ASIDE = ("pictures", "offline", "video_seconds", "device")
"""What the command says of itself, and not of the model."""
FLAGS = {"height": "size", "width": "size", "images": "image", "tile": "vae-tile", "passes": "guidance-passes", "dtype": "dtype"}
"""Options that a user knows by another word."""


def flag(name: str) -> str:
    """`tile` -> `--vae-tile`."""
    return f"--{FLAGS.get(name, name)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class MakerSpec:
    """A maker that can be opened in any process."""

    kind: str
    """`wan`, `diffusers` or `command`."""
    name: str
    """As the user named it."""
    settings: Mapping[str, Any]
    """All that moves a video besides prompt and seed: part of the fingerprint."""
    circumstances: Mapping[str, Any] = field(default_factory=dict)
    """Recorded, and not part of it."""
    source: Mapping[str, Any] = field(default_factory=dict)
    """What the maker is opened with, where the settings alone do not say."""

    @property
    def fingerprint(self) -> str:
        return digest({"kind": self.kind, "name": self.name, "settings": dict(self.settings)})


def notes_of(facts: Mapping[str, Any]) -> list[str]:
    """What a user is told of a video's facts: how far an approximate option was from the exact network."""
    return [f"{option}: {off}" for option, off in facts.get("deviation", {}).items()]
