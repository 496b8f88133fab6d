"""All that a comparative report tells of one or many runs, worked out once; pages, tables and files only show it. Light half.

Scores are those of each run's `summary.json`. What a summary cannot hold is made here of the records: differences from a
baseline, and totals over the dimensions that all candidates have. A weighted score over all fourteen dimensions and a partial one
never stand in one table: if anybody lacks a dimension, everybody is given the partial score over what all have.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wanbench.comparison.comparing import LARGEST_SKIP_GAP, Comparison, compare
from wanbench.comparison.conditions import Conditions, Incomparable, mismatches, suite_facts
from wanbench.comparison.sides import Side, sides
from wanbench.controls.record import checked, remembered
from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN
from wanbench.record import as_text, read_finished
from wanbench.reports.controls import Checked, by_dimension
from wanbench.reports.reasons import dimension_order
from wanbench.reports.view import RunView, read_run
from wanbench.scoring import total_over
from wanbench.types import JSONObject, Measurement
from wanbench.weights import admissible, weighting
from wanbench.weights.weighting import Weighting


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One candidate of one run."""

    name: str
    """The candidate's; followed by its run where two runs have a candidate of this name."""
    candidate: str
    """As the record names it."""
    view: RunView
    summary: JSONObject
    """Its object in `summary.json`."""
    rows: Sequence[Measurement]
    """Its part of the record."""
    side: Side
    place: int | None = None
    """1 for the highest total; None where there is none."""
    total: JSONObject | None = None
    """`score`, `low`, `high` of the headline weights; None where nothing is shared."""
    uniform: JSONObject | None = None

    @property
    def run(self) -> str:
        return as_text(self.view.directory)

    @property
    def counted(self) -> list[str]:
        """Dimensions of the fourteen that count here."""
        complete = (self.summary.get("weighted") or {}).get("complete")
        return list(FOURTEEN) if complete else list((self.summary.get("partial") or {}).get("dimensions") or ())


@dataclass(frozen=True, kw_only=True, slots=True)
class Mismatch:
    """Why some candidates should not stand beside each other."""

    reason: str
    candidates: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """A candidate less the baseline."""

    name: str
    comparison: Comparison | None
    reason: str | None
    """Why there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Controls:
    """What a controls run says of these very methods, by dimension."""

    source: str
    checked: Mapping[str, Checked]
    """Dimensions that were not checked by this method are missing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """The whole of it; entries by place."""

    entries: tuple[Entry, ...]
    baseline: Entry
    weights: Weighting
    over: tuple[str, ...]
    """Dimensions of the totals: all fourteen, or those that all candidates have."""
    seed: int
    mismatches: tuple[Mismatch, ...]
    contrasts: tuple[Contrast, ...]
    """Of every entry but the baseline, in the order of the entries."""
    sensitivity: JSONObject | None
    """`admissible.describe`; None where somebody lacks a dimension."""
    controls: Controls | None

    @property
    def complete(self) -> bool:
        return len(self.over) == len(FOURTEEN)

    @property
    def summary(self) -> JSONObject:
        """All candidates as one summary, so that what draws a run draws this too."""
        return {"candidates": {e.name: e.summary for e in self.entries}}

    @property
    def runs(self) -> list[RunView]:
        """In the order of the entries, each once."""
        return list({id(e.view): e.view for e in self.entries}.values())

    @property
    def declarations(self) -> dict[str, Any]:
        """Of all runs, the first that declares a dimension deciding."""
        found: dict[str, Any] = {}
        for view in self.runs:
            found = {**(view.run.get("declarations") or {}), **found}
        return found

    @property
    def dimensions(self) -> list[str]:
        """Dimensions in which somebody has a score."""
        return dimension_order(
            d for e in self.entries for d, found in e.summary["dimensions"].items() if found["score"] is not None
        )

    @property
    def skip_gaps(self) -> dict[str, tuple[tuple[str, float], tuple[str, float]]]:
        """Dimension -> who is skipped least and most and how often, where that is too different for scores to be comparable."""
        found = {}
        for dimension in self.dimensions:
            rates = [(e.name, rate) for e in self.entries if (rate := skip_rate(e, dimension)) is not None]
            least, most = min(rates, key=lambda r: r[1]), max(rates, key=lambda r: r[1])
            if most[1] - least[1] > LARGEST_SKIP_GAP + 1e-12:
                found[dimension] = least, most
        return found


