"""Checking a suite from end to end: every line, not only up to the first that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wanbench.errors import UsageError
from wanbench.prompts import diversity, rules
from wanbench.prompts.lines import read_lines
from wanbench.prompts.suite import SHIPPED, load_suite, texts
from wanbench.types import JSONObject

OVERLAP_WARNED = 0.5
"""Two prompts of a dimension that share more of their words measure the same thing twice (the shipped suites' own limit)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a check found, each at its place."""

    lines: int
    errors: tuple[tuple[str, str], ...]
    """("FILE line N", what is wrong): the suite cannot be used so, or its answers would mislead."""
    warnings: tuple[tuple[str, str], ...]
    """("FILE line N", what is missing or weak): it can be used as far as it goes."""

    @property
    def verdict(self) -> str:
        counts = {"error": len(self.errors), "warning": len(self.warnings)}
        found = ", ".join(f"{count} {word}{'s' * (count != 1)}" for word, count in counts.items() if count)
        return f"{self.lines} prompts: {found or 'nothing wrong'}"

    def to_json(self) -> JSONObject:
        def places(found: tuple[tuple[str, str], ...]) -> list[JSONObject]:
            return [{"where": where, "problem": problem} for where, problem in found]

        return {"lines": self.lines, "errors": places(self.errors), "warnings": places(self.warnings)}


def check(name: str) -> Report:
    """A suite by name or file, line by line. Raises `UsageError` when the file as a whole cannot be read."""
    errors: list[tuple[str, str]] = []
    warnings: list[tuple[str, str]] = []
    usable: list[tuple[str, dict[str, Any]]] = []
    seen: dict[str, str] = {}
    lines = 0
    for where, fields in _lines(name, errors):
        lines += 1
        fields = {key: value for key, value in fields.items() if value not in (None, "")}
        identity = fields.get("id", fields.get("prompt_id"))
        if isinstance(identity, str) and identity in seen:
            errors.append((where, f"the id {identity!r} is there twice, first at {seen[identity]}"))
        elif isinstance(identity, str):
            seen[identity] = where
        broken = list(rules.breaches(fields))
        errors += [(where, problem) for problem in broken or rules.flaws(fields)]
        if not broken:
            warnings += [(where, problem) for problem in rules.lacks(fields)]
            usable.append((where, fields))
    if not lines and not errors:
        raise UsageError(f"the suite {name} is empty")
    if not errors:
        try:
            load_suite(name)
        except UsageError as error:  # what no line shows by itself
            errors.append((name, str(error)))
    return Report(lines=lines, errors=tuple(errors), warnings=(*warnings, *_too_close(usable)))


def _lines(name: str, errors: list[tuple[str, str]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Lines that can be read; of those that cannot, why."""
    path = Path(name)
    if name in SHIPPED and not path.is_file():
        yield from ((str(identity), dict(prompt.fields)) for identity, prompt in load_suite(name).prompts.items())
        return
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the suite {name} cannot be read: {error.strerror}; known names are {', '.join(SHIPPED)}") from error
    yield from read_lines(path, content, on_error=lambda where, problem: errors.append((where, problem)))


def _too_close(lines: list[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, str]]:
    for dimension in sorted({str(fields.get("dimension") or "") for _, fields in lines}):
        own = {w: set(diversity.words(texts(f["text"])["en"])) for w, f in lines if str(f.get("dimension") or "") == dimension}
        overlap, first, second = diversity.closest_pair(own)
        if overlap > OVERLAP_WARNED:
            yield second, f"shares {overlap:.0%} of its words with {first}: the two measure much the same"
