"""From noise to latents: guidance (arXiv 2207.12598), the choice between two experts (Wan2.2), and the loop of a solver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from wanbench.generator.samplers.schedule import TRAIN_TIMESTEPS, Past, Schedule, Step

C = TypeVar("C")

Velocity = Callable[[Tensor, int], Tensor]
"""(x, time 0..1000) -> velocity of x's shape."""


@dataclass(frozen=True)
class Point:
    """A place on the way."""

    timestep: int
    """What the network was told, 0..1000."""
    before: Tensor
    """Latents that it saw."""
    after: Tensor
    """Latents after the step."""


def guided(network: Callable[[Tensor, int, C], Tensor], positive: C, negative: C, scale: float | None) -> Velocity:
    """Velocity that moves away from the negative condition: v_neg + scale * (v_pos - v_neg), in float32.

    network: (x, time, condition) -> velocity. Always two passes, the positive first; a scale of none is one pass, which networks
    distilled with their guidance want.
    """

    def velocity(x: Tensor, t: int) -> Tensor:
        toward = network(x, t, positive)
        if scale is None:
            return toward
        away = network(x, t, negative)
        return away + scale * (toward - away)

    return velocity


def switched(high: Velocity, low: Velocity, boundary: float) -> Velocity:
    """Two experts: `high` for times from boundary * 1000 on, `low` below. It is the time that decides, not the share of steps."""

    def velocity(x: Tensor, t: int) -> Tensor:
        return (high if t >= boundary * TRAIN_TIMESTEPS else low)(x, t)

    return velocity


@torch.no_grad()
def denoise(
    velocity: Velocity, noise: Tensor, schedule: Schedule, step: Step, restore: Callable[[Tensor], Tensor] | None = None
) -> Iterator[Point]:
    """The loop; latents of any shape. `restore` puts back what is given, at the start and after every step.

    The past of the solver runs through a switch of experts: it belongs to the sample.
    """
    restore = restore or (lambda x: x)
    x, past = restore(noise), Past()
    for i, t in enumerate(schedule.timesteps):
        after, past = step(schedule, i, x, velocity(x, t), past)
        after = restore(after)
        yield Point(t, x, after)
        x = after
