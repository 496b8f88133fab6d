"""Times of the flow (rectified flow, arXiv 2209.03003, with the shift of Stable Diffusion 3, arXiv 2403.03206).

x = (1 - sigma) * data + sigma * noise. The network is told the whole number of thousandths, *truncated*; the solver uses sigma.
The two are not equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

TRAIN_TIMESTEPS = 1000


@dataclass(frozen=True)
class Schedule:
    """Where a solver stands at each of N steps."""

    sigmas: tuple[float, ...]
    """N + 1 shares of noise, falling, each a float32; the last is 0."""
    timesteps: tuple[int, ...]
    """N times for the network, 0..1000."""

    @property
    def steps(self) -> int:
        """How often the velocity is asked for."""
        return len(self.timesteps)

    def alpha(self, i: int) -> float:
        """Share of data at time i."""
        return 1 - self.sigmas[i]

    def log_snr(self, i: int) -> float:
        """ln(alpha / sigma): -inf where all is noise, +inf at the end."""
        if self.sigmas[i] == 0:
            return math.inf
        return -math.inf if self.sigmas[i] == 1 else math.log(self.alpha(i)) - math.log(self.sigmas[i])


@dataclass(frozen=True)
class Past:
    """What a solver knows of the steps before; each uses what it needs."""

    predictions: tuple[Tensor, ...] = ()
    """Predicted data of the last two steps, the newest last."""
    corrected: Tensor | None = None
    """Sample of the last step after its correction (UniPC)."""
    order: int = 0
    """Order of the last prediction (UniPC)."""


Step = Callable[[Schedule, int, Tensor, Tensor, Past], tuple[Tensor, Past]]
"""(schedule, i, x at time i, velocity there, past) -> (x at time i + 1, past); x and velocity of one shape."""


def schedule(first: float, steps: int, shift: float) -> Schedule:
    """Times from `first` down to 0 in `steps` equal parts, then shifted once: s * shift / (1 + (shift - 1) * s)."""
    even = np.linspace(first, 0.0, steps + 1)[:-1]
    sigmas = shift * even / (1 + (shift - 1) * even)
    timesteps = (sigmas * TRAIN_TIMESTEPS).astype(np.int64)
    return Schedule((*sigmas.astype(np.float32).tolist(), 0.0), tuple(timesteps.tolist()))


def predicted_data(schedule: Schedule, i: int, x: Tensor, v: Tensor) -> Tensor:
    """Data that velocity v at x leads to: x - sigma * v."""
    return x - schedule.sigmas[i] * v
