"""One side of a comparison: what a candidate scored, prompt by prompt and seed by seed, and how it was measured. Light half.

A side comes from a run's record or from a baseline file (`docs/gate.md`), which holds exactly this and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from wanbench import stats
from wanbench.comparison.conditions import Conditions, suite_facts
from wanbench.errors import UsageError
from wanbench.types import Measurement

Outcome = float | Literal["skipped", "error"]
"""Of one clip: its score, or why there is none."""
NO_SEED = "-"
"""Stands where the seed of a clip is not known."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One dimension of one side."""

    method: str
    fingerprint: str
    outcomes: Mapping[str, Mapping[str, Outcome]]
    """Prompt id -> seed -> outcome."""

    @functools.cached_property
    def scores(self) -> dict[str, dict[str, float]]:
        """Prompt id -> seed -> score, of prompts with at least one, in the order of their ids."""
        found = {p: {s: o for s, o in self.outcomes[p].items() if not isinstance(o, str)} for p in sorted(self.outcomes)}
        return {prompt: scores for prompt, scores in found.items() if scores}

    @functools.cached_property
    def means(self) -> dict[str, float]:
        """Prompt id -> mean over its seeds."""
        return {prompt: stats.mean(list(scores.values())) for prompt, scores in self.scores.items()}

    @functools.cached_property
    def seeds(self) -> dict[str, frozenset[str]]:
        """Prompt id -> seeds with a score; equal sets are one object, so that two sides are compared quickly."""
        return {prompt: _one_object(frozenset(scores)) for prompt, scores in self.scores.items()}

    @functools.cached_property
    def skips(self) -> dict[str, tuple[int, int]]:
        """Prompt id -> clips that the dimension does not apply to, and clips of which that is known; failed ones left out."""
        told = {p: [o for o in seeds.values() if o != "error"] for p, seeds in self.outcomes.items()}
        return {p: (outcomes.count("skipped"), len(outcomes)) for p, outcomes in told.items()}

    def skip_rate(self, prompts: Iterable[str]) -> float:
        """Share of the clips of these prompts that the dimension does not apply to."""
        counts = [self.skips[p] for p in prompts]
        told = sum(n for _, n in counts)
        return sum(skipped for skipped, _ in counts) / told if told else 0.0


@functools.lru_cache(maxsize=1024)
def _one_object(seeds: frozenset[str]) -> frozenset[str]:
    return seeds


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One candidate of one run, or a baseline."""

    candidate: str
    source: str
    """The run or file it came from."""
    suite: Mapping[str, Any] | None
    """Name, version, hash, track and language; None where no suite was used."""
    dimensions: Mapping[str, Measured]

    @property
    def label(self) -> str:
        return f"{self.candidate} ({self.source})" if self.source else self.candidate

    @property
    def conditions(self) -> Conditions:
        fingerprints = {dimension: measured.fingerprint for dimension, measured in self.dimensions.items()}
        return Conditions(label=self.label, suite=self.suite, fingerprints=fingerprints)


def sides(measurements: Iterable[Measurement], suite: Mapping[str, Any] | None, source: str) -> dict[str, Side]:
    """Candidate -> its side. Clips without a prompt id are left out: nothing says what to hold them against.

    Raises `UsageError` when a dimension was measured in two ways.
    """
    found: dict[str, dict[str, _Gathered]] = {}
    for m in measurements:
        own = found.setdefault(m.candidate, {})
        if not m.exploratory and m.prompt_id is not None and m.fingerprint is not None:
            if m.dimension not in own:
                own[m.dimension] = _Gathered()
            own[m.dimension].add(m)
    facts = suite_facts(suite)
    made = {}
    for name, own in sorted(found.items()):
        dimensions = {dimension: gathered.measured(f"{name} {dimension}") for dimension, gathered in own.items()}
        made[name] = Side(candidate=name, source=source, suite=facts, dimensions=dimensions)
    return made


class _Gathered:
    """The rows of one dimension of one candidate, a million of which must be quick."""

    def __init__(self) -> None:
        self.ways: set[tuple[str | None, str | None]] = set()
        self.outcomes: dict[str, dict[str, Outcome]] = {}
        self.repeated: dict[tuple[str, str], list[Outcome]] = {}
        """Of the rare clips that share prompt and seed with another, beginning with that other one."""

    def add(self, m: Measurement) -> None:
        prompt, seed = m.prompt_id or "", NO_SEED if m.seed is None else str(m.seed)
        outcome: Outcome = m.score if m.score is not None else "error" if m.status == "error" else "skipped"
        self.ways.add((m.method, m.fingerprint))
        seeds = self.outcomes.setdefault(prompt, {})
        if seed in seeds:
            self.repeated.setdefault((prompt, seed), [seeds[seed]]).append(outcome)
        seeds[seed] = outcome

    def measured(self, what: str) -> Measured:
        """Raises `UsageError` when it was measured in two ways."""
        if len(self.ways) > 1:
            raise UsageError(f"{what} was measured in {len(self.ways)} different ways and cannot be compared")
        for (prompt, seed), outcomes in self.repeated.items():
            self.outcomes[prompt][seed] = _together(outcomes)
        method, fingerprint = next(iter(self.ways))
        outcomes_sorted = {prompt: dict(sorted(self.outcomes[prompt].items())) for prompt in sorted(self.outcomes)}
        return Measured(method=method or "", fingerprint=fingerprint or "", outcomes=outcomes_sorted)


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    """Of several clips of one prompt and seed: the mean of what was measured, else an error if there was one."""
    scores = [o for o in outcomes if not isinstance(o, str)]
    return stats.mean(scores) if scores else "error" if "error" in outcomes else "skipped"
