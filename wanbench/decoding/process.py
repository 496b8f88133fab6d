"""Decoding in a process of its own, so that a file that crashes, hangs or swells the decoder costs only itself.

The decoder prepares whole clips and hands them over in anonymous shared memory: nothing is written to disk, nothing is left
behind when either side is killed. While one clip is being measured the next one is decoded.
"""

from __future__ import annotations

import dataclasses
import math
import mmap
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import reduction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from wanbench.clip import Clip, Frames
from wanbench.errors import UndecodableVideo
from wanbench.execution.child import Child, ChildDied, ChildSilent, limit_memory

MEMORY_BYTES = 3 * 1024**3
"""What decoding one clip may take: five seconds of working frames need at most 0.6 GB and views of 41 grid frames as much;
the rest is the codec's, for frames of up to `video.MAX_PIXELS`."""
SILENCE_SECONDS = 30.0
"""A decoder that has produced no frame for this long hangs."""
CLIP_SECONDS = 600.0
"""No five seconds of video take this long to decode."""
HEARTBEAT_SECONDS = 1.0
ATTEMPTS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a file may cost."""

    memory_bytes: int = MEMORY_BYTES
    silence_seconds: float = SILENCE_SECONDS
    clip_seconds: float = CLIP_SECONDS


class Decoder:
    """The parent's side: ask for a clip, do something else, take it."""

    def __init__(self, lines: tuple[int, ...], limits: Limits) -> None:
        self._lines = lines
        self._limits = limits
        self._child: Child | None = None
        self._asked: Path | None = None

    def ask(self, path: Path) -> None:
        """Start decoding `path`; a no-op when it is already being decoded."""
        if self._asked == path:
            return
        assert self._asked is None, "take the clip asked for before asking for another"
        self._asked = path
        self._send()

    def take(self, path: Path) -> Clip:
        """The clip of `path`, as soon as it is there. Raises `UndecodableVideo`."""
        self.ask(path)
        try:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return self._receive()
                except (ChildDied, ChildSilent) as failure:
                    self.close()
                    if attempt == ATTEMPTS:
                        verb = "hangs" if isinstance(failure, ChildSilent) else "crashes"
                        raise UndecodableVideo(f"{verb} the decoder, {ATTEMPTS} times: it {failure}") from failure
                    self._send()
        finally:
            self._asked = None
        raise AssertionError("unreachable")

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _send(self) -> None:
        try:
            if self._child is None:
                self._child = Child("wanbench.decoding.process:serve")
                self._child.send((self._lines, self._limits.memory_bytes))
            self._child.send(self._asked)
        except ChildDied:
            self.close()  # `take` finds nobody and tries again

    def _receive(self) -> Clip:
        if self._child is None:
            raise ChildDied("died before it began")
        deadline = time.monotonic() + self._limits.clip_seconds
        while True:
            kind, value = self._child.receive(self._limits.silence_seconds)
            if kind == "clip":
                return receive_clip(self._child, self._limits.silence_seconds, *value)
            if kind == "undecodable":
                raise UndecodableVideo(value)
            if time.monotonic() > deadline:
                raise ChildSilent(f"was not done after {self._limits.clip_seconds:.0f} s")


def serve(connection: Connection[Any, Any]) -> None:
    """The child's side: paths in, clips out, one at a time."""
    import av  # noqa: F401 -- now, so that the limit below is what a file may take and not what libraries take
    import cv2

    from wanbench.decoding.prepare import prepare

    cv2.setNumThreads(1)
    lines, memory_bytes = connection.recv()
    limit_memory(memory_bytes)
    while True:
        path: Path = connection.recv()
        try:
            send_clip(connection, prepare(path, lines, heartbeat=_heartbeat(connection)))
        except UndecodableVideo as error:
            connection.send(("undecodable", str(error)))
        except MemoryError:
            connection.send(("undecodable", "decoding it needs more memory than the decoder's budget"))


def _heartbeat(connection: Connection[Any, Any]) -> Callable[[], None]:
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= HEARTBEAT_SECONDS:
            last = now
            connection.send(("alive", None))

    return beat


NO_FRAMES: Frames = np.empty((0, 0, 0, 3), np.uint8)


def send_clip(connection: Connection[Any, Any], clip: Clip) -> None:
    """A clip without its pixels, then a descriptor for each of its arrays of pixels. Raises `MemoryError`, before it sends."""
    arrays = [clip.frames, *clip.views.values()]
    bare = dataclasses.replace(clip, frames=NO_FRAMES, views=dict.fromkeys(clip.views, NO_FRAMES))
    descriptors: list[int] = []
    try:
        for array in arrays:
            descriptors.append(_anonymous_memory())
            _fill(descriptors[-1], array)
        connection.send(("clip", (bare, [a.shape for a in arrays])))
        for descriptor in descriptors:
            reduction.send_handle(connection, descriptor, os.getppid())
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _fill(descriptor: int, array: Frames) -> None:
    """Written, not mapped: every page that is touched through a new mapping costs a fault, which is dearer than the copy."""
    rest = memoryview(array.reshape(-1).data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError as error:
        raise MemoryError("shared memory") from error


def receive_clip(child: Child, timeout_seconds: float, bare: Clip, shapes: list[tuple[int, ...]]) -> Clip:
    """The clip whose pixels follow, as read-only views of the shared memory. Raises `ChildDied` or `ChildSilent`."""
    frames, *views = [_map(child.receive_descriptor(timeout_seconds), shape) for shape in shapes]
    return dataclasses.replace(bare, frames=frames, views=dict(zip(bare.views, views, strict=True)))


def _map(descriptor: int, shape: tuple[int, ...]) -> Frames:
    memory = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    os.close(descriptor)
    return np.frombuffer(memory, np.uint8, count=math.prod(shape)).reshape(shape)


def _anonymous_memory() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("wanbench-clip")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
