"""The verdict of a gate: has the candidate regressed against its baseline? (ours; `docs/gate.md`). Light half.

For each thing looked at, d = candidate - baseline on shared prompts, with a lower and an upper bound, each one-sided at the
policy's confidence. PASS: the lower bound rules out a drop as large as the tolerated one. REGRESSION: the upper bound rules
out that the drop is mere noise. Else INCONCLUSIVE. A drop that is certain, and certainly tolerated, passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wanbench import stats
from wanbench.comparison import paired
from wanbench.comparison.comparing import SPAN, Comparison, DimensionComparison, TotalComparison, compare, counts
from wanbench.comparison.conditions import Incomparable
from wanbench.comparison.policy import Policy, Rule, Tier
from wanbench.comparison.sides import Side
from wanbench.fourteen import FOURTEEN, title
from wanbench.scoring import SMALLEST_MEASURED_SHARE
from wanbench.weights import weighting
from wanbench.weights.weighting import Weighting

Verdict = Literal["PASS", "REGRESSION", "INCONCLUSIVE"]
PASSED, REGRESSED, UNDECIDED = 0, 1, 4
TOTAL = "total"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing looked at: the weighted score, or a dimension."""

    name: str
    """`total` or the dimension."""
    title: str
    verdict: Verdict
    reason: str
    """Why this verdict, in one line."""
    tier: Tier
    rule: Rule
    n: int
    """Shared prompts."""
    baseline: float | None
    candidate: float | None
    difference: float | None
    """candidate - baseline; None where they cannot be compared."""
    low: float | None
    """One-sided bound at the policy's confidence."""
    high: float | None
    minimum_detectable: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A gate that has been asked."""

    verdict: Verdict
    reason: str
    """Why, in one line."""
    checks: tuple[Check, ...]
    policy: Policy
    baseline: Side
    candidate: Side
    comparison: Comparison | None
    """a: the candidate, b: the baseline; None where they must not be compared."""

    @property
    def exit_code(self) -> int:
        if self.verdict == "INCONCLUSIVE":
            return UNDECIDED if self.policy.inconclusive == "fail" else PASSED
        return REGRESSED if self.verdict == "REGRESSION" else PASSED


def gate(baseline: Side, candidate: Side, policy: Policy, *, seed: int = 0, allow_mismatch: bool = False) -> Gate:
    """Compare the candidate with its baseline and decide. Raises `UsageError` for unknown weights."""
    weights = weighting.load(policy.weights)
    measured = [*FOURTEEN, *sorted({*baseline.dimensions, *candidate.dimensions} - FOURTEEN.keys())]
    asked = [d for d in measured if policy.rule(d).tier != "ignore"]
    try:
        comparison = compare(
            candidate,
            baseline,
            weights=weights,
            seed=seed,
            dimensions=asked,
            allow_mismatch=allow_mismatch,
            words=("the candidate", "the baseline"),
        )
    except Incomparable as error:
        return Gate(
            verdict="INCONCLUSIVE",
            reason=str(error),
            checks=(),
            policy=policy,
            baseline=baseline,
            candidate=candidate,
            comparison=None,
        )
    checks = [
        *([] if policy.total.tier == "ignore" else [_total(comparison, policy, weights, seed)]),
        *_dimensions(comparison, policy),
    ]
    verdict, reason = _verdict(checks)
    return Gate(
        verdict=verdict,
        reason=reason,
        checks=tuple(checks),
        policy=policy,
        baseline=baseline,
        candidate=candidate,
        comparison=comparison,
    )


def _verdict(checks: Sequence[Check]) -> tuple[Verdict, str]:
    blocking = [c for c in checks if c.tier == "block"]
    for verdict in ("REGRESSION", "INCONCLUSIVE"):
        found = [c for c in blocking if c.verdict == verdict]
        if found:
            return verdict, "; ".join(f"{c.title}: {c.reason}" for c in found)
    if not blocking:
        return "INCONCLUSIVE", "nothing that blocks could be looked at"
    return "PASS", f"no drop larger than tolerated in {len(blocking)} of {len(blocking)} blocking checks"


def _total(comparison: Comparison, policy: Policy, weights: Weighting, seed: int) -> Check:
    total = next(t for t in comparison.totals if t.name == "weighted")
    lost = _lost(comparison, total)

    def own_prompts(dimension: str) -> int:
        return len(comparison.b.dimensions[dimension].scores)

    differences = {d.dimension: list(d.differences.values()) for d in comparison.dimensions if d.dimension in total.dimensions}
    low = high = None
    if total.difference:
        level = 2 * policy.confidence - 1
        intervals = {d: paired.t_interval(values, level) for d, values in differences.items()}
        groups = stats.groups_of(differences, intervals, stats.bootstrap_means(differences, seed, SPAN))
        found = stats.weighted_mean(groups, weights.weights, span=SPAN, confidence=level)
        low, high = found.low, found.high
    partial = f" (partial, over {len(total.dimensions)} dimensions on both sides)" if total.missing else ""
    if low is None or high is None:
        verdict, reason = _undecided("no dimension counts on both sides")
    elif total.n < policy.fewest_prompts:
        verdict, reason = _undecided(f"{total.n} shared prompts, {policy.fewest_prompts} are needed")
    else:
        verdict, reason = _decide(low, high, policy.total, below=high < -policy.total.noise_floor)
        if verdict == "PASS" and lost:
            verdict, reason = _undecided(f"the baseline's score also counts {', '.join(lost)}")
        if verdict == "PASS" and (few := _too_few_shared(total.n, sum(map(own_prompts, total.dimensions)))):
            verdict, reason = _undecided(few)
    return Check(
        name=TOTAL,
        title=f"Weighted score, {total.weights}",
        verdict=verdict,
        reason=reason + partial,
        tier=policy.total.tier,
        rule=policy.total,
        n=total.n,
        baseline=total.b,
        candidate=total.a,
        difference=total.difference.value if total.difference else None,
        low=low,
        high=high,
        minimum_detectable=total.difference.minimum_detectable if total.difference else None,
    )


def _lost(comparison: Comparison, total: TotalComparison) -> list[str]:
    """Dimensions that the baseline's own score counts, of those looked at, and the compared one cannot."""
    own = comparison.b.dimensions
    return [d for d in total.missing if d in own and counts(own[d]) and d in {c.dimension for c in comparison.dimensions}]


