"""What a gate can decide, by simulation; printed as Markdown tables.

    python -m benchmarks.gates

Differences of prompts are normal with the given standard deviation (of paired differences, seeds averaged), cut to [-1, 1]. The
suites are the shipped ones: `mini` with ten prompts a dimension, `full` with 50 to 130, weights `table2`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from wanbench import stats
from wanbench.comparison import paired
from wanbench.comparison.gating import gate
from wanbench.comparison.policy import Policy
from wanbench.comparison.sequential import SequentialGate, prompt_weights, simulate
from wanbench.comparison.sides import Measured, Side
from wanbench.stats import Floats
from wanbench.weights import weighting

FULL = dict(
    zip(weighting.load("table2").weights, (70, 70, 50, 90, 70, 70, 70, 70, 65, 60, 65, 65, 130, 90), strict=True)
)  # fmt: skip
SUITES = {"mini": dict.fromkeys(FULL, 10), "full": FULL}
SPREADS = (0.05, 0.1, 0.2, 0.3)
SIMULATIONS = 400
MARGIN, FLOOR = 0.03, 0.0
SCORE = 0.6


def main() -> None:
    stats.RESAMPLES, paired.FLIPS = 1_000, 999  # for time; bounds move by a few hundredths
    for lines in (margins(), verdicts(), sequential()):
        for line in lines:
            print(line, flush=True)
        print()


def margins() -> Iterator[str]:
    """The tolerated drop at which a candidate that has not changed passes in 95 % of runs."""
    yield "| suite | SD of paired differences | weighted score | one dimension, blocking |"
    yield "|---|--:|--:|--:|"
    for name, sizes in SUITES.items():
        for spread in SPREADS:
            generator = np.random.default_rng(1)
            found = [_bounds(sizes, spread, generator) for _ in range(SIMULATIONS)]
            total = -np.quantile([t for t, _ in found], 0.05)
            one = -np.quantile([d for _, dimensions in found for d in dimensions], 0.05)
            told = f"{one:.3f}" if min(sizes.values()) >= Policy().fewest_prompts else "too few prompts"
            yield f"| {name} ({sum(sizes.values()):,}) | {spread:g} | {total:.3f} | {told} |"


def _bounds(sizes: Mapping[str, int], spread: float, generator: np.random.Generator) -> tuple[float, list[float]]:
    """Lower bounds of the weighted difference and of each dimension's."""
    baseline, candidate = sides(sizes, spread, 0.0, generator)
    checks = gate(baseline, candidate, Policy()).checks
    return float(checks[0].low or 0), [float(c.low or 0) for c in checks[1:]]


def verdicts() -> Iterator[str]:
    """The default policy on candidates that dropped alike in every dimension."""
    yield "| suite | SD of paired differences | true drop | weighted score: PASS, REGRESSION, INCONCLUSIVE | whole gate |"
    yield "|---|--:|--:|---|---|"
    for name, sizes in SUITES.items():
        for spread in SPREADS[1:]:
            for drop in (0.0, 0.02, 0.03, 0.05):
                generator = np.random.default_rng(2)
                found = [gate(*sides(sizes, spread, drop, generator), Policy()) for _ in range(SIMULATIONS)]
                told = (_shares([g.checks[0].verdict for g in found]), _shares([g.verdict for g in found]))
                yield f"| {name} ({sum(sizes.values()):,}) | {spread:g} | {drop:g} | {told[0]} | {told[1]} |"


def _shares(verdicts: list[str]) -> str:
    words = ("PASS", "REGRESSION", "INCONCLUSIVE")
    return ", ".join(f"{100 * verdicts.count(w) / len(verdicts):.1f} %" for w in words)


def sides(
    sizes: Mapping[str, int], spread: float, drop: float, generator: np.random.Generator
) -> tuple[Side, Side]:  # fmt: skip
    """Baseline and candidate: the latter lower by `drop`, on average over candidates."""
    made = []
    noise = {d: generator.normal(-drop, spread, n) for d, n in sizes.items()}
    for shift in (0.0, 1.0):
        measured = {
            d: Measured(
                method="m",
                fingerprint="f",
                outcomes={f"{d}-{k:03}": {"0": SCORE + shift * v} for k, v in enumerate(values.tolist())},
            )
            for d, values in noise.items()
        }
        made.append(Side(candidate="c", source="", suite=None, dimensions=measured))
    return made[0], made[1]


def sequential() -> Iterator[str]:
    """Verdicts and prompts needed, of the full suite, margin 0.03, floor 0, alpha 0.05."""
    yield "| SD | true difference | PASS | REGRESSION | median prompts needed of 1,035 | saved |"
    yield "|--:|--:|--:|--:|--:|--:|"
    weights = list(prompt_weights({f"{d}-{k}": d for d, n in FULL.items() for k in range(n)}, _weights()).values())
    for spread in SPREADS[1:]:
        for truth in (0.0, -MARGIN, -2 * MARGIN):
            generator = np.random.default_rng(3)
            found = [_sequential(np.array(weights), spread, truth, generator, seed) for seed in range(SIMULATIONS)]
            share = {v: 100 * sum(g.verdict == v for g in found) / len(found) for v in ("PASS", "REGRESSION")}
            median = float(np.median([g.drawn for g in found]))
            told = (
                f"{share['PASS']:.1f} % | {share['REGRESSION']:.1f} % | {median:.0f} | {100 * (1 - median / len(weights)):.0f} %"
            )
            yield f"| {spread:g} | {truth:+.2f} | {told} |"


def _sequential(weights: Floats, spread: float, truth: float, generator: np.random.Generator, seed: int) -> SequentialGate:
    """One suite whose weighted difference is exactly `truth`, prompts drawn with `seed`."""
    values = generator.normal(truth, spread, len(weights))
    values = np.clip(values + truth - weights @ values, -0.95, 0.95)  # the next line moves them by a hair
    return simulate(list(values + truth - weights @ values), list(weights), margin=MARGIN, floor=FLOOR, seed=seed)


def _weights() -> Mapping[str, float]:
    return weighting.load("table2").weights


if __name__ == "__main__":
    main()
