"""Fetching one file: streamed, checked and renamed into place at the end. Nothing half-fetched lies under a final name."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from wanbench.errors import OutputError, UsageError

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30.0
"""[ours] A server silent for so long counts as unreachable."""

Progress = Callable[[str, int, "int | None"], None]
"""(file name, bytes so far, bytes in all or None where the server does not say)."""


@contextlib.contextmanager
def arriving(path: Path) -> Iterator[BinaryIO]:
    """A file under a temporary name beside `path` that takes its place when the block ends well, and vanishes otherwise."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def fetch(url: str, path: Path, *, sha256: str | None, size: int | None, progress: Progress | None = None) -> None:
    """Write what `url` holds to `path`, if it has the expected size in bytes and SHA-256 (or its leading digits), where known.

    Raises `UsageError` when the server cannot be reached or sends something else, `OutputError` when `path` cannot be written.
    """
    digest = hashlib.sha256()
    done = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with arriving(path) as stream:
            for chunk, total in _pieces(url, path):
                digest.update(chunk)
                stream.write(chunk)
                done += len(chunk)
                if progress:
                    progress(path.name, done, total)
            if size not in (None, done) or not digest.hexdigest().startswith(sha256 or ""):
                raise UsageError(
                    f"{url} sent another file than the published one ({done} bytes, SHA-256 {digest.hexdigest()}; expected "
                    f"{'any number of' if size is None else size} bytes, SHA-256 {sha256}); nothing was kept"
                )
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; free space, or set WANBENCH_HOME") from error


def _pieces(url: str, path: Path) -> Iterator[tuple[bytes, int | None]]:
    """Pieces of what `url` holds, each with the promised size of the whole."""
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "wanbench"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            promised = response.headers["Content-Length"]
            total = int(promised) if promised else None
            done = 0
            while chunk := response.read(CHUNK_BYTES):
                done += len(chunk)
                yield chunk, total
            if total not in (None, done):  # a cut connection ends like a finished one
                raise EOFError(f"it ended after {done} of {total} bytes")
    except (OSError, EOFError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise UsageError(f"cannot fetch {url}: {reason}; try again, or put the file by hand at {path}") from error
