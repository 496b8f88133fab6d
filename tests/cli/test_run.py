"""`wanbench run`: from a model to a report, however often it is cut; the model is somebody's command line."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from wanbench.fourteen import FOURTEEN

from .command import Wanbench, check_run, info, kill_midway, lines, summary

MAKER = Path(__file__).parents[1] / "making" / "maker.py"
SUITE = [
    {
        "id": "camera_control-001",
        "dimension": "camera_control",
        "text": "a pan",
        "camera": {"movement": "pan", "direction": "left"},
    },
    {"id": "large_motion_generation-001", "dimension": "large_motion_generation", "text": {"en": "a leap", "zh": "一跃"}},
    {"id": "pixel_level_stability-001", "dimension": "pixel_level_stability", "text": "a still room"},
]


@pytest.fixture
def model(wanbench: Wanbench) -> str:
    (wanbench.cwd / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in SUITE))
    return f"command:{sys.executable} {MAKER} {{prompt_file}} {{out}} {{seed}} {wanbench.cwd / 'marks'}"


def arguments(model: str, *more: str, out: str = "r") -> tuple[str, ...]:
    common = ("--name", "mine", "--suite", "own.jsonl", "--profile", "lite", "--device", "cpu", "--out", out)
    return ("run", "--model", model, *common, *more)


def stripped(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_from_prompts_to_report(wanbench: Wanbench, model: str) -> None:
    ended = wanbench(*arguments(model, "--seeds", "0,5"))
    assert ended.code == 0, ended
    run = wanbench.cwd / "r"
    check_run(run)
    rows = lines(run)
    assert [(r["prompt_id"], r["seed"], r["dimension"]) for r in rows] == [
        (line["id"], seed, line["dimension"]) for line in SUITE for seed in (0, 5)
    ]
    assert {r["video"] for r in rows} == {f"videos/mine/{line['id']}-{seed}.mp4" for line in SUITE for seed in (0, 5)}
    facts = info(run)
    assert facts["status"] == "complete"
    assert facts["candidates"]["mine"]["kind"] == "command"
    assert facts["candidates"]["mine"]["settings"]["command"] == model.removeprefix("command:")
    assert {s["sha256"] for s in facts["plan"]["samples"]} == {r["sha256"] for r in rows}
    assert (run / "report.html").is_file()
    scored = wanbench("score", run / "videos" / "mine", "--profile", "lite", "--out", "again", "--json")
    assert scored.code == 0, scored
    assert {d: e["score"] for d, e in scored.json["summary"]["candidates"]["mine"]["dimensions"].items()} == {
        d: e["score"] for d, e in summary(run)["candidates"]["mine"]["dimensions"].items()
    }
    again = wanbench(*arguments(model, "--seeds", "0,5"))
    assert again.code == 0
    assert "is finished: nothing is made or measured again" in again.err
    assert len((wanbench.cwd / "marks").read_text().splitlines()) == 6


def test_with_json_standard_error_is_events(wanbench: Wanbench, model: str) -> None:
    (wanbench.cwd / "own.jsonl").write_text(json.dumps(SUITE[1]) + "\n" + json.dumps({**SUITE[2], "text": "this fails"}) + "\n")
    ended = wanbench(*arguments(model, "--json"))
    assert ended.code == 3
    events = [json.loads(line) for line in ended.err.splitlines()]
    assert [e["event"] for e in events[:2]] == ["forecast", "started"]
    assert (events[0]["videos"], events[1]["run"]) == (2, "r")
    last = {e["event"]: e for e in events}
    assert last["generating"] == {"event": "generating", "done": 2.0, "total": 2, "failed": 1}
    assert last["measuring"] == {"event": "measuring", "done": 2, "total": 2, "errors": 1}
    assert "could not be made, 3 times" in last["error"]["text"]
    assert ended.json["status"] == "partial"
    kinds = [json.loads(line)["event"] for line in wanbench(*arguments(model, "--json", "--no-progress")).err.splitlines()]
    assert kinds == ["forecast", "started", "error"]
    assert wanbench(*arguments(model, "--json", "-q")).err.count("\n") == 1


def test_a_video_that_cannot_be_made_is_an_error_row_and_tried_again(wanbench: Wanbench, model: str) -> None:
    (wanbench.cwd / "own.jsonl").write_text(json.dumps(SUITE[1]) + "\n" + json.dumps({**SUITE[2], "text": "this fails"}) + "\n")
    ended = wanbench(*arguments(model))
    assert ended.code == 3
    assert "pixel_level_stability-001-0.mp4: could not be made, 3 times: " in ended.err
    assert [(r["status"], r["sha256"] != "") for r in lines(wanbench.cwd / "r")] == [("ok", True), ("error", False)]
    assert info(wanbench.cwd / "r")["status"] == "partial"
    check_run(wanbench.cwd / "r")
    assert wanbench(*arguments(model)).code == 3
    assert (wanbench.cwd / "marks").read_text().splitlines().count("this fails 0") == 6
    assert (wanbench.cwd / "marks").read_text().splitlines().count("a leap 0") == 1


def test_killed_at_random_moments_it_ends_as_undisturbed(wanbench: Wanbench, model: str) -> None:
    seeds = ("--all-dimensions", "--seeds", "0,1,2,3")
    assert wanbench(*arguments(model, *seeds, out="whole")).code == 0
    rng = random.Random(3)
    for _ in range(4):
        kill_midway(wanbench, arguments(model, *seeds, out="cut"), wanbench.cwd / "cut", rng, delay_seconds=0.4)
    ended = wanbench(*arguments(model, *seeds, out="cut"))
    assert ended.code == 0, ended
    assert summary(wanbench.cwd / "cut") == summary(wanbench.cwd / "whole")
    assert stripped(lines(wanbench.cwd / "cut")) == stripped(lines(wanbench.cwd / "whole"))
    check_run(wanbench.cwd / "cut")
    assert {path.name for path in (wanbench.cwd / "cut" / "videos" / "mine").glob(".*")} <= {".lock"}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_how_to_go_on(wanbench: Wanbench, model: str, how: signal.Signals) -> None:
    (wanbench.cwd / "own.jsonl").write_text(json.dumps(SUITE[1]) + "\n" + json.dumps({**SUITE[2], "text": "this hangs"}) + "\n")
    process = wanbench.start(*arguments(model))
    until = time.monotonic() + 60
    while not list((wanbench.cwd / "r").glob("videos/mine/large*.json")):
        assert time.monotonic() < until
        time.sleep(0.05)
    second = wanbench(*arguments(model))
    assert second.code == 2
    assert "wanbench: another process is writing r; wait for it or choose another --out" in second.err.splitlines()
    process.send_signal(how)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "give the same command to go on" in err.decode()
    assert (wanbench.cwd / "r" / "videos" / "mine" / "large_motion_generation-001-0.mp4").is_file()


def test_nobody_else_makes_videos_of_the_same_candidate_meanwhile(wanbench: Wanbench, model: str) -> None:
    """`wanbench generate` and `wanbench run` into the same folder."""
    pytest.importorskip("torch")
    (wanbench.cwd / "own.jsonl").write_text(json.dumps({**SUITE[2], "text": "this hangs"}) + "\n")
    process = wanbench.start(*arguments(model))
    until = time.monotonic() + 60
    while not (wanbench.cwd / "marks").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    asked = ("generate", "--model", "wan-tiny", "--name", "mine", "--suite", "own.jsonl", "--out", "r")
    other = wanbench(*asked, "--size", "96x64", "--frames", "5", "--steps", "1")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert other.code == 2, other
    assert "another process is writing r/videos/mine" in other.err.splitlines()[-1]


def test_the_smoke_suite_in_chinese(wanbench: Wanbench, model: str) -> None:
    ended = wanbench(*arguments(model, "--suite", "smoke", "--language", "zh", "--limit", "2"))
    assert ended.code == 0, ended
    rows = lines(wanbench.cwd / "r")
    assert {r["dimension"] for r in rows} == set(FOURTEEN)
    first = json.loads(next((wanbench.cwd / "r" / "videos").glob("*/*-0.json")).read_text("utf-8"))
    assert any("\u4e00" <= letter <= "\u9fff" for letter in first["prompt"])
    assert info(wanbench.cwd / "r")["suite"]["language"] == "zh"


def test_a_store_that_cannot_be_written_costs_the_next_forecast_only(wanbench: Wanbench, model: str) -> None:
    (wanbench.cwd / "file").touch()
    ended = wanbench(*arguments(model, "--limit", "1"), env={"WANBENCH_HOME": str(wanbench.cwd / "file")})
    assert ended.code == 0, ended
    assert "how long a video took could not be kept" in ended.err
    assert info(wanbench.cwd / "r")["status"] == "complete"


def test_a_dry_run_makes_nothing(wanbench: Wanbench, model: str) -> None:
    ended = wanbench(*arguments(model, "--dry-run", "--json", "--limit", "2", "--seeds", "0,1"))
    assert ended.code == 0, ended
    assert (ended.json["videos"], ended.json["prompts"], ended.json["seconds_a_video"]) == (4, 2, None)
    assert not (wanbench.cwd / "r").exists()
    assert wanbench(*arguments(model, "--limit", "2")).code == 0
    assert wanbench(*arguments(model, "--dry-run", "--json")).json["seconds_a_video"] > 0


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (("--dimensions", "beauty"), "unknown dimension 'beauty'"),
        (("--dimensions", "smoothness,camera_control", "--suite", "texts.txt", "--language", "zh"), "no text in 'zh'"),
        (("--seeds", "0,x"), "--seeds takes different whole numbers"),
        (("--size", "wide"), "--size takes WIDTHxHEIGHT"),
        (("--steps", "4"), "--steps is the command's own affair"),
        (("--judge", "nobody"), "unknown judge 'nobody'"),
        (("--suite", "gone.jsonl"), "the suite gone.jsonl cannot be read"),
        (("--out", "own.jsonl/x"), "own.jsonl is not a folder"),
    ],
)
def test_wrong_use_is_one_line_before_any_work(wanbench: Wanbench, model: str, more: tuple[str, ...], complaint: str) -> None:
    (wanbench.cwd / "texts.txt").write_text("a walk\n")
    ended = wanbench(*arguments(model, *more))
    assert ended.code == 2, ended
    assert complaint in ended.complaint
    assert not (wanbench.cwd / "marks").exists()
