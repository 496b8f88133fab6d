"""DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2), midpoint form, predicting data; first and last step of first order."""

from __future__ import annotations

import math

from torch import Tensor

from wanbench.generator.samplers import schedule as times
from wanbench.generator.samplers.schedule import Past, Schedule, predicted_data


def schedule(steps: int, shift: float) -> Schedule:
    """N = `steps` times, the first of pure noise."""
    return times.schedule(1.0, steps, shift)


def step(schedule: Schedule, i: int, x: Tensor, v: Tensor, past: Past) -> tuple[Tensor, Past]:
    """One step; x and v of one shape.

    Pure noise has a log-SNR of minus infinity: from there h is infinite, and in the step after it so is r, which takes the second
    order away by itself.
    """
    data = predicted_data(schedule, i, x, v)
    h = schedule.log_snr(i + 1) - schedule.log_snr(i)
    factor = schedule.alpha(i + 1) * math.expm1(-h)
    after = schedule.sigmas[i + 1] / schedule.sigmas[i] * x - factor * data
    if 0 < i < schedule.steps - 1:
        r = (schedule.log_snr(i) - schedule.log_snr(i - 1)) / h
        after = after - 0.5 * factor * (data - past.predictions[-1]) / r
    return after, Past(predictions=(data,))
