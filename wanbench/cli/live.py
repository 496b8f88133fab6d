"""What a terminal shows while a run goes on: a bar with clips, rate and time left; plain lines where nobody watches."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn

from wanbench.cli import interrupts
from wanbench.evaluation import runner
from wanbench.evaluation.outcome import Listener, Making
from wanbench.making.forecast import Forecast


class Live:
    """A context manager around a run; `listener` is what the run talks to."""

    def __init__(self, *, shown: bool, quiet: bool) -> None:
        self._console = Console(stderr=True)
        self._shown = shown and self._console.is_terminal
        self._quiet = quiet
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._shown,
            transient=True,
        )
        self._hashing: TaskID | None = None
        self._measuring: TaskID | None = None
        self._rendering: TaskID | None = None
        self._making: TaskID | None = None
        self._run: Path | None = None
        self._done = 0
        self._interrupts = interrupts.raised()
        self.listener = Listener(
            hashing=self._hash,
            progress=self._progress,
            warning=self._warn,
            note=self._note,
            started=self._started,
            making=self._make,
        )

    def __enter__(self) -> Live:
        self._interrupts.__enter__()
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()
        self._interrupts.__exit__(None, None, None)
        if kind is KeyboardInterrupt:
            kept = f"; what was measured is kept in {self._run}: give the same command to go on" if self._run else ""
            raise KeyboardInterrupt(f"interrupted after {self._done} clips{kept}") from value

    def _hash(self, done: int, total: int) -> None:
        if self._hashing is None:
            self._hashing = self._bar.add_task("reading", total=total, note="")
        self._bar.update(self._hashing, completed=done, visible=done < total)

    def _progress(self, progress: runner.Progress) -> None:
        if self._measuring is None:
            self._measuring = self._bar.add_task("measuring", total=progress.total, completed=progress.done, note="")
        self._done = progress.done
        task = next(t for t in self._bar.tasks if t.id == self._measuring)
        rate = f"{task.speed:.1f} clips/s" if task.speed else ""
        errors = f" {progress.errors} errors" if progress.errors else ""
        self._bar.update(self._measuring, completed=progress.done, note=rate + errors)

    def _make(self, making: Making) -> None:
        if self._making is None:
            self._making = self._bar.add_task("generating", total=making.total, note="")
        failed = f" {making.failed} failed" if making.failed else ""
        self._bar.update(self._making, completed=making.done, note=failed)

    def forecast(self, outlook: Forecast) -> None:
        """What is to come."""
        self._say("\n".join(outlook.lines()))

    def rendering(self, done: int, total: int) -> None:
        """For the demo, whose candidates are rendered first."""
        if self._rendering is None:
            self._rendering = self._bar.add_task("rendering", total=total, note="")
        self._bar.update(self._rendering, completed=done)

    def _warn(self, text: str) -> None:
        self._say(f"warning: {' '.join(text.split())}", self._console.file)

    def _note(self, text: str) -> None:
        self._say(text, self._console.file)

    def _started(self, run: Path) -> None:
        self._run = run
        self._say(f"run: {run}")

    def _say(self, line: str, file: IO[str] | None = None) -> None:
        if self._quiet:
            return
        try:
            print(line, file=file if file and self._shown else sys.stderr, flush=True)
        except BrokenPipeError:
            self._quiet = True  # nobody watches any more, and the work goes on
