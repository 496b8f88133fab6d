"""What human comparisons say by themselves: win-rate gaps, strengths, and how far the annotators agree. Light half.

- Win-rate gap of a over b, as in Table 3 of the Wan report (arXiv 2503.20314): (wins - losses) / rounds, ties among the rounds.
- Strengths: Bradley-Terry with ties after Davidson (JASA 1970). With strengths p, P(a wins) : P(b wins) : P(tie) =
  p_a : p_b : v sqrt(p_a p_b). Given as logarithms that add up to 0, by maximum likelihood.
- Krippendorff's alpha for nominal data (Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011): 1 - D_o / D_e over the
  units with two values or more.

Intervals are ours: `resampling`. Alpha's draws only prompts, since an annotator drawn twice would agree with himself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wanbench.types import JSONObject
from wanbench.weights.resampling import Estimate, Floats, draws, estimate
from wanbench.weights.votes import OUTCOMES, Coded, Vote, code

WON, LOST, TIED = range(len(OUTCOMES))
LONGEST_STEP = 2.0
"""Newton's steps are cut to this length (ours): from strengths of 0 a full one may overshoot."""
STEPS = 60
LARGEST_STRENGTH = 15.0
"""A logarithm beyond this is on its way to infinity (ours): odds of three millions to one cannot come from votes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Strengths:
    """Davidson's model, fitted."""

    strengths: dict[str, Estimate]
    """Candidate -> log strength; together 0."""
    tie: Estimate
    """v; 0 where nobody tied."""


def counts(coded: Coded, weights: Floats) -> Floats:
    """(B, pairs, 3) sums of vote weights (B, N) by pair and outcome."""
    cells = len(coded.pairs) * len(OUTCOMES)
    one_hot = np.zeros((len(coded.pair), cells))
    one_hot[np.arange(len(coded.pair)), coded.pair * len(OUTCOMES) + coded.outcome] = 1
    return (weights @ one_hot).reshape(len(weights), len(coded.pairs), len(OUTCOMES))


def resampled_counts(coded: Coded, seed: int) -> Floats:
    """(RESAMPLES, pairs, 3) counts of outcomes, prompts and annotators drawn anew."""
    drawn = draws(len(coded.prompts), len(coded.annotators), seed)
    return np.concatenate([counts(coded, p[:, coded.prompt] * a[:, coded.annotator]) for p, a in drawn])


def gaps(observed: Floats, resampled: Floats) -> list[Estimate]:
    """Win-rate gap of each pair; `observed` (pairs, 3), `resampled` (B, pairs, 3)."""
    with np.errstate(invalid="ignore"):
        values, spread = ((c[..., WON] - c[..., LOST]) / c.sum(-1) for c in (observed, resampled))
    return [estimate(float(value), spread[:, k]) for k, value in enumerate(values)]


def strengths(pairs: Sequence[tuple[str, str]], observed: Floats, resampled: Floats) -> Strengths | str:
    """Davidson's model fitted to counts (pairs, 3) with intervals from (B, pairs, 3); in words why it cannot be."""
    names = sorted({name for pair in pairs for name in pair})
    design = _design(names, pairs)
    if reason := _unbounded(names, pairs, design, observed):
        return reason
    value, spread = (_fitted(design, c) for c in (observed[None], resampled))
    logs = np.column_stack([value[:, :-1], -value[:, :-1].sum(1)])[0]
    spread_logs = np.column_stack([spread[:, :-1], -spread[:, :-1].sum(1)])
    return Strengths(
        strengths={n: estimate(float(v), spread_logs[:, k]) for k, (n, v) in enumerate(zip(names, logs, strict=True))},
        tie=estimate(float(np.exp(value[0, -1])), np.exp(spread[:, -1])),
    )


