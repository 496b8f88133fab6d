"""How the two passes of guidance are made: one after the other, as one batch, or the second one only now and then.

The last is the guidance cache of the Wan report (arXiv 2503.20314, on inference): what guidance adds changes slowly from step to
step, so that its last value serves for some steps. It is approximate; the other two are the same formula.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from wanbench.errors import UsageError
from wanbench.generator.denoise import Velocity, guided
from wanbench.generator.deviation import Deviation, deviation

C = TypeVar("C")

Passes = Callable[[Tensor, int, Sequence[C]], Tensor]
"""(x, time, n conditions) -> n velocities [n, ...]."""
Guide = Callable[[Passes[C], C, C, float | None], Velocity]
"""(passes, positive, negative, scale) -> guided velocity; a scale of none is one pass."""


def apart(passes: Passes[C], positive: C, negative: C, scale: float | None) -> Velocity:
    """Two passes of one sample each: half of the activations."""
    return guided(lambda x, t, told: passes(x, t, [told])[0], positive, negative, scale)


def together(passes: Passes[C], positive: C, negative: C, scale: float | None) -> Velocity:
    """One pass of two samples: parameters are read once."""
    if scale is None:
        return apart(passes, positive, negative, scale)

    def velocity(x: Tensor, t: int) -> Tensor:
        toward, away = passes(x, t, [positive, negative]).unbind()
        made: Tensor = away + scale * (toward - away)
        return made

    return velocity


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """Which steps are computed in full."""

    first: int
    """Steps at the beginning, where the picture is laid out."""
    every: int
    """Afterwards one step of so many."""

    def __post_init__(self) -> None:
        if self.first < 0 or self.every < 1:
            raise UsageError(f"the first {self.first} steps and then every {self.every}: wanted at least 0 and 1")

    def fresh(self, step: int) -> bool:
        """Whether step 0, 1, ... is computed in full; what it gives serves until the next one is."""
        return step < self.first or (step - self.first) % self.every == 0


def reused(rhythm: Rhythm, watch: Callable[[Deviation], None] | None = None) -> Guide[C]:
    """Guidance whose difference is computed at some steps and kept for the others, which then cost one pass.

    `watch` is told how far off the first step is that reuses: that costs its second pass after all.
    """
    watched = watch is None

    def guide(passes: Passes[C], positive: C, negative: C, scale: float | None) -> Velocity:
        if scale is None:
            return apart(passes, positive, negative, scale)
        kept: list[Tensor] = []
        step = 0

        def velocity(x: Tensor, t: int) -> Tensor:
            nonlocal step, watched
            toward = passes(x, t, [positive])[0]
            if rhythm.fresh(step):
                kept[:] = [toward - passes(x, t, [negative])[0]]
            step += 1
            made: Tensor = toward + (scale - 1) * kept[0]
            if watch is not None and not watched and not rhythm.fresh(step - 1):
                watched = True
                watch(deviation(made, toward + (scale - 1) * (toward - passes(x, t, [negative])[0])))
            return made

        return velocity

    return guide
