"""Bootstrap of human votes over prompts and annotators, and the estimates it gives intervals to (ours). Light half.

Votes on one prompt have the prompt in common, votes of one annotator the annotator, so both are drawn anew, independently, and a
vote counts as often as its prompt times as often as its annotator was drawn: the pigeonhole bootstrap (Owen, Annals of Applied
Statistics 2007), which errs on the wide side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wanbench.stats import CONFIDENCE
from wanbench.types import SCORE_DECIMALS, JSONObject

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

RESAMPLES = 2000
"""Fifty lie beyond each end of a 95 % interval (ours)."""
AT_ONCE = 100
"""Resamples in memory together; moves no number."""
LARGEST_SHARE_LOST = 0.05
"""If more resamples than this have no estimate, no interval is given (ours): what is left would be a choice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number with its 95 % interval; None where there is none, and then why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    def to_json(self, name: str = "value") -> JSONObject:
        numbers = {name: self.value, "low": self.low, "high": self.high}
        told: JSONObject = {k: None if v is None else round(v, SCORE_DECIMALS) + 0.0 for k, v in numbers.items()}
        return {**told, **({"reason": self.reason} if self.reason else {})}


def draws(prompts: int, annotators: int, seed: int, resamples: int = RESAMPLES) -> Iterator[tuple[Floats, Floats]]:
    """How often each prompt (B, prompts) and each annotator (B, annotators) was drawn, `AT_ONCE` resamples at a time."""
    generator = np.random.Generator(np.random.Philox(seed))
    for start in range(0, resamples, AT_ONCE):
        size = min(AT_ONCE, resamples - start)
        drawn = (generator.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64) for n in (prompts, annotators))
        yield next(drawn), next(drawn)


def estimate(value: float, resampled: Floats) -> Estimate:
    """`value` with the percentile interval of `resampled` (B,), widened to hold it; NaN: a resample without an estimate."""
    known = resampled[np.isfinite(resampled)]
    lost = 1 - len(known) / len(resampled)
    if lost > LARGEST_SHARE_LOST:
        return Estimate(value=value, reason=f"no interval: {100 * lost:.0f} % of the resamples have no estimate")
    low, high = np.quantile(known, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Estimate(value=value, low=min(float(low), value), high=max(float(high), value))
