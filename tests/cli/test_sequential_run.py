"""`wanbench run --sequential`: a verdict from as few videos as settle it, in whatever order they come, and after a cut."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from .command import Wanbench, check_run, end, info, lines, wait_for_lines

MAKER = Path(__file__).parents[1] / "making" / "maker.py"
PROMPTS = 24
POLICY = "fewest_prompts = 5\n[total]\ntolerated_drop = 0.5\nnoise_floor = 0.1\n"
CAMERA = {"camera_control": {"camera": {"movement": "pan", "direction": "left"}}}
FLAGS = ("--sequential", "--baseline", "baseline.json", "--policy", "policy.toml")


def model(folder: Path, *more: str) -> str:
    return f"command:{sys.executable} {MAKER} {{prompt_file}} {{out}} {{seed}} {folder / 'marks'} {' '.join(more)}".strip()


def arguments(name: str, out: str, *more: str) -> tuple[str, ...]:
    common = ("--name", "mine", "--suite", "own.jsonl", "--profile", "lite", "--device", "cpu", "--out", out)
    return ("run", "--model", name, *common, *more)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite, a policy and the baseline of the better model."""
    folder = tmp_path_factory.mktemp("sequential")
    dimensions = ["large_motion_generation"] * (PROMPTS - 4) + ["camera_control"] * 4
    suite = [{"id": f"{d}-{k:03}", "dimension": d, "text": f"leap {k}", **CAMERA.get(d, {})} for k, d in enumerate(dimensions)]
    (folder / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in suite))
    (folder / "policy.toml").write_text(POLICY)
    wanbench = Wanbench(folder, folder / "home")
    ended = wanbench(*arguments(model(folder, "fast"), "before"))
    assert ended.code == 0, ended
    assert wanbench("baseline", "save", "before", "baseline.json").code == 0
    (folder / "marks").unlink()
    return folder


def test_the_same_model_passes_before_all_is_made(baseline: Path) -> None:
    wanbench = Wanbench(baseline, baseline / "home")
    ended = wanbench(*arguments(model(baseline, "fast"), "same", *FLAGS))
    assert ended.code == 0, ended
    found = info(baseline / "same")["sequential"]
    assert (found["verdict"], found["of"], found["unmeasured"]) == ("PASS", PROMPTS, 0)
    assert 2 <= found["drawn"] < PROMPTS
    assert ended.out.splitlines()[-1] == f"PASS: a drop of 0.5 is ruled out after {found['drawn']} of {PROMPTS} prompts"
    assert len(lines(baseline / "same")) == found["drawn"]
    assert len((baseline / "marks").read_text().splitlines()) < PROMPTS
    check_run(baseline / "same")
    assert "<b>PASS</b> against" in (baseline / "same" / "report.html").read_text()
    again = wanbench(*arguments(model(baseline, "fast"), "same", *FLAGS, "--json"))
    assert (again.code, again.json["sequential"]) == (0, found)


def test_a_worse_model_is_a_regression_in_the_same_few_prompts_after_a_cut(baseline: Path) -> None:
    wanbench = Wanbench(baseline, baseline / "home")
    worse = model(baseline)
    ended = wanbench(*arguments(worse, "worse", *FLAGS, "--workers", "1"))
    assert ended.code == 1, ended
    found = info(baseline / "worse")["sequential"]
    assert (found["verdict"], found["exit_code"], found["exact"]) == ("REGRESSION", 1, False)
    reading, writing = os.pipe()
    os.close(reading)
    for more in ((), ("--json",)):
        ended = wanbench(*arguments(worse, "worse", *FLAGS, "--workers", "1", *more), stdout=writing)
        assert ended.code == 1, "a reader who left does not turn a regression into a success"
    gate = ("gate", "--baseline", "baseline.json", "--candidate", "worse", "--policy", "policy.toml")
    assert wanbench(*gate, stdout=writing).code == wanbench(*gate).code != 0
    os.close(writing)
    running = wanbench.start(*arguments(worse, "cut", *FLAGS, "--workers", "2"))
    assert wait_for_lines(running, baseline / "cut", 1), end(running)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert (running.returncode, info(baseline / "cut")["status"]) == (-signal.SIGKILL, "interrupted")
    assert "sequential" not in info(baseline / "cut"), "it was cut before the verdict"
    assert wanbench(*arguments(worse, "cut", *FLAGS, "--workers", "2")).code == 1
    assert info(baseline / "cut")["sequential"] == found
    assert [(r["prompt_id"], r["score"]) for r in lines(baseline / "cut")] == [
        (r["prompt_id"], r["score"]) for r in lines(baseline / "worse")
    ]


def test_the_help_says_what_the_seed_also_draws(baseline: Path) -> None:
    told = " ".join(Wanbench(baseline, baseline / "home")("run", "--help").out.replace("│", " ").split())
    assert "and of the order that --sequential draws" in told


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--sequential",), "--sequential wants --baseline"),
        (("--baseline", "baseline.json"), "belong to --sequential"),
        (("--sequential", "--baseline", "baseline.json"), "shares 24 prompts with this run, and 30 are needed"),
        ((*FLAGS, "--limit", "3"), "camera_control, of which no prompt is asked for here: without --limit"),
        ((*FLAGS, "--suite", "other.jsonl"), "different suites"),
        ((*FLAGS, "--dimensions", "large_motion_generation"), "camera_control, not measured here (--dimensions leaves it"),
    ],
)  # fmt: skip
def test_what_cannot_be_decided_is_said_before_any_work(baseline: Path, flags: tuple[str, ...], complaint: str) -> None:
    (baseline / "other.jsonl").write_text(json.dumps({"id": "own-1", "dimension": "camera_control", "text": "a pan"}) + "\n")
    ended = Wanbench(baseline, baseline / "home")(*arguments(model(baseline), "never", *flags))
    assert ended.code == 2, ended
    assert complaint in ended.complaint
    assert not (baseline / "never").exists()
