"""The run directory: `run.json`, the append-only record `measurements.jsonl`, `summary.json`, pictures; one writer at a time.

Every line is one `write`, so a process that is killed loses at most the line it was writing; a torn last line is dropped on
reading and cut off on resuming. When a run ends, the record is put into the order of the plan, so that the same inputs give
the same file whatever the number of workers and however often it was cut.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from wanbench.errors import OutputError, RunLocked, UsageError
from wanbench.types import JSONObject, Measurement

SCHEMA_VERSION = 1
RUN, RECORD, SUMMARY, REPORT, EVIDENCE = "run.json", "measurements.jsonl", "summary.json", "report.html", "evidence"
LOCK = ".lock"
OURS = (EVIDENCE, "videos", LOCK)
"""What may lie in a run directory before `run.json` does: of a run that was cut at once, or of videos made for it."""


def as_text(path: str | Path) -> str:
    """A path, or a part of one, as JSON can hold it: bytes that are not UTF-8 are written as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def make_folder(path: Path) -> None:
    """Make a folder, and those above it. Raises `OutputError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or nothing. Raises `OutputError`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(value, indent=2).encode() + b"\n")


def read_json(path: Path) -> JSONObject:
    """A JSON object from a file. Raises `UsageError`."""
    try:
        value = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist: is {path.parent} a wanbench run?") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} is not a JSON object")
    return value


def read_finished(run: Path) -> JSONObject:
    """`run.json` of a run that this version can read and that has ended. Raises `UsageError`."""
    info = read_info(run)
    if info.get("status") == "interrupted":
        raise UsageError(f"{run} was interrupted: give its command again to finish it")
    return info


def read_info(run: Path) -> JSONObject:
    """`run.json` of a run that this version can read. Raises `UsageError`."""
    info = read_json(run / RUN)
    if info.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(f"{run} was written by another version of wanbench (schema {info.get('schema_version')}, "
                         f"this one reads {SCHEMA_VERSION}): score the videos again")  # fmt: skip
    return info


def read_measurements(path: Path) -> Iterator[Measurement]:
    """The lines of a record; a torn last line is dropped. Raises `UsageError` for a damaged line before the last."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    decoder = msgspec.json.Decoder(Measurement)
    lines = content.split(b"\n")
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is torn, or nothing
        try:
            yield decoder.decode(line)
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(f"{path} line {number} is damaged ({error}); restore it or remove the line") from error


def read_all(path: Path) -> list[Measurement]:
    """The same as a list, three times as fast: the garbage collector would search a growing heap where there is no garbage."""
    with uncollected():
        return list(read_measurements(path))


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Within, Python looks for no reference cycles: for work that makes a million values and no cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def require_own(path: Path) -> None:
    """Raises `UsageError` for a folder that holds something else than a run."""
    if not (path / RUN).exists() and any(p.name not in OURS and not _is_left_over(p) for p in path.iterdir()):
        raise UsageError(f"{path} is not empty and not a wanbench run; choose another --out")


class RunDirectory:
    """A run being written by this process. Use as a context manager: the lock is held inside."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1
        self._record = -1
        self.measurements: dict[tuple[Any, ...], Measurement] = {}
        """What is on record, by key; a later line replaces an earlier one of the same key."""

    @property
    def evidence(self) -> Path:
        """Where workers, in whatever folder, put pictures."""
        return self.path.resolve() / EVIDENCE

    def __enter__(self) -> RunDirectory:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            require_own(self.path)
            (self.path / EVIDENCE).mkdir(exist_ok=True)
            self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            kind = OutputError if error.errno in (errno.ENOSPC, errno.EDQUOT) else UsageError
            raise kind(f"cannot write to {self.path}: {error.strerror}; choose another place with --out") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise RunLocked(f"another process is writing {self.path}; wait for it or choose another --out") from error
        for path in [p for p in self.path.iterdir() if _is_left_over(p)]:
            path.unlink(missing_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._record >= 0:
            os.close(self._record)
        os.close(self._lock)

    def read_record(self) -> None:
        """Take in what is there. Raises `UsageError` for a damaged line before the last."""
        self.measurements = {m.key: m for m in read_measurements(self.path / RECORD)}

    def open_record(self) -> None:
        """Cut off a torn line, and append from now on. Raises `OutputError`."""
        path = self.path / RECORD
        try:
            self._record = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            size = os.fstat(self._record).st_size
            os.ftruncate(self._record, _last_newline(self._record, size))
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error

    def append(self, measurements: Iterable[Measurement]) -> None:
        """Put lines on record, each in one write. Raises `OutputError`; what was written before stays."""
        for measurement in measurements:
            line = _line(measurement)
            try:
                written = os.write(self._record, line)
            except OSError as error:
                raise OutputError(
                    f"cannot write {self.path / RECORD}: {error.strerror}; free some space and run again"
                ) from error
            if written != len(line):
                raise OutputError(f"cannot write {self.path / RECORD}: the disk is full; free some space and run again")
            self.measurements[measurement.key] = measurement

    def finish(self, order: Mapping[tuple[Any, ...], int]) -> list[Measurement]:
        """Put the record into the order of the plan, one line a key, and give it back."""
        ordered = sorted(self.measurements.values(), key=lambda m: order[m.key])
        write_atomically(self.path / RECORD, b"".join(map(_line, ordered)))
        return ordered


def _is_left_over(path: Path) -> bool:
    """Whether a process that was killed in `write_atomically` left it."""
    return path.name.startswith(tuple(f".{name}." for name in (RUN, RECORD, SUMMARY, REPORT))) and path.suffix == ".tmp"


def _line(measurement: Measurement) -> bytes:
    # Nothing but ASCII goes on record: U+2028 and its like end a line for some readers.
    return json.dumps(measurement.to_json(), separators=(",", ":")).encode() + b"\n"


def _last_newline(descriptor: int, size: int) -> int:
    """Length of the file up to and with its last newline."""
    block = 1 << 16
    end = size
    while end > 0:
        start = max(0, end - block)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
