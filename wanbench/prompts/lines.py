"""Lines of fields from a JSONL, CSV or text file. A wrong line is named by file and number."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from wanbench.errors import UsageError

OnError = Callable[[str, str], None]
"""Told ("FILE line N", what is wrong) of a line that cannot be read."""


def read_lines(path: Path, content: bytes, on_error: OnError | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """("FILE line N", fields) of a JSONL or CSV file's content, or of plain texts in a `.txt`; empty lines are passed over.

    Raises `UsageError` at the first line that cannot be read, unless there is an `on_error` to be told.
    """

    def wrong(where: str, problem: str) -> None:
        if on_error is None:
            raise UsageError(f"{where} {problem}")
        on_error(where, problem)

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        wrong(f"{path} line {number}", "is not UTF-8 text")
        return
    if path.suffix.lower() == ".csv":
        yield from _rows(path, text, wrong)
        return
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{path} line {number}"
        if not line.strip():
            continue
        if path.suffix.lower() == ".txt":
            yield where, {"text": line.strip()}
            continue
        try:
            fields = msgspec.json.decode(line)
        except (ValueError, RecursionError) as error:
            wrong(where, f"is not valid JSON: {error}")
            continue
        if not isinstance(fields, dict):
            wrong(where, "is not a JSON object")
            continue
        yield where, fields


def _rows(path: Path, text: str, wrong: OnError) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            where = f"{path} line {reader.line_num}"
            if None in row:
                wrong(where, "has more cells than the first line has names")
                continue
            yield where, _with_languages({k: _cell(v) for k, v in row.items() if k})
    except csv.Error as error:
        wrong(f"{path} line {reader.line_num + 1}", f"is not valid CSV: {error}")


def _cell(value: str | None) -> Any:
    """A CSV cell; one that holds a JSON object or list (such as `camera`) is read as that."""
    if value and value.lstrip()[:1] in ("{", "["):
        try:
            return msgspec.json.decode(value)
        except (ValueError, RecursionError):
            return value
    return value or None


def _with_languages(fields: dict[str, Any]) -> dict[str, Any]:
    """A table holds one text a cell: `text` is English, and `text_zh` the same in Chinese."""
    chinese = fields.pop("text_zh", None)
    if chinese is not None and isinstance(fields.get("text"), str):
        fields["text"] = {"en": fields["text"], "zh": chinese}
    return fields
