"""Wrong use is found before any work and told in one line; nothing is left behind by it."""

from __future__ import annotations

import fcntl
import importlib.machinery
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .command import Ended, Wanbench, info, lines, write_clips

LITE_RUN = ("--profile", "lite")
BLOCKER = """
import importlib.machinery as m, os
blocked, find = set(os.environ["BLOCKED"].split(",")), m.PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in blocked else find(name, path, target)
m.PathFinder.find_spec = staticmethod(find_spec)
"""
"""As `sitecustomize`: the named libraries are not found, as if they were not installed."""


@pytest.fixture
def without(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """An environment in which the named libraries are not installed."""
    assert hasattr(importlib.machinery.PathFinder, "find_spec")

    def environment(*libraries: str) -> dict[str, str]:
        folder = tmp_path / "blocker"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(BLOCKER)
        return {"PYTHONPATH": str(folder), "BLOCKED": ",".join(libraries)}

    return environment


def fails(wanbench: Wanbench, *arguments: str | Path, env: dict[str, str] | None = None, code: int = 2) -> str:
    """The one line; and the folder holds what it held before."""
    before = {p: p.stat().st_mtime_ns for p in wanbench.cwd.rglob("*")}
    ended = wanbench("score", *arguments, env=env)
    assert ended.code == code, ended
    assert {p: p.stat().st_mtime_ns for p in wanbench.cwd.rglob("*")} == before
    return ended.complaint


def test_nothing_to_score(wanbench: Wanbench) -> None:
    (wanbench.cwd / "empty").mkdir()
    (wanbench.cwd / "texts").mkdir()
    (wanbench.cwd / "texts" / "a.txt").write_text("no video")
    assert "no video in empty (looked for .avi, .gif" in fails(wanbench, "empty", *LITE_RUN)
    assert "no video in texts" in fails(wanbench, "texts", *LITE_RUN)
    assert "gone does not exist" in fails(wanbench, "gone", *LITE_RUN)
    assert "does not exist" in fails(wanbench, "x" * 5000, *LITE_RUN)
    assert "gone does not exist" in fails(wanbench, "name=gone", *LITE_RUN)


def test_unknown_dimension_profile_option_command(wanbench: Wanbench, clips: Path) -> None:
    line = fails(wanbench, clips, *LITE_RUN, "--dimensions", "beauty")
    assert "unknown dimension 'beauty'; known are large_motion_generation" in line
    assert "no dimension is named" in fails(wanbench, clips, *LITE_RUN, "--dimensions", ",")
    line = fails(wanbench, clips, *LITE_RUN, "--dimensions", "id_consistency")
    assert "nothing can be measured with --profile lite" in line
    for arguments, named in (
        (("score", clips, "--profile", "medium"), "medium"),
        (("score", clips, "--beauty"), "--beauty"),
        (("score", clips, "--workers", "0"), "workers"),
        (("score",), "paths"),
        (("scroe", clips), "scroe"),
    ):
        ended = wanbench(*arguments)
        assert (ended.code, ended.out) == (2, ""), ended
        assert named in ended.err.lower()
    assert not list(wanbench.cwd.iterdir())


def test_unwritable_places(wanbench: Wanbench, clips: Path) -> None:
    (wanbench.cwd / "file").write_text("in the way")
    for out in ("file", "file/below", "/proc/wanbench", "/sys/wanbench"):
        line = fails(wanbench, clips, *LITE_RUN, "--out", out)
        assert f"cannot write to {out}: " in line
        assert "choose another place with --out" in line


def test_a_foreign_folder_is_left_as_it_is(wanbench: Wanbench, clips: Path) -> None:
    (wanbench.cwd / "thesis").mkdir()
    (wanbench.cwd / "thesis" / "chapter.tex").write_text("years of work")
    line = fails(wanbench, clips, *LITE_RUN, "--out", "thesis")
    assert "thesis is not empty and not a wanbench run; choose another --out" in line


def test_another_runs_folder_is_left_as_it_is(wanbench: Wanbench, clips: Path, one: Path) -> None:
    line = fails(wanbench, clips / "right.mp4", *LITE_RUN, "--out", "r")
    assert "r holds a run with another plan (other inputs, suite or methods); choose another --out" in line
    (one / "run.json").write_text(json.dumps({**info(one), "schema_version": 99}))
    assert "another version of wanbench" in fails(wanbench, clips / "left.mp4", *LITE_RUN, "--out", "r")
    (one / "run.json").write_text("{")
    assert "run.json is not valid JSON" in fails(wanbench, clips / "left.mp4", *LITE_RUN, "--out", "r")


def test_a_run_that_is_being_written_is_locked(wanbench: Wanbench, clips: Path, one: Path) -> None:
    with (one / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = fails(wanbench, clips / "left.mp4", *LITE_RUN, "--out", "r")
    assert "another process is writing r; wait for it or choose another --out" in line


def test_a_damaged_line_in_the_middle_is_named(wanbench: Wanbench, clips: Path, one: Path) -> None:
    whole = (one / "measurements.jsonl").read_bytes().splitlines(keepends=True)
    for damage in (b"{torn\n", b"\n", b'{"candidate": "c"}\n', whole[1].replace(b"skipped", b"ok")):
        (one / "measurements.jsonl").write_bytes(b"".join([whole[0], damage, *whole[2:]]))
        (one / "run.json").write_text(json.dumps({**info(one), "status": "interrupted"}))
        assert "r/measurements.jsonl line 2 is damaged" in fails(wanbench, clips / "left.mp4", *LITE_RUN, "--out", "r")


def test_prompts_and_suites(wanbench: Wanbench, clips: Path) -> None:
    (wanbench.cwd / "bad.jsonl").write_text('{"video": "a.mp4", "prompt": "p"}\nnot json\n')
    assert "bad.jsonl line 2 is not valid JSON" in fails(wanbench, clips, *LITE_RUN, "--prompts", "bad.jsonl")
    assert "gone.csv cannot be read" in fails(wanbench, clips, *LITE_RUN, "--prompts", "gone.csv")
    line = fails(wanbench, clips, *LITE_RUN, "--suite", "nosuch")
    assert "the suite nosuch cannot be read" in line
    assert "known names are smoke, mini, full" in line
    (wanbench.cwd / "own.jsonl").write_text('{"id": "smoothness-1", "dimension": "smoothness", "text": "t"}\n')
    assert "no video matches a prompt of the suite own" in fails(wanbench, clips, *LITE_RUN, "--suite", "own.jsonl")


def test_reference_without_checkpoints_names_them_and_the_ways_out(wanbench: Wanbench, clips: Path) -> None:
    line = fails(wanbench, clips)
    for part in ("missing checkpoints", "raft", " MB)", "wanbench checkpoints pull", "--profile lite"):
        assert part in line
    line = fails(wanbench, clips, "--dimensions", "large_motion_generation")
    assert "raft" in line
    assert "dino" not in line


def test_missing_extras_name_the_install_command(
    wanbench: Wanbench, clips: Path, without: Callable[..., dict[str, str]]
) -> None:  # fmt: skip
    line = fails(wanbench, clips, env=without("torch", "torchvision", "transformers", "open_clip", "pyiqa", "ultralytics"))
    assert "pip install 'wanbench[score]'" in line
    assert "--profile lite" in line
    assert wanbench("score", clips, *LITE_RUN, env=without("torch", "torchvision", "transformers", "open_clip")).code == 0
    exported = wanbench("export", next((wanbench.cwd / "runs").iterdir()), "--format", "parquet", "--out", "x.parquet",
                        env=without("pyarrow"))  # fmt: skip
    assert (exported.code, exported.complaint) == (
        2, "wanbench: writing parquet needs an optional library: pip install 'wanbench[parquet]'"
    )  # fmt: skip


def test_with_json_too_a_failure_is_one_plain_line(wanbench: Wanbench) -> None:
    ended = wanbench("run", "--model", "no-such-model", "--json")
    assert ended.code == 2
    assert "no-such-model" in ended.complaint


def test_a_traceback_is_shown_when_asked_for(wanbench: Wanbench) -> None:
    ended = wanbench("score", "gone", "-v")
    assert ended.code == 2
    assert "Traceback" in ended.err
    assert ended.err.splitlines()[-1] == "wanbench: gone does not exist"


def test_a_defect_of_ours_is_seventy_and_saves_its_traceback(wanbench: Wanbench, clips: Path, tmp_path: Path) -> None:
    """A package whose declarations are broken: what nobody expects, provoked without touching the command line."""
    broken = tmp_path / "broken"
    shutil.copytree(Path(__file__).parents[2] / "wanbench", broken / "wanbench", ignore=shutil.ignore_patterns("__pycache__"))
    (broken / "wanbench" / "fourteen.py").write_text("raise ZeroDivisionError('unexpected')\n")
    ended = wanbench("score", clips, *LITE_RUN, env={"PYTHONPATH": str(broken), "TMPDIR": str(tmp_path)})
    assert ended.code == 70
    assert "a defect of wanbench, sorry (ZeroDivisionError: unexpected); the traceback is in " in ended.complaint
    saved = Path(ended.complaint.rpartition(" ")[2])
    assert "fourteen.py" in saved.read_text()


def test_standard_output_that_is_full_is_seventy_four(wanbench: Wanbench, clips: Path, one: Path) -> None:
    for command in (("export", "r", "--format", "csv"), ("score", clips / "left.mp4", *LITE_RUN, "--out", "r", "--json", "-q")):
        with Path("/dev/full").open("wb") as full:
            ended = wanbench(*command, stdout=full)
        assert ended.code == 74, ended
        assert "No space left on device" in ended.complaint


def test_a_reader_that_has_had_enough_is_no_failure(wanbench: Wanbench, clips: Path, one: Path) -> None:
    for command in (("export", "r", "--format", "csv"), ("score", clips / "left.mp4", *LITE_RUN, "--out", "r", "-q")):
        reading, writing = os.pipe()
        os.close(reading)
        ended = wanbench(*command, stdout=writing)
        os.close(writing)
        assert (ended.code, ended.err) == (0, "")


def unread(wanbench: Wanbench, *command: str | Path, **popen: Any) -> Ended:
    """Ended, with a standard output that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    ended = wanbench(*command, stdout=writing, **popen)
    os.close(writing)
    return ended


def test_a_reader_that_has_had_enough_changes_no_exit_code(wanbench: Wanbench, clips: Path, one: Path) -> None:
    """`wanbench score ... | true` in a pipeline: what failed is still named, and told by the code."""
    (wanbench.cwd / "bad").mkdir()
    (wanbench.cwd / "bad" / "text.mp4").write_text("no video")
    for more in ((), ("--json",)):
        ended = unread(wanbench, "score", clips / "left.mp4", "bad", *LITE_RUN, "--out", "bad-run", "-q", *more)
        assert ended.code == 3, ended
        assert "text.mp4" in ended.err
    (wanbench.cwd / "suite.jsonl").write_text("{}\n")
    assert unread(wanbench, "prompts", "validate", "suite.jsonl").code == 2


def test_a_watcher_that_has_had_enough_ends_no_work(wanbench: Wanbench, clips: Path) -> None:
    """Nobody reads standard error any more: the run goes on to its end."""
    reading, writing = os.pipe()
    os.close(reading)
    for k, more in enumerate(((), ("--json",))):
        ended = wanbench("score", clips / "left.mp4", *LITE_RUN, "--out", f"unwatched-{k}", *more, stderr=writing)
        assert ended.code == 0, ended
        assert (wanbench.cwd / f"unwatched-{k}" / "report.html").exists()
    assert wanbench("score", "gone", stderr=writing).code == 2
    os.close(writing)


def test_a_terminal_that_speaks_ascii_is_no_failure(wanbench: Wanbench) -> None:
    folder = write_clips(wanbench.cwd / "視頻", 1)
    (folder / "kaputt ü.mp4").write_text("no video")
    ended = wanbench("score", folder, *LITE_RUN, "--out", "r", env={"PYTHONIOENCODING": "ascii"})
    assert ended.code == 3
    assert "kaputt \\xfc.mp4" in ended.err
    assert {r["candidate"] for r in lines(wanbench.cwd / "r")} == {"視頻"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{w} gate --baseline a --candidate b >&-", 2),  # neither is there; with an open output it is 2 as well
        ("{w} weights list >&-", 0),
        ("{w} --help >/dev/full", 74),
        ("{w} --version >/dev/full", 74),
        ("{w} weights list >/dev/full", 74),
    ],
)
def test_an_output_that_is_closed_or_full(line: str, code: int, tmp_path: Path) -> None:
    """What a command found is in its exit code, whoever does not listen."""
    command = line.format(w=f"{sys.executable} -m wanbench")
    ended = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), ended.stderr


def test_with_standard_error_closed_the_result_stays_alone_on_standard_output(wanbench: Wanbench) -> None:
    write_clips(wanbench.cwd / "a", 1)
    command = f"{sys.executable} -m wanbench score a --profile lite --out r --json 2>&-"
    ended = subprocess.run(command, shell=True, cwd=wanbench.cwd, capture_output=True, text=True)
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["summary"]["candidates"].keys() == {"a"}


def test_names_that_are_no_device(wanbench: Wanbench) -> None:
    write_clips(wanbench.cwd / "a", 1)
    for name in ("foo", "cuda:x", "cpu:0"):
        assert f"not {name!r}" in fails(wanbench, "a", *LITE_RUN, "--device", name)
