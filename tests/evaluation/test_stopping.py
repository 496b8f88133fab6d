"""The contest of `run --sequential`: what it refuses to decide, and what a policy makes of its verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wanbench.comparison.policy import Policy, Rule
from wanbench.comparison.sides import Measured, Side
from wanbench.errors import UsageError
from wanbench.evaluation.plan import Choice
from wanbench.evaluation.stopping import Contest, Sequential
from wanbench.making.shelf import Request, requests_for
from wanbench.prompts.suite import Suite, load_suite

from ..synthetic import row

MOTION, STABLE = "large_motion_generation", "pixel_level_stability"
POLICY = Policy(fewest_prompts=5, total=Rule(tolerated_drop=0.5, noise_floor=0.1, tier="block"))


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Eight prompts of one dimension, then eight of another."""
    lines = [{"id": f"{d}-{k}", "dimension": d, "text": f"{d} {k}"} for d in (MOTION, STABLE) for k in range(8)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return load_suite(str(tmp_path / "own.jsonl"))


def baseline(suite: Suite, score: float = 0.6, **changed: Any) -> Side:
    facts = {"name": suite.name, "version": None, "hash": suite.hash, "track": "raw", "language": "en", **changed}
    dimensions = {
        d: Measured(
            method="m", fingerprint=f"f-{d}", outcomes={p: {"0": score} for p, q in suite.prompts.items() if q.dimension == d}
        )
        for d in (MOTION, STABLE)
    }
    return Side(candidate="old", source="b.json", suite=facts, dimensions=dimensions)


def choices(*left_out: str) -> dict[str, Choice]:
    return {
        d: Choice(dimension=d, method=None, fingerprint=f"f-{d}", circumstances={}, skip=None)
        for d in (MOTION, STABLE)
        if d not in left_out
    }


def opened(suite: Suite, side: Side, policy: Policy = POLICY, limit: int | None = None, **ways: Any) -> Contest:
    requests = requests_for(suite, (0,), "en", None, limit)
    return Contest.open(Sequential(baseline=side, policy=policy), requests, suite, ways.get("choices", choices()), "en")


def play(contest: Contest, score: float | str) -> Contest:
    while (prompt := contest.waiting()) is not None:
        dimension = prompt.rpartition("-")[0]
        contest.tell(prompt, [row("new", dimension, prompt, score, seed=0)])
    return contest


def test_every_prompt_waits_once_in_the_order_of_the_requests(suite: Suite) -> None:
    contest = opened(suite, baseline(suite), replace(POLICY, total=Rule(tolerated_drop=0.01, noise_floor=0.0, tier="block")))
    play(contest, 0.58)
    assert contest.told == [request.prompt.id for request in contest.requests]
    assert (contest.verdict, contest.gate.exact) == ("REGRESSION", True)
    assert contest.to_json()["difference"] == pytest.approx([-0.02, -0.02])
    assert contest.reason() == "the weighted score changed by -0.0200 over all 16 prompts"


def test_a_verdict_comes_early_and_a_policy_says_what_it_means(suite: Suite) -> None:
    for score, verdict, code in ((0.6, "PASS", 0), (0.0, "REGRESSION", 1)):
        contest = play(opened(suite, baseline(suite, 0.95 if score == 0.0 else 0.6)), score)
        assert (contest.verdict, contest.asked.exit_code(contest.verdict)) == (verdict, code)
        assert len(contest.told) < 16
    warns = replace(POLICY, total=replace(POLICY.total, tier="warn"))
    assert Sequential(baseline=baseline(suite), policy=warns).exit_code("REGRESSION") == 0
    assert Sequential(baseline=baseline(suite), policy=POLICY).exit_code("INCONCLUSIVE") == 4
    assert Sequential(baseline=baseline(suite), policy=replace(POLICY, inconclusive="warn")).exit_code("INCONCLUSIVE") == 0


def test_nothing_passes_for_want_of_data(suite: Suite) -> None:
    """A baseline of 0.3 cannot drop by 0.5, whatever was not measured; it does not pass all the same."""
    contest = play(opened(suite, baseline(suite, 0.3)), "skipped")
    assert contest.gate.verdict == "PASS"
    assert contest.verdict == "INCONCLUSIVE"
    assert contest.reason() == f"only 0% of the {len(contest.told)} prompts drawn could be measured"


def test_seeds_are_paired_where_both_have_them(suite: Suite) -> None:
    side = baseline(suite)
    contest = opened(suite, side)
    prompt = contest.waiting()
    assert prompt is not None
    own = side.dimensions[prompt.rpartition("-")[0]].scores[prompt]
    own["7"] = 0.0  # a seed that the candidate does not have
    contest.tell(prompt, [row("new", prompt.rpartition("-")[0], prompt, 0.5, seed=0)])
    assert contest.gate.lowest == pytest.approx(contest.gate.weights[prompt] * (0.5 - 0.6))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"side": {"hash": "0" * 64}}, "different suites"),
        ({"side": {"language": "zh"}}, "different tracks or languages"),
        ({"limit": 8}, "also counts pixel_level_stability, of which no prompt is asked for here: without --limit"),
        ({"choices": choices(STABLE)}, "also counts pixel_level_stability, not measured here (--dimensions leaves it out)"),
        ({"choices": {**choices(), STABLE: replace(choices()[STABLE], fingerprint="other")}}, "fingerprints differ"),
        ({"policy": replace(POLICY, total=replace(POLICY.total, tier="ignore"))}, "ignores the weighted score"),
        ({"policy": replace(POLICY, fewest_prompts=17)}, "shares 16 prompts with this run, and 17 are needed"),
    ],
)
def test_what_cannot_be_decided_is_refused(suite: Suite, changes: dict[str, Any], complaint: str) -> None:
    side = baseline(suite, **changes.pop("side", {}))
    with pytest.raises(UsageError) as told:
        opened(suite, side, **changes)
    assert complaint in str(told.value)


def test_an_ignored_dimension_may_be_left_out(suite: Suite) -> None:
    ignoring = replace(POLICY, dimensions={STABLE: Rule(tolerated_drop=0.1, noise_floor=0.0, tier="ignore")})
    contest = opened(suite, baseline(suite), ignoring, limit=8)
    assert {request.prompt.dimension for request in contest.requests} == {MOTION}


def test_a_request_keeps_all_its_seeds_together(suite: Suite) -> None:
    requests: list[Request] = requests_for(suite, (0, 5), "en", None, None)
    contest = Contest.open(Sequential(baseline=baseline(suite), policy=POLICY), requests, suite, choices(), "en")
    assert [request.seed for request in contest.requests] == [0, 5] * 16
