"""`wanbench doctor`: what works here, what is missing, and how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanbench.fourteen import FOURTEEN, title

from .command import Wanbench
from .test_errors import BLOCKER


@pytest.mark.parametrize("absent", ["", "torch", "ultralytics,pyiqa"])
def test_every_dimension_is_told_with_what_it_lacks(wanbench: Wanbench, tmp_path: Path, absent: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    env = {"PYTHONPATH": str(tmp_path), "BLOCKED": absent} if absent else {}
    ended = wanbench("doctor", "--json", env=env)
    assert (ended.code, ended.err) == (0, "")
    found = {(f["section"], f["name"]): f for f in ended.json}
    assert {name for section, name in found if section == "dimensions"} == {title(d) for d in FOURTEEN}
    for name in ("python", "cores", "memory", "disk here", "disk of the store"):
        assert ("machine", name) in found
    assert found["decoder", "PyAV"]["state"] == found["decoder", "OpenCV"]["state"] == "ok"
    motion = found["dimensions", "Large motion generation"]
    assert motion["state"] == "ok"  # lite
    assert "runs in lite (dis)" in motion["text"]
    assert "pip install 'wanbench[score]'" in motion["mend"] if absent == "torch" else "checkpoints pull" in motion["mend"]
    artifacts = found["dimensions", "Human artifacts"]
    assert artifacts["state"] == "missing"
    if absent == "ultralytics,pyiqa":
        assert artifacts["mend"].startswith("pip install 'wanbench[artifacts]'; ")
        assert found["networks", "extra quality"]["mend"] == "pip install 'wanbench[quality]'"
    assert "--judge URL" in artifacts["mend"]
    assert found["dimensions", "Smoothness"]["state"] == "missing"
    assert all(f["mend"] for f in ended.json if f["state"] != "ok" and f["section"] != "dimensions")


def test_in_words(wanbench: Wanbench) -> None:
    ended = wanbench("doctor")
    assert (ended.code, ended.err) == (0, "")
    assert [line for line in ended.out.splitlines() if not line.startswith(" ")] == [
        "machine",
        "decoder",
        "networks",
        "dimensions",
    ]
    assert "checkpoints pull" in ended.out


def test_two_builds_of_opencv_are_told(wanbench: Wanbench, tmp_path: Path) -> None:
    """A second distribution that claims the same folder, as pip leaves it."""
    for name in ("opencv_python", "opencv_python_headless"):
        (tmp_path / f"{name}-4.0.dist-info").mkdir()
        (tmp_path / f"{name}-4.0.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 4.0\n")
    found = {f["name"]: f for f in wanbench("doctor", "--json", env={"PYTHONPATH": str(tmp_path)}).json}
    assert found["OpenCV"]["state"] == "wrong"
    assert found["OpenCV"]["mend"].startswith("pip uninstall -y opencv-python opencv-python-headless && pip install")


@pytest.mark.parametrize("arguments", [["models", "list"], ["generate", "--model", "wan-tiny", "--prompt", "a fox"]])
def test_what_needs_torch_says_so(wanbench: Wanbench, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    ended = wanbench(*arguments, env={"PYTHONPATH": str(tmp_path), "BLOCKED": "torch"})
    assert ended.code == 2
    assert ended.complaint.endswith("needs an optional library: pip install 'wanbench[generate]'")
