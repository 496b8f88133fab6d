"""Dealing requests to makers' processes, one a device.

What one cannot make is tried elsewhere, twice, and then given up. A maker that dies or hangs loses the one video it was making;
where none can be started in its place and nobody else is left, what is still to be made is given up.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from wanbench.errors import OutputError, UsageError
from wanbench.execution.child import ChildDied, ChildSilent
from wanbench.execution.executor import MAKER, Executor, Kept, Local, Need, Starts
from wanbench.making.makers import MakerSpec, notes_of
from wanbench.making.shelf import Request, Shelf
from wanbench.making.worker import Failed, Made, MakerSetup, Open, Order, Step, Unopened

ATTEMPTS = 3
OPEN_SECONDS = 3600.0
"""[ours] Reading 60 GB of parameters from a slow disk."""
POLL_SECONDS = 0.5
VIDEO_SECONDS = 4 * 3600.0
"""[ours] No video of five seconds takes four hours, on any machine that one would use for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A video lies on the shelf."""

    request: Request
    sha256: str
    seconds: float | None
    """What it took; None: it was there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenUp:
    """A video could not be made."""

    request: Request
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped:
    """Nothing more will come: all is made, or `error` ended it."""

    error: BaseException | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Underway:
    """Steps of the videos that are being made."""

    steps: Mapping[str, tuple[int, int]]
    """Request's name -> (done, in all)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted:
    """A line for the user, told once."""

    text: str


Event = Finished | GivenUp | Underway | Noted | Stopped


@dataclass(kw_only=True, slots=True)
class _Worker(Kept):
    device: str
    order: Order | None = None
    refused: set[int] = field(default_factory=set)
    """Orders that failed on this device: they are tried elsewhere first."""


class Crew:
    """Makes requests in a thread of its own; what happens is told through `events`."""

    def __init__(
        self,
        spec: MakerSpec,
        shelf: Shelf,
        devices: Sequence[str],
        video_seconds: float = VIDEO_SECONDS,
        executor: Executor | None = None,
    ) -> None:
        self.events: SimpleQueue[Event] = SimpleQueue()
        self._spec = spec
        self._shelf = shelf
        self._devices = devices
        self._video_seconds = video_seconds
        self._executor = executor or Local()
        self._crew: list[_Worker] = []
        self._pending: deque[Order] = deque()
        self._failures: dict[int, int] = {}
        self._steps: dict[str, tuple[int, int]] = {}
        self._texts: tuple[str, ...] = ()
        self._told: set[str] = set()
        self._starts = Starts(len(devices))
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, requests: Sequence[Request]) -> None:
        """Begin; what is finished already is told at once."""
        self._thread = threading.Thread(target=self._run, args=(requests,), name="making", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop making; a video under way is lost, finished ones stay. Harmless when all is made."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, requests: Sequence[Request]) -> None:
        try:
            for number, request in enumerate(requests):
                if self._ending.is_set():
                    break
                digest = self._shelf.finished(request)
                if digest is not None:
                    self.events.put(Finished(request=request, sha256=digest, seconds=None))
                else:
                    self._pending.append(Order(number=number, request=request, path=self._shelf.unfinished(request)))
            self._texts = tuple(dict.fromkeys(order.request.text for order in self._pending))
            for device in self._devices[: len(self._pending)]:
                self._open(device, set(), spare=False)
            while (self._pending or any(worker.order for worker in self._crew)) and not self._ending.is_set():
                self._attend()
            self.events.put(Stopped(error=None))
        except BaseException as error:  # noqa: BLE001 -- told to the main thread, which raises it
            self.events.put(Stopped(error=error))
        finally:
            for worker in self._crew:
                worker.hand.kill()
            with contextlib.suppress(OSError):  # the next command on this folder sweeps too
                self._shelf.sweep()

    def _open(self, device: str, refused: set[int], spare: bool) -> None:
        need = Need(cores=0, gpu=MAKER if device.startswith("cuda") else 0.0)
        hand = self._executor.start("wanbench.making.worker:serve", {}, need)
        self._crew.append(_Worker(hand=hand, device=device, spare=spare, refused=refused))
        with contextlib.suppress(ChildDied):  # noticed, with the reason, where messages are received
            hand.send(MakerSetup(spec=self._spec, device=device, texts=self._texts))

    def _attend(self) -> None:
        """Deal, and hear those who speak."""
        self._deal()
        speaking = self._executor.speaking([worker.hand for worker in self._crew], POLL_SECONDS)
        for worker in list(self._crew):
            try:
                if worker.hand in speaking:
                    self._hear(worker)
                else:
                    busy, others_work = worker.order is not None, any(other.ready for other in self._crew)
                    worker.check(busy, OPEN_SECONDS, self._video_seconds, others_work)
            except (ChildDied, ChildSilent) as failure:
                self._lose(worker, failure)

    def _hear(self, worker: _Worker) -> None:
        message = worker.hand.receive()
        if isinstance(message, Unopened):
            if worker.spare:
                raise ChildDied(f"said: {message.reason}")
            raise UsageError(message.reason)
        if isinstance(message, Open):
            worker.ready = True
            self._starts.succeeded()
            self._note(message.notes)
            return
        order = worker.order
        assert order is not None
        if isinstance(message, Step):
            self._steps[order.request.name] = (message.done, message.total)
            self.events.put(Underway(steps=dict(self._steps)))
            return
        worker.order = None
        self._steps.pop(order.request.name, None)
        if isinstance(message, Made):
            facts = {"model": self._spec.name, "settings": dict(self._spec.settings), **message.facts}
            digest = self._shelf.finish(order.request, facts)
            self._note(notes_of(message.facts))
            self.events.put(Finished(request=order.request, sha256=digest, seconds=message.facts.get("seconds")))
        elif isinstance(message, Failed):
            if message.disk:
                raise OutputError(message.reason)
            self._blame(worker, order, message.reason)
            if message.last:
                self._remove(worker)
                self._replace(worker)

    def _note(self, lines: Iterable[str]) -> None:
        for line in lines:
            if line not in self._told:
                self._told.add(line)
                self.events.put(Noted(text=line))

    def _lose(self, worker: _Worker, failure: Exception) -> None:
        """A process that is gone is replaced; its video is tried again, elsewhere if there is another place."""
        again = not worker.ready and self._starts.again(worker, failure)
        self._remove(worker)
        if worker.ready:
            if worker.order is not None:
                self._blame(worker, worker.order, f"the process that made it {failure}")
            self._replace(worker)
            return
        if again:
            self._open(worker.device, worker.refused, worker.spare)
            return
        reason = f"the model {self._spec.name} could not be started on {worker.device}: it {failure}"
        if not worker.spare:
            raise UsageError(reason) from failure
        if not self._crew:  # else the others go on without it
            for order in self._pending:
                self.events.put(GivenUp(request=order.request, reason=reason))
            self._pending.clear()

    def _replace(self, worker: _Worker) -> None:
        if self._pending or any(other.order for other in self._crew):
            self._open(worker.device, worker.refused, spare=True)

    def _remove(self, worker: _Worker) -> None:
        worker.hand.kill()
        self._crew.remove(worker)

    def _blame(self, worker: _Worker, order: Order, reason: str) -> None:
        """An order that failed here is tried again, or given up."""
        order.path.unlink(missing_ok=True)
        self._steps.pop(order.request.name, None)
        worker.refused.add(order.number)
        self._failures[order.number] = self._failures.get(order.number, 0) + 1
        if self._failures[order.number] < ATTEMPTS:
            self._pending.append(order)
        else:
            self.events.put(GivenUp(request=order.request, reason=f"could not be made, {ATTEMPTS} times: {reason}"))

    def _deal(self) -> None:
        for worker in self._crew:
            if worker.ready and worker.order is None and (order := self._next(worker)) is not None:
                try:
                    worker.hand.send(order)
                except ChildDied:
                    continue  # its end is noticed where messages are received
                self._pending.remove(order)
                worker.order, worker.since = order, time.monotonic()

    def _next(self, worker: _Worker) -> Order | None:
        """The first order that did not fail here; one that failed everywhere may go anywhere, so that none waits for ever."""
        for order in self._pending:
            if order.number not in worker.refused or all(order.number in other.refused for other in self._crew):
                return order
        return None
