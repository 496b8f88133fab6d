"""A gate that stops as soon as it can: prompts one after another, until a verdict is sure (ours; `docs/gate.md`). Light half.

Prompt i has the weight a_i = w_d / n_d, so that the weighted scores differ by dS = sum a_i f_i, where f_i in [-1, 1] is
candidate - baseline on it. Prompts are drawn without replacement with probability proportional to a_i. Then the next
Z_t = f_i A_t, with A_t the weight not yet drawn, has the mean dS - (sum of a f so far), and betting on it (Waudby-Smith and
Ramdas, arXiv 2006.04347) gives a wealth that under the hypothesis exceeds 1 / alpha with a probability of at most alpha, whenever
one looks. PASS rejects dS <= -margin, REGRESSION rejects dS >= -floor; when every prompt is drawn, dS is known.

A prompt on which the candidate could not be measured has an f within bounds, and each verdict takes the end that speaks against
it: what is missing can only delay it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Verdict = Literal["PASS", "REGRESSION"]

BOLDEST = 0.95
"""The largest share of its wealth that a bet puts at risk: with 1, a single prompt could ruin it for good."""
BETS = 9
"""Bets are BOLDEST * 2^-k, k = 0 .. 8, and the wealth is their mean: large differences want bold bets, small ones timid."""
ROUNDING = 1e-9
"""Weight that is left over when all prompts are drawn, for sums are rounded."""


def prompt_weights(dimensions: Mapping[str, str], weights: Mapping[str, float]) -> dict[str, float]:
    """Prompt id -> a_i = w_d / n_d, together 1. `dimensions`: prompt id -> dimension; weights are renormalised over those."""
    sizes: dict[str, int] = {}
    for dimension in dimensions.values():
        sizes[dimension] = sizes.get(dimension, 0) + 1
    whole = math.fsum(weights[d] for d in sizes)
    return {prompt: weights[d] / whole / sizes[d] for prompt, d in dimensions.items()}


def draw_order(weights: Mapping[str, float], seed: int) -> list[str]:
    """All prompts in the order drawn without replacement, each time with probability proportional to weight.

    Waiting times that are exponential with rate a_i end in that order (Efraimidis and Spirakis 2006). Raises `ValueError` for a
    weight that is not positive.
    """
    if any(w <= 0 for w in weights.values()):
        raise ValueError("a prompt without weight is never drawn: leave it out")
    names = sorted(weights)  # a file's order must not matter
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, len(names)])))
    waits = generator.exponential(size=len(names)) / np.array([weights[n] for n in names])
    return [names[i] for i in np.argsort(waits, kind="stable")]


class Bet:
    """A bet that the weighted sum of values in [-1, 1] exceeds `null`; its wealth is an e-value at any time."""

    def __init__(self, null: float) -> None:
        self._null = null
        self._logs = np.zeros(BETS)
        self._shares = BOLDEST * 2.0 ** -np.arange(BETS)
        self._certain = False

    def add(self, value: float, past: float, left: float) -> None:
        """One prompt more: its `value`, the weighted sum `past` of those before it, the weight `left` not drawn before it."""
        null_mean = self._null - past
        if null_mean < -left:  # even if all that is left came out at -1
            self._certain = True
        if self._certain or null_mean == -left:
            return
        gain = (value * left - null_mean) / (left + null_mean)
        self._logs += np.log1p(self._shares * gain)

    @property
    def log_wealth(self) -> float:
        if self._certain:
            return math.inf
        top = float(self._logs.max())
        return top + math.log(float(np.mean(np.exp(self._logs - top))))


@dataclass(slots=True)
class SequentialGate:
    """Takes prompts in the order of `draw_order` and says when it is sure. Its state is the stream, nothing else.

    `margin`: the tolerated drop; `floor`: the noise floor; both at least 0, the floor not larger. A drop between the two may get
    either verdict; both are true of it. `weights`: prompt id -> weight, together 1.
    """

    weights: Mapping[str, float]
    margin: float
    floor: float
    alpha: float = 0.05
    """Largest probability of a wrong verdict, of either kind."""
    verdict: Verdict | None = None
    exact: bool = False
    """Whether all prompts were drawn, so that the verdict holds for this suite without any doubt."""
    lowest: float = 0.0
    """Weighted sum of the differences so far, at their lower ends; dS itself once all are drawn and known."""
    highest: float = 0.0
    """The same at their upper ends."""
    seen: set[str] = field(default_factory=set)
    """Prompts drawn so far."""
    _left: float = 1.0
    _passing: Bet = field(init=False)
    _regressing: Bet = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= self.margin < 1 or not 0 < self.alpha < 1:
            raise ValueError(f"margin {self.margin}, floor {self.floor}, alpha {self.alpha}: wanted 0 <= floor <= margin < 1")
        if abs(math.fsum(self.weights.values()) - 1) > ROUNDING:
            raise ValueError(f"the weights sum to {math.fsum(self.weights.values())}, not to 1")
        self._passing, self._regressing = Bet(-self.margin), Bet(self.floor)

    @property
    def drawn(self) -> int:
        return len(self.seen)

    def add(self, prompt: str, low: float, high: float | None = None) -> Verdict | None:
        """The next drawn prompt, and candidate - baseline on it, in [-1, 1], or what it lies between; gives the verdict if any.

        When all prompts are drawn and what could not be measured leaves both verdicts possible, there is none.
        """
        high = low if high is None else high
        if not -1 <= low <= high <= 1:
            raise ValueError(f"{prompt}: a difference of {low} to {high} is outside [-1, 1]")
        if self.verdict:
            return self.verdict
        if prompt in self.seen:
            raise ValueError(f"{prompt} was drawn before")
        self.seen.add(prompt)
        self._passing.add(low, self.lowest, self._left)
        self._regressing.add(-high, -self.highest, self._left)
        self.lowest += self.weights[prompt] * low
        self.highest += self.weights[prompt] * high
        self._left = max(0.0, self._left - self.weights[prompt])
        enough = -math.log(self.alpha)
        if self.drawn == len(self.weights):
            self.exact = True
            if self.lowest > -self.margin:
                self.verdict = "PASS"
            elif self.highest <= -self.margin:
                self.verdict = "REGRESSION"
        elif self._passing.log_wealth >= enough:
            self.verdict = "PASS"
        elif self._regressing.log_wealth >= enough:
            self.verdict = "REGRESSION"
        return self.verdict


def decide(
    stream: Iterable[tuple[str, float]], weights: Mapping[str, float], *, margin: float, floor: float, alpha: float = 0.05
) -> SequentialGate:
    """Read (prompt, difference) in drawn order until there is a verdict; the gate says how many it took.

    A stream that ends before leaves the verdict None: inconclusive.
    """
    gate = SequentialGate(weights=weights, margin=margin, floor=floor, alpha=alpha)
    for prompt, difference in stream:
        if gate.add(prompt, difference):
            break
    return gate


def simulate(differences: Sequence[float], weights: Sequence[float], *, margin: float, floor: float, seed: int) -> SequentialGate:
    """The gate on a suite whose differences are known, in the order drawn with `seed`."""
    names = [f"{k:06}" for k in range(len(weights))]
    by_name = dict(zip(names, weights, strict=True))
    values = dict(zip(names, differences, strict=True))
    return decide(((p, values[p]) for p in draw_order(by_name, seed)), by_name, margin=margin, floor=floor)
