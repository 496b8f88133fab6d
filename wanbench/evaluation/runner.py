"""Dealing samples to worker processes and putting what they measure on record, line by line.

A worker that dies or hangs loses the sample it was working on, which is tried once more elsewhere; everything else it held is
dealt again. Where none can be started in its place and nobody else is left, what is still to be measured is an error. Nothing
here imports torch: networks live in the workers.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from wanbench.errors import UsageError
from wanbench.evaluation.plan import Choice, Job
from wanbench.evaluation.worker import Done, Ready, Refused, Setup, Started, Task
from wanbench.execution.child import ChildDied, ChildSilent
from wanbench.execution.executor import BESIDE_MAKER, Executor, Kept, Local, Need, Starts
from wanbench.record import RunDirectory
from wanbench.types import Measurement

IN_HAND = 3
"""Tasks a worker holds: one measured, one decoded, one waiting, so that it never waits for us."""
TASK_SECONDS = 7200.0
"""No clip takes two hours to measure, on any machine; a worker that does hangs."""
START_SECONDS = 900.0
"""Importing and loading every network from a slow disk."""
ATTEMPTS = 2
POLL_SECONDS = 1.0
WAIT_SECONDS = 0.1
"""Between two looks at a source that has nothing yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What a progress bar shows."""

    done: int
    total: int
    """Samples."""
    errors: int


class Source(Protocol):
    """Where jobs come from while a run goes on."""

    @property
    def total(self) -> int:
        """Samples in all."""
        ...

    @property
    def open(self) -> bool:
        """Whether more may come."""
        ...

    def ready(self) -> list[Job]:
        """Jobs that came since the last call. Raises what keeps the rest from coming."""
        ...


class Fixed:
    """A `Source` of jobs that are all known."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.total = len(jobs)
        self._jobs = list(jobs)

    @property
    def open(self) -> bool:
        return False

    def ready(self) -> list[Job]:
        jobs, self._jobs = self._jobs, []
        return jobs


NOTHING_MORE = Fixed(())


def planned_rows(choices: Mapping[str, Choice], job: Job, video: str) -> list[Measurement]:
    """Rows that need no work: dimensions nobody can measure here, and files that cannot even be read."""
    rows = []
    for dimension, exploratory in job.expected.items():
        choice = choices[dimension]
        if choice.skip is None and job.unreadable is None:
            continue
        rows.append(
            Measurement(
                candidate=job.sample.candidate,
                video=video,
                sha256=job.sample.sha256,
                prompt_id=job.sample.prompt_id,
                seed=job.sample.seed,
                dimension=dimension,
                status="error" if job.unreadable else "skipped",  # a skip tells the file's checksum, which nobody knows here
                score=None,
                reason=job.unreadable or choice.skip,
                exploratory=exploratory,
                method=choice.label,
                fingerprint=choice.fingerprint,
                seconds=None,
                raw=None,
            )
        )
    return rows


def execute(
    source: Source,
    choices: Mapping[str, Choice],
    run: RunDirectory,
    setup: Setup,
    workers: int,
    *,
    video: Callable[[Path], str],
    on_progress: Callable[[Progress], None],
    on_environment: Callable[[Mapping[str, Any]], None],
    on_warning: Callable[[str], None],
    executor: Executor | None = None,
) -> None:
    """Measure all that comes from `source` and is not on record; `video` is a path as the record names it.

    Errors on record are tried again: an error is not a finished measurement. Raises `UsageError` when workers cannot be set up
    to begin with, `OutputError`, and what the source raises.
    """
    pending: deque[Task] = deque()
    numbers = itertools.count()
    done = errors = 0

    def admit() -> None:
        nonlocal done, errors
        for job in source.ready():
            name = video(job.sample.path)
            rows = planned_rows(choices, job, name)
            run.append(row for row in rows if row.key not in run.measurements)
            task = _task(next(numbers), job, name, {row.dimension for row in rows}, run)
            if task.dimensions:
                pending.append(task)
            else:
                done += 1
                errors += job.unreadable is not None
                on_progress(Progress(done=done, total=source.total, errors=errors))

    admit()
    on_progress(Progress(done=done, total=source.total, errors=errors))
    while source.open and not pending:
        time.sleep(WAIT_SECONDS)
        admit()
    if not pending:
        return
    count = workers if source.open else min(workers, len(pending))
    with Team(setup, count, on_environment, executor or Local()) as team:
        for result in team.results(pending, source, admit):
            run.append(result.measurements)
            done += 1
            errors += any(m.status == "error" for m in result.measurements)
            if result.picture_failure:
                on_warning(f"pictures could not be kept: {result.picture_failure}")
            on_progress(Progress(done=done, total=source.total, errors=errors))


def _task(number: int, job: Job, video: str, decided: set[str], run: RunDirectory) -> Task:
    sample = job.sample

    def open_still(dimension: str) -> bool:
        key = (sample.candidate, sample.sha256, sample.prompt_id, sample.seed, video, dimension)
        known = run.measurements.get(key)
        return dimension not in decided and (known is None or known.status == "error")

    return Task(
        number=number,
        path=sample.path,
        candidate=sample.candidate,
        video=video,
        sha256=sample.sha256,
        prompt=sample.prompt,
        seed=sample.seed,
        dimensions={d: exploratory for d, exploratory in job.expected.items() if open_still(d)},
    )


