"""Any model with a command line: `command:'./make.sh {prompt_file} {out} {seed}'` is run once for each video."""

from __future__ import annotations

import os
import shlex
import string
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wanbench.errors import UsageError
from wanbench.execution.child import interpreter
from wanbench.making.guardian import CANNOT_START
from wanbench.making.makers import CannotMake, Tick
from wanbench.making.shelf import Request

PLACES = ("prompt", "prompt_file", "out", "seed", "prompt_id", "device")
NEEDED = ("out",)
LAST_WORDS = 300
"""Characters of the command's last error line that are kept."""


def parse(command: str) -> list[str]:
    """The words of a command, its places checked. Raises `UsageError`."""
    try:
        words = shlex.split(command)
        named = {name for word in words for _, name, _, _ in string.Formatter().parse(word) if name is not None}
    except ValueError as error:
        raise UsageError(f"the command {command!r} cannot be read: {error}") from error
    if not words:
        raise UsageError("the command is empty: command:'./make.sh {prompt_file} {out} {seed}'")
    if unknown := sorted(named - set(PLACES)):
        raise UsageError(f"the command names {{{unknown[0]}}}; known are {', '.join('{' + p + '}' for p in PLACES)}")
    if missing := [place for place in NEEDED if place not in named]:
        raise UsageError(f"the command does not name {{{missing[0]}}}, the file it must write")
    if not {"prompt", "prompt_file"} & named:
        raise UsageError("the command names neither {prompt_file} nor {prompt}: what should it make?")
    return words


class CommandMaker:
    """Runs the command under a guardian, which ends all of it when it takes too long or when this process dies."""

    notes: Sequence[str] = ()

    def __init__(self, command: str, device: str, timeout_s: float) -> None:
        self._words = parse(command)
        self._device = device
        self._timeout = timeout_s

    def make(self, request: Request, path: Path, tick: Tick) -> Mapping[str, Any]:
        with tempfile.TemporaryDirectory(prefix="wanbench-") as folder:
            prompt_file = Path(folder) / "prompt.txt"
            prompt_file.write_text(request.text + "\n", "utf-8")
            places = {
                "prompt": request.text,
                "prompt_file": str(prompt_file),
                "out": str(path.absolute()),
                "seed": str(request.seed),
                "prompt_id": str(request.prompt.id),
                "device": self._device,
            }
            self._run([word.format(**places) for word in self._words])
        tick(1, 1)
        return {}

    def _run(self, words: list[str]) -> None:
        environment = {**os.environ, **({"CUDA_VISIBLE_DEVICES": self._device[5:]} if self._device.startswith("cuda:") else {})}
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                interpreter("wanbench.making.guardian", str(os.getpid()), *words),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
                env=environment,
            )
            try:
                code = process.wait(self._timeout)
            except subprocess.TimeoutExpired:
                raise CannotMake(f"{words[0]} took longer than {self._timeout:g} s and was ended") from None
            finally:
                process.terminate()
                process.wait()
            if code != 0:
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines()
                if code == CANNOT_START:
                    raise CannotMake(f"{words[0]} cannot be run: {lines[-1]}")
                last = f": {lines[-1][:LAST_WORDS]}" if lines else ""
                raise CannotMake(f"{words[0]} ended with exit code {code}{last}")
