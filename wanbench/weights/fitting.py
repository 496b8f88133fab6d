"""Weights fitted to human comparisons (definitions: `docs/weights.md`). Light half: numpy and SciPy.

The Wan report (arXiv 2503.20314, section 4.6) weighs each dimension by the Pearson correlation of its scores with human ones over
5,000 comparisons, and says no more. Ours: the correlation is between *differences on one prompt*, the dimension's and a vote's,
within each pair of models, for over the models' means it would say how seven models happen to rank; pairs are pooled by
Fisher's z, weighted n - 3. Votes are not averaged over annotators first: such a mean is the noisier the fewer there are, so that
drawing annotators anew would bias every resample towards 0. Resamples move z to first order, by the influence of each vote:
five thousand votes leave few to a pair and dimension, and the correlation of few points drawn again and again tends to 1.
Correlations are shrunk to their mean (empirical Bayes, the variance between dimensions by DerSimonian and Laird's moments), and
the weight is proportional to max(r, 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN
from wanbench.types import SCORE_DECIMALS, JSONObject
from wanbench.weights.resampling import RESAMPLES, Estimate, Floats, Ints, draws, estimate
from wanbench.weights.votes import Coded, Comparisons, Vote, code
from wanbench.weights.weighting import Weighting

SMALLEST_PAIR = 5
"""A pair of models with fewer prompts says next to nothing of a correlation, whose weight is n - 3 (ours)."""
LARGEST_R = 0.999
"""A correlation of 1, which few votes can give, would be infinite in Fisher's z (ours)."""
SMALLEST_ERROR = 1e-6
"""Of a correlation: no division by 0 where every vote agrees."""
SMALLEST_VARIANCE = 1e-12
"""Scores have six decimals: what varies less is constant."""
WEIGHT_DECIMALS = 9

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Candidate -> prompt id -> dimension -> score in [0, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Correlation:
    """One dimension against the votes."""

    r: Estimate
    shrunk: float
    pairs: int
    """Pairs of models that could be pooled."""
    votes: int
    """Votes in those pairs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """Weights fitted to votes, and what stands behind them."""

    correlations: dict[str, Correlation]
    weights: dict[str, Estimate]
    """Dimension -> weight; together 1."""
    valued_by: str
    """`scores` or `preference`: what the human difference is."""


def fit_weighting(
    comparisons: Comparisons,
    scores: Scores,
    versions: Mapping[str, int],
    *,
    name: str,
    date: str,
    aspect: str,
    dimensions: Sequence[str] | None,
    seed: int,
) -> Weighting:
    """The weight set that the votes on `aspect` give. `dimensions`: None for the fourteen; the others get weight 0.

    Raises `UsageError` as `fit` does, and for votes on what was not measured.
    """
    votes = comparisons.about(aspect)
    for vote in votes:
        if not any(vote.prompt in scores[candidate] for candidate in (vote.a, vote.b)):
            raise UsageError(f"line {vote.line} of the votes is about the prompt {vote.prompt!r}, which no run has for {vote.a} "
                             f"or {vote.b}")  # fmt: skip
    wanted = list(FOURTEEN) if dimensions is None else [d for d in FOURTEEN if d in dimensions]
    if unknown := [d for d in dimensions or [] if d not in FOURTEEN]:
        raise UsageError(f"{unknown[0]!r} is none of the fourteen dimensions")
    measured = {d for prompts in scores.values() for row in prompts.values() for d in row}
    if lacking := [d for d in wanted if d not in measured]:
        raise UsageError(f"no run has scores of {', '.join(lacking)}; --dimensions fits the others alone")
    found = fit(votes, scores, wanted, seed)
    data = {
        "sha256": comparisons.sha256,
        "votes": len(votes),
        "aspect": votes[0].aspect,
        "human_difference": found.valued_by,
        "prompts": len({v.prompt for v in votes}),
        "annotators": len({v.annotator for v in votes if v.annotator}) or None,
        "candidates": sorted({c for v in votes for c in (v.a, v.b)}),
        "resamples": RESAMPLES,
        "seed": seed,
    }
    unfitted = [d for d in FOURTEEN if d not in wanted]
    weights = rounded(found)
    return Weighting(
        name=name,
        provenance=f"fitted to {len(votes):,} human comparisons" + (f" in {len(wanted)} dimensions" if unfitted else ""),
        weights={d: weights.get(d, 0.0) for d in FOURTEEN},
        date=date,
        versions={d: versions[d] for d in wanted if d in versions},
        evidence={"data": data, "unfitted": unfitted, **evidence(found, leave_one_out(votes, scores, wanted, seed), scores)},
    )


def fit(votes: Sequence[Vote], scores: Scores, dimensions: Sequence[str], seed: int) -> Fit:
    """Fit weights to votes on one aspect. Raises `UsageError` where a dimension has no correlation or none is positive."""
    coded = code(votes)
    pooled = pool(coded, scores, dimensions)
    if lacking := [d for d, z in zip(dimensions, pooled.z, strict=True) if np.isnan(z)]:
        raise UsageError(f"nothing can be said of {', '.join(lacking)}: no two candidates have {SMALLEST_PAIR} prompts with "
                         "votes and scores that vary; --dimensions fits the others alone")  # fmt: skip
    drawn = draws(len(coded.prompts), len(coded.annotators), seed)
    spread = pooled.z + moved(pooled, coded, drawn)
    errors = np.maximum(spread.std(axis=0, ddof=1), SMALLEST_ERROR)
    shrunk, shrunk_spread = (np.tanh(shrink(values, errors)) for values in (pooled.z, spread))
    if shrunk.max() <= 0:
        raise UsageError("no dimension's differences agree with the votes: every correlation is 0 or less, and no weight follows "
                         "from that")  # fmt: skip
    weights, weight_spread = (_weights(r) for r in (shrunk[None], shrunk_spread))
    return Fit(
        correlations={
            d: Correlation(
                r=estimate(float(np.tanh(pooled.z[k])), np.tanh(spread[:, k])),
                shrunk=float(shrunk[k]),
                pairs=int((pooled.votes[:, k] > 0).sum()),
                votes=int(pooled.votes[:, k].sum()),
            )
            for k, d in enumerate(dimensions)
        },
        weights={d: estimate(float(weights[0, k]), weight_spread[:, k]) for k, d in enumerate(dimensions)},
        valued_by=coded.valued_by,
    )


def leave_one_out(votes: Sequence[Vote], scores: Scores, dimensions: Sequence[str], seed: int) -> dict[str, Fit | str]:
    """Model -> the fit to the votes that do not concern it, or in words why there is none; nothing for fewer than three."""
    models = sorted({m for v in votes for m in (v.a, v.b)})
    found: dict[str, Fit | str] = {}
    for model in models if len(models) > 2 else []:
        others = [v for v in votes if model not in (v.a, v.b)]
        if not others:
            found[model] = "every vote concerns it"
            continue
        try:
            found[model] = fit(others, scores, dimensions, seed)
        except UsageError as error:
            found[model] = str(error)
    return found


def shrink(z: Floats, errors: Floats) -> Floats:
    """Values z (..., D) with standard errors (D,) drawn towards their mean as far as they vary no more than by error.

    Normal means with a common prior; its variance by DerSimonian and Laird's moments, its mean weighted with that variance. One
    value stays what it is.
    """
    if z.shape[-1] < 2:
        return z
    precision = errors**-2.0
    whole = precision.sum()
    centre = (z * precision).sum(-1, keepdims=True) / whole
    excess = (precision * (z - centre) ** 2).sum(-1, keepdims=True) - (z.shape[-1] - 1)
    between = np.maximum(0.0, excess / (whole - (precision**2).sum() / whole))
    share = 1 / (errors**2 + between)
    centre = (z * share).sum(-1, keepdims=True) / share.sum(-1, keepdims=True)
    return np.asarray(centre + between * share * (z - centre))


def _weights(r: Floats) -> Floats:
    """(B, D) weights from correlations (B, D); NaN where none is positive."""
    positive = np.maximum(r, 0)
    whole = positive.sum(-1, keepdims=True)
    return np.asarray(np.divide(positive, whole, out=np.full_like(positive, np.nan), where=whole > 0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Pooled:
    """Fisher's z pooled over pairs of models; N votes, D dimensions."""

    z: Floats
    """(D,), NaN where no pair could be used."""
    votes: Ints
    """(pairs, D) how many votes of each pair were used."""
    pull: Floats
    """(N, D) by how much z moves when a vote counts once more, to first order."""


def pool(coded: Coded, scores: Scores, dimensions: Sequence[str]) -> Pooled:
    """The correlation of each dimension with the votes, pair by pair, and pooled."""
    table = _differences(coded, scores, dimensions)
    z, weights, votes = (np.zeros((len(coded.pairs), len(dimensions))) for _ in range(3))
    pull = np.zeros_like(table)
    for k in range(len(coded.pairs)):
        inside = np.flatnonzero(coded.pair == k)
        for d in range(len(dimensions)):
            rows = inside[np.isfinite(table[inside, d])]
            x, human = table[rows, d], coded.value[rows]
            enough = len(np.unique(coded.prompt[rows])) >= SMALLEST_PAIR
            if not enough or min(np.var(x), np.var(human)) <= SMALLEST_VARIANCE:
                continue
            z[k, d], pull[rows, d] = _fisher(x, human)
            weights[k, d], votes[k, d] = len(rows) - 3, len(rows)
    whole = weights.sum(0)
    share = np.divide(weights, whole, out=np.full_like(weights, np.nan), where=whole > 0)
    return Pooled(z=(share * z).sum(0), votes=votes.astype(np.intp), pull=share[coded.pair] * pull)


def moved(pooled: Pooled, coded: Coded, drawn: Iterable[tuple[Floats, Floats]]) -> Floats:
    """(B, D) by how much z moves in each resample of prompts and annotators."""
    return np.concatenate([(p[:, coded.prompt] * a[:, coded.annotator]) @ pooled.pull for p, a in drawn])


def _differences(coded: Coded, scores: Scores, dimensions: Sequence[str]) -> Floats:
    """(N, D) a's scores less b's on the prompt of each vote; NaN where one is not known."""
    empty: Mapping[str, float] = {}
    table = np.full((len(coded.pair), len(dimensions)), np.nan)
    for row, (k, p) in enumerate(zip(coded.pair, coded.prompt, strict=True)):
        a, b = (scores.get(name, {}).get(coded.prompts[p], empty) for name in coded.pairs[k])
        table[row] = [a.get(d, np.nan) - b.get(d, np.nan) for d in dimensions]
    return table


def _fisher(x: Floats, human: Floats) -> tuple[float, Floats]:
    """Fisher's z of the correlation of two columns (n,), and the influence of each row on it (n,).

    The influence of a row on r is x h - r (x^2 + h^2) / 2 in standard units, / n; on z it is that / (1 - r^2). Its sum of squares
    is 1 / n for normal columns, where the variance of z is 1 / (n - 3): it is widened to that.
    """
    n = len(x)
    x, human = ((v - v.mean()) / v.std() for v in (x, human))
    r = float(np.clip((x * human).mean(), -LARGEST_R, LARGEST_R))
    influence = (x * human - r * (x**2 + human**2) / 2) / (1 - r * r) / n
    return float(np.arctanh(r)), influence * np.sqrt(n / (n - 3))


def means(scores: Scores, dimensions: Sequence[str]) -> dict[str, dict[str, float]]:
    """Candidate -> dimension -> mean over its prompts, where there are any."""
    told: dict[str, dict[str, float]] = {}
    for name, prompts in scores.items():
        columns = {d: [row[d] for row in prompts.values() if d in row] for d in dimensions}
        told[name] = {d: float(np.mean(column)) for d, column in columns.items() if column}
    return told


def influence(weights: Mapping[str, float], scores: Mapping[str, Mapping[str, float]]) -> dict[str, float | None]:
    """Dimension -> w SD: its weight times the standard deviation of the candidates' scores, what it can move a ranking by.

    `scores`: candidate -> dimension -> score. None for fewer than two candidates with a score.
    """
    columns = {d: [row[d] for row in scores.values() if d in row] for d in weights}
    return {d: w * float(np.std(columns[d], ddof=1)) if len(columns[d]) > 1 else None for d, w in weights.items()}


def evidence(found: Fit, left_out: Mapping[str, Fit | str], scores: Scores) -> JSONObject:
    """What a weight file says beside the weights: correlations, intervals, the fits without each model, influence, scores."""
    dimensions = list(found.weights)
    averages = means(scores, dimensions)
    weights = rounded(found)
    return {
        "correlations": {
            d: {**c.r.to_json("r"), "shrunk": round(c.shrunk, SCORE_DECIMALS), "pairs": c.pairs, "votes": c.votes}
            for d, c in found.correlations.items()
        },
        "weight_intervals": {d: _interval(w) for d, w in found.weights.items()},
        "influence": {d: None if v is None else round(v, SCORE_DECIMALS) for d, v in influence(weights, averages).items()},
        "leave_one_out": {m: {"reason": f} if isinstance(f, str) else {"weights": rounded(f)} for m, f in left_out.items()}
        or {"reason": "needs three candidates or more"},
        "scores": {
            name: {
                "fitted": _weighted(weights, row),
                "uniform": _weighted(dict.fromkeys(dimensions, 1 / len(dimensions)), row),
                "left_out": _weighted(rounded(other), row) if isinstance(other := left_out.get(name, ""), Fit) else None,
            }
            for name, row in averages.items()
        },
    }


def rounded(found: Fit) -> dict[str, float]:
    """The weights as they are written."""
    return {d: round(w.value or 0.0, WEIGHT_DECIMALS) for d, w in found.weights.items()}


def _interval(weight: Estimate) -> JSONObject:
    return {k: v for k, v in replace(weight, value=None).to_json().items() if k != "value"}


def _weighted(weights: Mapping[str, float], row: Mapping[str, float]) -> float | None:
    if any(d not in row for d in weights):
        return None
    return round(sum(w * row[d] for d, w in weights.items()), SCORE_DECIMALS)