def skip_rate(entry: Entry, dimension: str) -> float | None:
    """Share of the clips that a dimension does not apply to; failed ones left out. None where none was tried."""
    found = entry.summary["dimensions"].get(dimension)
    told = found["expected"] - found["errors"] if found else 0
    return found["skipped"] / told if found and told else None


def read_board(
    runs: Sequence[Path],
    *,
    baseline: str | None = None,
    weights: Weighting | None = None,
    controls: Path | None = None,
    allow_mismatch: bool = False,
    seed: int = 0,
) -> Board:
    """What is to be told of finished runs. `baseline` is a candidate's name, by default the first run's first one.

    Raises `UsageError`, also for an unknown baseline, and `Incomparable` for runs that must not stand beside each other.
    """
    weights = weights or weighting.load(weighting.HEADLINE)
    entries = _read(runs)
    wrong = _mismatches(entries)
    if wrong and not allow_mismatch:
        more = f" (and {len(wrong) - 1} more such reasons)" if len(wrong) > 1 else ""
        raise Incomparable(f"{' and '.join(wrong[0].candidates[:2])} cannot stand in one report: {wrong[0].reason}{more}; "
                           "--allow-mismatch overrides this")  # fmt: skip
    versus = _find(entries, baseline)
    over = tuple(d for d in FOURTEEN if all(d in e.counted for e in entries))
    placed = _placed([_with_totals(e, over, weights, seed) for e in entries])
    told = None
    if len(over) == len(FOURTEEN):
        told = admissible.describe({e.name: admissible.vector(_scores(e)) for e in placed}, seed)
    return Board(
        entries=tuple(placed),
        baseline=next(e for e in placed if e.name == versus.name),
        weights=weights,
        over=over,
        seed=seed,
        mismatches=tuple(wrong),
        contrasts=tuple(_contrast(e, versus, weights, seed) for e in placed if e.name != versus.name),
        sensitivity=told,
        controls=_controls(controls, entries),
    )


def _read(runs: Sequence[Path]) -> list[Entry]:
    entries = []
    given: dict[Path, Path] = {}
    for run in runs:
        given.setdefault(run.resolve(), run)
    for run in given.values():
        read_finished(run)
        view = read_run(run)
        found = sides(view.measurements, view.run.get("suite"), as_text(run))
        for name, summary in (view.summary.get("candidates") or {}).items():
            rows = [m for m in view.measurements if m.candidate == name]
            entries.append(
                Entry(name=name, candidate=name, view=view, summary=_checked(summary, run), rows=rows, side=found[name])
                if name in found
                else _damaged(run, f"no measurement of {name}")
            )
    if not entries:
        raise UsageError(f"{', '.join(as_text(r) for r in runs)}: no candidate was measured")
    seen = Counter(e.name for e in entries)
    return [replace(e, name=f"{e.name} ({e.run})") if seen[e.name] > 1 else e for e in entries]


def _checked(summary: Any, run: Path) -> JSONObject:
    try:
        for entry in summary["dimensions"].values():
            _ = entry["score"], entry["skipped"] + entry["errors"] + entry["expected"], entry["fingerprint"]
        _ = summary["pillars"], summary["weighted"]["complete"]
    except (KeyError, TypeError, AttributeError) as error:
        _damaged(run, repr(error))
    return dict(summary)


def _damaged(run: Path, why: str) -> Any:
    raise UsageError(f"{run}/summary.json is damaged ({why}); the command that made the run writes it anew")