def _dimensions(comparison: Comparison, policy: Policy) -> list[Check]:
    compared = [*comparison.dimensions, *_absent(comparison, policy)]
    tiers = {d.dimension: _tier(d, comparison.b, policy) for d in compared}
    p = {d.dimension: _p_below(d, policy.rule(d.dimension)) for d in comparison.dimensions if d.difference}
    adjusted: dict[str, float] = {}
    for tier in ("block", "warn"):  # what only warns must not weaken what blocks
        adjusted |= paired.holm({name: p[name] for name in p if tiers[name] == tier})
    own = {name: len(measured.scores) for name, measured in comparison.b.dimensions.items()}
    return [_dimension(d, tiers[d.dimension], policy, adjusted.get(d.dimension, 1.0), own.get(d.dimension, 0)) for d in compared]


def _absent(comparison: Comparison, policy: Policy) -> list[DimensionComparison]:
    """Dimensions that the policy wants to block on, and nobody measured."""
    there = {d.dimension for d in comparison.dimensions}
    wanted = [d for d, rule in policy.dimensions.items() if rule.tier == "block" and d not in there]
    return [
        DimensionComparison(
            dimension=name,
            pairs={},
            differences={},
            scores=None,
            difference=None,
            p_holm=None,
            reason="measured on neither side",
            counts=False,
            skip_rates=(0.0, 0.0),
        )
        for name in wanted
    ]


def _tier(compared: DimensionComparison, baseline: Side, policy: Policy) -> Tier:
    """The rule's; without a rule of its own, a dimension blocks if enough prompts are shared, or the baseline had enough."""
    tier = policy.rule(compared.dimension).tier
    if tier != "block" or compared.dimension in policy.dimensions:
        return tier
    own = baseline.dimensions.get(compared.dimension)
    return "block" if max(compared.n, len(own.scores) if own else 0) >= policy.fewest_prompts else "warn"


def _p_below(compared: DimensionComparison, rule: Rule) -> float:
    """One-sided p of the drop being no larger than the noise floor."""
    differences = list(compared.differences.values())
    p = paired.t_test_below(differences, -rule.noise_floor)
    few = sum(d != 0 for d in differences) < paired.FEWEST_DRAWN
    return max(p, paired.sign_flip_below(differences)) if few else p


def _too_few_shared(shared: int, own: int) -> str | None:
    """A candidate that leaves out the prompts it is bad at would pass: what the baseline measured must be there."""
    few = shared < SMALLEST_MEASURED_SHARE * own
    return f"only {shared} of the baseline's {own} prompts were measured" if few else None


def _dimension(compared: DimensionComparison, tier: Tier, policy: Policy, p: float, own_prompts: int) -> Check:
    rule = policy.rule(compared.dimension)
    low = high = None
    if compared.difference is None:
        verdict, reason = _undecided(compared.reason or "")
    else:
        low, high = paired.t_interval(list(compared.differences.values()), 2 * policy.confidence - 1)
        if compared.n < policy.fewest_prompts:
            verdict, reason = _undecided(f"{compared.n} shared prompts, {policy.fewest_prompts} are needed")
        elif not compared.counts:
            verdict, reason = _undecided("too few of its prompts were measured for it to count")
        else:
            verdict, reason = _decide(low, high, rule, below=p <= 1 - policy.confidence)
        if verdict == "PASS" and (lacking := _too_few_shared(compared.n, own_prompts)):
            verdict, reason = _undecided(lacking)
    candidate, baseline = compared.scores or (None, None)
    return Check(
        name=compared.dimension,
        title=title(compared.dimension),
        verdict=verdict,
        reason=reason,
        tier=tier,
        rule=rule,
        n=compared.n,
        baseline=baseline,
        candidate=candidate,
        difference=compared.difference.value if compared.difference else None,
        low=low,
        high=high,
        minimum_detectable=compared.difference.minimum_detectable if compared.difference else None,
    )


def _decide(low: float, high: float, rule: Rule, *, below: bool) -> tuple[Verdict, str]:
    """`below`: whether the drop is certain to exceed the noise floor."""
    if low > -rule.tolerated_drop:
        certain = f", though a drop of {max(-high, rule.noise_floor):.3f} is certain" if below else ""
        return "PASS", f"a drop of {rule.tolerated_drop:g} is ruled out{certain}"
    if below:
        return "REGRESSION", f"dropped by more than the noise floor of {rule.noise_floor:g}, perhaps by {-low:.3f}"
    return "INCONCLUSIVE", f"a drop of {rule.tolerated_drop:g} is not ruled out: it may be {-low:.3f}"


def _undecided(reason: str) -> tuple[Verdict, str]:
    return "INCONCLUSIVE", reason
