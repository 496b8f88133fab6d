"""The file that a repository commits as its baseline, and reading either side of a comparison. Light half.

A baseline is JSON: `kind`, `schema_version`, `project_version`, `candidate`, `suite` and `dimensions`, where each dimension has
its `method`, `fingerprint` and `outcomes` (prompt id -> seed -> score, "skipped" or "error"). A prompt is a line, so that a
change of the baseline can be read in a review.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wanbench import __version__, record
from wanbench.comparison.conditions import suite_facts
from wanbench.comparison.sides import Measured, Outcome, Side, sides
from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN

KIND = "wanbench baseline"
SCHEMA_VERSION = 1


def read_side(text: str) -> Side:
    """A side as a command names it: RUN (of one candidate), RUN:CANDIDATE, or a baseline file. Raises `UsageError`."""
    if _exists(text):
        path, name = Path(text), None
    else:
        colons = [k for k, character in enumerate(text) if character == ":" and _exists(text[:k])]
        if not colons:
            raise UsageError(f"{text} is neither a run nor a baseline file (one candidate of a run is written RUN:CANDIDATE)")
        path, name = Path(text[: colons[-1]]), text[colons[-1] + 1 :]
    if path.is_file():
        side = _read_file(path)
        if name not in (None, side.candidate):
            raise UsageError(f"{path} is the baseline of {side.candidate}, not of {name}")
        return side
    found = read_run(path)
    if name is None and len(found) > 1:
        raise UsageError(f"{path} has {len(found)} candidates; name one: {', '.join(f'{path}:{c}' for c in found)}")
    if name is not None and name not in found:
        raise UsageError(f"{path} has no candidate {name}; it has {', '.join(found)}")
    return found[name] if name is not None else next(iter(found.values()))


def read_run(run: Path) -> dict[str, Side]:
    """Candidate -> side, of a finished run. Raises `UsageError`."""
    info = record.read_finished(run)
    found = sides(record.read_all(run / record.RECORD), info.get("suite"), record.as_text(run))
    if not found:
        raise UsageError(f"{run} holds no measurement")
    return found


def save(side: Side, path: Path) -> None:
    """Write a baseline. Raises `UsageError` when there is nothing to hold on to, `OutputError`."""
    if not any(measured.scores for measured in side.dimensions.values()):
        raise UsageError(f"{side.label} has no score of a clip with a prompt: a baseline of it would hold nothing")
    record.write_atomically(path, to_json(side).encode())


def to_json(side: Side) -> str:
    """The content of a baseline file."""
    head = {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "project_version": __version__,
        "candidate": side.candidate,
        "suite": side.suite,
    }
    ordered = sorted(side.dimensions, key=lambda d: (list(FOURTEEN).index(d) if d in FOURTEEN else len(FOURTEEN), d))
    dimensions = ",\n".join(f"  {json.dumps(d)}: {_dimension_text(side.dimensions[d])}" for d in ordered)
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    return "\n".join(["{", *lines, ' "dimensions": {', dimensions, " }", "}", ""])


def _dimension_text(measured: Measured) -> str:
    lines = ",\n".join(f"    {json.dumps(p)}: {json.dumps(o)}" for p, o in measured.outcomes.items())
    how = f'"method": {json.dumps(measured.method)}, "fingerprint": {json.dumps(measured.fingerprint)}'
    return f'{{{how}, "outcomes": {{\n{lines}\n  }}}}'


def _read_file(path: Path) -> Side:
    value = record.read_json(path)
    if value.get("kind") != KIND:
        raise UsageError(f"{path} is not a baseline: write one with wanbench baseline save RUN FILE")
    if value.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(f"{path} was written by another version of wanbench (schema {value.get('schema_version')}, "
                         f"this one reads {SCHEMA_VERSION}): save it again")  # fmt: skip
    try:
        return Side(
            candidate=str(value["candidate"]),
            source=record.as_text(path),
            suite=suite_facts(value["suite"]),
            dimensions={d: _dimension(entry) for d, entry in value["dimensions"].items()},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{path} is a damaged baseline ({error!r}): save it again") from error


def _dimension(entry: Mapping[str, Any]) -> Measured:
    return Measured(
        method=str(entry["method"]),
        fingerprint=str(entry["fingerprint"]),
        outcomes={p: {s: _known(o) for s, o in seeds.items()} for p, seeds in entry["outcomes"].items()},
    )


def _known(outcome: Any) -> Outcome:
    if outcome in ("skipped", "error"):
        return outcome  # type: ignore[no-any-return]
    if isinstance(outcome, int | float) and not isinstance(outcome, bool) and 0 <= outcome <= 1:
        return float(outcome)
    raise ValueError(f"{outcome!r} is no outcome")


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return False
