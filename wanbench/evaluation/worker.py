"""A worker process: takes jobs, measures every dimension on a clip decoded once, gives rows and pictures back.

Started by `evaluation.runner` through `execution.child`; it holds the networks and a decoder process of its own, which decodes
the next clip while this one is measured.
"""

from __future__ import annotations

import json
import os
import platform
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar, cast

from wanbench.chat import ServerError
from wanbench.clip import Clip
from wanbench.decoding.process import Decoder, Limits
from wanbench.dimension import Method, Tools, load_all
from wanbench.errors import UndecodableVideo, WanbenchError
from wanbench.evaluation import evidence
from wanbench.judge.asking import Judge
from wanbench.judge.choice import JudgeChoice, open_judge
from wanbench.judge.frames import LINES
from wanbench.judge.protocol import JudgeFailed
from wanbench.networks import Network, NetworkPool, Placement
from wanbench.types import SCORE_DECIMALS, Measured, Measurement, Prompt, Skipped

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """What a worker is told once."""

    measured: Mapping[str, Measured]
    """Dimension -> how, of those that are measured."""
    folders: Mapping[str, Path]
    """Checkpoint name -> folder."""
    device: str
    """`auto`, or a torch device."""
    dtype: str
    batch_size: int
    threads: int
    limits: Limits
    evidence: Path | None
    """Where pictures go; None: nowhere."""
    judge: JudgeChoice | None = None

    @property
    def needs_gpu(self) -> bool:
        """Whether a GPU is to be kept for it, where there is one."""
        networks = bool(self.folders) or (self.judge is not None and self.judge.folder is not None)
        return networks and (self.device == "auto" or self.device.startswith("cuda"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One sample and the dimensions to measure on it."""

    number: int
    path: Path
    candidate: str
    video: str
    sha256: str
    prompt: Prompt | None
    seed: int | None
    dimensions: Mapping[str, bool]
    """Dimension -> exploratory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """The worker is set up."""

    environment: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """The worker cannot be set up: an expected failure, for the user."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A task is being worked on from now."""

    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """A task's rows."""

    number: int
    measurements: tuple[Measurement, ...]
    picture_failure: str | None
    """Why the pictures of this clip could not be kept, or None; its numbers are not touched by it."""


def serve(connection: Connection[Any, Any]) -> None:
    """Entry point: `Setup` in, `Ready` or `Refused` out; then `Task`s in, `Started` and `Done` out."""
    setup: Setup = connection.recv()
    try:
        bench = Bench(setup)
    except WanbenchError as error:
        connection.send(Refused(reason=str(error)))
        return
    connection.send(Ready(environment={**environment(bench.placement), **bench.judge_facts()}))
    tasks: deque[Task] = deque()
    while True:
        while not tasks or connection.poll(0):
            tasks.append(connection.recv())
        task = tasks.popleft()
        connection.send(Started(number=task.number))
        connection.send(bench.measure(task, next_path=tasks[0].path if tasks else None))


class Bench:
    """The networks, the decoder, and the dimensions of this run."""

    def __init__(self, setup: Setup) -> None:
        in_process = setup.judge is not None and setup.judge.folder is not None
        limit_threads(setup.threads, networks=bool(setup.folders) or in_process)
        self._setup = setup
        declared = load_all()
        self._methods = {d: (declared[d], declared[d].method_named(how.method)) for d, how in setup.measured.items()}
        networks = {n.name: n for _, method in self._methods.values() for n in method.networks}
        device = resolve_device(setup.device) if networks or in_process else "cpu"
        self.placement = Placement(device=device, dtype=setup.dtype, batch_size=setup.batch_size)
        self._pool = NetworkPool(setup.folders, self.placement)
        for network in networks.values():
            self._pool.get(network)  # now, so that a file that does not fit ends the command before any work
        lines = {n for _, method in self._methods.values() for n in method.grid_lines}
        self._judge = None
        if setup.judge is not None and any(method.judge != "none" for _, method in self._methods.values()):
            self._judge = open_judge(setup.judge, self.placement)
            lines.add(LINES)
        self.lines = tuple(sorted(lines))
        """Short sides of the grid frames that every clip needs here."""
        self._decoder = Decoder(self.lines, setup.limits)

    def measure(self, task: Task, next_path: Path | None = None) -> Done:
        """Rows of every dimension of the task; never raises for what a file or a dimension does."""
        try:
            clip = self.clip(task.path)
        except UndecodableVideo as error:
            rows = [self._row(task, d, reason=str(error)) for d in task.dimensions]
            return Done(number=task.number, measurements=tuple(rows), picture_failure=None)
        finally:
            if next_path is not None:
                self._decoder.ask(next_path)
        shared: dict[Any, Any] = {}
        rows = [self.dimension(task, name, clip, shared) for name in task.dimensions]
        failure = None
        if self._setup.evidence is not None:
            try:
                evidence.draw(self._setup.evidence, task.sha256, clip, shared, rows)
            except OSError as error:
                failure = f"{self._setup.evidence}: {error.strerror}"
        return Done(number=task.number, measurements=tuple(rows), picture_failure=failure)

    def clip(self, path: Path) -> Clip:
        """The decoded clip. Raises `UndecodableVideo`."""
        return self._decoder.take(path)

    def judge_facts(self) -> dict[str, Any]:
        """What is recorded of the judge, but moves no number."""
        return {"judge": self._judge.facts()} if self._judge is not None else {}

    def tools(self, method: Method, clip: Clip, shared: dict[Any, Any]) -> ClipTools:
        """What a dimension gets; features go into `shared`."""
        return ClipTools(clip, method, self._pool, shared, self._judge)

    def close(self) -> None:
        self._decoder.close()

    def dimension(self, task: Task, name: str, clip: Clip, shared: dict[Any, Any]) -> Measurement:
        """One row; an exception becomes an `error` row with its text."""
        dimension, method = self._methods[name]
        tools = self.tools(method, clip, shared)
        start = time.perf_counter()
        try:
            reading = dimension.measure(clip, task.prompt, cast(Tools, tools))
            raw = _plain({**(reading.raw or {}), **clip.common_raw()})
        except (JudgeFailed, ServerError) as error:
            return self._row(task, name, reason=str(error))
        except Exception as error:  # noqa: BLE001 -- one dimension's failure is its own row, with the reason
            where = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
            return self._row(task, name, reason=reason)
        seconds = round(time.perf_counter() - start - tools.shared_seconds, 6)
        if isinstance(reading, Skipped):
            return self._row(task, name, reason=reading.reason, status="skipped", raw=raw, seconds=seconds)
        score = round(min(1.0, max(0.0, reading.score)), SCORE_DECIMALS) if -1e-6 < reading.score < 1 + 1e-6 else None
        if score is None:
            return self._row(task, name, reason=f"the score {reading.score} is outside [0, 1]", raw=raw)
        return self._row(task, name, status="ok", score=score, raw=raw, seconds=seconds)

    def _row(
        self,
        task: Task,
        name: str,
        *,
        status: str = "error",
        score: float | None = None,
        reason: str | None = None,
        raw: Mapping[str, Any] | None = None,
        seconds: float | None = None,
    ) -> Measurement:
        return Measurement(
            candidate=task.candidate,
            video=task.video,
            sha256=task.sha256,
            prompt_id=task.prompt.id if task.prompt else None,
            seed=task.seed,
            dimension=name,
            status=cast(Any, status),
            score=score,
            reason=reason,
            exploratory=task.dimensions[name],
            method=self._setup.measured[name].label,
            fingerprint=self._setup.measured[name].fingerprint,
            seconds=seconds,
            raw=raw,
        )


class ClipTools:
    """`wanbench.dimension.Tools` for one clip and one method."""

    def __init__(self, clip: Clip, method: Method, pool: NetworkPool, shared: dict[Any, Any], judge: Judge | None = None) -> None:
        self.method = method
        self.judge = judge
        self.shared_seconds = 0.0
        """Time spent computing features here that other dimensions get for nothing."""
        self._clip = clip
        self._pool = pool
        self._shared = shared
        self._depth = 0

    def network(self, network: Network[T]) -> T:
        return self._pool.get(network)

    def share(self, feature: Callable[[Clip, Tools], T]) -> T:
        if feature not in self._shared:
            start = time.perf_counter()
            self._depth += 1
            try:
                self._shared[feature] = feature(self._clip, cast(Tools, self))
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.shared_seconds += time.perf_counter() - start
        return cast(T, self._shared[feature])


def _plain(raw: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Raw values as JSON holds them, numpy's numbers among them. Raises `ValueError` for NaN: no number is no value."""
    return cast("Mapping[str, Any] | None", json.loads(json.dumps(raw, default=lambda value: value.item(), allow_nan=False)))


def limit_threads(threads: int, networks: bool) -> None:
    """Hold this process's number-crunching to `threads`; `lite` always uses one, so that its bits never depend on it."""
    import cv2

    cv2.setNumThreads(1)
    if networks:
        # Read when torch is first imported: threads that spin while they wait for each other make it ten times slower where
        # anything else, the decoder's process to begin with, wants a core.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch

        torch.set_num_threads(threads)


def resolve_device(device: str) -> str:
    """`auto` -> cuda, mps or cpu, whichever is there.

    Raises `UsageError` for one that is not; `MissingDependency` without torch.
    """
    from wanbench.errors import MissingDependency, UsageError

    try:
        import torch
    except ImportError as error:
        raise MissingDependency("any network", "score") from error

    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return device


def environment(placement: Placement) -> dict[str, Any]:
    """The libraries and the device that numbers came from; recorded, but not part of a fingerprint."""
    import sys

    import av
    import cv2
    import numpy as np

    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "decoder": f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}",
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "device": placement.device,
        "dtype": placement.dtype,
        "batch_size": placement.batch_size,
        "threads_per_worker": 1,
        "torch": None,
    }
    if torch := sys.modules.get("torch"):
        facts["torch"] = torch.__version__
        facts["threads_per_worker"] = torch.get_num_threads()
        if placement.device.startswith("cuda"):
            facts["device_name"] = torch.cuda.get_device_name(placement.device)
    facts["omp_threads"] = os.environ.get("OMP_NUM_THREADS")
    return facts
