"""Euler's method: straight along the velocity. Not in the official code ("ours"), the usual choice of few-step networks."""

from __future__ import annotations

from torch import Tensor

from wanbench.generator.samplers import schedule as times
from wanbench.generator.samplers.schedule import Past, Schedule


def schedule(steps: int, shift: float) -> Schedule:
    """N = `steps` times, the first of pure noise."""
    return times.schedule(1.0, steps, shift)


def step(schedule: Schedule, i: int, x: Tensor, v: Tensor, past: Past) -> tuple[Tensor, Past]:
    """x + (sigma_{i+1} - sigma_i) * v; x and v of one shape."""
    return x + (schedule.sigmas[i + 1] - schedule.sigmas[i]) * v, past
