"""Schedules and solvers: numbers worked by hand, and what every solver must do with a flow whose way is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from wanbench.generator.denoise import denoise, guided, switched
from wanbench.generator.samplers.schedule import Past
from wanbench.generator.samplers.table import SOLVERS

every_solver = pytest.mark.parametrize("name", SOLVERS)


def test_the_shift_by_hand() -> None:
    """Two steps from 1: 1 and 1/2; shifted by 3, 1/2 becomes 1.5 / 2."""
    times = SOLVERS["dpmpp"].schedule(2, 3.0)
    assert times.sigmas == (1.0, 0.75, 0.0)
    assert times.timesteps == (1000, 750)
    assert times.steps == 2


def test_times_are_cut_not_rounded() -> None:
    """0.999 * (1, 3/4, 2/4, 1/4): 749.25, 499.5 and 249.75 lose what is behind the point."""
    times = SOLVERS["unipc"].schedule(4, 1.0)
    assert times.timesteps == (999, 749, 499, 249)
    assert times.sigmas[1] == pytest.approx(0.74925, abs=1e-7)


def test_log_snr_by_hand() -> None:
    times = SOLVERS["dpmpp"].schedule(2, 3.0)
    assert times.log_snr(0) == -math.inf
    assert times.log_snr(1) == pytest.approx(math.log(1 / 3))
    assert times.log_snr(2) == math.inf


@every_solver
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_one_datum_is_reached_whatever_the_noise(name: str, steps: int) -> None:
    """All data being one point d, the velocity is (x - d) / sigma, and any number of steps ends there."""
    solver, datum = SOLVERS[name], torch.tensor([2.0, -1.0])
    times = solver.schedule(steps, 5.0)
    x, past = torch.tensor([0.3, 0.7]), Past()
    for i, sigma in enumerate(times.sigmas[:-1]):
        x, past = solver.step(times, i, x, (x - datum) / sigma, past)
    torch.testing.assert_close(x, datum, atol=1e-5, rtol=0)


def error_of(name: str, steps: int) -> float:
    """Data drawn from N(0, s^2): the flow is known, x(sigma) being in proportion to sqrt((1-sigma)^2 s^2 + sigma^2)."""
    s, solver = 0.5, SOLVERS[name]
    times = solver.schedule(steps, 1.0)
    x, past = torch.ones(1, dtype=torch.float64), Past()
    for i, sigma in enumerate(times.sigmas[:-1]):
        variance = (1 - sigma) ** 2 * s**2 + sigma**2
        data = (1 - sigma) * s**2 / variance * x
        x, past = solver.step(times, i, x, (x - data) / sigma, past)
    start = times.sigmas[0]
    return abs(float(x) - s / math.sqrt((1 - start) ** 2 * s**2 + start**2))


def test_twice_the_steps_half_the_error_of_euler_and_less_of_the_others() -> None:
    assert error_of("euler", 40) / error_of("euler", 80) == pytest.approx(2, rel=0.1)
    for name in ("dpmpp", "unipc"):
        assert error_of(name, 40) / error_of(name, 80) > 3
        assert error_of(name, 40) < error_of("euler", 40) / 4


def test_unipc_corrects_what_euler_does_not() -> None:
    """At few steps the corrector is what sets it apart from DPM++ on the same flow."""
    assert error_of("unipc", 8) < error_of("dpmpp", 8) / 2


def test_guidance_by_hand() -> None:
    asked = []

    def network(x: Tensor, t: int, condition: float) -> Tensor:
        asked.append(condition)
        return x * condition

    x = torch.tensor([1.0, 2.0])
    assert guided(network, 3.0, 1.0, 5.0)(x, 0).tolist() == [11, 22]  # 1 + 5 (3 - 1)
    assert asked == [3.0, 1.0]
    assert guided(network, 3.0, 1.0, None)(x, 0).tolist() == [3, 6]
    assert asked == [3.0, 1.0, 3.0]


def test_the_time_chooses_the_expert() -> None:
    velocity = switched(lambda x, t: x + 1, lambda x, t: x - 1, 0.875)
    assert [float(velocity(torch.zeros(()), t)) for t in (999, 875, 874, 0)] == [1, 1, -1, -1]


@pytest.mark.parametrize(
    ("shift", "boundary", "high", "last", "first"),
    [(12.0, 0.875, 26, 877, 865), (5.0, 0.9, 15, 902, 892), (3.0, 0.9, 10, 911, 899)],
)
def test_steps_of_the_high_noise_expert(shift: float, boundary: float, high: int, last: int, first: int) -> None:
    """Forty steps of the released two-expert networks, as counted with the official code."""
    times = SOLVERS["unipc"].schedule(40, shift).timesteps
    assert sum(t >= boundary * 1000 for t in times) == high
    assert times[high - 1 : high + 1] == (last, first)


def test_what_is_given_is_restored_at_the_start_and_after_every_step() -> None:
    solver = SOLVERS["euler"]
    times = solver.schedule(3, 1.0)

    def restore(x: Tensor) -> Tensor:
        return torch.cat((torch.full((1,), 7.0), x[1:]))

    points = list(denoise(lambda x, t: torch.ones_like(x), torch.zeros(2), times, solver.step, restore))
    assert all(float(x[0]) == 7 for p in points for x in (p.before, p.after))
    assert float(points[-1].after[1]) == pytest.approx(-1)
    assert [p.timestep for p in points] == [1000, 666, 333]
