"""The worker processes of a controls run: each has one clip in hand; one that dies loses what it had not sent."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from typing import Any

from wanbench.controls.measure import Assignment, Finished, Reaction, error_row
from wanbench.errors import UsageError
from wanbench.evaluation.runner import START_SECONDS, TASK_SECONDS
from wanbench.evaluation.worker import Ready, Refused, Setup
from wanbench.execution.child import Child, ChildDied, ChildSilent


class Crew:
    """Up to `workers` processes, started as they are needed."""

    def __init__(
        self,
        setup: Setup,
        workers: int,
        keep: Callable[[Assignment, Reaction], None],
        environment: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """`keep` is given every control that was measured, `environment` the facts of every process that is started."""
        self._setup, self._workers, self._keep, self._environment = setup, workers, keep, environment
        self._idle: list[Child] = []
        self._busy: dict[Child, Assignment] = {}
        self._sent: dict[Child, set[str]] = {}

    def work(self, assignments: Sequence[Assignment]) -> Iterator[Assignment]:
        """Measure all of them, each given back when it is done. Raises `UsageError` when no worker can be set up."""
        pending = deque(assignments)
        while pending or self._busy:
            while pending and len(self._busy) < self._workers:
                self._give(pending.popleft())
            ready = wait([child.connection for child in self._busy], TASK_SECONDS)
            for child in list(self._busy):
                if not ready or child.connection in ready:
                    done = self._hear(child, silent=not ready)
                    if done is not None:
                        yield done

    def close(self) -> None:
        for child in [*self._idle, *self._busy]:
            child.kill()

    def _give(self, assignment: Assignment) -> None:
        child = self._idle.pop() if self._idle else self._start()
        self._busy[child], self._sent[child] = assignment, set()
        with contextlib.suppress(ChildDied):  # noticed where answers are received
            child.send(assignment)

    def _hear(self, child: Child, silent: bool) -> Assignment | None:
        """Take a worker's answer; its assignment when that was the last one."""
        assignment = self._busy[child]
        try:
            if silent:
                raise ChildSilent(f"gave no answer for {TASK_SECONDS / 3600:.0f} hours")
            answer = child.receive()
        except (ChildDied, ChildSilent) as failure:
            child.kill()
            del self._busy[child]
            self._give_up(assignment, self._sent[child], f"crashed the worker process: it {failure}")
            return assignment
        if isinstance(answer, Reaction):
            self._sent[child].add(answer.control)
            self._keep(assignment, answer)
            return None
        assert isinstance(answer, Finished)
        del self._busy[child]
        self._idle.append(child)
        return assignment

    def _give_up(self, assignment: Assignment, sent: set[str], reason: str) -> None:
        """Errors for what a lost worker had not sent; they are tried again when the command is given again."""
        for control, dimensions in assignment.dimensions.items():
            if control not in sent:
                rows = {d: error_row(reason) for d in dimensions}
                self._keep(assignment, Reaction(number=assignment.number, control=control, rows=rows))

    def _start(self) -> Child:
        threads = str(self._setup.threads)
        variables = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": threads}
        child = Child("wanbench.controls.measure:serve", variables)
        try:
            child.send(self._setup)
            answer = child.receive(START_SECONDS)
        except (ChildDied, ChildSilent) as failure:
            child.kill()
            raise UsageError(f"a worker process could not be started: it {failure}") from failure
        except BaseException:  # an interrupt: nobody else knows of it yet
            child.kill()
            raise
        if isinstance(answer, Refused):
            child.kill()
            raise UsageError(answer.reason)
        assert isinstance(answer, Ready)
        self._environment(answer.environment)
        return child
