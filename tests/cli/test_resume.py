"""Runs that are cut: by kill -9, Ctrl-C, SIGTERM, a full disk; each goes on where it stopped and ends as if nothing had been."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .command import (
    Wanbench,
    all_gone,
    check_run,
    disk_of_its_own,
    end,
    family,
    info,
    key,
    lines,
    summary,
    untimed,
    wait_for_lines,
)

KILLS = 20
LITE_RUN = ("--profile", "lite", "--out", "r")


@pytest.fixture(scope="module")
def undisturbed(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the twenty-four clips that nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    wanbench = Wanbench(folder, folder / "home")
    assert wanbench("score", many, *LITE_RUN, "--workers", "1").code == 0
    return folder / "r"


def assert_same(run: Path, other: Path) -> None:
    assert untimed(run) == untimed(other)
    assert summary(run) == summary(other)
    assert pictures(run) == pictures(other)
    check_run(run)


def pictures(run: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (run / "evidence").glob("*.jpg")}


def whole_lines(run: Path) -> bytes:
    """The record without what a killed process was just writing."""
    path = run / "measurements.jsonl"
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1]


def test_twenty_kills_at_ten_or_more_lengths_change_nothing(wanbench: Wanbench, many: Path, undisturbed: Path) -> None:
    """The kills are aimed: each waits for a random number of new lines, since nobody can know how long a start takes here."""
    rng, run = random.Random(20), wanbench.cwd / "r"
    total = len(lines(undisturbed))
    kept, lengths = b"", []
    for kill in range(KILLS):
        process = wanbench.start("score", many, *LITE_RUN, "--workers", "2" if kill % 5 == 0 else "1")
        known = len(kept.splitlines())
        target = min(total - 6, known + rng.randint(0, 2 * (total - known) // (KILLS - kill)))
        assert wait_for_lines(process, run, target), end(process).err
        time.sleep(rng.random() * 0.02)
        children = family(process)
        process.kill()
        process.communicate()
        assert all_gone(children), "children outlived the command"
        now = whole_lines(run)
        measured = [key(json.loads(line)) for line in now.splitlines()]
        ordered = len(measured) == total and set(kept.splitlines()) <= set(now.splitlines())  # as the end of a run does
        assert now.startswith(kept) or ordered, "what was on record has changed"
        kept = now
        assert len(measured) == len(set(measured)), "measured twice"
        lengths.append(len(measured))
    assert len(set(lengths)) >= 10, lengths
    assert info(run)["status"] == "interrupted"
    ended = wanbench("score", many, *LITE_RUN)
    assert ended.code == 0
    seconds = {key(line): line["seconds"] for line in lines(run)}
    assert all(seconds[key(line)] == line["seconds"] for line in map(json.loads, kept.splitlines())), "measured again"
    assert_same(run, undisturbed)
    assert info(run)["status"] == "complete"
    assert not list(run.glob(".*.tmp"))
    print(f"record lengths at the kills: {lengths} of {total}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_an_interrupt_says_how_to_go_on(wanbench: Wanbench, many: Path, undisturbed: Path, number: signal.Signals) -> None:
    """To the whole process group, as a terminal sends it."""
    process = wanbench.start("score", many, *LITE_RUN, "--workers", "2")
    assert wait_for_lines(process, wanbench.cwd / "r", 265)  # 11 of 14 lines a clip need no work
    children = family(process)
    assert len(children) >= 2
    os.killpg(process.pid, number)
    ended = end(process)
    assert ended.code == 130
    assert ended.out == ""
    first, line = ended.err.splitlines()
    assert first == "run: r"
    assert line.startswith("wanbench: interrupted after ")
    assert line.endswith("; what was measured is kept in r: give the same command to go on")
    assert all_gone(children)
    assert info(wanbench.cwd / "r")["status"] == "interrupted"
    kept = whole_lines(wanbench.cwd / "r").splitlines()
    assert wanbench("score", many, *LITE_RUN).code == 0
    assert {key(json.loads(line)) for line in kept} <= {key(line) for line in lines(wanbench.cwd / "r")}
    assert_same(wanbench.cwd / "r", undisturbed)


def wait_for_our_first_line(process: subprocess.Popen[bytes]) -> None:
    """Python itself leaves SIGTERM alone: who catches it runs our code, and before that nothing of ours can answer."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        caught = re.search(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
        if caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)
    raise AssertionError("no line of ours was ever run")


@pytest.mark.full
def test_an_interrupt_at_any_moment_is_a_hundred_and_thirty_or_too_late(wanbench: Wanbench, clips: Path) -> None:
    for k, delay in enumerate((0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)):
        process = wanbench.start("score", clips, "--profile", "lite", "--out", f"r{k}")
        wait_for_our_first_line(process)
        time.sleep(delay)
        children = family(process)
        os.killpg(process.pid, (signal.SIGINT, signal.SIGTERM)[k % 2])
        ended = end(process)
        assert "Traceback" not in ended.err
        assert ended.code == 130 or (ended.code == 0 and ended.out), (delay, ended)
        assert all_gone(children)


def test_two_processes_do_not_write_one_run(wanbench: Wanbench, many: Path, undisturbed: Path) -> None:
    first = wanbench.start("score", many, *LITE_RUN, "--workers", "1")
    assert wait_for_lines(first, wanbench.cwd / "r", 1)
    first.send_signal(signal.SIGSTOP)
    try:
        second = wanbench("score", many, *LITE_RUN)
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.code == 2
    assert second.complaint == "wanbench: another process is writing r; wait for it or choose another --out"
    assert end(first).code == 0
    assert_same(wanbench.cwd / "r", undisturbed)


