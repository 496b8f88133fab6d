"""`wanbench score`: a whole run, what it says where, and what lies in the run directory afterwards."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from wanbench import __version__
from wanbench.fourteen import FOURTEEN

from .command import LITE, Ended, Wanbench, check_run, info, lines, summary, untimed, write_clips


@pytest.fixture(scope="module")
def finished(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Wanbench, Ended, Path]:
    """(command, what it said, run) of a plain run, which no test changes."""
    folder = tmp_path_factory.mktemp("finished")
    wanbench = Wanbench(folder, folder / "home")
    ended = wanbench("score", clips, "--profile", "lite", "--workers", "1")
    (run,) = (folder / "runs").iterdir()
    return wanbench, ended, run


def test_a_plain_run_says_where_it_is_and_ends_with_zero(finished: tuple[Wanbench, Ended, Path]) -> None:
    _, ended, run = finished
    assert ended.code == 0
    assert re.fullmatch(r"clips-[0-9a-f]{8}", run.name)
    assert f"report: runs/{run.name}/report.html" in ended.out
    assert ended.err.splitlines() == [f"run: runs/{run.name}"]
    heading = next(line for line in ended.out.splitlines() if line.startswith("Dimension"))
    assert heading.split() == ["Dimension", "Score", "95", "%", "interval", "n", "skipped", "errors"]
    assert "\x1b" not in ended.out + ended.err


def test_the_run_directory_keeps_its_promises(finished: tuple[Wanbench, Ended, Path]) -> None:
    _, _, run = finished
    check_run(run)
    rows, facts = lines(run), info(run)
    assert facts["status"] == "complete"
    assert facts["project_version"] == __version__
    assert facts["schema_version"] == 1
    assert facts["command"] == ["wanbench", "score", _inputs(run)[0], "--profile", "lite", "--workers", "1"]
    assert facts["start"] <= facts["end"]
    assert facts["candidates"]["clips"]["name"] == "clips"
    assert {"python", "torch", "device", "decoder", "threads_per_worker"} <= set(facts["environment"])
    assert set(facts["methods"]) == set(FOURTEEN)
    assert facts["methods"]["large_motion_generation"]["fingerprint"] == rows[0]["fingerprint"]
    assert set(LITE) <= set(facts["declarations"])
    assert len(facts["plan"]["samples"]) == 6
    planned = {(s["sha256"], d) for s in facts["plan"]["samples"] for d in s["dimensions"]}
    assert {(r["sha256"], r["dimension"]) for r in rows} == planned
    assert len(rows) == 6 * 14
    assert all(Path(r["video"]).is_absolute() and Path(r["video"]).is_file() for r in rows)
    page = (run / "report.html").read_text("utf-8")
    assert all(Path(r["video"]).name in page for r in rows)
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)


def test_judge_dimensions_are_skipped_rows_with_a_reason(finished: tuple[Wanbench, Ended, Path]) -> None:
    _, _, run = finished
    for row in lines(run):
        if row["dimension"] not in LITE:
            assert (row["status"], row["score"]) == ("skipped", None)
            assert "judge" in row["reason"] or "lite" in row["reason"]
    assert all(row["raw"]["flow_top5_diag_per_s"] >= 0 for row in lines(run) if row["dimension"] == LITE[0])


def test_summary_has_the_named_keys(finished: tuple[Wanbench, Ended, Path]) -> None:
    _, _, run = finished
    entry = summary(run)["candidates"]["clips"]
    keys = {"score", "low", "high", "n", "skipped", "errors", "expected", "method", "fingerprint", "subsets"}
    assert all(keys <= set(found) for found in entry["dimensions"].values())
    assert set(entry["pillars"]) == {"dynamic", "image", "instruction"}
    assert entry["weighted"] == {"score": None, "low": None, "high": None, "weights": "table2", "complete": False}
    assert LITE[0] in entry["partial"]["dimensions"]
    assert entry["partial"]["low"] <= entry["partial"]["score"] <= entry["partial"]["high"]


def test_a_finished_run_is_reported_again_and_nothing_is_measured(finished: tuple[Wanbench, Ended, Path]) -> None:
    wanbench, first, run = finished
    record = run / "measurements.jsonl"
    before = (record.read_bytes(), record.stat().st_mtime_ns, info(run))
    (run / "report.html").unlink()
    again = wanbench("score", *_inputs(run), "--profile", "lite", "--workers", "1")
    assert (again.code, again.out) == (0, first.out)
    assert "finished" in again.err
    assert (record.read_bytes(), record.stat().st_mtime_ns, info(run)) == before
    assert (run / "report.html").is_file()
    assert len(list(run.parent.iterdir())) == 1


def _inputs(run: Path) -> list[str]:
    return [str(p) for c in info(run)["candidates"].values() for p in c["paths"]]


def test_json_is_all_that_standard_output_holds(finished: tuple[Wanbench, Ended, Path]) -> None:
    wanbench, _, run = finished
    ended = wanbench("score", *_inputs(run), "--profile", "lite", "--json")
    assert set(ended.json) == {"run", "report", "status", "summary"}
    assert ended.json["summary"] == summary(run)
    assert ended.json["status"] == "complete"
    assert "finished" in ended.err


def test_quiet_leaves_the_result_alone(wanbench: Wanbench, clips: Path) -> None:
    copy = shutil.copy(clips / "left.mp4", wanbench.cwd / "twin.mp4")
    ended = wanbench("score", clips / "left.mp4", copy, "--profile", "lite", "-q", "--name", "mine")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Dimension")
    assert "report" not in ended.out
    told = wanbench("score", clips / "left.mp4", copy, "--profile", "lite", "--name", "mine").err.splitlines()
    assert told[0].startswith("warning: ")
    assert told[0].endswith("holds the same bytes as " + str(min(clips / "left.mp4", wanbench.cwd / "twin.mp4")) + ": one sample")


def test_the_same_command_finds_its_run_and_another_makes_another(wanbench: Wanbench, clips: Path) -> None:
    arguments = ("score", clips / "left.mp4", "--profile", "lite")
    wanbench(*arguments)
    again = wanbench(*arguments, "--workers", "2", "--batch-size", "1", "--no-progress", "--seed", "3")
    assert "is finished: nothing is measured again" in again.err
    assert len(list((wanbench.cwd / "runs").iterdir())) == 1
    wanbench(*arguments, "--dimensions", LITE[0])
    wanbench("score", clips / "left.mp4", clips / "right.mp4", "--profile", "lite", "--name", "other")
    assert [p.name[:-9] for p in sorted((wanbench.cwd / "runs").iterdir())] == ["clips", "clips", "other"]


def test_dimensions_and_limit(wanbench: Wanbench, clips: Path) -> None:
    ended = wanbench("score", clips, "--profile", "lite", "--dimensions", f"{LITE[1]}, {LITE[0]}", "--limit", "2", "--out", "r")
    assert ended.code == 0
    rows = lines(wanbench.cwd / "r")
    assert [r["dimension"] for r in rows] == [LITE[0], LITE[1]] * 2
    assert "not part of this run" in ended.out
    check_run(wanbench.cwd / "r")


def test_several_candidates(wanbench: Wanbench, clips: Path) -> None:
    ended = wanbench("score", f"b={clips / 'left.mp4'}", f"a={clips / 'up.mp4'}", f"b={clips / 'near.mp4'}",
                     "--profile", "lite", "--out", "r")  # fmt: skip
    assert ended.code == 0
    assert [(r["candidate"], Path(r["video"]).stem) for r in lines(wanbench.cwd / "r")[::14]] == [
        ("a", "up"), ("b", "left"), ("b", "near")
    ]  # fmt: skip
    assert set(summary(wanbench.cwd / "r")["candidates"]) == {"a", "b"}
    assert "Candidate" in ended.out


def test_videos_inside_the_run_are_named_relative_to_it(wanbench: Wanbench) -> None:
    videos = write_clips(wanbench.cwd / "run" / "videos" / "model", 2)
    assert wanbench("score", videos, "--profile", "lite", "--out", "run").code == 0
    assert {r["video"] for r in lines(wanbench.cwd / "run")} == {"videos/model/left.mp4", "videos/model/walk.mp4"}
    assert '"./videos/model"' in (wanbench.cwd / "run" / "report.html").read_text("utf-8")


def test_one_frame_is_skipped_and_no_error(wanbench: Wanbench) -> None:
    folder = write_clips(wanbench.cwd / "one", 1, seconds=0.125)
    ended = wanbench("score", folder, "--profile", "lite", "--out", "r")
    assert ended.code == 0
    assert {r["status"] for r in lines(wanbench.cwd / "r")} == {"skipped"}
    assert "No clip was measured" in ended.out
    check_run(wanbench.cwd / "r")


def test_error_rows_are_named_and_end_with_three(wanbench: Wanbench) -> None:
    folder = write_clips(wanbench.cwd / "mixed", 2)
    (folder / "text.mp4").write_text("no video")
    (folder / "empty.mp4").write_bytes(b"")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "nowhere.mp4").symlink_to("gone.mp4")
    ended = wanbench("score", folder, "--profile", "lite", "--out", "r")
    assert ended.code == 3
    rows = lines(wanbench.cwd / "r")
    failed = {Path(r["video"]).name: r["reason"] for r in rows if r["status"] == "error"}
    assert set(failed) == {"text.mp4", "empty.mp4", "pipe.mp4", "nowhere.mp4"}
    named = [line for line in ended.err.splitlines() if not line.startswith("run: ")]
    assert len(named) == 4
    assert all(any(line.startswith(f"{folder / name}: {reason}") for line in named) for name, reason in failed.items())
    assert info(wanbench.cwd / "r")["status"] == "partial"
    assert {r["status"] for r in rows if Path(r["video"]).name == "walk.mp4"} == {"ok", "skipped"}
    check_run(wanbench.cwd / "r")
    before = [r for r in lines(wanbench.cwd / "r") if r["status"] != "error"]
    again = wanbench("score", folder, "--profile", "lite", "--out", "r")
    assert again.code == 3
    assert [r for r in lines(wanbench.cwd / "r") if r["status"] != "error"] == before
    assert untimed(wanbench.cwd / "r")


def in_terminal(wanbench: Wanbench, *arguments: str | Path) -> str:
    """What a terminal on standard error sees."""
    ours, theirs = pty.openpty()
    process = wanbench.start(*arguments, stderr=theirs, stdout=theirs, env={"TERM": "xterm"})
    os.close(theirs)
    seen = b"".join(_until_hangup(ours))
    os.close(ours)
    assert process.wait() == 0, seen.decode()
    return seen.decode()


def _until_hangup(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(descriptor, 4096)
        except OSError:  # the other side of a pseudo-terminal is closed
            return
        if not chunk:
            return
        yield chunk


def test_a_terminal_has_a_bar_and_can_do_without(wanbench: Wanbench, clips: Path) -> None:
    seen = in_terminal(wanbench, "score", clips, "--profile", "lite")
    assert "measuring" in seen
    assert "6/6" in seen
    assert "Large motion generation" in seen
    unseen = in_terminal(wanbench, "score", clips, "--profile", "lite", "--no-progress", "--out", "r")
    assert "measuring" not in unseen
    assert "6/6" not in unseen


def test_statistics_seed_moves_no_score(wanbench: Wanbench, clips: Path, six: Path) -> None:
    first = summary(six)
    assert wanbench("score", clips, "--profile", "lite", "--out", "r", "--seed", "7").code == 0
    assert info(wanbench.cwd / "r")["statistics_seed"] == 7
    second = summary(wanbench.cwd / "r")
    assert json.dumps(first["candidates"]["clips"]["dimensions"]) == json.dumps(second["candidates"]["clips"]["dimensions"])
    assert first["candidates"]["clips"]["partial"]["score"] == second["candidates"]["clips"]["partial"]["score"]
