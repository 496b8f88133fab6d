"""`wanbench demo`: no download, any CPU, and it must find the faults that were put in."""

from __future__ import annotations

import time

import pytest

from wanbench.demo import CANDIDATES

from .command import Wanbench, check_run, summary

DEMO_SECONDS = 60.0
"""Promised on two cores; a busy machine gets twice that."""


@pytest.mark.full
def test_the_demo_finds_the_known_faults(wanbench: Wanbench) -> None:
    begun = time.monotonic()
    ended = wanbench("demo", "--out", "d", "-q")
    print(f"wanbench demo: {time.monotonic() - begun:.1f} s")
    assert (ended.code, ended.err) == (0, "")
    assert time.monotonic() - begun < 2 * DEMO_SECONDS
    run = wanbench.cwd / "d"
    check_run(run)
    found = {name: entry["dimensions"] for name, entry in summary(run)["candidates"].items()}
    assert set(found) == set(CANDIDATES)
    stability = {name: dimensions["pixel_level_stability"]["score"] for name, dimensions in found.items()}
    assert stability["flicker"] < stability["steady"] - 0.1
    motion = {name: dimensions["large_motion_generation"]["score"] for name, dimensions in found.items()}
    assert motion["slow"] < motion["steady"]
    again = wanbench("demo", "--out", "d", "--json")
    assert again.json["summary"] == summary(run)
    assert "finished" in again.err


def test_where_it_cannot_write(wanbench: Wanbench) -> None:
    (wanbench.cwd / "file").touch()
    ended = wanbench("demo", "--out", "file")
    assert ended.code == 74
    assert "cannot write file/" in ended.complaint


def test_a_folder_of_somebody_else_is_left_alone(wanbench: Wanbench) -> None:
    folder = wanbench.cwd / "mine"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"mine")
    ended = wanbench("demo", "--out", "mine")
    assert (ended.code, "is not empty and not a wanbench run" in ended.complaint) == (2, True)
    assert [p.name for p in folder.rglob("*")] == ["a.mp4"]
