"""Answers that were given before, in one file of the store: a judge is never asked twice about the same frames and words."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from wanbench.errors import OutputError

BUSY_SECONDS = 60.0
"""[ours] Several workers write one file, each a few milliseconds at a time."""


class AnswerCache:
    """Digest of what was asked -> the answer, as JSON holds it. Opened anew in every process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            self._file.execute("CREATE TABLE IF NOT EXISTS answers (asked BLOB PRIMARY KEY, answer BLOB NOT NULL) WITHOUT ROWID")
        except (OSError, sqlite3.Error) as error:
            raise OutputError(f"the judge's answers cannot be kept in {path}: {error}; set WANBENCH_HOME") from error

    def get(self, asked: bytes) -> Any | None:
        """The answer, or None."""
        try:
            found = self._file.execute("SELECT answer FROM answers WHERE asked = ?", (asked,)).fetchone()
        except sqlite3.Error as error:
            raise OutputError(f"the judge's answers in {self._path} cannot be read: {error}; remove the file") from error
        return msgspec.json.decode(found[0]) if found else None

    def put(self, asked: bytes, answer: Any) -> None:
        """Keep an answer. Raises `OutputError`."""
        try:
            self._file.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", (asked, msgspec.json.encode(answer)))
        except sqlite3.Error as error:
            raise OutputError(f"the judge's answers cannot be kept in {self._path}: {error}") from error

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._file.close()
