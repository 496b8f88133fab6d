"""Policies and verdicts: what passes, what blocks, and that nothing passes for want of data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import scipy.stats

from wanbench.comparison.baseline import read_side, save
from wanbench.comparison.gating import Check, Gate, gate
from wanbench.comparison.policy import Policy, Rule, read_policy
from wanbench.comparison.sides import Side, sides
from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN
from wanbench.reports import verdict

from ..synthetic import SUITE, Outcomes, row, rows, simulated, write_run

D = "camera_control"
BLOCKS = Rule(tolerated_drop=0.05, noise_floor=0.01, tier="block")


def side(dimensions: Mapping[str, Outcomes], **fields: Any) -> Side:
    return sides(rows("c", dimensions, **fields), SUITE, "run")["c"]


def check(found: Gate, name: str) -> Check:
    return next(c for c in found.checks if c.name == name)


def shifted(outcomes: Mapping[str, float], differences: list[float]) -> dict[str, float]:
    return {p: v + d for (p, v), d in zip(outcomes.items(), differences, strict=True)}


@pytest.fixture(scope="module")
def before() -> Side:
    return side(simulated(seed=1))


def test_the_same_scores_pass(before: Side) -> None:
    found = gate(before, before, Policy())
    assert (found.verdict, found.exit_code) == ("PASS", 0)
    assert {c.verdict for c in found.checks} == {"PASS"}
    assert [c.name for c in found.checks] == ["total", *FOURTEEN]
    assert {c.tier for c in found.checks} == {"block"}


def test_a_drop_everywhere_is_a_regression(before: Side) -> None:
    found = gate(before, side(simulated(-0.06, seed=2)), Policy())
    assert (found.verdict, found.exit_code) == ("REGRESSION", 1)
    total = check(found, "total")
    assert total.verdict == "REGRESSION"
    assert total.difference is not None
    assert total.candidate is not None
    assert total.difference == pytest.approx(-0.06, abs=0.02)
    assert total.candidate - (total.baseline or 0) == pytest.approx(total.difference)


def test_a_measured_noise_floor_holds_where_it_is_higher() -> None:
    """A sure drop of 0.02 is a regression over a floor of 0.005, and may be re-encoding under one of 0.03."""
    there = {f"p-{k:03}": 0.5 + 0.3 * (k % 7) / 7 for k in range(60)}
    lost = shifted(there, [-0.02 + 0.002 * (-1) ** k for k in range(60)])
    assert Policy(measured_floors={D: 0.001}).rule(D) == Policy().rule(D)
    raised = Policy(measured_floors={D: 0.03})
    assert (raised.rule(D).noise_floor, raised.rule(D).tier) == (0.03, Policy().rule(D).tier)
    tight = Rule(tolerated_drop=0.01, noise_floor=0.005, tier="block")
    policies = (Policy(dimensions={D: tight}), Policy(dimensions={D: tight}, measured_floors={D: 0.03}))
    found = [gate(side({D: there}), side({D: lost}), policy) for policy in policies]
    assert [check(g, D).verdict for g in found] == ["REGRESSION", "INCONCLUSIVE"]


def test_too_much_noise_cannot_be_decided(before: Side) -> None:
    found = gate(before, side(simulated(seed=2, spread=0.4)), Policy())
    assert (found.verdict, found.exit_code) == ("INCONCLUSIVE", 4)
    assert gate(before, side(simulated(seed=2, spread=0.4)), Policy(inconclusive="warn")).exit_code == 0


def test_bounds_are_one_sided(before: Side) -> None:
    after = side(simulated(seed=2))
    found = check(gate(before, after, Policy(confidence=0.9)), D)
    values = [after.dimensions[D].scores[p]["0"] - before.dimensions[D].scores[p]["0"] for p in before.dimensions[D].outcomes]
    usual = [scipy.stats.ttest_1samp(values, 0, alternative=a).confidence_interval(0.9) for a in ("greater", "less")]
    assert (found.low, found.high) == pytest.approx((usual[0].low, usual[1].high))


def test_each_verdict_of_a_dimension_by_hand() -> None:
    """40 differences of mean m and standard deviation 0.04: error 0.0064, one-sided bounds m -+ 1.6849 x 0.0064 = m -+ 0.0108.

    Tolerated is 0.05, the noise floor 0.01: m = -0.03 is surely a drop, and surely tolerated; m = -0.045 surely a drop, perhaps
    of 0.056; m = -0.045 with ten times the spread is nothing sure at all.
    """
    policy = Policy(total=Rule(tolerated_drop=1 - 1e-9, noise_floor=0.9, tier="warn"), dimensions={D: BLOCKS})
    old = {f"p{k:02}": 0.5 for k in range(40)}
    noise = [0.04 * (39 / 40) ** 0.5 * (1 if k % 2 else -1) for k in range(40)]  # sample standard deviation 0.04
    for middle, factor, wanted in ((-0.03, 1, "PASS"), (-0.045, 1, "REGRESSION"), (-0.045, 10, "INCONCLUSIVE"), (0.2, 1, "PASS")):
        found = gate(side({D: old}), side({D: shifted(old, [middle + factor * v for v in noise])}), policy)
        low = check(found, D).low
        assert low == pytest.approx(middle - 1.6849 * factor * 0.04 / 40**0.5, abs=2e-5)
        assert found.verdict == check(found, D).verdict == wanted


def test_few_changes_are_judged_exactly() -> None:
    """4 of 40 prompts fell by 0.9, all others stayed. The t test would be sure; of 2^4 choices of signs 1 is as low: p = 1/16.

    With 8 of 40, it is 1/256.
    """
    old = {f"p{k:02}": 0.95 for k in range(40)}
    policy = Policy(total=Rule(tolerated_drop=1 - 1e-9, noise_floor=0.9, tier="warn"), dimensions={D: BLOCKS})
    values = [-0.9] * 4 + [0.0] * 36
    assert scipy.stats.ttest_1samp(values, -0.01, alternative="less").pvalue < 0.05
    assert gate(side({D: old}), side({D: shifted(old, values)}), policy).verdict == "INCONCLUSIVE"
    assert gate(side({D: old}), side({D: shifted(old, [-0.9] * 8 + [0.0] * 32)}), policy).verdict == "REGRESSION"


def test_one_bad_dimension_blocks_whatever_the_total_says(before: Side) -> None:
    worse = {**simulated(seed=1), D: {p: max(0.0, v - 0.2) for p, v in simulated(seed=1)[D].items()}}
    policy = Policy(total=Rule(tolerated_drop=0.2, noise_floor=0.0, tier="block"))
    found = gate(before, side(worse), policy)
    assert [c.name for c in found.checks if c.verdict == "REGRESSION"] == [D]
    assert found.verdict == "REGRESSION"
    warned = gate(before, side(worse), Policy(total=policy.total, dimensions={D: Rule(**{**_fields(BLOCKS), "tier": "warn"})}))
    assert (warned.verdict, check(warned, D).verdict) == ("PASS", "REGRESSION")
    ignored = gate(before, side(worse), Policy(dimensions={D: Rule(**{**_fields(BLOCKS), "tier": "ignore"})}))
    assert D not in [c.name for c in ignored.checks]
    assert "partial, over 13 dimensions" in check(ignored, "total").reason


def _fields(rule: Rule) -> dict[str, Any]:
    return {"tolerated_drop": rule.tolerated_drop, "noise_floor": rule.noise_floor, "tier": rule.tier}


def test_small_dimensions_only_warn_unless_the_policy_names_them() -> None:
    """The default policy blocks on dimensions from 30 shared prompts; 29 decide nothing, and named ones need as many."""
    for prompts, tier in ((29, "warn"), (30, "block")):
        small = side({D: simulated(prompts=prompts)[D], "smoothness": simulated()["smoothness"]})
        found = gate(small, small, Policy())
        assert check(found, D).tier == tier
        assert found.verdict == "PASS"
    small = side({D: simulated(prompts=29)[D], "smoothness": simulated()["smoothness"]})
    named = gate(small, small, Policy(dimensions={D: BLOCKS}))
    assert (named.verdict, check(named, D).reason) == ("INCONCLUSIVE", "29 shared prompts, 30 are needed")


def test_a_dimension_that_the_candidate_lost_does_not_pass(before: Side) -> None:
    """Neither where it had enough prompts to block by itself, nor where only the weighted score missed it."""
    found = gate(before, side(simulated(seed=1, dimensions=[d for d in FOURTEEN if d != D])), Policy())
    assert found.verdict == "INCONCLUSIVE"
    assert check(found, D).reason == "measured only in the baseline"
    few = simulated(seed=1, prompts=10)
    found = gate(side(few), side({d: v for d, v in few.items() if d != D}), Policy())
    assert (check(found, D).tier, found.verdict) == ("warn", "INCONCLUSIVE")
    assert check(found, "total").reason.startswith(f"the baseline's score also counts {D} (partial, over 13 dimensions")


def test_a_candidate_that_mostly_failed_does_not_pass(before: Side) -> None:
    broken: dict[str, Outcomes] = {**simulated(seed=1)}
    broken[D] = {p: v if k < 31 else "error" for k, (p, v) in enumerate(simulated(seed=1)[D].items())}
    found = gate(before, side(broken), Policy())
    assert (check(found, D).n, check(found, D).verdict) == (31, "INCONCLUSIVE")
    assert check(found, D).reason == "too few of its prompts were measured for it to count"


def test_too_few_prompts_altogether() -> None:
    one_each = side(simulated(prompts=1))
    found = gate(one_each, one_each, Policy())
    assert (found.verdict, found.exit_code) == ("INCONCLUSIVE", 4)
    assert check(found, "total").reason == "14 shared prompts, 30 are needed"


def test_a_policy_that_wants_what_nobody_measured(before: Side) -> None:
    without = side(simulated(seed=1, dimensions=["smoothness"]))
    found = gate(without, without, Policy(dimensions={D: BLOCKS}))
    assert (found.verdict, check(found, D).reason) == ("INCONCLUSIVE", "measured on neither side")


def test_what_must_not_be_compared_cannot_be_decided(before: Side) -> None:
    other = sides(rows("c", simulated(seed=1)), SUITE | {"hash": "1" * 64}, "run")["c"]
    found = gate(before, other, Policy())
    assert (found.verdict, found.exit_code, found.checks) == ("INCONCLUSIVE", 4, ())
    assert "different suites" in found.reason
    allowed = gate(before, other, Policy(), allow_mismatch=True)
    assert allowed.verdict == "PASS"
    assert "different suites" in verdict.markdown(allowed)


def test_false_alarms_over_all_dimensions_are_held() -> None:
    """Of 60 unchanged candidates with 14 dimensions each, 5 % may alarm in any: 9 or more of 60 would be one chance in 300.

    Without Holm's correction half of them would: 1 - 0.95^14 = 0.51.
    """
    strict = Rule(tolerated_drop=0.0, noise_floor=0.0, tier="block")
    policy = Policy(total=Rule(tolerated_drop=0.0, noise_floor=0.0, tier="warn"), default=strict)
    generator = np.random.default_rng(4)
    alarms = 0
    for _ in range(60):
        noise = {d: generator.normal(0, 0.05, 40).tolist() for d in FOURTEEN}
        old = {d: {f"{d}-{k}": 0.5 for k in range(40)} for d in FOURTEEN}
        new = {d: shifted(old[d], noise[d]) for d in FOURTEEN}
        alarms += gate(side(old), side(new), policy).verdict == "REGRESSION"
    assert alarms < 9


def test_a_policy_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('confidence = 0.9\ninconclusive = "warn"\n[total]\ntolerated_drop = 0.02\n'
                    '[dimensions.default]\nnoise_floor = 0.01\n[dimensions.camera_control]\ntier = "warn"\n')  # fmt: skip
    policy = read_policy(path)
    assert (policy.confidence, policy.inconclusive, policy.fewest_prompts) == (0.9, "warn", 30)
    assert policy.total == Rule(tolerated_drop=0.02, noise_floor=0.002, tier="block")
    assert policy.rule("smoothness") == Rule(tolerated_drop=0.1, noise_floor=0.01, tier="block")
    assert policy.rule(D) == Rule(tolerated_drop=0.1, noise_floor=0.01, tier="warn")
    path.write_text("")
    assert read_policy(path) == Policy(source=str(path))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("confidense = 0.9", "unknown key confidense; known are confidence, inconclusive"),
        ("confidence = 95", "confidence is a number between 0.5 and 1, not 95"),
        ("confidence = true", "confidence is a number between 0.5 and 1, not True"),
        ('inconclusive = "pass"', "inconclusive is one of fail, warn, not 'pass'"),
        ("fewest_prompts = 0", "fewest_prompts is a whole number from 2 up, not 0"),
        ("[total]\ntolerated_drop = -0.1", "total.tolerated_drop is a number between 0 and 1, not -0.1"),
        ("[total]\nnoise_floor = 0.2", "total.noise_floor 0.2 is larger than the tolerated drop 0.03"),
        ("[dimensions.smothness]\n", "unknown key dimensions.smothness; known are default, large_motion_generation"),
        ('[dimensions.smoothness]\ntier = "fail"', "dimensions.smoothness.tier is one of block, warn, ignore, not 'fail'"),
        ("dimensions = 3", "dimensions is a table, not 3"),
        ("= 3", "is not valid TOML"),
    ],
)
def test_what_is_wrong_with_a_policy(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_policy(path)
    assert complaint in str(error.value)
    assert str(path) in str(error.value)


def test_a_baseline_is_the_run_and_small(tmp_path: Path) -> None:
    measured = rows("c", {**simulated(prompts=3), D: {"p": {0: 0.5, 1: "skipped"}, "q": {None: "error"}}})
    run = write_run(tmp_path / "run", [*measured, row("c", D, None, 0.5)])
    path = tmp_path / "baseline.json"
    save(read_side(str(run)), path)
    again = read_side(str(path))
    assert again.dimensions == read_side(str(run)).dimensions
    assert again.dimensions[D].outcomes == {"p": {"0": 0.5, "1": "skipped"}, "q": {"-": "error"}}
    assert again.suite == SUITE
    text = path.read_text()
    assert '    "q": {"-": "error"}\n' in text
    assert str(tmp_path) not in text
    assert "/videos/" not in text


def test_markdown_holds_nothing_that_acts() -> None:
    """Names come from folders and prompts: table, HTML, mentions and images in them stay text."""
    name = "a|b <script>alert(1)</script> ![x](http://x) @team"
    bad = sides(rows(name, simulated(-0.2, seed=1)), SUITE, "r|un")[name]
    text = verdict.markdown(gate(sides(rows(name, simulated(seed=1)), SUITE, "run")[name], bad, Policy()))
    assert "<script>" not in text
    assert r"a\|b &lt;script&gt;" in text
    assert r"\!\[x\](http" in text
    assert r"\@team" in text
    tables = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace(r"\|", "").count("|") for line in tables[:15]} == {10}


def test_junit_counts_what_it_holds(before: Side) -> None:
    worse = {**simulated(seed=1), D: {p: max(0.0, v - 0.2) for p, v in simulated(seed=1)[D].items()}}
    del worse["smoothness"]
    found = gate(
        before, side(worse), Policy(dimensions={"id_consistency": Rule(tolerated_drop=0.0, noise_floor=0.0, tier="warn")})
    )
    suite = ElementTree.fromstring(verdict.junit(found))[0]
    tags = {case.get("name"): [child.tag for child in case if child.tag != "system-out"] for case in suite}
    assert tags[D] == ["failure"]
    assert tags["smoothness"] == ["error"]
    assert tags["id_consistency"] == ["skipped"]
    assert tags["human_artifacts"] == []
    assert suite.get("tests") == "15"
    counted = {tag: sum(t == [tag] for t in tags.values()) for tag in ("failure", "error", "skipped")}
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == tuple(str(c) for c in counted.values())


def test_junit_of_hostile_names_is_still_xml(before: Side) -> None:
    odd = sides(rows("a\x00\x1b<&", simulated(seed=1)), None, "run")["a\x00\x1b<&"]
    suite = ElementTree.fromstring(verdict.junit(gate(before, odd, Policy())))[0]
    assert (suite.get("errors"), suite[0].get("name")) == ("1", "total")


def test_a_candidate_that_leaves_prompts_out_does_not_pass(before: Side) -> None:
    """The same model, which delivers only the prompts that went well: 0.06 worse, and better on what is there."""
    worse = simulated(-0.06, seed=2)
    own = {d: {p: next(iter(s.values())) for p, s in before.dimensions[d].scores.items()} for d in FOURTEEN}
    lucky = {d: {p: v for p, v in worse[d].items() if v >= own[d][p]} for d in worse}
    assert all(len(prompts) < 32 for prompts in lucky.values())
    found = gate(before, side({d: prompts for d, prompts in lucky.items() if prompts}), Policy(fewest_prompts=2))
    assert (found.verdict, found.exit_code) == ("INCONCLUSIVE", 4)
    assert "of the baseline's" in check(found, "total").reason


def test_a_candidates_name_may_hold_colons(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a:b", [*rows("x:y", {D: {"p": 0.5}}), *rows("z", {D: {"p": 0.5}})])
    assert read_side(f"{run}:x:y").candidate == "x:y"
