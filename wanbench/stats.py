"""Intervals of means of scores in [0, 1] (all ours; `docs/definitions.md`, "Uncertainty"). Light half: numpy and SciPy.

How often each interval holds the truth is measured by `benchmarks/coverage.py`; the figures stand in `docs/statistics.md`.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
ROUNDING_VARIANCE = 1e-16
"""Scores have six decimals: what is under a hundredth of a step, squared, is rounding of equal ones."""
LARGEST_EFFECTIVE_FACTOR = 30
"""n prompts never count as more than 30 n coin tosses, however little their scores vary."""
RESAMPLES = 10_000
BLOCK = 1_000
"""Resamples drawn at a time: as many as fit into a processor's cache for a thousand prompts."""
LARGEST_KEPT = 2_000
"""Draws for up to so many prompts are kept between calls (160 MB); more are drawn anew each time."""

Floats = npt.NDArray[np.float64]
K = TypeVar("K", bound=Hashable)


def mean(values: Sequence[float]) -> float:
    """The mean, by a sum that does not depend on the order."""
    return math.fsum(values) / len(values)


def variance(values: Sequence[float]) -> float:
    """The sample variance; 0 for a single value."""
    middle = mean(values)
    return math.fsum([(v - middle) ** 2 for v in values]) / max(1, len(values) - 1)


def t_quantile(freedom: float, probability: float) -> float:
    """Quantile of Student's t; of the normal distribution for infinite degrees of freedom."""
    from scipy.special import ndtri, stdtrit  # takes half a second, which a command that fails early need not wait for

    return float(ndtri(probability) if math.isinf(freedom) else stdtrit(freedom, probability))


