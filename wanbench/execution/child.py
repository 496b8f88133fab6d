"""Child processes of ours: started, talked to, limited and killed. A child never outlives its parent, however that ends.

`python -m wanbench.execution.child FD MODULE:FUNCTION PARENT` runs `FUNCTION(connection)` with the other end of the socket.
A fresh interpreter is started (no fork of a process that holds CUDA, threads or an open video), and nothing of the user's main
script is imported again.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing import reduction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 30)}
"""Frames come and go by the hundred: glibc is told to keep their memory, else every one is paged in anew."""
STDERR_TAIL_BYTES = 400
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class ChildDied(Exception):
    """The child ended without answering; the text says how."""


class ChildSilent(Exception):
    """The child did not answer in time."""


_FOUND_IN = str(Path(__file__).absolute().parents[2])


def interpreter(module: str, *arguments: str) -> list[str]:
    """The words that run `main()` of a module of ours in a fresh Python, with these arguments in `sys.argv[1:]`.

    Not `-m`, which would import the user's `random.py` or `cv2.py` from the working folder before Python's own.
    """
    boot = f"import sys; sys.path.append(sys.argv.pop()); from {module} import main; main()"
    return [sys.executable, "-P", "-c", boot, *arguments, _FOUND_IN]


class Child:
    """A running child process and the connection to it."""

    def __init__(self, target: str, environment: Mapping[str, str] | None = None) -> None:
        """Start `target` ("module:function")."""
        ours, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the child
        self._process = subprocess.Popen(
            interpreter("wanbench.execution.child", str(theirs.fileno()), target, str(os.getpid())),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._stderr,  # native libraries print; standard output carries results and nothing else
            stderr=self._stderr,
            start_new_session=True,  # Ctrl-C in the terminal is the parent's to handle
            env={**os.environ, **ALLOCATOR, **(environment or {})},
        )
        theirs.close()
        self.connection: Connection[Any, Any] = Connection(ours.detach())

    placed = True
    """It has a machine to run on: this one."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Any) -> None:
        """Raises `ChildDied` when nobody is there to receive."""
        try:
            self.connection.send(message)
        except OSError as error:
            raise ChildDied(self.obituary()) from error

    def receive(self, timeout_seconds: float | None = None) -> Any:
        """The next message. Raises `ChildDied`, or `ChildSilent` after the time-out."""
        try:
            if timeout_seconds is not None and not self.connection.poll(timeout_seconds):
                raise ChildSilent(f"gave no answer for {timeout_seconds:.0f} s")
            return self.connection.recv()
        except (EOFError, OSError) as error:
            raise ChildDied(self.obituary()) from error

    def receive_descriptor(self, timeout_seconds: float) -> int:
        """An open file that the child hands over, which is the caller's to close. Raises as `receive` does."""
        try:
            if not self.connection.poll(timeout_seconds):
                raise ChildSilent(f"gave no answer for {timeout_seconds:.0f} s")
            return reduction.recv_handle(self.connection)
        except (EOFError, OSError, RuntimeError) as error:
            raise ChildDied(self.obituary()) from error

    def obituary(self) -> str:
        """How the child ended, with the last line it printed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.poll()
        if code is None:
            how = "closed its connection"
        elif code < 0:
            how = (
                f"was killed by {signal.Signals(-code).name}" if -code in set(signal.Signals) else f"was killed by signal {-code}"
            )
        else:
            how = f"ended with exit code {code}"
        self._stderr.seek(max(0, os.fstat(self._stderr.fileno()).st_size - STDERR_TAIL_BYTES))
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{how} ({lines[-1].strip()})" if lines else how

    def kill(self) -> None:
        """End the child now, with all that it started, and collect it; harmless when it has ended."""
        import psutil

        started: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            started = psutil.Process(self.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        for process in started:  # a user's script may have processes of its own, which would keep a GPU
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.connection.close()
        self._stderr.close()


def limit_memory(extra_bytes: int) -> None:
    """Let this process's address space grow by at most `extra_bytes`; allocations beyond that fail. Linux only."""
    import resource

    if sys.platform != "linux":
        return
    with open("/proc/self/statm") as statm:  # noqa: PTH123 -- not a file of ours
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + extra_bytes, now + extra_bytes))


def die_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """From now on this process gets this signal when its parent ends, however that ends. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, by)


def adopt_orphans() -> None:
    """From now on what descendants of this process leave running when they end becomes its child. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1)


def kill_descendants(patience_seconds: float = 5.0) -> None:
    """Kill and collect everything that this process has started, directly or not."""
    import psutil

    ourselves, give_up = psutil.Process(), time.monotonic() + patience_seconds
    while (left := ourselves.children(recursive=True)) and time.monotonic() < give_up:
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=patience_seconds)


def main() -> None:
    die_with_parent()
    if os.getppid() != int(sys.argv[3]):  # it ended before we could ask to die with it
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    module, _, name = sys.argv[2].partition(":")
    run: Callable[[Connection[Any, Any]], None] = getattr(importlib.import_module(module), name)
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone: so are we
        run(connection)


if __name__ == "__main__":
    main()
