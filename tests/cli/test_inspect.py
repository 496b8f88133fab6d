"""`wanbench inspect`: one clip, everything that can be said of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from wanbench.fourteen import FOURTEEN

from .command import Wanbench

MOVEMENTS = {"left": "pan-left", "right": "pan-right", "up": "tilt-up", "near": "zoom-in", "still": "static"}


def test_json_has_stream_clip_camera_and_dimensions(wanbench: Wanbench, clips: Path) -> None:
    ended = wanbench("inspect", clips / "left.mp4", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert set(ended.json) == {"video", "profile", "stream", "clip", "camera", "dimensions"}
    assert ended.json["profile"] == "lite"  # nothing is in the store
    assert ended.json["stream"]["codec"] == "h264"
    assert ended.json["stream"]["size_HW"] == [64, 96]
    assert ended.json["stream"]["frames_decoded"] == 8
    assert ended.json["clip"]["frames_count"] == 8
    assert len(ended.json["clip"]["grid_times_seconds"]) == 8
    assert set(ended.json["dimensions"]) == set(FOURTEEN)
    row = ended.json["dimensions"]["large_motion_generation"]
    assert (row["status"], row["method"]) == ("ok", "dis")
    assert all(row["reason"] for row in ended.json["dimensions"].values() if row["status"] != "ok")
    assert not list(wanbench.cwd.iterdir())


def test_the_camera_is_named(wanbench: Wanbench, clips: Path) -> None:
    for name, movement in MOVEMENTS.items():
        ended = wanbench(
            "inspect", clips / f"{name}.mp4", "--json", "--profile", "lite", "--dimensions", "smoothness,camera_control"
        )
        assert ended.json["camera"]["movement"] == movement, name
        assert list(ended.json["dimensions"]) == ["smoothness", "camera_control"]


def test_an_asked_movement_is_scored(wanbench: Wanbench, clips: Path) -> None:
    def score(asked: str) -> float:
        ended = wanbench("inspect", clips / "left.mp4", "--json", "--camera", asked, "--prompt", "The camera pans")
        return float(ended.json["dimensions"]["camera_control"]["score"])

    assert score("pan-left") > 0.5 > score("pan-right")


def test_in_words(wanbench: Wanbench, clips: Path) -> None:
    ended = wanbench("inspect", clips / "left.mp4")
    assert (ended.code, ended.err) == (0, "")
    for part in ("stream", "codec: h264", "movement: pan-left", "large_motion_generation", "ok", "judge"):
        assert part in ended.out


def test_what_cannot_be_inspected(wanbench: Wanbench, clips: Path) -> None:
    (wanbench.cwd / "text.mp4").write_text("no video")
    ended = wanbench("inspect", "text.mp4", "--json")
    assert ended.code == 3
    assert "text.mp4: " in ended.complaint
    for missing in ("gone.mp4", "."):
        ended = wanbench("inspect", missing)
        assert ended.code == 2
        assert "is not a file" in ended.complaint
    ended = wanbench("inspect", clips / "left.mp4", "--dimensions", "beauty")
    assert ended.code == 2
    assert "unknown dimension" in ended.complaint


def test_a_name_that_is_no_text(wanbench: Wanbench, clips: Path) -> None:
    shutil.copy(clips / "left.mp4", wanbench.cwd / os.fsdecode(b"\xff.mp4"))
    assert wanbench("inspect", b"\xff.mp4", "--json").json["video"] == "\\xff.mp4"