@dataclass(kw_only=True, slots=True)
class _Worker(Kept):
    tasks: dict[int, Task] = field(default_factory=dict)
    current: int | None = None


class Team:
    """Workers that load side by side and measure what they are dealt; one that is lost is replaced."""

    def __init__(
        self, setup: Setup, count: int, on_environment: Callable[[Mapping[str, Any]], None], executor: Executor
    ) -> None:  # fmt: skip
        self._setup = setup
        self._count = count
        self._on_environment = on_environment
        self._executor = executor
        self._crew: list[_Worker] = []
        self._failures: dict[int, int] = {}
        self._gpu = 1.0
        self._starts = Starts(count)
        self._bereft = ""
        """Why nobody is left to measure."""

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._crew:
            worker.hand.kill()

    def results(
        self, pending: deque[Task], source: Source = NOTHING_MORE, admit: Callable[[], None] = lambda: None
    ) -> Iterator[Done]:  # fmt: skip
        """What comes back, in the order in which it is done. Raises `UsageError` when workers cannot be set up to begin with."""
        if source.open:
            self._gpu = BESIDE_MAKER / self._count
        for _ in range(self._count):
            self._start(spare=False)
        while pending or source.open or any(worker.tasks for worker in self._crew):
            self._deal(pending)
            speaking = self._executor.speaking([w.hand for w in self._crew], WAIT_SECONDS if source.open else POLL_SECONDS)
            admit()
            for worker in list(self._crew):
                done = None
                try:
                    if worker.hand in speaking:
                        done = self._hear(worker)
                    else:
                        busy = worker.current is not None
                        worker.check(busy, START_SECONDS, TASK_SECONDS, others_work=any(w.ready for w in self._crew))
                except (ChildDied, ChildSilent) as failure:
                    done = self._lose(worker, failure, pending)
                    if worker.ready and (pending or source.open or any(w.tasks for w in self._crew)):
                        self._start(spare=True)
                if done is not None:
                    yield done
            while pending and not self._crew:
                yield _failed(pending.popleft(), self._bereft)

    def _start(self, spare: bool) -> None:
        threads = {"OMP_NUM_THREADS": str(self._setup.threads), "MKL_NUM_THREADS": str(self._setup.threads)}
        need = Need(cores=self._setup.threads, gpu=self._gpu if self._setup.needs_gpu else 0.0)
        hand = self._executor.start("wanbench.evaluation.worker:serve", {**threads, "OPENBLAS_NUM_THREADS": "1"}, need)
        self._crew.append(_Worker(hand=hand, spare=spare))
        with contextlib.suppress(ChildDied):  # noticed, with the reason, where messages are received
            hand.send(self._setup)

    def _hear(self, worker: _Worker) -> Done | None:
        message = worker.hand.receive()
        if isinstance(message, Refused):
            if worker.spare:
                raise ChildDied(f"said: {message.reason}")
            raise UsageError(message.reason)
        if isinstance(message, Ready):
            worker.ready = True
            self._starts.succeeded()
            self._on_environment(message.environment)
        elif isinstance(message, Started):
            worker.current, worker.since = message.number, time.monotonic()
        elif isinstance(message, Done):
            del worker.tasks[message.number]
            worker.current = None
            return message
        return None

    def _lose(self, worker: _Worker, failure: Exception, pending: deque[Task]) -> Done | None:
        """Give a lost worker's tasks back; the one it was working on is given up after its second failure."""
        again = not worker.ready and self._starts.again(worker, failure)
        worker.hand.kill()
        self._crew.remove(worker)
        if again:
            self._start(worker.spare)
            return None
        if not worker.ready:  # those that are there go on without it
            self._bereft = f"a worker process could not be started: it {failure}"
            if not worker.spare:
                raise UsageError(self._bereft) from failure
            return None
        blamed = worker.tasks.pop(worker.current) if worker.current is not None else None
        pending.extendleft(reversed(worker.tasks.values()))
        if blamed is None:
            return None
        self._failures[blamed.number] = self._failures.get(blamed.number, 0) + 1
        if self._failures[blamed.number] >= ATTEMPTS:
            return _failed(blamed, f"crashed the worker process, {ATTEMPTS} times: it {failure}")
        pending.append(blamed)
        return None

    def _deal(self, pending: deque[Task]) -> None:
        crew = [worker for worker in self._crew if worker.ready]
        while pending and crew:
            idlest = min(crew, key=lambda w: len(w.tasks))
            if len(idlest.tasks) >= IN_HAND:
                return
            task = pending.popleft()
            try:
                idlest.hand.send(task)
            except ChildDied:
                pending.appendleft(task)
                return  # its end is noticed, and dealt with, where messages are received
            idlest.tasks[task.number] = task


def _failed(task: Task, reason: str) -> Done:
    rows = tuple(
        Measurement(
            candidate=task.candidate,
            video=task.video,
            sha256=task.sha256,
            prompt_id=task.prompt.id if task.prompt else None,
            seed=task.seed,
            dimension=dimension,
            status="error",
            score=None,
            reason=reason,
            exploratory=exploratory,
            method=None,
            fingerprint=None,
            seconds=None,
            raw=None,
        )
        for dimension, exploratory in task.dimensions.items()
    )
    return Done(number=task.number, measurements=rows, picture_failure=None)
