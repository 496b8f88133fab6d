"""`--json`: what happens while a run goes on, an event a line on standard error, for programs that watch it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from wanbench.cli.live import Live
from wanbench.evaluation import runner
from wanbench.evaluation.outcome import Making
from wanbench.making.forecast import Forecast
from wanbench.record import as_text

EVERY_SECONDS = 0.5
"""[ours] Between two events of one kind of progress; the last one of each kind always comes."""


class Events(Live):
    """In place of bars and plain lines: `{"event": ..., ...}`."""

    def __init__(self, *, progress: bool, quiet: bool) -> None:
        super().__init__(shown=False, quiet=quiet)
        self._wanted = progress
        self._last: dict[str, float] = {}

    def tell(self, event: str, **facts: Any) -> None:
        """One event, whatever it is."""
        self._say(json.dumps({"event": event, **facts}))

    def forecast(self, outlook: Forecast) -> None:
        self.tell("forecast", **outlook.to_json())

    def _advance(self, event: str, done: float, total: int, **facts: Any) -> None:
        now = time.monotonic()
        if self._wanted and (done >= total or now - self._last.get(event, 0.0) >= EVERY_SECONDS):
            self._last[event] = now
            self.tell(event, done=round(done, 3), total=total, **facts)

    def _hash(self, done: int, total: int) -> None:
        self._advance("reading", done, total)

    def _progress(self, progress: runner.Progress) -> None:
        self._done = progress.done
        self._advance("measuring", progress.done, progress.total, errors=progress.errors)

    def _make(self, making: Making) -> None:
        self._advance("generating", making.done, making.total, failed=making.failed)

    def _warn(self, text: str) -> None:
        self.tell("warning", text=" ".join(text.split()))

    def _note(self, text: str) -> None:
        self.tell("note", text=" ".join(text.split()))

    def _started(self, run: Path) -> None:
        self._run = run
        self.tell("started", run=as_text(run))


def watching(*, json: bool, progress: bool, quiet: bool) -> Live:
    """What a command's run talks to."""
    return Events(progress=progress, quiet=quiet) if json else Live(shown=progress and not quiet, quiet=quiet)
