"""How numbers, dates and nested facts are worded in reports; the only place that rounds for the eye."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

LONGEST_FACT = 400
"""Characters shown of one value: enough for a path or a checksum, and a hostile megabyte cannot swell the page."""


def number(value: Any) -> str:
    """A raw value as a reader wants it: four significant digits, booleans as yes and no, anything else as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = ", ".join(number(v) for v in value) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= LONGEST_FACT else text[: LONGEST_FACT - 1] + "…"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """`1 clip`, `1,035 clips`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def enumerate_words(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def facts(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings flattened to (dotted key, text), in their order."""
    lines: list[tuple[str, str]] = []
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            lines += facts(inner, f"{prefix}{key}.")
        else:
            lines.append((f"{prefix}{key}", number(inner)))
    return lines


def command_line(command: Any) -> str:
    """The command as it can be pasted into a shell again."""
    return shlex.join(str(word) for word in command) if isinstance(command, list | tuple) else str(command or "")


def moment(stamp: Any) -> datetime | None:
    """An ISO time stamp, or None when it is none."""
    try:
        return datetime.fromisoformat(str(stamp))
    except ValueError:
        return None


def date(stamp: Any) -> str:
    when = moment(stamp)
    return f"{when:%Y-%m-%d %H:%M} {when.tzname() or ''}".strip() if when else number(stamp)


def duration(start: Any, end: Any) -> str | None:
    """`42 s`, `3 min 20 s`, `2 h 05 min`; None when either end is unknown."""
    first, last = moment(start), moment(end)
    if first is None or last is None or (first.tzinfo is None) != (last.tzinfo is None):
        return None
    seconds = round((last - first).total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min {seconds % 60:02d} s" if seconds < 3600 else f"{seconds // 3600} h {seconds // 60 % 60:02d} min"


def inert(text: str) -> str:
    """Text that Markdown, HTML and a table's cell show as it is."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~!@])", r"\\\1", text)
