"""What a terminal shows while videos are made: which one, its steps, how many are left."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from wanbench.cli import interrupts
from wanbench.making.producing import Listener
from wanbench.making.shelf import Request


class Making:
    """A context manager around a production; `listener` is what it talks to. An interrupt says what is kept."""

    def __init__(self, *, shown: bool, quiet: bool, videos: int) -> None:
        self._console = console = Console(stderr=True)
        self._quiet, self._videos, self._done = quiet, videos, 0
        self._root: Path | None = None
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=32), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=not (shown and console.is_terminal), transient=True)
        self._all: TaskID | None = None
        self._steps: TaskID | None = None
        self._interrupts = interrupts.raised()
        self.listener = Listener(started=self._started, step=self._step, finished=self._finished, note=self._note)

    def __enter__(self) -> Making:
        self._interrupts.__enter__()
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()
        self._interrupts.__exit__(None, None, None)
        if kind is KeyboardInterrupt:
            kept = f"; they are kept in {self._root}: give the same command to go on" if self._root else ""
            raise KeyboardInterrupt(f"interrupted with {self._done} of {self._videos} videos{kept}") from value

    def start(self, root: Path, finished: int) -> None:
        """The folder is known, and how many videos are there already."""
        self._root = root
        self._all = self._bar.add_task("videos", total=self._videos)
        self._steps = self._bar.add_task("loading", total=None)
        if not self._quiet:
            there = f", {finished} of them there" if finished else ""
            print(f"run: {root} ({self._videos} videos{there})", file=sys.stderr)

    def _started(self, request: Request) -> None:
        if self._steps is not None:
            self._bar.reset(self._steps, description=request.name, total=None)

    def _step(self, done: int, total: int) -> None:
        if self._steps is not None:
            self._bar.update(self._steps, completed=done, total=total)

    def _note(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _finished(self, request: Request) -> None:
        self._done += 1
        if self._all is not None:
            self._bar.update(self._all, completed=self._done)
