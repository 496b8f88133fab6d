"""Hooks: opened and checked before any work, told of the run when it has ended, never a reason to lose it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from typing import Protocol

from wanbench.errors import UsageError
from wanbench.evaluation.outcome import Run
from wanbench.hooks import KNOWN
from wanbench.hooks.entry import Entry, entries


class Hook(Protocol):
    """Somewhere a run is logged to."""

    name: str
    """As the user wrote it."""

    def log(self, entry: Entry) -> None:
        """Log one candidate; an entry whose `id` is there already is brought up to date, not logged twice. May raise anything."""


def open_hook(text: str, *, offline: bool = False) -> Hook:
    """`wandb[:PROJECT]`, `mlflow[:EXPERIMENT]` or `tensorboard[:FOLDER]`, checked as far as it can be.

    Raises `UsageError` for an unknown name, a bad target or an unreachable server, `MissingDependency`.
    """
    kind, colon, target = text.partition(":")
    if kind not in KNOWN or (colon and not target):
        known = ", ".join(f"{name}[:{what}]" for name, what in KNOWN.items())
        raise UsageError(f"--log-to takes {known}, not {text!r}")
    hook: Hook = import_module(f"wanbench.hooks.{kind}").opened(target, offline)
    return hook


def open_hooks(texts: Sequence[str], *, offline: bool = False) -> list[Hook]:
    """Each once. Raises as `open_hook` does."""
    return [open_hook(text, offline=offline) for text in dict.fromkeys(texts)]


def log_run(run: Run, hooks: Sequence[Hook], warn: Callable[[str], None]) -> Run:
    """Tell every hook of the run, and give it back; a hook that fails is a warning."""
    for hook in hooks:
        try:
            with redirect_stdout(sys.stderr):  # standard output belongs to the result
                for entry in entries(run):
                    hook.log(entry)
        except Exception as error:  # noqa: BLE001 -- libraries and samples raise anything, and the run has been written
            what = " ".join(f"{type(error).__name__}: {error}".split())
            warn(f"the run is written, but logging it to {hook.name} failed ({what}); the same command given again logs it")
    return run
