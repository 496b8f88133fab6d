"""What the summaries of several runs say of their candidates, side by side. Light half.

Candidates stand beside each other only if they were measured alike (`conditions`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wanbench import record
from wanbench.comparison.conditions import Conditions, Incomparable, mismatches, suite_facts
from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN
from wanbench.stats import mean
from wanbench.types import JSONObject


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One candidate of one run."""

    name: str
    """The candidate's; followed by its run where two runs have a candidate of this name."""
    candidate: str
    """As the record names it."""
    run: Path
    scores: Mapping[str, float]
    """Dimension -> score in [0, 1], of those dimensions that count; in the order of the fourteen."""
    conditions: Conditions
    versions: Mapping[str, int]
    """Dimension -> version, as the run declares it."""

    @property
    def missing(self) -> list[str]:
        """Dimensions of the fourteen that do not count here."""
        return [d for d in FOURTEEN if d not in self.scores]


def read_results(runs: Sequence[Path], allow_mismatch: bool = False) -> list[Result]:
    """The candidates of finished runs, in the order given. Raises `UsageError`, also for what cannot be compared."""
    given: dict[Path, Path] = {}
    for run in runs:
        given.setdefault(run.resolve(), run)
    found = [result for run in given.values() for result in _read(run)]
    seen = Counter(r.candidate for r in found)
    results = [_renamed(r) if seen[r.candidate] > 1 else r for r in found]
    if not allow_mismatch:
        for i, first in enumerate(results):
            for other in results[i + 1 :]:
                _require_alike(first, other, first.scores.keys() & other.scores.keys())
    return results


def _read(run: Path) -> list[Result]:
    info, summary = record.read_finished(run), record.read_json(run / record.SUMMARY)
    try:
        versions = {d: entry["version"] for d, entry in (info.get("declarations") or {}).items()}
        candidates = {name: (_counted(c), c["dimensions"]) for name, c in summary["candidates"].items()}
        return [
            Result(
                name=name,
                candidate=name,
                run=run,
                scores={d: float(dimensions[d]["score"]) for d in FOURTEEN if d in counted},
                conditions=Conditions(
                    label=name,
                    suite=suite_facts(info.get("suite")),
                    fingerprints={d: entry["fingerprint"] for d, entry in dimensions.items() if entry["fingerprint"]},
                ),
                versions=versions,
            )
            for name, (counted, dimensions) in candidates.items()
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{run / record.SUMMARY} or {record.RUN} is damaged ({error}); the command that made the run writes it anew"
        ) from error


def _counted(candidate: JSONObject) -> Sequence[str]:
    return list(FOURTEEN) if candidate["weighted"]["complete"] else candidate.get("partial", {}).get("dimensions", [])


def _require_alike(a: Result, b: Result, dimensions: Collection[str]) -> None:
    if wrong := mismatches(a.conditions, b.conditions, [d for d in FOURTEEN if d in dimensions]):
        raise Incomparable(f"{a.name} and {b.name} cannot be compared: {'; '.join(wrong)}; --allow-mismatch overrides this")


def _renamed(result: Result) -> Result:
    name = f"{result.candidate} ({record.as_text(result.run)})"
    return replace(result, name=name, conditions=replace(result.conditions, label=name))


def prompt_scores(
    runs: Sequence[Path], names: Collection[str], exploratory: bool, allow_mismatch: bool
) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, int]]:
    """(candidate -> prompt id -> dimension -> mean over seeds, dimension -> version) of the named candidates.

    A prompt that was given but not measured has no dimension. `exploratory`: take in rows that a run measured beside its suite.
    Raises `UsageError` for a candidate that is in no run or in two, and for what was measured differently.
    """
    results = read_results(runs, allow_mismatch)
    places = Counter(r.candidate for r in results)
    for name in sorted(names):
        if places[name] != 1:
            where = "no run has it" if not places[name] else f"{places[name]} runs have one, and votes do not say which is meant"
            raise UsageError(f"the votes name the candidate {name!r}, and {where}; known are {', '.join(sorted(places))}")
    seeds: dict[str, dict[str, dict[str, list[float]]]] = {n: defaultdict(lambda: defaultdict(list)) for n in sorted(names)}
    fingerprints: dict[str, tuple[str | None, str]] = {}
    for run in dict.fromkeys(runs):
        for row in record.read_measurements(run / record.RECORD):
            if row.candidate not in names or row.prompt_id is None or (row.exploratory and not exploratory):
                continue
            scores = seeds[row.candidate][row.prompt_id]
            if row.score is None:
                continue
            first, candidate = fingerprints.setdefault(row.dimension, (row.fingerprint, row.candidate))
            if first != row.fingerprint and not allow_mismatch:
                raise UsageError(f"{row.dimension} was measured differently for {candidate} and {row.candidate} (fingerprints "
                                 f"{first} and {row.fingerprint}); --allow-mismatch overrides")  # fmt: skip
            scores[row.dimension].append(row.score)
    versions = {d: version for r in results for d, version in r.versions.items() if d in fingerprints}
    return {n: {p: {d: mean(s) for d, s in ds.items()} for p, ds in ps.items()} for n, ps in seeds.items()}, versions
