"""Worker processes that are killed: the clip is tried once more, and a clip that kills twice costs only itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from wanbench.scenes.encode import Encoding, write_video
from wanbench.scenes.render import Scene, render

from .command import Wanbench, all_gone, check_run, end, family, info, lines, untimed, wait_for_lines, workers, write_clips

ENCODING = Encoding(codec="mjpeg", qp=12, pixel_format="yuvj420p")
LITE_RUN = ("--profile", "lite", "--out", "r")


def test_a_worker_killed_in_the_middle_is_replaced(wanbench: Wanbench, many: Path) -> None:
    reference = wanbench("score", many, "--profile", "lite", "--out", "quiet", "--workers", "1")
    assert reference.code == 0
    process = wanbench.start("score", many, *LITE_RUN, "--workers", "1")
    killed = set()
    for count in (265, 290, 315):
        assert wait_for_lines(process, wanbench.cwd / "r", count), end(process).err
        for worker in workers(process):
            worker.kill()
            killed.add(worker.pid)
    ended = end(process)
    assert ended.code == 0, ended
    assert len(killed) >= 2
    assert untimed(wanbench.cwd / "r") == untimed(wanbench.cwd / "quiet")
    assert info(wanbench.cwd / "r")["status"] == "complete"


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a-slow.mp4`, whose decoding takes a good second, and three quick videos after it."""
    folder = write_clips(tmp_path_factory.mktemp("slow") / "slow", 3)
    frames = [frame for _, frame in render(Scene(size_HW=(480, 832), noise_sigma=8.0), fps=8, seconds=1.0, seed=1)]
    write_video(folder / "a-slow.avi", (frames[k % 8] for k in range(600)), fps=120, encoding=ENCODING)
    return folder


def test_a_clip_that_kills_its_worker_twice_is_an_error_row(wanbench: Wanbench, slow: Path) -> None:
    """The slow clip comes first, and after its first failure last, so that nothing else can be blamed."""
    process = wanbench.start("score", slow, *LITE_RUN, "--workers", "1")
    kill_busy_worker(process, slow / "a-slow.avi")
    assert wait_for_lines(process, wanbench.cwd / "r", 4 * 11 + 3 * 3)
    while kill_busy_worker(process, slow / "a-slow.avi"):
        pass  # a kill before the worker has said that it begins is not counted against the clip
    ended = end(process)
    assert ended.code == 3, ended
    failed = [r for r in lines(wanbench.cwd / "r") if r["status"] == "error"]
    assert {Path(r["video"]).name for r in failed} == {"a-slow.avi"}
    assert {r["reason"] for r in failed} == {"crashed the worker process, 2 times: it was killed by SIGKILL"}
    assert len(failed) == 3
    assert {r["status"] for r in lines(wanbench.cwd / "r") if Path(r["video"]).name == "walk.mp4"} == {"ok", "skipped"}
    assert info(wanbench.cwd / "r")["status"] == "partial"
    check_run(wanbench.cwd / "r")
    again = wanbench("score", slow, *LITE_RUN, "--workers", "1")
    assert again.code == 0
    assert info(wanbench.cwd / "r")["status"] == "complete"


def busy_worker(process: subprocess.Popen[bytes], path: Path) -> psutil.Process | None:
    """The worker below which a process has `path` open, as soon as there is one; None when the command ends before."""
    while process.poll() is None:
        for worker in workers(process):
            try:
                for child in worker.children():
                    if any(file.path == str(path) for file in child.open_files()):
                        return worker
            except psutil.Error:
                continue
        time.sleep(0.001)
    return None


def kill_busy_worker(process: subprocess.Popen[bytes], path: Path) -> bool:
    victim = busy_worker(process, path)
    if victim is not None:
        victim.kill()
        psutil.wait_procs([victim], timeout=5)
    return victim is not None


@pytest.mark.full
def test_a_killed_decoder_costs_nothing(wanbench: Wanbench, slow: Path) -> None:
    process = wanbench.start("score", slow, *LITE_RUN, "--workers", "1")
    worker = busy_worker(process, slow / "a-slow.avi")
    assert worker is not None
    for child in worker.children():
        child.kill()
    ended = end(process)
    assert ended.code == 0, ended
    assert not workers(process)


def test_the_command_survives_none_of_its_children(wanbench: Wanbench, slow: Path) -> None:
    process = wanbench.start("score", slow, *LITE_RUN, "--workers", "2")
    assert busy_worker(process, slow / "a-slow.avi")
    children = family(process)
    assert len(children) >= 4
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert all_gone(children)
