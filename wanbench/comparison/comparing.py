"""The paired comparison of two candidates: per dimension, per pillar and in all (ours; `docs/statistics.md`). Light half.

A difference is always a - b. It is taken prompt by prompt, on the prompts that both sides measured: over the seeds that both have
where there are such, else between means over seeds. What must not be compared is refused, or named with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from wanbench import stats
from wanbench.comparison import paired
from wanbench.comparison.conditions import Incomparable, mismatches
from wanbench.comparison.sides import Measured, Side
from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN, PILLARS, title
from wanbench.scoring import SMALLEST_MEASURED_SHARE
from wanbench.types import SCORE_DECIMALS
from wanbench.weights import weighting
from wanbench.weights.weighting import Weighting

LARGEST_SKIP_GAP = 0.05
"""Shares of clips to which a dimension does not apply that differ by more make the rest another selection on either side."""
CHANGED_SHOWN = 10
"""Clips named in each direction."""
SPAN = (-1.0, 1.0)
"""Where a difference of scores lies."""
TIE = 0.5 * 10**-SCORE_DECIMALS


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """a - b, with what is known of it."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided, of the sign-flip test."""
    minimum_detectable: float | None
    """What these prompts could have shown with 80 % power; None where a spread cannot be told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wins:
    """On how many prompts a scored higher than b."""

    wins: int
    ties: int
    losses: int
    rate: float
    """(wins + half the ties) / prompts, with its 95 % interval (Wilson's, effective number of tosses)."""
    low: float
    high: float

    @classmethod
    def of(cls, differences: Iterable[float]) -> Wins | None:
        won = [0.5 if abs(d) < TIE else float(d > 0) for d in differences]
        if not won:
            return None
        low, high = stats.wilson(won)
        counts = {"wins": won.count(1.0), "ties": won.count(0.5), "losses": won.count(0.0)}
        return cls(**counts, rate=stats.mean(won), low=low, high=high)


@dataclass(frozen=True, kw_only=True, slots=True)
class DimensionComparison:
    """One dimension."""

    dimension: str
    pairs: Mapping[str, tuple[float, float]]
    """Prompt id -> score of a and of b, on the shared prompts."""
    differences: Mapping[str, float]
    """Prompt id -> a - b."""
    scores: tuple[float, float] | None
    """Means of a and b over the shared prompts; None without any."""
    difference: Difference | None
    """None where the dimension is not comparable."""
    p_holm: float | None
    reason: str | None
    """Why it is not comparable; None where it is."""
    counts: bool
    """Whether enough was measured on both sides for it to enter totals."""
    skip_rates: tuple[float, float]
    """Of a and b, on the prompts that both were given."""

    @property
    def n(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True, kw_only=True, slots=True)
class TotalComparison:
    """A weighted score or a pillar."""

    name: str
    """`weighted`, `uniform` or a pillar."""
    weights: str
    dimensions: tuple[str, ...]
    """Over which it is taken on both sides alike."""
    missing: tuple[str, ...]
    """What a complete one would also hold; not empty: it is partial."""
    n: int
    a: float | None
    b: float | None
    difference: Difference | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """One clip's score on either side."""

    dimension: str
    prompt: str
    a: float
    b: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """All of it."""

    a: Side
    b: Side
    dimensions: tuple[DimensionComparison, ...]
    totals: tuple[TotalComparison, ...]
    wins: Wins | None
    """Over all prompts of the dimensions that can be compared."""
    mismatches: tuple[str, ...] = field(default=())
    """Why this should not have been compared; only with `allow_mismatch`."""

    @property
    def comparable(self) -> list[DimensionComparison]:
        return [d for d in self.dimensions if d.difference]

    def changed(self, count: int = CHANGED_SHOWN) -> tuple[list[Changed], list[Changed]]:
        """The prompts on which a gained most over b, and lost most, the largest change first."""
        clips = [Changed(dimension=d.dimension, prompt=p, a=a, b=b) for d in self.comparable for p, (a, b) in d.pairs.items()]
        clips = [c for c in clips if abs(c.a - c.b) >= TIE]
        clips.sort(key=lambda c: (-abs(c.a - c.b), c.dimension, c.prompt))
        return [c for c in clips if c.a > c.b][:count], [c for c in clips if c.a < c.b][:count]


def compare(
    a: Side,
    b: Side,
    *,
    weights: Weighting,
    seed: int,
    dimensions: Sequence[str] | None = None,
    allow_mismatch: bool = False,
    words: tuple[str, str] = ("a", "b"),
) -> Comparison:
    """Compare two sides, in the given dimensions or all; `words` are what reasons call them.

    Raises `Incomparable`, and `UsageError` for an unknown dimension.
    """
    shared = ordered({*a.dimensions, *b.dimensions})
    if unknown := [d for d in dimensions or () if d not in FOURTEEN and d not in shared]:
        raise UsageError(f"unknown dimension {unknown[0]!r}; known are {', '.join(ordered({*FOURTEEN, *shared}))}")
    chosen = [d for d in shared if dimensions is None or d in dimensions]
    wrong = mismatches(a.conditions, b.conditions, chosen)
    if wrong and not allow_mismatch:
        raise Incomparable(f"{a.label} and {b.label} cannot be compared: {'; '.join(wrong)}; --allow-mismatch overrides this")
    [(compared, totals)] = conclude([match(a, b, chosen, words)], weights, seed)
    if not any(d.difference for d in compared):
        reasons = (
            "; ".join(f"{d.dimension}: {d.reason}" for d in compared)
            or "no clip that has a prompt was measured, or no dimension asked for"
        )
        raise Incomparable(f"{a.label} and {b.label} cannot be compared: {reasons}")
    return Comparison(
        a=a,
        b=b,
        dimensions=tuple(compared),
        totals=tuple(totals),
        wins=Wins.of(d for c in compared if c.difference for d in c.differences.values()),
        mismatches=tuple(wrong),
    )


def ordered(names: Iterable[str]) -> list[str]:
    """The fourteen in their order, then others."""
    known = list(FOURTEEN)
    return sorted(names, key=lambda d: (known.index(d) if d in FOURTEEN else len(known), d))


def match(
    a: Side, b: Side, names: Sequence[str], words: tuple[str, str] = ("a", "b")
) -> list[DimensionComparison]:  # fmt: skip
    """What two sides share in each named dimension, or why nothing; not tested yet."""
    return [_dimension(name, a.dimensions.get(name), b.dimensions.get(name), words) for name in names]


def conclude(
    matched: Sequence[Sequence[DimensionComparison]], weights: Weighting, seed: int
) -> list[tuple[list[DimensionComparison], list[TotalComparison]]]:
    """The tests and totals of one comparison or several; each says the same as alone, and all are drawn together for speed."""
    differences = {
        (place, d.dimension): list(d.differences.values())
        for place, found in enumerate(matched)
        for d in found
        if d.reason is None
    }
    flipped = paired.flipped_sums(differences, seed, stream=_dimension_of)
    resampled = stats.bootstrap_means(differences, seed, SPAN, stream=_dimension_of)
    concluded = []
    for place, found in enumerate(matched):
        own = [d.dimension for d in found if d.reason is None]
        flips = {d: flipped[place, d] for d in own}
        tested = _tested(found, flips)
        totals = _totals(tested, {d: resampled[place, d] for d in own}, flips, weights)
        concluded.append((tested, totals))
    return concluded


def _dimension_of(key: tuple[int, str]) -> str:
    return key[1]


def _tested(found: Sequence[DimensionComparison], flipped: Mapping[str, stats.Floats]) -> list[DimensionComparison]:
    values = {d.dimension: list(d.differences.values()) for d in found if d.reason is None}
    p = {name: paired.sign_flip(v, flipped[name]) for name, v in values.items()}
    adjusted = paired.holm(p)
    return [
        replace(d, difference=_difference(values[d.dimension], p[d.dimension]), p_holm=adjusted[d.dimension])
        if d.dimension in values
        else d
        for d in found
    ]


def _difference(differences: Sequence[float], p: float) -> Difference:
    low, high = paired.t_interval(differences)
    return Difference(
        value=stats.mean(differences),
        low=low,
        high=high,
        p=p,
        minimum_detectable=paired.smallest_detectable(differences),
    )


def _dimension(name: str, a: Measured | None, b: Measured | None, words: tuple[str, str]) -> DimensionComparison:
    """All but the tests, which are made for all dimensions together."""
    pairs: dict[str, tuple[float, float]] = {}
    rates = (0.0, 0.0)
    if a and b:
        given = a.outcomes.keys() & b.outcomes.keys()
        pairs = _pairs(a, b)
        rates = (a.skip_rate(given), b.skip_rate(given))
    if a is None or b is None:
        reason: str | None = f"measured only in {words[1 if a is None else 0]}"
    elif abs(rates[0] - rates[1]) > LARGEST_SKIP_GAP + 1e-12:
        applies = f"{rates[0]:.0%} of {words[0]}'s clips and {rates[1]:.0%} of {words[1]}'s"
        reason = f"not comparable: it does not apply to {applies}"
    else:
        reason = None if pairs else "no prompt was measured on both sides"
    return DimensionComparison(
        dimension=name,
        pairs=pairs,
        differences={prompt: first - second for prompt, (first, second) in pairs.items()},
        scores=(stats.mean([x for x, _ in pairs.values()]), stats.mean([y for _, y in pairs.values()])) if pairs else None,
        difference=None,
        p_holm=None,
        reason=reason,
        counts=bool(a and b and counts(a) and counts(b)),
        skip_rates=rates,
    )


def _pairs(a: Measured, b: Measured) -> dict[str, tuple[float, float]]:
    """Each shared prompt's score on either side: over the seeds that both have, where there are such."""
    if a.seeds == b.seeds:
        return {prompt: (first, b.means[prompt]) for prompt, first in a.means.items()}
    found = {}
    for prompt in a.scores:
        if prompt in b.scores:
            both = a.seeds[prompt] & b.seeds[prompt]
            first, second = ([m.scores[prompt][s] for s in both or m.seeds[prompt]] for m in (a, b))
            found[prompt] = (stats.mean(first), stats.mean(second))
    return found


def counts(measured: Measured) -> bool:
    return len(measured.scores) >= SMALLEST_MEASURED_SHARE * len(measured.outcomes)


def _totals(
    compared: Sequence[DimensionComparison],
    resampled: Mapping[str, stats.Floats],
    flipped: Mapping[str, stats.Floats],
    weights: Weighting,
) -> list[TotalComparison]:
    """The weighted score, by the given weights and by uniform ones, and the pillars; over the same dimensions on both sides."""
    counted = {d.dimension: d for d in compared if d.reason is None and d.counts and d.dimension in FOURTEEN}
    uniform = weighting.load("uniform")
    wanted = [("weighted", weights.name, weights.weights, tuple(FOURTEEN))]
    if weights.name != uniform.name:
        wanted.append(("uniform", uniform.name, uniform.weights, tuple(FOURTEEN)))
    wanted += [(p, uniform.name, uniform.weights, tuple(d for d in FOURTEEN if FOURTEEN[d] == p)) for p in PILLARS]
    differences = {name: list(d.differences.values()) for name, d in counted.items()}
    intervals = {name: (d.difference.low, d.difference.high) for name, d in counted.items() if d.difference}
    groups = stats.groups_of(differences, intervals, resampled)
    draws = _Draws(differences={d: np.array(v) for d, v in differences.items()}, groups=groups, flipped=flipped)
    return [_total(name, label, over, whole, counted, draws) for name, label, over, whole in wanted]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draws:
    """Differences by dimension, and what was drawn of them."""

    differences: Mapping[str, stats.Floats]
    groups: Mapping[str, stats.Group]
    flipped: Mapping[str, stats.Floats]


def _total(
    name: str,
    label: str,
    weights: Mapping[str, float],
    whole: Sequence[str],
    counted: Mapping[str, DimensionComparison],
    draws: _Draws,
) -> TotalComparison:
    over = [d for d in whole if d in counted and weights[d] > 0]
    missing = tuple(d for d in whole if d not in over and weights[d] > 0)
    given = bool(over) and (name not in PILLARS or not missing)  # a pillar is whole or not at all
    share = {d: weights[d] / math.fsum(weights[o] for o in over) for d in over}
    return TotalComparison(
        name=name,
        weights=label,
        dimensions=tuple(over),
        missing=missing,
        n=sum(counted[d].n for d in over),
        a=_score(counted, share, 0) if given else None,
        b=_score(counted, share, 1) if given else None,
        difference=_total_difference(share, draws) if given else None,
    )


def _score(counted: Mapping[str, DimensionComparison], share: Mapping[str, float], side: int) -> float:
    return math.fsum(share[d] * scores[side] for d in share if (scores := counted[d].scores))


def _total_difference(share: Mapping[str, float], draws: _Draws) -> Difference:
    found = stats.weighted_mean({d: draws.groups[d] for d in share}, share, span=SPAN)
    each = {d: share[d] / draws.groups[d].n for d in share}
    return Difference(
        value=found.value,
        low=found.low,
        high=found.high,
        p=paired.sign_flip(
            np.concatenate([each[d] * draws.differences[d] for d in share]),
            np.sum([each[d] * draws.flipped[d] for d in share], axis=0),
        ),
        minimum_detectable=min(1.0, paired.detectable_errors(found.freedom) * found.error) if found.error > 0 else None,
    )


def name_of(total: TotalComparison) -> str:
    """As a reader is told."""
    if total.name in ("weighted", "uniform"):
        return f"{'Partial' if total.missing else 'Weighted'} score, {total.weights}"
    return f"{title(total.name)} pillar"
