"""A judge against people: agreement with their yes and no, a rate corrected by it, and Platt's calibration.

Ours, from textbook parts: Cohen's kappa with the large-sample variance of Fleiss, Cohen and Everitt (1969); a rate corrected
for sensitivity and specificity as Rogan and Gladen (1978); Platt (1999), with his smoothed targets. Each labelled question
counts as one observation: of several about one clip, the intervals are somewhat too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wanbench.errors import UsageError
from wanbench.judge.protocol import sigmoid
from wanbench.stats import wilson
from wanbench.types import JSONObject

Z = 1.959964
"""Of a 95 % interval of the normal distribution."""
LEAST_OF_EACH = 5
"""[ours] Labels of yes, and of no, under which a calibration would fit chance."""
NEWTON_STEPS = 100
FLATTEST = 1e-10
"""Newton's step at which the fit stands still."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """One question about one clip, answered by the judge and by people."""

    clip: str
    log_odds: float
    """Half the difference of question and contrary: the judge's probability of yes is its sigmoid."""
    label: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Platt:
    """P(people say yes) = sigmoid(slope * log-odds + offset)."""

    slope: float
    offset: float

    def __call__(self, log_odds: float) -> float:
        return sigmoid(self.slope * log_odds + self.offset)


def agreement(pairs: Sequence[Labelled]) -> JSONObject:
    """Accuracy, sensitivity, specificity and Cohen's kappa, each `{value, low, high}` or `{value: None, reason}`."""
    said, true = [p.log_odds >= 0 for p in pairs], [p.label for p in pairs]
    right = [float(s == t) for s, t in zip(said, true, strict=True)]
    return {
        "labels": len(pairs),
        "clips": len({p.clip for p in pairs}),
        "said_yes_people_yes": sum(s and t for s, t in zip(said, true, strict=True)),
        "said_yes_people_no": sum(s and not t for s, t in zip(said, true, strict=True)),
        "said_no_people_yes": sum(not s and t for s, t in zip(said, true, strict=True)),
        "said_no_people_no": sum(not s and not t for s, t in zip(said, true, strict=True)),
        "accuracy": share(right, "no label"),
        "sensitivity": share([r for r, t in zip(right, true, strict=True) if t], "people never say yes"),
        "specificity": share([r for r, t in zip(right, true, strict=True) if not t], "people never say no"),
        "kappa": kappa(said, true),
        "brier": mean_square([sigmoid(p.log_odds) for p in pairs], true),
    }


def share(values: Sequence[float], reason: str) -> JSONObject:
    """The mean of values in [0, 1] with its interval."""
    if not values:
        return {"value": None, "low": None, "high": None, "reason": reason}
    low, high = wilson(values)
    return {"value": math.fsum(values) / len(values), "low": low, "high": high}


def kappa(said: Sequence[bool], true: Sequence[bool]) -> JSONObject:
    """Cohen's kappa: agreement beyond what the two rates of yes give by chance."""
    cells = np.zeros((2, 2))
    np.add.at(cells, (np.asarray(said, int), np.asarray(true, int)), 1.0)
    n = cells.sum()
    p = cells / n if n else cells
    rows, columns = p.sum(1), p.sum(0)
    chance = float(rows @ columns)
    if not n or chance == 1.0:
        return {"value": None, "low": None, "high": None, "reason": "judge and people give one and the same answer to everything"}
    value = (float(np.trace(p)) - chance) / (1 - chance)
    both = columns[:, None] + rows[None, :]
    agreeing = float(np.sum(np.diag(p) * (1 - (rows + columns) * (1 - value)) ** 2))
    differing = (1 - value) ** 2 * float(np.sum((p * both**2)[~np.eye(2, dtype=bool)]))
    variance = (agreeing + differing - (value - chance * (1 - value)) ** 2) / (n * (1 - chance) ** 2)
    half = Z * math.sqrt(max(0.0, variance))
    return {"value": value, "low": max(-1.0, value - half), "high": min(1.0, value + half)}


def corrected_rate(rate: float, count: int, found: JSONObject) -> JSONObject:
    """How often people would say yes, from the judge's rate over `count` questions, its sensitivity and its specificity."""
    sensitivity, specificity = found["sensitivity"]["value"], found["specificity"]["value"]
    if sensitivity is None or specificity is None or sensitivity + specificity <= 1:
        return {"value": None, "low": None, "high": None, "reason": "the judge's answers do not follow people's"}
    power = sensitivity + specificity - 1
    value = (rate + specificity - 1) / power
    yes = found["said_yes_people_yes"] + found["said_no_people_yes"]
    no = found["said_yes_people_no"] + found["said_no_people_no"]
    variance = (
        rate * (1 - rate) / count
        + value**2 * sensitivity * (1 - sensitivity) / yes
        + (1 - value) ** 2 * specificity * (1 - specificity) / no
    ) / power**2
    half = Z * math.sqrt(variance)
    return {name: min(1.0, max(0.0, x)) for name, x in (("value", value), ("low", value - half), ("high", value + half))}


def mean_square(probabilities: Sequence[float], true: Sequence[bool]) -> float | None:
    """The Brier score: 0 is perfect, 0.25 is a coin."""
    return math.fsum((p - t) ** 2 for p, t in zip(probabilities, true, strict=True)) / len(true) if true else None


def fit(pairs: Sequence[Labelled]) -> Platt:
    """Raises `UsageError` where there are too few labels of either kind."""
    yes = sum(p.label for p in pairs)
    no = len(pairs) - yes
    if min(yes, no) < LEAST_OF_EACH:
        raise UsageError(f"a calibration needs {LEAST_OF_EACH} labels of yes and of no; there are {yes} and {no}")
    x = np.array([p.log_odds for p in pairs])
    target = np.array([(yes + 1) / (yes + 2) if p.label else 1 / (no + 2) for p in pairs])
    design = np.stack([x, np.ones_like(x)], 1)
    found = np.array([0.0, math.log((yes + 1) / (no + 1))])
    for _ in range(NEWTON_STEPS):
        step = _newton(design, target, found)
        while _loss(design, target, found + step) > _loss(design, target, found) + 1e-12:
            step = step / 2
        found = found + step
        if float(np.abs(step).max()) < FLATTEST:
            break
    return Platt(slope=float(found[0]), offset=float(found[1]))


def held_out_brier(pairs: Sequence[Labelled]) -> float | None:
    """The Brier score where each clip is predicted by a fit to all others; None where that leaves too few labels."""
    predicted, true = [], []
    for clip in dict.fromkeys(p.clip for p in pairs):
        try:
            calibrated = fit([p for p in pairs if p.clip != clip])
        except UsageError:
            return None
        for pair in pairs:
            if pair.clip == clip:
                predicted.append(calibrated(pair.log_odds))
                true.append(pair.label)
    return mean_square(predicted, true)


Floats = npt.NDArray[np.float64]


def _newton(design: Floats, target: Floats, at: Floats) -> Floats:
    p = 1 / (1 + np.exp(-(design @ at)))
    curvature = design.T @ (design * (p * (1 - p))[:, None]) + 1e-12 * np.eye(2)
    return np.asarray(np.linalg.solve(curvature, design.T @ (target - p)), np.float64)


def _loss(design: Floats, target: Floats, at: Floats) -> float:
    z = design @ at
    return float(np.sum(np.logaddexp(0, z) - target * z))