def _design(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Floats:
    """(pairs, 3, parameters): logarithm of each outcome's weight by the strengths but the last, and log v."""
    free = len(names) - 1
    basis = np.vstack([np.eye(free), -np.ones(free)])
    design = np.zeros((len(pairs), len(OUTCOMES), free + 1))
    for k, (a, b) in enumerate(pairs):
        of_a, of_b = basis[names.index(a)], basis[names.index(b)]
        design[k, WON, :free], design[k, LOST, :free], design[k, TIED, :free] = of_a, of_b, (of_a + of_b) / 2
        design[k, TIED, free] = 1
    return design


def _unbounded(names: Sequence[str], pairs: Sequence[tuple[str, str]], design: Floats, observed: Floats) -> str | None:
    """Why the likelihood has no single largest value, or None.

    It has none if some direction raises, or leaves alone, the log weight of every outcome seen relative to the other outcomes
    of its pair: a linear program finds it. No tie at all only sends v to 0, which is its value then.
    """
    from scipy.optimize import linprog

    ties = observed[:, TIED].sum() > 0
    outcomes, columns = (OUTCOMES, design.shape[-1]) if ties else (OUTCOMES[:TIED], design.shape[-1] - 1)
    seen = [
        design[k, c, :columns] - design[k, other, :columns]
        for k in range(len(pairs))
        for c in range(len(outcomes))
        for other in range(len(outcomes))
        if observed[k, c] > 0 and other != c
    ]
    rows = np.array(seen)
    if np.linalg.matrix_rank(rows) < columns:
        return "not all candidates were compared, directly or through others"
    found = linprog(-rows.sum(0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=[(-1, 1)] * columns, method="highs")
    if found.fun is not None and found.fun > -1e-6:
        return None
    wins = {n: sum(observed[k, pair.index(n)] for k, pair in enumerate(pairs) if n in pair) for n in names}
    losses = {n: sum(observed[k, 1 - pair.index(n)] for k, pair in enumerate(pairs) if n in pair) for n in names}
    never = [f"{n} never lost" for n in names if not losses[n]] + [f"{n} never won" for n in names if not wins[n]]
    return f"the votes bound no strengths ({'; '.join(never) or 'some candidates never lost to some others'})"


def _fitted(design: Floats, observed: Floats) -> Floats:
    """Parameters of largest likelihood, (B, parameters), for counts (B, pairs, 3); NaN where strengths have no finite estimate.

    Newton's method on the multinomial logit, which is concave, from 0.
    """
    found = np.zeros((len(observed), design.shape[-1]))
    totals = observed.sum(-1)
    if not observed[..., TIED].any():
        design, found[:, -1] = design[:, :TIED, :-1], -np.inf
        observed = observed[..., :TIED]
    free = design.shape[-1]
    connected = None
    for _ in range(STEPS):
        logits = np.einsum("bf,pof->bpo", found[:, :free], design)
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        gradient = np.einsum("bpo,pof->bf", observed - totals[..., None] * shares, design)
        weighted = (totals[..., None] * shares)[..., None] * design
        mean = np.einsum("bpo,pof->bpf", shares, design)
        hessian = np.einsum("bpof,pog->bfg", weighted, design) - np.einsum("bp,bpf,bpg->bfg", totals, mean, mean)
        if connected is None:
            connected = np.linalg.matrix_rank(hessian, hermitian=True) == free
        step = np.einsum("bfg,bg->bf", np.linalg.pinv(hessian, hermitian=True), gradient)
        length = np.linalg.norm(step, axis=-1, keepdims=True)
        found[:, :free] += step * np.minimum(1, LONGEST_STEP / np.maximum(length, LONGEST_STEP))
        if length.max() < 1e-10:
            break
    last = -found[:, : len(found[0]) - 1].sum(1)
    finite = np.abs(np.column_stack([found[:, :-1], last])).max(1) < LARGEST_STRENGTH
    found[~(finite & connected)] = np.nan
    return found


def alpha(units: Floats, drawn: Floats) -> Floats:
    """Krippendorff's nominal alpha, (B,); NaN where only one value occurs.

    `units` (units, values): how often each value was given to each unit; `drawn` (B, units): how often each unit counts.
    """
    size = units.sum(1)
    units, drawn, size = units[size > 1], drawn[:, size > 1], size[size > 1]
    disagreements = (size**2 - (units**2).sum(1)) / (size - 1)
    totals = drawn @ units
    whole = totals.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = (whole**2 - (totals**2).sum(1)) / (whole - 1)
        return np.asarray(np.where(expected > 0, 1 - drawn @ disagreements / expected, np.nan))


def agreement(coded: Coded, seed: int) -> Estimate:
    """Alpha of the annotators; a unit is a pair of candidates on a prompt."""
    if len(coded.annotators) < 2:
        return Estimate(value=None, reason="one annotator, or none named")
    keys, unit = np.unique(coded.pair * len(coded.prompts) + coded.prompt, return_inverse=True)
    units = np.zeros((len(keys), len(OUTCOMES)))
    np.add.at(units, (unit, coded.outcome), 1)
    if units.sum(1).max() < 2:
        return Estimate(value=None, reason="no two annotators compared the same videos")
    value = float(alpha(units, np.ones((1, len(units))))[0])
    if np.isnan(value):
        return Estimate(value=None, reason="all gave the same answer, from which no agreement can be told")
    spread = [alpha(units, prompts[:, keys % len(coded.prompts)]) for prompts, _ in draws(len(coded.prompts), 1, seed)]
    return estimate(value, np.concatenate(spread))


def describe(votes: Sequence[Vote], seed: int) -> JSONObject:
    """Aspect -> votes, annotators, agreement, win-rate gaps of each pair, and strengths."""
    aspects = dict.fromkeys(v.aspect for v in votes)
    return {aspect: _describe(code([v for v in votes if v.aspect == aspect]), seed) for aspect in aspects}


def _describe(coded: Coded, seed: int) -> JSONObject:
    observed = counts(coded, np.ones((1, len(coded.pair))))[0]
    resampled = resampled_counts(coded, seed)
    fitted = strengths(coded.pairs, observed, resampled)
    return {
        "votes": len(coded.pair),
        "prompts": len(coded.prompts),
        "annotators": len([a for a in coded.annotators if a]) or None,
        "krippendorff_alpha": agreement(coded, seed).to_json(),
        "gaps": [
            {"a": a, "b": b, **gap.to_json("gap"), **dict(zip(("wins", "losses", "ties"), map(int, row), strict=True))}
            for (a, b), gap, row in zip(coded.pairs, gaps(observed, resampled), observed, strict=True)
        ],
        "bradley_terry": {"reason": fitted}
        if isinstance(fitted, str)
        else {
            "log_strengths": {name: found.to_json() for name, found in fitted.strengths.items()},
            "tie": fitted.tie.to_json(),
        },
    }
