"""A worker of a controls run: decodes a clip, derives its controls and measures them; rows go back one control at a time.

The unchanged clips are measured first, all of them; the controls then decode every clip anew, so that `again` is all of it again.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from wanbench.clip import Clip
from wanbench.controls import derive
from wanbench.controls.verdict import ORIGINAL
from wanbench.decoding.prepare import prepare_frames
from wanbench.errors import UndecodableVideo, WanbenchError
from wanbench.evaluation.worker import Bench, Ready, Refused, Setup, Task, environment
from wanbench.expectations import ControlName
from wanbench.metrics.camera_control import DECIDED
from wanbench.types import JSONObject, Measurement, Prompt

CAMERA = "camera_control"


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """What is to be measured on one clip."""

    number: int
    path: Path
    sha256: str
    prompt: Prompt | None
    other_prompt: Prompt | None
    """Another clip's, where there is another one."""
    other_path: Path | None
    """Another clip, to cut to."""
    dimensions: Mapping[str, tuple[str, ...]]
    """Control, or `original` alone -> the dimensions to measure."""
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reaction:
    """One control of one clip."""

    number: int
    control: str
    rows: Mapping[str, JSONObject]
    """Dimension -> `status`, `score`, `reason`, `raw`."""
    camera: str | None = None
    """The movement found in an unchanged clip whose prompt names none: it is then asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """All of an assignment."""

    number: int


def serve(connection: Connection[Any, Any]) -> None:
    """Entry point: `Setup` in, `Ready` or `Refused` out; then `Assignment`s in, a `Reaction` a control and `Finished` out."""
    setup: Setup = connection.recv()
    try:
        bench = Bench(setup)
    except WanbenchError as error:
        connection.send(Refused(reason=str(error)))
        return
    connection.send(Ready(environment=environment(bench.placement)))
    while True:
        assignment: Assignment = connection.recv()
        _Clip(assignment, bench).measure(connection)
        connection.send(Finished(number=assignment.number))


class _Clip:
    """One clip, decoded once."""

    def __init__(self, assignment: Assignment, bench: Bench) -> None:
        self._assignment, self._bench = assignment, bench

    def measure(self, connection: Connection[Any, Any]) -> None:
        wanted = self._assignment.dimensions
        try:
            frames, other = derive.load_frames(self._assignment.path), None
            if "cut" in wanted and self._assignment.other_path is not None:
                other = derive.load_frames(self._assignment.other_path)
        except UndecodableVideo as error:
            for control, dimensions in wanted.items():
                self._send(connection, control, {d: error_row(str(error)) for d in dimensions})
            return
        for control, dimensions in wanted.items():
            if control == ORIGINAL:
                self._send(connection, control, *self._original(frames, dimensions))
            else:
                self._send(connection, control, self._control(control, frames, other, dimensions))

    def _send(
        self, connection: Connection[Any, Any], control: str, rows: Mapping[str, JSONObject], camera: str | None = None
    ) -> None:
        connection.send(Reaction(number=self._assignment.number, control=control, rows=rows, camera=camera))

    def _original(self, frames: derive.Frames, dimensions: tuple[str, ...]) -> tuple[dict[str, JSONObject], str | None]:
        clip = prepare_frames(frames, self._bench.lines)
        shared: dict[Any, Any] = {}
        rows = {d: self._row(d, clip, self._assignment.prompt, shared) for d in dimensions}
        camera = found_movement(rows.get(CAMERA))
        if camera is not None:
            rows[CAMERA] = self._row(CAMERA, clip, asking(self._assignment.prompt, camera), shared)
        return rows, camera

    def _control(
        self, control: Any, frames: derive.Frames, other: derive.Frames | None, dimensions: tuple[str, ...]
    ) -> dict[str, JSONObject]:
        rng = derive.generator(self._assignment.seed, control, self._assignment.sha256)
        source = derive.Source(frames, rng, other)
        try:
            with tempfile.TemporaryDirectory(prefix="wanbench-controls-") as folder:
                clip = derive.derive(control, source, self._bench.lines, Path(folder))
        except WanbenchError as error:
            return {d: error_row(f"{control} could not be derived: {error}") for d in dimensions}
        shared: dict[Any, Any] = {}
        return {d: self._row(d, clip, self._prompt(control), shared) for d in dimensions}

    def _prompt(self, control: ControlName) -> Prompt | None:
        if control == "empty_prompt":
            return Prompt(id=None, text="")
        return self._assignment.other_prompt if control == "other_prompt" else self._assignment.prompt

    def _row(self, dimension: str, clip: Clip, prompt: Prompt | None, shared: dict[Any, Any]) -> JSONObject:
        task = Task(
            number=self._assignment.number,
            path=self._assignment.path,
            candidate="",
            video="",
            sha256=self._assignment.sha256,
            prompt=prompt,
            seed=None,
            dimensions={dimension: False},
        )
        return _plain(self._bench.dimension(task, dimension, clip, shared))


def found_movement(row: Mapping[str, Any] | None) -> str | None:
    """The camera's movement in a row that was skipped because no prompt asks for one."""
    raw = (row or {}).get("raw") or {}
    if row is None or row["status"] != "skipped" or raw.get("asked") is not None:
        return None
    movement = (raw.get("camera") or {}).get("movement")
    return str(movement) if movement in DECIDED else None


def asking(prompt: Prompt | None, camera: str) -> Prompt:
    """The prompt, which names no movement, with this one."""
    prompt = prompt or Prompt(id=None, text=None)
    return dataclasses.replace(prompt, fields={**prompt.fields, "camera": camera})


def error_row(reason: str) -> JSONObject:
    """What stands where a control could not be measured."""
    return {"status": "error", "score": None, "reason": reason, "raw": None}


def _plain(row: Measurement) -> JSONObject:
    raw = {key: value for key, value in (row.raw or {}).items() if key != "evidence"}
    return {"status": row.status, "score": row.score, "reason": row.reason, "raw": raw or None}
