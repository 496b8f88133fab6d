"""Where worker processes run: on this machine, or wherever an executor puts them. Who deals work to them sees no difference.

A worker is a function `module:function` that is called with a connection (`execution.child`); messages are pickled, and of a
video only its path travels.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any, Protocol

from wanbench.execution.child import Child, ChildDied, ChildSilent

MAKER, BESIDE_MAKER = 0.6, 0.4
"""[ours] Parts of a GPU: no two makers share one, and all workers that measure meanwhile fit beside one, so that neither ever
keeps the other from starting."""

STARTS = 3
"""[ours] Of a worker in the place of one that was lost: what it met may pass, such as memory that a dying process still holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What a worker takes of the machine it runs on."""

    cores: int = 1
    """0: it leaves them to others; its work is on a GPU, or it takes what the others leave."""
    gpu: float = 0.0
    """The part of one that is kept for it, where there are any: two that together need more than one never share it."""


class Lost(ChildDied):
    """The machine it ran on is gone, or what held it there, which says nothing of the worker."""


class Hand(Protocol):
    """One worker process."""

    @property
    def placed(self) -> bool:
        """Whether it has a machine to run on, or still waits for one."""
        ...

    def send(self, message: Any) -> None:
        """Raises `ChildDied` when nobody is there to receive."""
        ...

    def receive(self) -> Any:
        """The next message; waits for it. Raises `ChildDied`."""
        ...

    def kill(self) -> None:
        """End the process now; harmless when it has ended."""
        ...


class Executor(Protocol):
    """Starts workers and tells which of them speak."""

    def start(self, target: str, environment: Mapping[str, str], need: Need) -> Hand:
        """A worker that runs `target` ("module:function"), with these variables besides the caller's."""
        ...

    def speaking(self, hands: Sequence[Hand], seconds: float) -> Sequence[Hand]:
        """Those whose `receive` returns, or raises, at once; waits so long for the first of them."""
        ...


class Local:
    """Child processes on this machine. Whoever starts them sees to it that they fit."""

    def start(self, target: str, environment: Mapping[str, str], need: Need) -> Hand:
        return Child(target, environment)

    def speaking(self, hands: Sequence[Hand], seconds: float) -> Sequence[Hand]:
        children = [hand for hand in hands if isinstance(hand, Child)]
        ready = wait([child.connection for child in children], seconds)
        return [child for child in children if child.connection in ready]


@dataclass(kw_only=True, slots=True)
class Kept:
    """A worker as those see it who deal work to it, and replace it when it is lost."""

    hand: Hand
    spare: bool
    """Whether it takes the place of one that was lost."""
    since: float = field(default_factory=time.monotonic)
    """When it began what it is doing: loading, or its work."""
    ready: bool = False

    def check(self, at_work: bool, start_seconds: float, work_seconds: float, others_work: bool) -> None:
        """Raises `ChildSilent` for one that takes longer than anything does; for a machine it may wait while others work."""
        limit = work_seconds if self.ready else start_seconds
        if others_work and not self.hand.placed:
            self.since = time.monotonic()
        if (at_work or not self.ready) and time.monotonic() - self.since > limit:
            how = "did not finish" if self.hand.placed else "found no machine with room for it"
            raise ChildSilent(f"{how} within {limit:g} s")


class Starts:
    """Whether a worker that was lost before it was ready is started again: spares a few times, any whose machine was lost."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._failed = 0
        """One after the other."""

    def succeeded(self) -> None:
        self._failed = 0

    def again(self, worker: Kept, failure: Exception) -> bool:
        self._failed += 1
        if isinstance(failure, Lost) and self._failed < STARTS * self._workers:
            return True
        return worker.spare and worker.hand.placed and self._failed < STARTS
