"""Ctrl-C and SIGTERM, which is treated alike: exit code 130, one line, and what was measured is kept.

While nothing is at stake they end the process at once: an exception raised in the middle of an import can be swallowed there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_at_once() -> None:
    """From now on an interrupt ends the process where it stands."""
    for number in SIGNALS:
        signal.signal(number, _end)


@contextmanager
def raised() -> Iterator[None]:
    """Within, an interrupt is a `KeyboardInterrupt`, for work that has something to put away."""
    for number in SIGNALS:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        end_at_once()


def too_late() -> None:
    """The work is done and the exit code decided: an interrupt no longer changes it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"wanbench: interrupted\n")
    os._exit(INTERRUPTED)


def _raise(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