def wilson(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of prompt scores in [0, 1].

    Wilson's interval with an effective number of tosses n_eff = min(30 n, n p (1 - p) / s^2) and the quantile of t(n - 1); with
    s = 0, n_eff = n. One value says nothing: (0, 1). Raises `ValueError` for none.
    """
    n = len(values)
    if n == 0:
        raise ValueError("the interval of no value")
    if n == 1:
        return 0.0, 1.0
    p, spread = mean(values), variance(values)
    effective = n if spread <= ROUNDING_VARIANCE else min(LARGEST_EFFECTIVE_FACTOR * n, n * p * (1 - p) / spread)
    t = t_quantile(n - 1, 0.5 + CONFIDENCE / 2)
    centre = (p + t * t / (2 * effective)) / (1 + t * t / effective)
    half = t / (1 + t * t / effective) * math.sqrt(p * (1 - p) / effective + t * t / (4 * effective * effective))
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap_means(
    groups: Mapping[K, Sequence[float]],
    seed: int,
    span: tuple[float, float] = (0.0, 1.0),
    stream: Callable[[K], str] = str,
) -> dict[K, Floats]:
    """Resampled means of each group of prompt scores, (RESAMPLES,) each; its draws depend on its stream and the seed alone.

    Deviations from the mean are stretched by sqrt(n / (n - 1)), for resamples vary by that much less than samples do. One prompt
    says nothing: its mean may be anything in `span`. `stream`: a group's name; groups of different names are independent.
    """
    by_size: dict[int, list[K]] = defaultdict(list)
    for key, values in groups.items():
        by_size[len(values)].append(key)
    resampled: dict[K, Floats] = {}
    for n, keys in by_size.items():
        means = [mean(groups[key]) for key in keys]
        if n == 1:
            for key in keys:
                resampled[key] = np.linspace(*span, RESAMPLES)[shuffled(stream(key), seed, RESAMPLES)]
            continue
        centred = np.sort(np.array([groups[key] for key in keys]), axis=1).T - means  # sorted: prompts in any order alike
        drawn = np.concatenate([counts @ centred for counts in _resamplings(n, seed)]).T / math.sqrt(n * (n - 1))
        for row, key in enumerate(keys):
            resampled[key] = drawn[row][shuffled(stream(key), seed, RESAMPLES)] + means[row]
    return {key: resampled[key] for key in groups}


@functools.lru_cache(maxsize=64)
def shuffled(name: str, seed: int, size: int) -> npt.NDArray[np.intp]:
    """An order of `size` draws that belongs to a name: groups of one size share their draws, in orders that are independent."""
    return _generator(seed, name).permutation(size)


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *name.encode()])))


def _resamplings(n: int, seed: int) -> Sequence[Floats]:
    return _kept_resamplings(n, seed) if n <= LARGEST_KEPT else list(_drawn_resamplings(n, seed))


@functools.lru_cache(maxsize=8)
def _kept_resamplings(n: int, seed: int) -> Sequence[Floats]:
    return list(_drawn_resamplings(n, seed))


def _drawn_resamplings(n: int, seed: int) -> Iterator[Floats]:
    """How often each of n prompts is drawn in each resample: RESAMPLES / BLOCK arrays (BLOCK, n)."""
    generator = _generator(seed, f"resamples of {n}")
    first = (np.arange(BLOCK) * n)[:, None]
    for _ in range(RESAMPLES // BLOCK):
        drawn = generator.integers(0, n, size=(BLOCK, n), dtype=np.int32)
        yield np.bincount((drawn + first).ravel(), minlength=BLOCK * n).reshape(BLOCK, n).astype(np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A group of prompts, such as a dimension, as a part of a total."""

    n: int
    mean: float
    variance: float
    interval: tuple[float, float]
    """Of the mean, by itself."""
    drawn: Floats
    """Resampled means, of `bootstrap_means`."""


def groups_of(
    groups: Mapping[str, Sequence[float]], intervals: Mapping[str, tuple[float, float]], drawn: Mapping[str, Floats]
) -> dict[str, Group]:  # fmt: skip
    """All that totals need to know of each group."""
    return {
        name: Group(n=len(v), mean=mean(v), variance=variance(v), interval=intervals[name], drawn=drawn[name])
        for name, v in groups.items()
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightedMean:
    """A weighted sum of the means of independent groups of prompts."""

    value: float
    low: float
    high: float
    error: float
    """Standard error."""
    freedom: float
    """Degrees of freedom of the standard error (Satterthwaite)."""


def weighted_mean(
    groups: Mapping[str, Group],
    weights: Mapping[str, float],
    *,
    span: tuple[float, float] = (0.0, 1.0),
    confidence: float = CONFIDENCE,
) -> WeightedMean:
    """Sum of weight x mean over the groups, weights renormalised over them; interval by bootstrap over prompts within each.

    The quantiles' distances from the value are stretched from the normal to Student's t, whose degrees of freedom are
    Satterthwaite's, for with few prompts a percentile interval is too short. And no total is surer than a single group makes
    it: it reaches as far as the weighted interval of any one of them, which knows of rare low scores that a bootstrap of ten
    prompts has not seen. `confidence` is that of the groups' intervals too.
    """
    whole = math.fsum(weights[name] for name in groups)
    share = {name: weights[name] / whole for name in groups}
    value = math.fsum(share[name] * g.mean for name, g in groups.items())
    drawn = np.sum([share[name] * g.drawn for name, g in groups.items()], axis=0)
    flat = (span[1] - span[0]) ** 2 / 12
    parts = {name: share[name] ** 2 * (g.variance / g.n if g.n > 1 else flat) for name, g in groups.items()}
    total = math.fsum(parts.values())
    unsure = math.fsum(parts[name] ** 2 / (g.n - 1) for name, g in groups.items() if g.n > 1)
    freedom = total * total / unsure if unsure > 0 else math.inf
    tail = (1 - confidence) / 2
    stretch = t_quantile(freedom, 1 - tail) / t_quantile(math.inf, 1 - tail)
    low, high = (value + stretch * (float(q) - value) for q in np.quantile(drawn, [tail, 1 - tail]))
    low = min(low, value - max(share[name] * (g.mean - g.interval[0]) for name, g in groups.items()))
    high = max(high, value + max(share[name] * (g.interval[1] - g.mean) for name, g in groups.items()))
    return WeightedMean(
        value=value,
        low=max(span[0], low),
        high=min(span[1], high),
        error=math.sqrt(total),
        freedom=freedom,
    )
