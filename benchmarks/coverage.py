"""How often the intervals hold the truth, by simulation; printed as Markdown tables.

    python -m benchmarks.coverage

Prompts of known distributions: symmetric Beta(5, 5), skewed Beta(1, 6), near-ceiling Beta(19, 0.5), and clustered: prompt means
from Beta(2, 2), four seeds of a prompt spread around its own. Every interval is the package's own function. Totals are drawn
with 1,000 resamples instead of 10,000, for time; that costs coverage, if anything. n: the prompts of each dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from wanbench import stats
from wanbench.comparison import paired
from wanbench.comparison.comparing import SPAN
from wanbench.fourteen import FOURTEEN
from wanbench.stats import Floats
from wanbench.weights import weighting

SIZES = (10, 20, 70, 1_000)
SIMULATIONS = 10_000
SIMULATIONS_OF_TOTALS = 2_000
SIMULATIONS_OF_ONE_SEED = 50
"""Draws of resamples cost more than their use; every so many simulations they are drawn anew."""
CONCENTRATION = 20.0
"""Beta(20 m, 20 (1 - m)): one candidate's score on a prompt of mean m; a standard deviation of 0.11 in the middle."""
SEEDS = 4
DROP = 0.95
"""Candidate b scores 0.95 times as much, so that the truth is no special value."""
LITE = ("large_motion_generation", "pixel_level_stability", "camera_control")

Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]


