"""A Ray cluster on this machine, of as many nodes as a test wants: real `ray start`, each with its own processes and address."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
PATIENCE_SECONDS = 90.0


class Nodes:
    """The head, which has one core, and what has joined it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rw", dir="/tmp"))  # short: sockets lie in it
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        port = self.address.partition(":")[2]
        self._started: list[subprocess.Popen[bytes]] = []
        self.head = self._start(
            "--head", f"--port={port}", f"--temp-dir={self.folder}", "--include-dashboard=false", "--num-cpus=1"
        )

    def join(self, *options: str) -> psutil.Process:
        """One more node, at an address of its own."""
        ip = f"127.0.0.{len(self._started) + 1}"
        return self._start(f"--address={self.address}", f"--node-ip-address={ip}", *(options or ("--num-cpus=1",)))

    def _start(self, *options: str) -> psutil.Process:
        ray = Path(sys.executable).with_name("ray")
        command = [ray, "start", *options, "--object-store-memory=80000000", "--block", "--disable-usage-stats"]
        log = self.folder.parent / f"{self.folder.name}-{len(self._started)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env={**os.environ, **ENVIRONMENT}, cwd="/tmp",
                start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        until(lambda: process.poll() is not None or b"--block" in log.read_bytes())
        assert process.poll() is None, log.read_text()
        return psutil.Process(process.pid)

    def close(self) -> None:
        for process in self._started:
            lose(psutil.Process(process.pid)) if process.poll() is None else None
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        for log in self.folder.parent.glob(f"{self.folder.name}-*.log"):
            log.unlink()


@contextlib.contextmanager
def nodes() -> Iterator[Nodes]:
    started = Nodes()
    try:
        yield started
    finally:
        started.close()


def lose(node: psutil.Process) -> None:
    """SIGKILL to everything that a node is, at once: as when its power fails."""
    for process in [node, *node.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)


def relays(node: psutil.Process) -> list[psutil.Process]:
    """Actors of ours on a node."""
    return [p for p in _below(node) if "Relay" in _words(p)]


def workers(node: psutil.Process) -> list[psutil.Process]:
    """Processes on a node that measure, decode or make."""
    return [p for p in _below(node) if "wanbench.execution.child" in _words(p)]


def until(met: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def _below(node: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return node.children(recursive=True)
    return []


def _words(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def echo(connection: Connection[Any, Any]) -> None:
    """A worker that answers; `die` ends it, and a number is answered with so many bytes."""
    while (said := connection.recv()) != "die":
        connection.send(bytes(said) if isinstance(said, int) else (said, os.environ.get("CUDA_VISIBLE_DEVICES"), str(Path.cwd())))
    raise SystemExit("a last word")
