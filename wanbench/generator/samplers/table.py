"""The solvers by name: each a schedule and a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wanbench.generator.samplers import dpmpp, euler, unipc
from wanbench.generator.samplers.schedule import Schedule, Step


@dataclass(frozen=True)
class Solver:
    """How to get from noise to data."""

    schedule: Callable[[int, float], Schedule]
    """(steps, shift) -> times."""
    step: Step


SOLVERS: dict[str, Solver] = {
    "unipc": Solver(unipc.schedule, unipc.step),
    "dpmpp": Solver(dpmpp.schedule, dpmpp.step),
    "euler": Solver(euler.schedule, euler.step),
}
