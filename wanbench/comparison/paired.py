"""Two candidates on the same prompts: what can be said of the mean of the prompts' differences (ours; `docs/statistics.md`).

The sign-flip test is Fisher's: if the candidates do not differ, each difference could as well have had the other sign. The p of
drawn flips is (b + 1) / (B + 1) of Phipson and Smyth (arXiv 1603.05766), Holm's correction that of Holm (1979).
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from wanbench.stats import BLOCK, CONFIDENCE, LARGEST_KEPT, Floats, K, mean, shuffled, t_quantile, variance

FLIPS = 9_999
FEWEST_DRAWN = 20
"""With fewer differences that are not zero, every flip is tried: at most 2^18 sums, exact and quick."""
POWER = 0.8
ROUNDING = 1e-9
"""Sums that differ by less, relative to the sum of sizes, are equal: what is left is the order in which they were added."""


def t_interval(differences: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of the mean difference of prompts, within [-1, 1]; one prompt says nothing. Raises `ValueError` for none."""
    n = len(differences)
    if n == 0:
        raise ValueError("the interval of no difference")
    if n == 1:
        return -1.0, 1.0
    half = t_quantile(n - 1, 0.5 + confidence / 2) * math.sqrt(variance(differences) / n)
    middle = mean(differences)
    return max(-1.0, middle - half), min(1.0, middle + half)


def t_test_below(differences: Sequence[float], bound: float) -> float:
    """One-sided p of the hypothesis that the mean difference is at least `bound`: small when it lies below. One prompt: 1."""
    from scipy.special import stdtr

    n = len(differences)
    if n < 2:
        return 1.0
    error, above = math.sqrt(variance(differences) / n), mean(differences) - bound
    if error == 0:
        return 0.0 if above < 0 else 1.0
    return float(stdtr(n - 1, above / error))


@functools.lru_cache(maxsize=1024)
def detectable_errors(freedom: float) -> float:
    """How many standard errors a true difference must measure to be found with 80 % power at 5 %, two-sided.

    The non-centrality at which the t test rejects with that power (the other tail, under 1e-6 here, left out).
    """
    from scipy.special import nctdtrinc

    limit = t_quantile(freedom, 0.5 + CONFIDENCE / 2)
    normal = limit + t_quantile(math.inf, POWER)
    return normal if freedom > 1e5 else float(nctdtrinc(freedom, 1 - POWER, limit))


def smallest_detectable(differences: Sequence[float]) -> float | None:
    """The true mean difference that this many prompts, spread like these, show with 80 % power; None where no spread is known."""
    n = len(differences)
    error = math.sqrt(variance(differences) / n) if n > 1 else 0.0
    return min(1.0, detectable_errors(n - 1) * error) if error > 0 else None


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p of a family of tests: who rejects those under alpha wrongly rejects any with a probability of alpha at most."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def every_flip(values: Sequence[float]) -> Floats:
    """Sums of `values` under every choice of signs but the first one's, (2^(n - 1),): the other half has the same sizes."""
    sums = np.array(values[:1])
    for value in values[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def sign_flip(differences: Sequence[float] | Floats, flipped: Floats) -> float:
    """Two-sided p of the sign-flip test of a mean of 0; `flipped` (FLIPS,) are drawn sums of the differences under flips.

    With under 20 differences that are not zero, the exact p and no other; with none, 1.
    """
    values = np.asarray(differences, np.float64)
    moved = values[values != 0]
    if len(moved) == 0:
        return 1.0
    observed = abs(float(moved.sum())) - ROUNDING * float(np.abs(moved).sum())
    if len(moved) < FEWEST_DRAWN:
        return float(np.mean(np.abs(every_flip(moved.tolist())) >= observed))
    return (int(np.count_nonzero(np.abs(flipped) >= observed)) + 1) / (len(flipped) + 1)


def sign_flip_below(differences: Sequence[float]) -> float:
    """One-sided exact p of the sign-flip test: small when the differences lie below 0; for under `FEWEST_DRAWN` of them."""
    moved = [d for d in differences if d != 0]
    if not moved:
        return 1.0
    limit = math.fsum(moved) + ROUNDING * math.fsum(abs(d) for d in moved)
    sums = every_flip(moved)
    return float(np.mean(np.concatenate([sums, -sums]) <= limit))


def flipped_sums(
    groups: Mapping[K, Sequence[float]], seed: int, stream: Callable[[K], str] = str
) -> dict[K, Floats]:  # fmt: skip
    """Sums of each group's values under drawn signs, (FLIPS,) each; its draws depend on its stream, its size and the seed."""
    by_size: dict[int, list[K]] = defaultdict(list)
    for key, values in groups.items():
        by_size[len(values)].append(key)
    sums: dict[K, Floats] = {}
    for n, keys in by_size.items():
        # Sorted: neither the order of prompts nor that of candidates may move a p-value.
        columns = np.sort(np.abs(np.array([groups[key] for key in keys])), axis=1).T
        drawn = np.concatenate([signs @ columns for signs in _signs(n, seed)]).T
        for row, key in enumerate(keys):
            sums[key] = drawn[row][shuffled(stream(key), seed, FLIPS)]
    return {key: sums[key] for key in groups}


def _signs(n: int, seed: int) -> Sequence[Floats]:
    return _kept_signs(n, seed) if n <= LARGEST_KEPT else list(_drawn_signs(n, seed))


@functools.lru_cache(maxsize=8)
def _kept_signs(n: int, seed: int) -> Sequence[Floats]:
    return list(_drawn_signs(n, seed))


def _drawn_signs(n: int, seed: int) -> Iterator[Floats]:
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, n, FLIPS])))
    for start in range(0, FLIPS, BLOCK):
        rows = min(BLOCK, FLIPS - start)
        bits = np.unpackbits(np.frombuffer(generator.bytes(rows * n // 8 + 1), np.uint8))[: rows * n]
        yield bits.astype(np.float64).reshape(rows, n) * 2 - 1
