"""The command line as a user has it: a real process, its output, its exit code, and the files it leaves."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from wanbench.scenes.encode import write_video
from wanbench.scenes.render import Scene, Subject, render

LITE = ("large_motion_generation", "pixel_level_stability", "camera_control")
"""What `lite` measures."""
SCENES = {
    "walk": Scene(size_HW=(64, 96), subjects=(Subject(size=0.5, velocity_XY=(0.3, 0.1)),)),
    "left": Scene(size_HW=(64, 96), movement="pan-left", speed=0.2),
    "right": Scene(size_HW=(64, 96), movement="pan-right", speed=0.3),
    "up": Scene(size_HW=(64, 96), movement="tilt-up", speed=0.2),
    "near": Scene(size_HW=(64, 96), movement="zoom-in", speed=0.2),
    "still": Scene(size_HW=(64, 96), noise_sigma=3.0),
}
SECONDS_LIMIT = 120.0
PACKAGE_ROOT = Path(__file__).resolve().parents[2]


def write_clips(folder: Path, count: int = len(SCENES), *, seconds: float = 1.0) -> Path:
    """`count` different tiny videos, called `walk.mp4`, `left.mp4`, ...; after the sixth `walk-1.mp4` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        name, scene = list(SCENES.items())[k % len(SCENES)]
        path = folder / (f"{name}-{k // len(SCENES)}.mp4" if k >= len(SCENES) else f"{name}.mp4")
        write_video(path, (frame for _, frame in render(scene, fps=8, seconds=seconds, seed=k)), fps=8)
    return folder


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of a failure; fails when standard error holds anything else."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("wanbench: "), self.err
        assert self.out == "", self.out
        return lines[0]

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Wanbench:
    """Runs `wanbench` in a folder with a known environment; calling it runs a command to its end."""

    def __init__(self, cwd: Path, home: Path) -> None:
        self.cwd = cwd
        kept = {k: v for k, v in os.environ.items() if not k.startswith("WANBENCH_") and k not in ("COLUMNS", "PYTHONPATH")}
        self.env = {**kept, "WANBENCH_HOME": str(home), "COLUMNS": "160"}

    def start(self, *arguments: str | bytes | Path, env: dict[str, str] | None = None, **popen: Any) -> subprocess.Popen[bytes]:
        """The command in a process group of its own, as a shell's job is."""
        command = [sys.executable, "-P", "-m", "wanbench", *arguments]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen}
        return subprocess.Popen(command, cwd=self.cwd, env={**self.env, **(env or {})}, process_group=0, **streams)

    def __call__(self, *arguments: str | bytes | Path, env: dict[str, str] | None = None, **popen: Any) -> Ended:
        ended = end(self.start(*arguments, env=env, **popen))
        if "-v" not in arguments:
            assert "Traceback" not in ended.err + ended.out, ended.err + ended.out
        return ended


def end(process: subprocess.Popen[bytes]) -> Ended:
    """Wait for the process and take what it wrote."""
    try:
        out, err = process.communicate(timeout=SECONDS_LIMIT)
    finally:
        process.kill()
    return Ended(process.returncode, (out or b"").decode(), (err or b"").decode())


def lines(run: Path) -> list[dict[str, Any]]:
    """The whole lines of a record."""
    try:
        content = (run / "measurements.jsonl").read_bytes()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def untimed(run: Path) -> list[bytes]:
    """The record's bytes line by line, `seconds` taken out: what must not change."""
    return [json.dumps({k: v for k, v in line.items() if k != "seconds"}).encode() for line in lines(run)]


def key(line: dict[str, Any]) -> tuple[Any, ...]:
    """What is measured once."""
    return tuple(line[k] for k in ("candidate", "sha256", "prompt_id", "seed", "video", "dimension"))


def info(run: Path) -> Any:
    return json.loads((run / "run.json").read_bytes())


def summary(run: Path) -> Any:
    return json.loads((run / "summary.json").read_bytes())


def wait_for_lines(process: subprocess.Popen[bytes], run: Path, count: int) -> bool:
    """Watch the record grow to `count` lines; False when the process ended before."""
    path = run / "measurements.jsonl"
    while process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return True
        time.sleep(0.0005)
    return False


def kill_midway(wanbench: Wanbench, arguments: Sequence[str], run: Path, rng: random.Random, *, delay_seconds: float) -> None:
    """Start a run and kill it, with all its processes, at a random moment after it has got on: one more video or line.

    Half of the kills come at once, the others later, by the delay at most. Asserts that it was at work then, and is not finished.
    """
    before = _progress(run)
    process = wanbench.start(*arguments)
    try:
        until = time.monotonic() + SECONDS_LIMIT
        while _progress(run) <= before:
            assert process.poll() is None, end(process)
            assert time.monotonic() < until
            time.sleep(0.002)
        time.sleep(rng.choice((0.0, rng.uniform(0.0, delay_seconds))))
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert info(run)["status"] == "interrupted"


def _progress(run: Path) -> int:
    """Videos that are made and lines that are on record."""
    return len(list(run.glob("videos/*/*-*.json"))) + len(lines(run))


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The children of a command, and theirs."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The worker processes of a command, told by their command line."""
    return [child for child in family(process) if any("wanbench.evaluation.worker" in word for word in _command_line(child))]


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def all_gone(processes: list[psutil.Process], seconds: float = 5.0) -> bool:
    """Whether every process ends within `seconds`; those that do not are killed."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive:
        process.send_signal(signal.SIGKILL)
    return not alive


@contextlib.contextmanager
def disk_of_its_own(path: Path, size: str) -> Iterator[Path]:
    """A file system of this size, mounted at `path`; skips the test where none can be."""
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def check_run(run: Path) -> None:
    """The checker named by WANBENCH_CHECK, if one is named, has nothing to say."""
    if checker := os.environ.get("WANBENCH_CHECK"):
        done = subprocess.run([sys.executable, checker, str(run)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
