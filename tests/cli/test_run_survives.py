"""`wanbench run` against the real thing: kill -9 at random moments, a full disk, dead processes, a judge that goes away."""

from __future__ import annotations

import contextlib
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ..judge.lines import ONE
from ..judge.serving import serving
from .command import Wanbench, check_run, disk_of_its_own, end, family, info, kill_midway, lines, summary

MAKER = Path(__file__).parents[1] / "making" / "maker.py"
TINY = (
    "run",
    "--model",
    "wan-tiny",
    "--suite",
    "mini",
    "--limit",
    "28",
    "--profile",
    "lite",
    "--all-dimensions",
    "--device",
    "cpu",
)


def stripped(run: Path) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in lines(run)]


def assert_same(run: Path, whole: Path) -> None:
    assert summary(run) == summary(whole)
    assert stripped(run) == stripped(whole)
    check_run(run)
    assert {path.name for path in run.glob("videos/*/.*")} <= {".lock"}


@pytest.mark.full
def test_killed_at_ten_random_moments_it_ends_as_undisturbed(wanbench: Wanbench) -> None:
    _, err = (process := wanbench.start(*TINY, "--out", "whole")).communicate(timeout=900)
    assert process.returncode == 0, err
    rng = random.Random(10)
    for _ in range(10):
        kill_midway(wanbench, (*TINY, "--out", "cut"), wanbench.cwd / "cut", rng, delay_seconds=1.0)
    _, err = (process := wanbench.start(*TINY, "--out", "cut")).communicate(timeout=900)
    assert process.returncode == 0, err
    assert_same(wanbench.cwd / "cut", wanbench.cwd / "whole")


def command(folder: Path, *more: str, out: str = "r") -> tuple[str, ...]:
    model = f"command:{sys.executable} {MAKER} {{prompt_file}} {{out}} {{seed}} {folder / 'marks'}"
    common = ("--name", "mine", "--suite", "own.jsonl", "--profile", "lite", "--device", "cpu", "--out", out)
    return ("run", "--model", model, *common, *more)


def write_suite(folder: Path, count: int) -> None:
    dimensions = ("large_motion_generation", "pixel_level_stability")
    suite = [{"id": f"{dimensions[k % 2]}-{k:03}", "dimension": dimensions[k % 2], "text": f"leap {k}"} for k in range(count)]
    (folder / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in suite))


@pytest.fixture
def own_disk(wanbench: Wanbench) -> Iterator[Path]:
    """A file system of its own, mounted where the run goes, with as much room as the forecast wants to see."""
    with disk_of_its_own(wanbench.cwd / "r", "40m") as run:
        yield run


@pytest.mark.full
@pytest.mark.parametrize("model", ["command", "wan-tiny"])
def test_a_disk_that_fills_up_loses_no_finished_video(wanbench: Wanbench, own_disk: Path, model: str) -> None:
    write_suite(wanbench.cwd, 12)

    def arguments(out: str) -> list[str]:
        given = list(command(wanbench.cwd, out=out))
        if model == "wan-tiny":
            given[2] = model
            given += ["--steps", "2"]
        return given

    assert wanbench(*arguments("whole")).code == 0
    process = wanbench.start(*arguments("r"))
    until = time.monotonic() + 60
    while len(list(own_disk.glob("videos/mine/*.json"))) < 3:
        assert time.monotonic() < until
        time.sleep(0.01)
    with (own_disk / "evidence" / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))
    ended = end(process)
    assert ended.code == 74, ended
    assert "No space left on device" in ended.err or "the disk is full" in ended.err
    finished = {path.name: path.stat().st_mtime_ns for path in own_disk.glob("videos/mine/*.json") if path.stat().st_size}
    assert len(finished) >= 3
    (own_disk / "evidence" / "filler").unlink()
    assert wanbench(*arguments("r")).code == 0
    assert {name: (own_disk / "videos" / "mine" / name).stat().st_mtime_ns for name in finished} == finished
    assert_same(own_disk, wanbench.cwd / "whole")


@pytest.mark.full
def test_a_disk_that_is_too_small_is_seen_before_any_work(wanbench: Wanbench, own_disk: Path) -> None:
    write_suite(wanbench.cwd, 20)
    ended = wanbench(*command(wanbench.cwd))
    assert ended.code == 74
    assert "20 videos may need 60 MB, and" in ended.complaint
    assert not (wanbench.cwd / "marks").exists()


@pytest.mark.full
def test_processes_that_are_killed_cost_nothing(wanbench: Wanbench) -> None:
    """Again and again a process is killed, be it a maker, a scorer or a decoder."""
    write_suite(wanbench.cwd, 12)
    assert wanbench(*command(wanbench.cwd, out="whole")).code == 0
    process = wanbench.start(*command(wanbench.cwd))
    rng = random.Random(4)
    killed = 0
    while not list(wanbench.cwd.glob("r/videos/mine/*.json")):  # a maker that cannot even start ends the command
        assert process.poll() is None
        time.sleep(0.01)
    while process.poll() is None and killed < 5:
        time.sleep(rng.uniform(0.2, 1.2))
        children = [child for child in family(process) if "wanbench.execution.child" in " ".join(cmdline(child))]
        if children:
            rng.choice(children).kill()
            killed += 1
    ended = end(process)
    if ended.code == 3:  # two deaths may have hit one clip, which is then told, and tried again
        assert "crashed" in ended.err or "could not be made" in ended.err or "decoder" in ended.err, ended.err
        ended = wanbench(*command(wanbench.cwd))
    assert ended.code == 0, ended
    assert killed
    assert_same(wanbench.cwd / "r", wanbench.cwd / "whole")


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.full
def test_a_judge_that_goes_away_costs_its_answers_only(wanbench: Wanbench, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    rows = [
        {"id": f"physical_plausibility-{k:03}", "dimension": "physical_plausibility", **ONE, "text": f"ball {k}"}
        for k in range(6)
    ]
    (wanbench.cwd / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serving(tmp_path, dies=12) as server:
        port = server.port
        ended = wanbench(*command(wanbench.cwd, "--judge", server.url))
    assert ended.code == 3, ended
    assert info(wanbench.cwd / "r")["status"] == "partial"
    made = len((wanbench.cwd / "marks").read_text().splitlines())
    assert made == 6, "all videos were made nevertheless"
    with serving(tmp_path, port=port) as server:
        assert wanbench(*command(wanbench.cwd, "--judge", server.url)).code == 0
        assert wanbench(*command(wanbench.cwd, "--judge", server.url, out="whole")).code == 0
    assert len((wanbench.cwd / "marks").read_text().splitlines()) == 12, "six for the whole run, none again for the cut one"
    assert_same(wanbench.cwd / "r", wanbench.cwd / "whole")
