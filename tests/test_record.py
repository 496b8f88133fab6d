"""The run directory's files: what is read, what is dropped, who may write, and that a failure leaves the old file."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys

import pytest

from wanbench.errors import OutputError, RunLocked, UsageError
from wanbench.record import RECORD, RunDirectory, as_text, read_json, read_measurements, write_atomically, write_json
from wanbench.types import Measurement

ROW = Measurement(
    candidate="c",
    video="v.mp4",
    sha256="0" * 64,
    prompt_id=None,
    seed=None,
    dimension="camera_control",
    status="ok",
    score=0.5,
    reason=None,
    exploratory=False,
    method="dis",
    fingerprint="f",
    seconds=0.1,
    raw={"text": "line\u2028separator 視頻"},
)


def rows(count):
    return [dataclasses.replace(ROW, video=f"v{k}.mp4") for k in range(count)]


def order(measurements):
    return {m.key: k for k, m in enumerate(measurements)}


def test_lines_come_back_as_they_went(tmp_path):
    with RunDirectory(tmp_path / "r") as run:
        run.open_record()
        run.append(rows(3))
    path = tmp_path / "r" / RECORD
    assert list(read_measurements(path)) == rows(3)
    assert path.read_bytes().isascii()
    assert len(path.read_text().splitlines()) == 3  # U+2028 would end a line for some readers


def test_no_record_is_no_line(tmp_path):
    assert list(read_measurements(tmp_path / RECORD)) == []


@pytest.mark.parametrize("torn", [b"{", b'{"candidate": "c", "vid', b"\xff\x00", b""])
def test_a_torn_last_line_is_dropped_and_cut_off(tmp_path, torn):
    with RunDirectory(tmp_path / "r") as run:
        run.open_record()
        run.append(rows(2))
    path = tmp_path / "r" / RECORD
    write_json(tmp_path / "r" / "run.json", {})
    path.write_bytes(path.read_bytes() + torn)
    assert list(read_measurements(path)) == rows(2)
    with RunDirectory(tmp_path / "r") as run:
        run.read_record()
        run.open_record()
        run.append(rows(3)[2:])
    assert list(read_measurements(path)) == rows(3)


def test_a_line_longer_than_a_block_is_cut_off_too(tmp_path):
    path = tmp_path / "r" / RECORD
    with RunDirectory(tmp_path / "r") as run:
        path.write_bytes(b"x" * 200_000)
        run.open_record()
        assert path.stat().st_size == 0


@pytest.mark.parametrize("damage", [b"{", b"", b"[]", b'{"candidate": "c"}', b"null"])
def test_a_damaged_line_is_named(tmp_path, damage):
    path = tmp_path / RECORD
    good = json.dumps(ROW.to_json()).encode()
    path.write_bytes(good + b"\n" + damage + b"\n" + good + b"\n")
    with pytest.raises(UsageError, match=r"measurements.jsonl line 2 is damaged"):
        list(read_measurements(path))


def test_a_later_line_of_the_same_key_replaces_and_the_end_is_ordered(tmp_path):
    broken = dataclasses.replace(ROW, video="v1.mp4", status="error", score=None, reason="r")
    with RunDirectory(tmp_path / "r") as run:
        run.open_record()
        run.append([rows(3)[2], broken, rows(3)[0], rows(3)[1]])
        assert run.finish(order(rows(3))) == rows(3)
    assert list(read_measurements(tmp_path / "r" / RECORD)) == rows(3)


def test_one_writer(tmp_path):
    with RunDirectory(tmp_path / "r"), pytest.raises(RunLocked, match="another process is writing"), RunDirectory(tmp_path / "r"):
        pass
    with RunDirectory(tmp_path / "r"):
        pass


def test_a_foreign_folder_is_refused_untouched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty and not a wanbench run"), RunDirectory(tmp_path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_what_a_kill_leaves_is_cleared(tmp_path):
    left = [tmp_path / f".{name}.123.tmp" for name in ("run.json", "measurements.jsonl", "summary.json", "report.html")]
    for path in left:
        path.write_text("half")
    with RunDirectory(tmp_path):
        assert not any(path.exists() for path in left)


def test_whole_files_or_none(tmp_path):
    target = tmp_path / "run.json"
    write_json(target, {"a": 1})
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "gone" / "x", target / "x"):
        with pytest.raises(OutputError, match=f"cannot write {path}: "):
            write_atomically(path, b"new")
    assert read_json(target) == {"a": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "run.json"]


def test_a_file_that_may_not_grow_leaves_the_old_one(tmp_path):
    """In a process of its own, since the limit cannot be lifted again."""
    write_json(tmp_path / "run.json", {"a": 1})
    code = (
        "from pathlib import Path; from wanbench.record import write_atomically; from wanbench.errors import OutputError\n"
        "try: write_atomically(Path('run.json'), b'x' * 100_000)\nexcept OutputError as error: print(error)"
    )
    limit = (1000, 1000)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert done.stdout.startswith("cannot write run.json: File too large"), done
    assert read_json(tmp_path / "run.json") == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"run.json does not exist: is .* a wanbench run"):
        read_json(tmp_path / "run.json")
    for content, complaint in (("{", "is not valid JSON"), ("[]", "is not a JSON object")):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(UsageError, match=complaint):
            read_json(tmp_path / "run.json")


def test_bytes_that_are_no_text_become_escapes():
    assert as_text(os.fsdecode(b"a\xff\n")) == "a\\xff\n"