def _find(entries: Sequence[Entry], baseline: str | None) -> Entry:
    if baseline is None:
        return entries[0]
    fits = [e for e in entries if baseline in (e.name, e.candidate, f"{e.run}:{e.candidate}", e.run)]
    if len(fits) != 1:
        known, many = ", ".join(e.name for e in entries), "no" if not fits else "more than one"
        raise UsageError(f"the baseline {baseline!r} is {many} candidate here; known are {known}")
    return fits[0]


def _mismatches(entries: Sequence[Entry]) -> list[Mismatch]:
    """By the summaries, so that clips without a prompt, which no comparison holds against each other, are looked at too."""
    found: dict[str, list[str]] = defaultdict(list)
    for a, b in itertools.combinations([_conditions(e) for e in entries], 2):
        for reason in mismatches(a, b, dimension_order({*a.fingerprints, *b.fingerprints})):
            found[reason] += [a.label, b.label]
    return [Mismatch(reason=reason, candidates=tuple(dict.fromkeys(names))) for reason, names in found.items()]


def _conditions(entry: Entry) -> Conditions:
    fingerprints = {d: e["fingerprint"] for d, e in entry.summary["dimensions"].items() if e["fingerprint"]}
    return Conditions(label=entry.name, suite=suite_facts(entry.view.run.get("suite")), fingerprints=fingerprints)


def _scores(entry: Entry) -> dict[str, float]:
    return {d: found["score"] for d, found in entry.summary["dimensions"].items() if found["score"] is not None}


def _with_totals(entry: Entry, over: Sequence[str], weights: Weighting, seed: int) -> Entry:
    """Totals over the given dimensions, made of the record: a summary may hold them by other weights of the same name."""
    if not over:
        return entry
    return replace(entry, total=_total(entry, over, weights, seed), uniform=_total(entry, over, weighting.load("uniform"), seed))


def _total(entry: Entry, over: Sequence[str], weights: Weighting, seed: int) -> JSONObject:
    try:
        return total_over(entry.rows, over, weights.weights, seed)
    except ValueError as error:
        raise UsageError(f"the weights {weights.name} cannot be used here ({error}): take others with --weights") from error


def _placed(entries: Sequence[Entry]) -> list[Entry]:
    """By total, then in the order given; equal totals share a place."""
    ordered = sorted(entries, key=lambda e: -e.total["score"] if e.total else 1.0)
    higher = [e.total["score"] for e in ordered if e.total]
    return [
        replace(e, place=1 + sum(score > e.total["score"] for score in higher)) if e.total and len(entries) > 1 else e
        for e in ordered
    ]


def _contrast(entry: Entry, baseline: Entry, weights: Weighting, seed: int) -> Contrast:
    words = (entry.name, baseline.name)
    try:
        found = compare(entry.side, baseline.side, weights=weights, seed=seed, allow_mismatch=True, words=words)
    except Incomparable as refusal:
        return Contrast(name=entry.name, comparison=None, reason=str(refusal))
    return Contrast(name=entry.name, comparison=found, reason=None)


def _controls(path: Path | None, entries: Sequence[Entry]) -> Controls | None:
    """From a file, else the last that was found on this machine; None where nothing is known.

    Methods that differ between candidates (asked for with `allow_mismatch`) are held to the first one's.
    """
    fingerprints: dict[str, str] = {}
    for entry in entries:
        for dimension, found in entry.summary["dimensions"].items():
            if found["fingerprint"]:
                fingerprints.setdefault(dimension, found["fingerprint"])
    try:
        known = checked(path, fingerprints) if path else remembered(fingerprints)
        source = as_text(path) if path else "the last `wanbench controls` of each dimension on this machine"
        return Controls(source=source, checked=by_dimension(known)) if path or known else None
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path or 'what the store keeps'} is a damaged result of `wanbench controls` ({error!r}): make it anew"
        ) from error