def test_a_torn_last_line_is_dropped_and_measured_again(wanbench: Wanbench, clips: Path, six: Path) -> None:
    run, record = six, six / "measurements.jsonl"
    whole, found = untimed(run), summary(run)
    content = record.read_bytes()
    for cut in (len(content) - 1, len(content) - 200, 10):
        record.write_bytes(content[:cut])
        (run / "run.json").write_text(json.dumps({**info(run), "status": "interrupted"}))
        kept = whole_lines(run)
        assert wanbench("score", clips, *LITE_RUN).code == 0
        assert (untimed(run), summary(run)) == (whole, found)
        assert set(kept.splitlines()) <= set(record.read_bytes().splitlines())


def test_lines_that_were_taken_out_of_a_finished_run_are_measured_again(wanbench: Wanbench, clips: Path, six: Path) -> None:
    run, record = six, six / "measurements.jsonl"
    whole, environment = untimed(run), info(run)["environment"]
    content = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(content[:3] + content[5:]))
    assert wanbench("score", clips, *LITE_RUN, "--workers", "1").code == 0
    assert untimed(run) == whole
    record.unlink()
    assert wanbench("score", clips, *LITE_RUN).code == 0
    assert untimed(run) == whole
    assert info(run)["environment"]["decoder"] == environment["decoder"]


def test_a_run_cut_before_its_first_line_goes_on(wanbench: Wanbench, clips: Path) -> None:
    """What a kill within the very first write leaves behind."""
    run = wanbench.cwd / "r"
    (run / "evidence").mkdir(parents=True)
    (run / ".lock").touch()
    (run / ".run.json.4711.tmp").write_text('{"schema')
    assert wanbench("score", clips, *LITE_RUN).code == 0
    assert not list(run.glob(".*.tmp"))


def test_a_run_cut_after_its_last_line_keeps_its_circumstances(wanbench: Wanbench, clips: Path, six: Path) -> None:
    run, before = six, info(six)
    (run / "run.json").write_text(json.dumps({**before, "status": "interrupted", "end": None}))
    (run / "summary.json").unlink()
    assert wanbench("score", clips, *LITE_RUN).code == 0
    after = info(run)
    assert after["status"] == "complete"
    assert after["start"] == before["start"]
    assert after["environment"] == before["environment"]
    check_run(run)


def test_errors_are_tried_again_and_nothing_else(wanbench: Wanbench, clips: Path, six: Path) -> None:
    """Here the error lies in the record alone, as after a crash that does not come back."""
    run, record = six, six / "measurements.jsonl"
    good = lines(run)
    broken: dict[str, Any] = {**good[0], "status": "error", "score": None, "reason": "out of luck", "raw": None}
    record.write_text("".join(json.dumps(line) + "\n" for line in [broken, *good[1:]]))
    (run / "run.json").write_text(json.dumps({**info(run), "status": "partial"}))
    assert wanbench("score", clips, *LITE_RUN).code == 0
    again = lines(run)
    assert again[1:] == good[1:]
    assert {k: v for k, v in again[0].items() if k != "seconds"} == {k: v for k, v in good[0].items() if k != "seconds"}
    assert info(run)["status"] == "complete"


@pytest.fixture
def small_disk(wanbench: Wanbench) -> Iterator[Path]:
    """A file system of its own, of 256 kB, mounted where the run goes; its `evidence` holds what fills it."""
    with disk_of_its_own(wanbench.cwd / "r", "256k") as run:
        yield run


RARER = [pytest.param(free, marks=pytest.mark.full) for free in (0, 4096, 120_000)]


@pytest.mark.parametrize("free", [40_000, 160_000, *RARER])
def test_a_full_disk_loses_nothing(wanbench: Wanbench, many: Path, undisturbed: Path, small_disk: Path, free: int) -> None:
    filler = small_disk / "evidence"
    filler.mkdir()
    space = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (filler / "filler").write_bytes(b"\0" * (space - free))
    ended = wanbench("score", many, *LITE_RUN, "--workers", "1", "-q")
    assert ended.code == 74, ended
    assert "No space left on device" in ended.complaint or "the disk is full" in ended.complaint
    kept = whole_lines(small_disk)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert wanbench("score", many, *LITE_RUN).code == 0
    seconds = {key(line): line["seconds"] for line in lines(small_disk)}
    assert all(seconds[key(line)] == line["seconds"] for line in map(json.loads, kept.splitlines()))
    assert_same(small_disk, undisturbed)


def test_a_file_size_limit_loses_nothing(wanbench: Wanbench, many: Path, undisturbed: Path) -> None:
    """The record may not grow beyond 60 kB: no mount is needed to be refused."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    ended = wanbench("score", many, *LITE_RUN, "--workers", "1", "-q", preexec_fn=limit)
    assert ended.code == 74, ended
    assert "r/measurements.jsonl" in ended.complaint or "r/run.json" in ended.complaint
    kept = whole_lines(wanbench.cwd / "r")
    assert len(kept.splitlines()) > 20
    assert wanbench("score", many, *LITE_RUN).code == 0
    assert set(map(key, map(json.loads, kept.splitlines()))) <= set(map(key, lines(wanbench.cwd / "r")))
    assert_same(wanbench.cwd / "r", undisturbed)
