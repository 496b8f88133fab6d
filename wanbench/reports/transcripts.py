"""What a judge was asked about a clip and what it said, as a card shows it; read from a record, which may hold anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wanbench.reports.wording import date, facts, number, plural

LONGEST = 60
"""Lines of a transcript shown on a card: eight frames with seven questions each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A question and its answer."""

    question: str
    contrary: str
    says: str
    """`yes 0.83`."""
    wanted: bool
    """Whether that is the answer that was expected."""
    detail: str
    """What stands behind it."""
    frames: str
    """How many frames, and from when to when."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What was found in one frame."""

    time: str
    found: str


def asked(raw: Mapping[str, Any]) -> tuple[Asked, ...]:
    """The yes-or-no questions of a measurement."""
    return tuple(_asked(entry) for entry in _entries(raw, "transcript"))[:LONGEST]


def looked(raw: Mapping[str, Any]) -> tuple[Looked, ...]:
    """Counts and relations, frame by frame."""
    return tuple(_looked(entry) for entry in _entries(raw, "frames"))[:LONGEST]


def _entries(raw: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    evidence = raw.get("evidence")
    entries = evidence.get(key) if isinstance(evidence, Mapping) else None
    return (entry for entry in entries if isinstance(entry, Mapping)) if isinstance(entries, list) else iter(())


def _asked(entry: Mapping[str, Any]) -> Asked:
    probability = entry.get("probability")
    yes = isinstance(probability, int | float) and probability >= 0.5
    says = (
        f"{'yes' if yes else 'no'} {probability if yes else 1 - probability:.2f}" if isinstance(probability, int | float) else "–"
    )
    told = {
        "expected": entry.get("expect"),
        "log-odds": entry.get("log_odds"),
        "of the contrary": entry.get("contrary_log_odds"),
        "inconsistency": entry.get("inconsistency"),
        "blind": entry.get("blind_probability"),
        "mass": entry.get("mass"),
    }
    return Asked(
        question=number(entry.get("question")),
        contrary=number(entry.get("contrary")),
        says=says,
        wanted=entry.get("expect") == ("yes" if yes else "no"),
        detail=", ".join(f"{name} {_short(value)}" for name, value in told.items()),
        frames=_span(entry.get("frames_seconds")),
    )


def _looked(entry: Mapping[str, Any]) -> Looked:
    counts = entry.get("counts")
    found = counts if isinstance(counts, Mapping) else {k: v for k, v in entry.items() if k != "seconds"}
    return Looked(time=_seconds(entry.get("seconds")), found=", ".join(f"{k.replace('_', ' ')} {v}" for k, v in facts(found)))


def _short(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else number(value)


def _seconds(value: Any) -> str:
    return f"{value:.2f} s" if isinstance(value, int | float) else "–"


def _span(times: Any) -> str:
    if not isinstance(times, list) or not times:
        return ""
    ends = [_seconds(t) for t in (times[0], times[-1])]
    return ends[0] if len(times) == 1 else f"{plural(len(times), 'frame')}, {ends[0]} to {ends[1]}"


def judge(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The judge of a run and its last audit, as facts; nothing for a run without one."""
    found = run.get("judge")
    if not isinstance(found, Mapping):
        return []
    audit = found.get("audit")
    about = facts({key: value for key, value in found.items() if key != "audit"})
    if not isinstance(audit, Mapping):
        return [*about, ("audit", "never audited: wanbench judge audit CLIPS says how far it can be trusted")]
    return [*about, *(("audit." + key, date(value) if key == "date" else number(value)) for key, value in audit.items())]
