"""Starting `app.py` and knowing what it was asked."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

APP = Path(__file__).with_name("app.py")


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs."""

    url: str
    log: Path
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What it was asked, the probe that a command begins with left out."""
        text = self.log.read_text() if self.log.exists() else ""
        return [r for r in map(json.loads, text.splitlines()) if "Is water wet?" not in json.dumps(r["messages"])]

    def words(self) -> list[str]:
        """The last text part of each request."""
        return [r["messages"][-1]["content"][-1]["text"] for r in self.requests]


@contextlib.contextmanager
def serving(folder: Path, **options: Any) -> Iterator[Serving]:
    """The server, with what `app.py` calls OPTIONS; it ends with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"requests-{len(list(folder.glob('requests-*')))}.jsonl"
    log.touch()
    process = subprocess.Popen(
        [sys.executable, APP, log, json.dumps(options)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, "the server did not start"
        yield Serving(f"http://127.0.0.1:{port}", log, process)
    finally:
        process.kill()
        process.wait()
