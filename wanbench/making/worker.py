"""A maker's process: one device, one model, one video after the other. Started by `wanbench.making.crew`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wanbench.decoding.video import Video
from wanbench.errors import OutputError, WanbenchError
from wanbench.making.makers import CannotMake, Maker, MakerSpec
from wanbench.making.shelf import Request

if TYPE_CHECKING:
    from wanbench.generator.team import Team


@dataclass(frozen=True, kw_only=True, slots=True)
class MakerSetup:
    """What a worker is told once."""

    spec: MakerSpec
    device: str
    texts: tuple[str, ...]
    """All that it may be asked to make: a text model can be given up once they are encoded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One video to be made."""

    number: int
    request: Request
    path: Path
    """Where it is to be written; not yet its final name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """The maker is ready."""

    notes: tuple[str, ...] = ()
    """Lines for the user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unopened:
    """The maker cannot be opened here: an expected failure, for the user."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A video is under way."""

    number: int
    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A video is whole."""

    number: int
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The maker gave no video."""

    number: int
    reason: str
    disk: bool = False
    """The video could not be written: no use going on."""
    last: bool = False
    """The process ends: what nobody foresaw may have broken it for all videos to come, as an error on a GPU does."""


def open_maker(spec: MakerSpec, device: str, texts: Sequence[str], team: Team | None = None) -> Maker:
    """The maker, ready in this process, or in several at once, for these texts. Raises `UsageError`, `MissingDependency`."""
    if spec.kind == "command":
        from wanbench.making.command import CommandMaker

        return CommandMaker(spec.settings["command"], device, spec.settings["timeout_s"])
    if spec.kind == "diffusers":
        from wanbench.making.pipelines import DiffusersMaker

        return DiffusersMaker(spec, device)
    from wanbench.making.wan import WanMaker

    return WanMaker(spec, device, texts, team)


def serve(connection: Connection[Any, Any]) -> None:
    """Entry point: `MakerSetup` in, `Open` or `Unopened` out; then `Order`s in, `Step`s and `Made` or `Failed` out.

    Ends with what nobody foresaw, once it is told.
    """
    setup: MakerSetup = connection.recv()
    try:
        maker = open_maker(setup.spec, setup.device, setup.texts)
    except WanbenchError as error:
        connection.send(Unopened(reason=str(error)))
        return
    connection.send(Open(notes=tuple(maker.notes)))
    while True:
        order: Order = connection.recv()
        start = time.perf_counter()

        def tick(done: int, total: int, number: int = order.number) -> None:
            connection.send(Step(number=number, done=done, total=total))

        try:
            facts = maker.make(order.request, order.path, tick)
            shown = look(order.path)
        except WanbenchError as error:
            connection.send(Failed(number=order.number, reason=str(error), disk=isinstance(error, OutputError)))
        except Exception as error:  # noqa: BLE001 -- one video's failure is its own, with the reason
            connection.send(Failed(number=order.number, reason=f"{type(error).__name__}: {error}", last=True))
            return
        else:
            seconds = round(time.perf_counter() - start, 3)
            connection.send(Made(number=order.number, facts={**facts, **shown, "seconds": seconds, "device": setup.device}))


def look(path: Path) -> dict[str, Any]:
    """What the file shows: it must hold a frame and must not break off. Raises `UndecodableVideo`, `CannotMake`."""
    if not path.is_file() or not path.stat().st_size:
        raise CannotMake(f"no video was written to {path}")
    with Video(path, lambda: None) as video:
        if not sum(1 for _ in video.frames(window_seconds=0.0)):
            raise CannotMake(f"{path} holds no frame")
        facts = video.facts()
        return {"size_HW": list(facts.size_HW), "nominal_fps": facts.nominal_fps}
