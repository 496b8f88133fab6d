"""The gate that stops early: weights and draws, the betting by hand, error rates, and the exact end."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from wanbench.comparison.sequential import Bet, SequentialGate, decide, draw_order, prompt_weights, simulate


def test_weights_of_prompts_by_hand() -> None:
    """Dimension a of weight 0.6 has two prompts, b of weight 0.2 one; over the two of them 0.8 is the whole."""
    found = prompt_weights({"p": "a", "q": "a", "r": "b"}, {"a": 0.6, "b": 0.2, "c": 0.2})
    assert found == pytest.approx({"p": 0.375, "q": 0.375, "r": 0.25})


def test_draws_are_proportional_to_weight_and_without_replacement() -> None:
    """First p with 0.5, q with 0.3, r with 0.2; after p first, q comes second with 0.3 / 0.5."""
    weights = {"p": 0.5, "q": 0.3, "r": 0.2}
    orders = [draw_order(weights, seed) for seed in range(4000)]
    assert all(sorted(o) == ["p", "q", "r"] for o in orders)
    first = [o[0] for o in orders]
    for prompt, weight in weights.items():
        assert first.count(prompt) / 4000 == pytest.approx(weight, abs=4 * math.sqrt(weight * (1 - weight) / 4000))
    after_p = [o[1] for o in orders if o[0] == "p"]
    assert after_p.count("q") / len(after_p) == pytest.approx(0.6, abs=0.05)
    assert draw_order(dict(reversed(weights.items())), 7) == draw_order(weights, 7)
    with pytest.raises(ValueError, match="without weight"):
        draw_order({"p": 1.0, "q": 0.0}, 0)


def test_one_bet_by_hand() -> None:
    """Null -0.1, f = 0.5, nothing past, all left: a gain of (0.5 + 0.1) / (1 - 0.1), staked at 0.95 2^-k for k = 0..8."""
    bet = Bet(-0.1)
    bet.add(0.5, past=0.0, left=1.0)
    by_hand = sum(1 + 0.95 * 2**-k * (0.6 / 0.9) for k in range(9)) / 9
    assert math.exp(bet.log_wealth) == pytest.approx(by_hand)


def test_two_bets_by_hand() -> None:
    """After f = 0.5 of weight 0.2: m = -0.1 - 0.1 = -0.2, A = 0.8, Z = -0.25 x 0.8 = -0.2, so the second gain is 0 / 0.6.

    A third of f = 1 and A = 0.5 after past = 0.2 - 0.075: Z = 0.5.
    """
    bet = Bet(-0.1)
    bet.add(0.5, past=0.0, left=1.0)
    before = bet.log_wealth
    bet.add(-0.25, past=0.1, left=0.8)
    assert bet.log_wealth == pytest.approx(before)
    past = 0.1 - 0.25 * 0.3
    bet.add(1.0, past=past, left=0.5)
    gains = (0.6 / 0.9, 0.0, (0.5 + 0.1 + past) / (0.5 - 0.1 - past))
    by_hand = sum(math.prod(1 + 0.95 * 2**-k * g for g in gains) for k in range(9)) / 9
    assert math.exp(bet.log_wealth) == pytest.approx(by_hand)


def test_what_cannot_be_lost_any_more_is_certain() -> None:
    """0.3 past and 0.25 left: even at -1 the rest ends at +0.05, over a null of 0."""
    bet = Bet(0.0)
    bet.add(0.1, past=0.3, left=0.25)
    assert bet.log_wealth == math.inf


def test_wealth_is_a_fair_game_under_the_null() -> None:
    """Whatever is left, the expected factor of the next draw is 1 when the sum is exactly the null."""
    values, weights = np.array([0.9, -0.4, 0.1, -0.8]), np.array([0.1, 0.2, 0.3, 0.4])
    null = float(values @ weights)
    wealth = []
    for value in values:
        bet = Bet(null)
        bet.add(float(value), past=0.0, left=1.0)
        wealth.append(math.exp(bet.log_wealth))
    assert float(np.array(wealth) @ weights) == pytest.approx(1.0)


def test_an_exhausted_suite_is_answered_exactly() -> None:
    """Ten prompts of weight 0.1: nine at 0 and one at -0.4 are -0.04, a drop over the margin of 0.03; at -0.2 they are -0.02."""
    weights = [0.1] * 10
    for worst, verdict in ((-0.4, "REGRESSION"), (-0.2, "PASS")):
        found = simulate([0.0] * 9 + [worst], weights, margin=0.03, floor=0.0, seed=1)
        assert (found.verdict, found.exact, found.drawn) == (verdict, True, 10)
        assert found.lowest == found.highest == pytest.approx(worst / 10)


def test_a_stream_that_ends_early_decides_nothing() -> None:
    weights = {f"p{k}": 0.01 for k in range(100)}
    found = decide(((f"p{k}", -0.02) for k in range(5)), weights, margin=0.03, floor=0.0)
    assert (found.verdict, found.exact, found.drawn) == (None, False, 5)


def test_what_could_not_be_measured_never_decides() -> None:
    """Ten prompts of weight 0.1. Nine known at 0; the last lies between -0.8 and 0.2, so that dS lies between -0.08 and 0.02."""
    weights = {f"p{k}": 0.1 for k in range(10)}
    for known, verdict in (([0.0] * 9, None), ([0.1] * 9, "PASS"), ([-0.1] * 9, "REGRESSION")):
        found = SequentialGate(weights=weights, margin=0.05, floor=0.0, alpha=1e-9)
        for prompt, difference in zip(weights, known, strict=False):
            assert found.add(prompt, difference) is None
        assert found.add("p9", -0.8, 0.2) == verdict
        assert (found.lowest, found.highest) == pytest.approx((sum(known) / 10 - 0.08, sum(known) / 10 + 0.02))
        assert found.exact
    with pytest.raises(ValueError, match=r"a difference of 0\.2 to 0\.1 is outside"):
        SequentialGate(weights=weights, margin=0.05, floor=0.0).add("p0", 0.2, 0.1)


def test_bounds_are_no_better_than_the_worst_within_them() -> None:
    """Whatever the truth within the bounds, a gate that knows it is at least as sure of the verdict that the bounds allow."""
    weights = {f"p{k:03}": 0.01 for k in range(100)}
    bounded, low, high = (SequentialGate(weights=weights, margin=0.03, floor=0.01) for _ in range(3))
    for prompt in list(weights)[:60]:
        bounded.add(prompt, -0.2, 0.1)
        low.add(prompt, -0.2)
        high.add(prompt, 0.1)
    assert (bounded.verdict, low.verdict, high.verdict) == (None, "REGRESSION", "PASS")


def test_it_stops_asking_once_it_is_sure() -> None:
    asked: list[str] = []

    def stream() -> Iterator[tuple[str, float]]:
        for k in range(1000):
            asked.append(f"p{k}")
            yield f"p{k}", -0.5

    found = decide(stream(), {f"p{k}": 0.001 for k in range(1000)}, margin=0.03, floor=0.0)
    assert (found.verdict, found.exact) == ("REGRESSION", False)
    assert found.drawn == len(asked) < 20


@pytest.mark.parametrize(("truth", "wrong"), [(0.0, "REGRESSION"), (-0.03, "PASS")])
def test_wrong_verdicts_are_rare(truth: float, wrong: str) -> None:
    """On the edge of either hypothesis at most alpha = 5 % of verdicts are wrong: of 150, 14 or more is one chance in 50."""
    generator = np.random.default_rng(5)
    weights = generator.dirichlet(np.full(150, 2.0))
    count = 0
    for seed in range(150):
        values = np.clip(generator.normal(truth, 0.15, 150), -0.9, 0.9)
        values += truth - weights @ values
        found = simulate(list(values), list(weights), margin=0.03, floor=0.0, seed=seed)
        count += found.verdict == wrong and not found.exact
    assert count < 14


def test_wrong_use() -> None:
    gate = SequentialGate(weights={"p": 0.5, "q": 0.5}, margin=0.03, floor=0.0)
    with pytest.raises(ValueError, match=r"outside \[-1, 1\]"):
        gate.add("p", -1.5)
    gate.add("p", 0.0)
    with pytest.raises(ValueError, match="p was drawn before"):
        gate.add("p", 0.0)
    with pytest.raises(ValueError, match="wanted 0 <= floor <= margin"):
        SequentialGate(weights={"p": 1.0}, margin=0.01, floor=0.02)
    with pytest.raises(ValueError, match=r"sum to 0\.5"):
        SequentialGate(weights={"p": 0.5}, margin=0.03, floor=0.0)
