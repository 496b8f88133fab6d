"""Under what a candidate was measured, and what forbids holding two against each other. Light half.

Two are alike if they have the same suite, track and language, or none both, and in every dimension that both have the same
fingerprint. Every comparison, report, gate and range of weights asks here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wanbench.errors import UsageError

SUITE_FACTS = ("name", "version", "hash", "track", "language")
"""What a run tells of its suite. The hash decides whether two are the same; name and version are for people."""


class Incomparable(UsageError):
    """Two candidates that must not be compared; the line says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """Of one candidate."""

    label: str
    """As messages call it."""
    suite: Mapping[str, Any] | None
    """`SUITE_FACTS`; None where no suite was used."""
    fingerprints: Mapping[str, str]
    """Dimension -> fingerprint."""


def suite_facts(suite: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What is kept of a run's suite."""
    if suite is not None and not isinstance(suite, Mapping):
        raise UsageError(f"the suite is told as {suite!r}: run.json or the baseline is damaged")
    return {key: suite.get(key) for key in SUITE_FACTS} if suite else None


def mismatches(a: Conditions, b: Conditions, dimensions: Iterable[str]) -> list[str]:
    """Why two must not be compared in these dimensions, a phrase each; none when they may."""
    reasons = []
    if (a.suite is None) != (b.suite is None):
        with_suite, without = (a, b) if a.suite else (b, a)
        reasons.append(f"{with_suite.label} was measured on the suite {_suite_name(with_suite)}, {without.label} on none")
    elif a.suite and b.suite:
        if any(a.suite.get(key) != b.suite.get(key) for key in ("track", "language")):
            reasons.append(f"different tracks or languages: {_track(a)} and {_track(b)}")
        if a.suite.get("hash") != b.suite.get("hash"):
            reasons.append(f"different suites: {_suite_name(a)} and {_suite_name(b)}")
    both = [d for d in dimensions if d in a.fingerprints and d in b.fingerprints]
    if other := [d for d in both if a.fingerprints[d] != b.fingerprints[d]]:
        reasons.append(f"measured in different ways (fingerprints differ): {', '.join(other)}")
    return reasons


def _suite_name(conditions: Conditions) -> str:
    facts = conditions.suite or {}
    return " ".join(str(v) for v in (facts.get("name"), facts.get("version"), f"({str(facts.get('hash'))[:8]})") if v)


def _track(conditions: Conditions) -> str:
    facts = conditions.suite or {}
    return f"{facts.get('track')} {facts.get('language')}"