def beta(a: float, b: float, generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return generator.beta(a, b, shape)


DISTRIBUTIONS: dict[str, tuple[Draw, float]] = {
    "symmetric": (partial(beta, 5.0, 5.0), 0.5),
    "skewed": (partial(beta, 1.0, 6.0), 1 / 7),
    "near-ceiling": (partial(beta, 19.0, 0.5), 19 / 19.5),
}
"""Name -> draws and their mean."""


def around(generator: np.random.Generator, means: Floats, concentration: float = CONCENTRATION) -> Floats:
    """Scores around each prompt's mean."""
    inside = np.clip(means, 1e-6, 1 - 1e-6)
    return generator.beta(concentration * inside, concentration * (1 - inside))


def clustered(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """(..., SEEDS): the scores of each prompt's seeds."""
    means = generator.beta(2.0, 2.0, shape)
    return around(generator, np.repeat(means[..., None], SEEDS, axis=-1))


def covered(intervals: Iterator[tuple[float, float]], truth: float) -> float:
    """Share of intervals that hold the truth, in per cent."""
    return 100 * float(np.mean([low <= truth <= high for low, high in intervals]))


def dimension(name: str, n: int, generator: np.random.Generator) -> float:
    if name == "clustered":
        return covered((stats.wilson(list(row)) for row in clustered(generator, (SIMULATIONS, n)).mean(axis=-1)), 0.5)
    draw, truth = DISTRIBUTIONS[name]
    return covered((stats.wilson(list(row)) for row in draw(generator, (SIMULATIONS, n))), truth)


def seeds_as_prompts(n: int, generator: np.random.Generator) -> float:
    """What would come of taking four seeds of a prompt for four prompts."""
    values = clustered(generator, (SIMULATIONS, n)).reshape(SIMULATIONS, -1)
    return covered((stats.wilson(list(row)) for row in values), 0.5)


def plain_bootstrap(name: str, n: int, generator: np.random.Generator) -> float:
    """What would come of the plain percentile bootstrap for a dimension."""
    draw, truth = DISTRIBUTIONS[name]
    resampled = generator.multinomial(n, np.full(n, 1 / n), size=stats.RESAMPLES) @ draw(generator, (n, SIMULATIONS)) / n
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    return covered(zip(low, high, strict=True), truth)


def difference(name: str, n: int, generator: np.random.Generator) -> float:
    rows, truth = differences(name, (SIMULATIONS, n), generator)
    return covered((paired.t_interval(list(row)) for row in rows), truth)


def differences(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> tuple[Floats, float]:
    """a - b on shared prompts, and its mean: both are drawn around the prompt's mean, and b is then lowered."""
    if name == "clustered":
        means = np.repeat(generator.beta(2.0, 2.0, shape)[..., None], SEEDS, axis=-1)
        return (around(generator, means) - DROP * around(generator, means)).mean(axis=-1), (1 - DROP) * 0.5
    draw, mean = DISTRIBUTIONS[name]
    means = draw(generator, shape)
    return around(generator, means) - DROP * around(generator, means), (1 - DROP) * mean


def repeats(n: int) -> int:
    """Simulations of a total with n prompts a dimension: half as many where they take long."""
    return SIMULATIONS_OF_TOTALS if n < 1_000 else SIMULATIONS_OF_TOTALS // 2


def total(name: str, n: int, generator: np.random.Generator, over: tuple[str, ...]) -> float:
    def rows() -> Iterator[Floats]:
        for _ in range(repeats(n)):
            shape = (len(over), n)
            yield clustered(generator, shape).mean(axis=-1) if name == "clustered" else DISTRIBUTIONS[name][0](generator, shape)

    truth = 0.5 if name == "clustered" else DISTRIBUTIONS[name][1]
    return covered((_total(row, over, (0.0, 1.0), seed) for seed, row in enumerate(rows())), truth)


def total_difference(name: str, n: int, generator: np.random.Generator, over: tuple[str, ...]) -> float:
    truth = differences(name, (1, 1), np.random.default_rng(0))[1]
    drawn = (differences(name, (len(over), n), generator)[0] for _ in range(repeats(n)))
    return covered((_total(row, over, SPAN, seed) for seed, row in enumerate(drawn)), truth)


def _total(values: Floats, over: tuple[str, ...], span: tuple[float, float], seed: int) -> tuple[float, float]:
    groups = {d: list(row) for d, row in zip(over, values, strict=True)}
    own = {d: stats.wilson(v) if span[0] == 0 else paired.t_interval(v) for d, v in groups.items()}
    weights = weighting.load("table2").weights
    parts = stats.groups_of(groups, own, stats.bootstrap_means(groups, seed // SIMULATIONS_OF_ONE_SEED, span))
    found = stats.weighted_mean(parts, weights, span=span)
    return found.low, found.high


def main() -> None:
    stats.RESAMPLES = 1_000
    generator = np.random.default_rng(0)
    names = (*DISTRIBUTIONS, "clustered")
    kinds: dict[str, Callable[[str, int], float]] = {
        "dimension": lambda name, n: dimension(name, n, generator),
        "total of fourteen": lambda name, n: total(name, n, generator, tuple(FOURTEEN)),
        "partial total of three": lambda name, n: total(name, n, generator, LITE),
        "difference in a dimension": lambda name, n: difference(name, n, generator),
        "difference of totals of fourteen": lambda name, n: total_difference(name, n, generator, tuple(FOURTEEN)),
        "difference of partial totals of three": lambda name, n: total_difference(name, n, generator, LITE),
    }
    print(f"| 95 % interval | scores | {' | '.join(f'n = {n:,}' for n in SIZES)} |")
    print(f"|---|---|{'--:|' * len(SIZES)}")
    for kind, measure in kinds.items():
        for name in names:
            print(f"| {kind} | {name} | {' | '.join(f'{measure(name, n):.1f}' for n in SIZES)} |", flush=True)
    for name in DISTRIBUTIONS:
        plain = " | ".join(f"{plain_bootstrap(name, n, generator):.1f}" for n in SIZES)
        print(f"| *plain percentile bootstrap of a dimension (not done here)* | {name} | {plain} |")
    wrong = " | ".join(f"{seeds_as_prompts(n, generator):.1f}" for n in SIZES)
    print(f"| *seeds taken for prompts (not done here)* | clustered | {wrong} |")
    print(f"\n{SIMULATIONS:,} simulations of a dimension, {repeats(10):,} of a total ({repeats(1_000):,} for n = 1,000):")
    print("standard errors of 0.2, 0.5 and 0.7 points.")


if __name__ == "__main__":
    main()
