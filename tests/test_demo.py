"""The demo's candidates: the same prompts, known damage, and nothing rendered twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from wanbench import demo
from wanbench.prompts.suite import load_suite


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SHOTS", demo.SHOTS[:1])
    monkeypatch.setattr(demo, "SECONDS", 0.5)


def frames_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)]).astype(int)


def test_every_candidate_answers_the_same_prompts(small: None, tmp_path: Path) -> None:
    folders = demo.render_candidates(tmp_path)
    assert set(folders) == {"steady", "flicker", "jitter", "choppy", "slow"}
    assert len({(folder / "prompts.jsonl").read_text() for folder in folders.values()}) == 1
    line = json.loads((folders["steady"] / "prompts.jsonl").read_text())
    assert line["prompt_id"] == "demo-pan-left"
    assert (folders["steady"] / line["video"]).is_file()


def test_the_damage_is_there(small: None, tmp_path: Path) -> None:
    clips = {name: frames_of(folder / "demo-pan-left.mp4") for name, folder in demo.render_candidates(tmp_path).items()}
    assert {len(frames) for frames in clips.values()} == {8}
    swing = {name: np.diff(frames.mean(axis=(1, 2, 3))).std() for name, frames in clips.items()}
    assert swing["flicker"] > 5 * swing["steady"]
    steps = {name: np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)) for name, frames in clips.items()}
    assert (steps["choppy"][[0, 1, 2]] < 0.5 * steps["choppy"][3]).all()
    assert steps["slow"].mean() < steps["steady"].mean()
    assert steps["jitter"].mean() > 1.2 * steps["steady"].mean()


def test_asked_movements_are_the_filmed_ones() -> None:
    assert len({shot.id for shot in demo.SHOTS}) == len(demo.SHOTS) == 9
    for shot in demo.SHOTS:
        assert "-".join(shot.camera.values()) == shot.scene.movement


def test_a_finished_file_is_not_rendered_again_and_a_lost_one_comes_back_the_same(small: None, tmp_path: Path) -> None:
    demo.render_candidates(tmp_path)
    files = sorted(tmp_path.rglob("*.mp4"))
    before = {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in files}
    lost = tmp_path / "jitter" / "demo-pan-left.mp4"
    lost.unlink()
    seen: list[tuple[int, int]] = []
    demo.render_candidates(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 5) for k in range(1, 6)]
    assert all(f.read_bytes() == before[f][1] for f in files)
    assert [f for f in files if f.stat().st_mtime_ns != before[f][0]] == [lost]


def test_demo_hands_the_candidates_and_their_suite_over(small: None, tmp_path: Path) -> None:
    names, suite = demo.demo(tmp_path, score=lambda candidates, suite: (sorted(candidates), suite))
    assert names == sorted(demo.CANDIDATES)
    assert (tmp_path / "videos" / "steady" / "demo-pan-left.mp4").is_file()
    prompt = load_suite(str(suite)).prompts["demo-pan-left"]
    assert prompt.dimension == "camera_control"
    assert prompt.fields["camera"] == {"movement": "pan", "direction": "left"}


def test_every_dimension_has_its_prompts() -> None:
    counted = Counter(shot.dimension for shot in demo.SHOTS)
    assert counted == {"large_motion_generation": 3, "pixel_level_stability": 3, "camera_control": 3}
