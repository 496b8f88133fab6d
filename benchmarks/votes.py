"""How often the 95 % intervals of `wanbench weights fit` hold the truth, by simulation; prints the table of `docs/weights.md`.

    python -m benchmarks.votes [SIMULATIONS]

Three candidates of equal strength, three dimensions with scores uniform on [0.2, 0.8]. An annotator's liking is the weighted
difference of scores, weights 0.5, 0.3 and 0.1 give or take his own taste (SD 0.1), plus what no dimension measures (SD 0.1 a
video) and noise (SD 0.1); under 0.05 it is a tie. True correlations are those of 60 large data sets, pooled.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np

from wanbench.weights import fitting, preferences
from wanbench.weights.preferences import Strengths
from wanbench.weights.resampling import Estimate, Floats, draws, estimate
from wanbench.weights.votes import Coded, Preference, Vote, code

MODELS = "xyz"
DIMENSIONS = ["smoothness", "camera_control", "stylization_ability"]
WEIGHTS = np.array([0.5, 0.3, 0.1])
SPREAD = 0.1
TIE = 0.05
SIZES = ((20, 3, SPREAD), (50, 3, SPREAD), (100, 1, 0.0), (100, 5, SPREAD), (300, 10, SPREAD))
"""Prompts, annotators, SD of their tastes: with a single annotator nothing can be said of how others would vote."""


def simulated(seed: int, prompts: int, annotators: int, taste: float) -> tuple[Coded, fitting.Scores]:
    generator = np.random.default_rng(seed)
    table = {m: generator.uniform(0.2, 0.8, (prompts, len(DIMENSIONS))) for m in MODELS}
    tastes = WEIGHTS + generator.normal(0, taste, (annotators, len(DIMENSIONS)))
    hidden = {m: generator.normal(0, SPREAD, prompts) for m in MODELS}
    votes = []
    for a, b in itertools.combinations(MODELS, 2):
        liking = (table[a] - table[b]) @ tastes.T + (hidden[a] - hidden[b])[:, None]
        liking += generator.normal(0, SPREAD, liking.shape)
        for (p, k), value in np.ndenumerate(liking):
            preference: Preference = "tie" if abs(value) < TIE else "a" if value > 0 else "b"
            votes.append(Vote(a=a, b=b, prompt=f"p{p}", preference=preference, annotator=f"n{k}", aspect="", scores=None, line=0))
    scores = {m: {f"p{p}": dict(zip(DIMENSIONS, map(float, row), strict=True)) for p, row in enumerate(table[m])} for m in MODELS}
    return code(votes), scores


def correlations(coded: Coded, scores: fitting.Scores, seed: int) -> list[Estimate]:
    """As `fitting.fit` makes them, which refuses data without a positive one: those count here too."""
    pooled = fitting.pool(coded, scores, DIMENSIONS)
    drawn = draws(len(coded.prompts), len(coded.annotators), seed)
    spread = np.tanh(pooled.z + fitting.moved(pooled, coded, drawn))
    return [estimate(float(np.tanh(z)), spread[:, k]) for k, z in enumerate(pooled.z)]


def others(coded: Coded, seed: int) -> tuple[list[Estimate], list[Estimate]]:
    """Gaps and strengths."""
    observed, resampled = preferences.counts(coded, np.ones((1, len(coded.pair))))[0], preferences.resampled_counts(coded, seed)
    found = preferences.strengths(coded.pairs, observed, resampled)
    return preferences.gaps(observed, resampled), list(found.strengths.values()) if isinstance(found, Strengths) else []


def holds(found: Estimate, truth: float) -> bool:
    return found.low is not None and found.high is not None and found.low <= truth <= found.high


def truth(taste: float) -> Floats:
    found = [fitting.pool(*simulated(10**6 + k, 300, 20, taste), DIMENSIONS).z for k in range(60)]
    return np.asarray(np.tanh(np.mean(found, axis=0)))


def main(simulations: int) -> None:
    print("| prompts | annotators | correlation | win-rate gap | strength |\n|---|---|---|---|---|")
    for prompts, annotators, taste in SIZES:
        true = truth(taste)
        hits: list[list[bool]] = [[], [], []]
        for seed in range(simulations):
            coded, scores = simulated(seed, prompts, annotators, taste)
            hits[0] += [holds(e, float(t)) for e, t in zip(correlations(coded, scores, seed), true, strict=True)]
            for place, found in zip(hits[1:], others(coded, seed), strict=True):
                place += [holds(e, 0.0) for e in found]
        shares = " | ".join(f"{100 * np.mean(h):.1f} %" for h in hits)
        print(f"| {prompts} | {annotators} | {shares} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
