"""Tiny rendered clips, and the command with an empty store in an empty folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .command import Wanbench, write_clips


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six tiny videos; nobody writes there."""
    return write_clips(tmp_path_factory.mktemp("clips") / "clips")


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four tiny videos."""
    return write_clips(tmp_path_factory.mktemp("many") / "many", 24)


@pytest.fixture(scope="session")
def runs(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs: `one` of `left.mp4`, `six` of all the clips."""
    folder = tmp_path_factory.mktemp("runs")
    wanbench = Wanbench(folder, folder / "home")
    assert wanbench("score", clips / "left.mp4", "--profile", "lite", "--out", "one").code == 0
    assert wanbench("score", clips, "--profile", "lite", "--out", "six").code == 0
    return folder


@pytest.fixture
def one(runs: Path, wanbench: Wanbench) -> Path:
    """`r` in the working folder: what scoring `left.mp4` with `lite` leaves."""
    return shutil.copytree(runs / "one", wanbench.cwd / "r")


@pytest.fixture
def six(runs: Path, wanbench: Wanbench) -> Path:
    """`r` in the working folder: what scoring all the clips with `lite` leaves."""
    return shutil.copytree(runs / "six", wanbench.cwd / "r")


@pytest.fixture
def wanbench(tmp_path: Path) -> Wanbench:
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    return Wanbench(cwd, tmp_path / "home")
