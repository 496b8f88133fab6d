"""Hundreds of damaged files through the real command: none stops it, none is lost, and the good ones among them are measured."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from .malformed import Malformed, make

DIMENSIONS = 14
AT_OPEN = re.compile(
    r"^(not a video in a known|no video stream|its codec is unknown|a frame of|the file is empty|truncated: .*can be reached)"
)
OUTCOMES = [
    ("refused at open", AT_OPEN),
    ("decoded, found truncated", re.compile(r"^truncated: ")),
    ("decoded, broke off", re.compile(r"^broke off after [1-9]\d* decoded frames")),
    ("reached the decoder, which gave no frame", re.compile(r"^(broke off after 0 decoded frames|no frame could be decoded)")),
    ("crashed the decoder", re.compile(r"^crashes the decoder, 2 times")),
    ("hung the decoder", re.compile(r"^hangs the decoder, 2 times")),
    ("too much memory", re.compile(r"^decoding it needs more memory")),
]
MEASURED = "measured"


def score(folder: Path, run: Path, timeout: float) -> tuple[int, str, list[dict[str, Any]]]:
    """(exit code, standard error, record) of the real command."""
    command = [sys.executable, "-m", "wanbench", "score", str(folder), "--profile", "lite", "--out", str(run), "--no-progress"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    lines = (run / "measurements.jsonl").read_text("utf-8").splitlines()
    return done.returncode, done.stderr + done.stdout, [json.loads(line) for line in lines]


def by_file(record: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    rows: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in record:
        rows[Path(row["video"]).name][row["dimension"]] = row
    return rows


def outcome(rows: dict[str, dict[str, Any]]) -> str:
    """One word for a file; fails when its rows tell different stories."""
    reasons = {row["reason"] for row in rows.values() if row["status"] == "error"}
    if not reasons:
        return MEASURED
    assert len(reasons) == 1, reasons
    assert all(row["status"] == "error" for row in rows.values() if row["method"])  # the others were never planned
    (reason,) = reasons
    return next((name for name, pattern in OUTCOMES if pattern.search(reason)), f"unforeseen: {reason}")


def check(tmp_path: Path, count: int, seed: int, timeout: float, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    files: Malformed = make(folder, count, seed)
    start = time.monotonic()
    code, output, record = score(folder, tmp_path / "run", timeout)
    seconds = time.monotonic() - start
    assert "Traceback" not in output
    assert code in (0, 3), output

    rows = by_file(record)
    assert rows.keys() == {*files.good, *files.damaged}  # every file is accounted for
    assert all(len(r) == DIMENSIONS for r in rows.values())
    outcomes = Counter(outcome(rows[name]) for name in files.damaged)
    reached = count - outcomes["refused at open"]
    with capsys.disabled():
        print(f"\n{count} damaged files among {len(files.good)} good ones, {seconds:.0f} s: {reached} reached the decoder")
        for name, number in outcomes.most_common():
            print(f"  {number:4d} {name}")
    assert not [name for name in outcomes if name.startswith("unforeseen")], outcomes
    assert reached >= count / 3
    assert (code == 3) == (outcomes.total() > outcomes[MEASURED])

    alone = tmp_path / "alone"
    alone.mkdir()
    for name in files.good:
        shutil.copy(folder / name, alone)
    code, output, record = score(alone, tmp_path / "run-alone", timeout)
    assert code == 0, output
    for name, expected in by_file(record).items():
        assert outcome(expected) == MEASURED
        assert any(row["status"] == "ok" for row in expected.values()), name
        for dimension, row in expected.items():
            found = rows[name][dimension]
            assert (found["status"], found["score"], found["raw"]) == (row["status"], row["score"], row["raw"]), (name, dimension)


def test_forty_malformed_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(tmp_path, 42, seed=1, timeout=120, capsys=capsys)


@pytest.mark.full
def test_five_hundred_malformed_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(tmp_path, 500, seed=2, timeout=900, capsys=capsys)
