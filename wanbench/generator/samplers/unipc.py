"""UniPC (arXiv 2302.04867) of order 2, B2(h) = e^h - 1, predicting data: corrects the sample it came with, then predicts on.

The correction does not ask the network again: the predicted data stay those of the uncorrected sample.
"""

from __future__ import annotations

import math

from torch import Tensor

from wanbench.generator.samplers import schedule as times
from wanbench.generator.samplers.schedule import Past, Schedule, predicted_data

# 0.999 as the official table, built in float32, holds it.
FIRST_SIGMA = 0.9990000128746033


def schedule(steps: int, shift: float) -> Schedule:
    """N = `steps` times; the first is not quite pure noise."""
    return times.schedule(FIRST_SIGMA, steps, shift)


def step(schedule: Schedule, i: int, x: Tensor, v: Tensor, past: Past) -> tuple[Tensor, Past]:
    """One step; x and v of one shape."""
    data = predicted_data(schedule, i, x, v)
    if i > 0:
        x = _correct(schedule, i, data, past)
    order = min(2, schedule.steps - i, i + 1)
    after = _predict(schedule, i, x, data, past, order)
    return after, Past(predictions=(*past.predictions, data)[-2:], corrected=x, order=order)


def _predict(schedule: Schedule, i: int, x: Tensor, data: Tensor, past: Past, order: int) -> Tensor:
    """The sample at time i + 1 from the corrected one at time i."""
    h = schedule.log_snr(i + 1) - schedule.log_snr(i)
    factor = schedule.alpha(i + 1) * math.expm1(-h)
    after = schedule.sigmas[i + 1] / schedule.sigmas[i] * x - factor * data
    if order == 2:
        r = (schedule.log_snr(i - 1) - schedule.log_snr(i)) / h
        after = after - 0.5 * factor * (past.predictions[-1] - data) / r
    return after


def _correct(schedule: Schedule, i: int, data: Tensor, past: Past) -> Tensor:
    """The sample at time i again, from the one at time i - 1 and the data predicted at both ends."""
    assert past.corrected is not None
    before = past.predictions[-1]
    h = schedule.log_snr(i) - schedule.log_snr(i - 1)
    e = math.expm1(-h)
    factor = schedule.alpha(i) * e
    base = schedule.sigmas[i] / schedule.sigmas[i - 1] * past.corrected - factor * before
    if past.order == 1:
        return base - 0.5 * factor * (data - before)
    r = (schedule.log_snr(i - 2) - schedule.log_snr(i - 1)) / h
    first, second = _weights(h, e, r)
    return base - factor * (first * (past.predictions[-2] - before) / r + second * (data - before))


def _weights(h: float, e: float, r: float) -> tuple[float, float]:
    """Weights of the two differences: they solve [[1, 1], [r, 1]] rho = [b0, b1] (section 3.2 of the paper)."""
    a1 = -e / h - 1
    a2 = -a1 / h - 0.5
    b0, b1 = a1 / e, 2 * a2 / e
    first = (b0 - b1) / (1 - r)
    return first, b0 - first
