"""What each control does to a clip, on a small rendered one."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from wanbench.controls import derive
from wanbench.controls.measure import asking, found_movement
from wanbench.decoding.prepare import prepare, prepare_frames
from wanbench.expectations import ControlName
from wanbench.scenes.encode import write_video
from wanbench.scenes.render import Scene, Subject, render
from wanbench.types import Prompt

SHA = "ab" * 32
FPS = 16


def rendered(movement="pan-left", size_HW=(72, 96), seed=1) -> derive.Frames:
    scene = Scene(size_HW=size_HW, movement=movement, speed=0.2, subjects=(Subject(size=0.3, velocity_XY=(0.2, 0.1)),))
    return list(render(scene, fps=FPS, seconds=1.5, seed=seed))


FRAMES = rendered()


def source(frames=FRAMES, control: ControlName = "noise", other=None, seed=0) -> derive.Source:
    return derive.Source(frames, derive.generator(seed, control, SHA), other)


def clip(control: ControlName, tmp_path: Path, **kw):
    return derive.derive(control, source(control=control, **kw), (), tmp_path)


def test_every_control_can_be_derived(tmp_path):
    for control in get_args(ControlName):
        made = clip(control, tmp_path, other=rendered("zoom-in", seed=2))
        assert len(made.times) >= 1, control
    assert not list(tmp_path.iterdir())
    assert set(derive.DAMAGE) | set(derive.REENCODE_CRF) | set(derive.PROMPTS) == set(get_args(ControlName))


def test_same_seed_same_clip_and_draws_are_each_controls_own(tmp_path):
    one, again, other = clip("noise", tmp_path), clip("noise", tmp_path), clip("noise", tmp_path, seed=1)
    np.testing.assert_array_equal(one.frames, again.frames)
    assert (one.frames != other.frames).any()
    draws = {derive.generator(0, c, SHA).random() for c in get_args(ControlName)}
    assert len(draws) == len(get_args(ControlName))


def test_what_must_change_nothing_changes_nothing(tmp_path):
    plain = prepare_frames(FRAMES)
    for control in ("again", "other_prompt", "empty_prompt", "twice", "thrice"):
        made = clip(control, tmp_path)
        np.testing.assert_array_equal(made.frames, plain.frames)
        np.testing.assert_allclose(made.times, plain.times, atol=1e-9)
    assert clip("twice", tmp_path).repeated_share == pytest.approx(1 / 2)
    assert clip("thrice", tmp_path).repeated_share == pytest.approx(2 / 3)


def test_time(tmp_path):
    plain = prepare_frames(FRAMES)
    np.testing.assert_array_equal(clip("reversed", tmp_path).frames, plain.frames[::-1])
    np.testing.assert_array_equal(clip("half_rate", tmp_path).frames, plain.frames[::2])
    np.testing.assert_allclose(clip("half_rate", tmp_path).times, plain.times[::2])
    shuffled = clip("shuffled", tmp_path).frames
    assert sorted(f.tobytes() for f in shuffled) == sorted(f.tobytes() for f in plain.frames)
    assert 2 < len(clip("dropped", tmp_path).times) < len(plain.times)
    assert clip("frozen", tmp_path).frozen
    for still in ("noisy_still", "jittered_still", "shaken_still"):
        assert not clip(still, tmp_path).frozen


def test_pillars_are_cropped_again(tmp_path):
    """Twenty per cent of the new width are bars, nothing is hidden, and what is left is the clip but for a column or two."""
    made = clip("pillars", tmp_path)
    assert made.bars_TBLR[2:] == (pytest.approx(0.1, abs=0.02), pytest.approx(0.1, abs=0.02))
    assert made.frames.shape[2] == pytest.approx(96, abs=3)


def test_cuts_are_cuts(tmp_path):
    plain, other = prepare_frames(FRAMES).frames, rendered("zoom-in", seed=2)
    half = len(FRAMES) // 2
    cut = clip("cut", tmp_path, other=other).frames
    np.testing.assert_array_equal(cut[:half], plain[:half])
    np.testing.assert_array_equal(cut[half:], np.stack([f for _, f in other[:half]]))  # another clip, from its beginning
    turned = clip("cut_turned", tmp_path).frames
    np.testing.assert_array_equal(turned[:half], plain[:half])
    np.testing.assert_array_equal(turned[half:], 255 - plain[half:, ::-1, ::-1])
    assert clip("cut", tmp_path, other=rendered(size_HW=(60, 200), seed=2)).frames.shape[1:] == (72, 96, 3)


def test_reencoding_goes_through_the_encoder(tmp_path):
    plain = prepare_frames(FRAMES)
    differences = []
    for control in ("reencode_crf18", "reencode_crf28"):
        made = clip(control, tmp_path)
        assert (made.facts.codec, made.facts.frames_decoded) == ("h264", len(FRAMES))
        np.testing.assert_allclose(made.times, plain.times, atol=1e-4)
        differences.append(np.abs(made.frames.astype(int) - plain.frames).mean())
    assert 0 < differences[0] < differences[1] < 20


def test_odd_sizes_are_encoded(tmp_path):
    assert clip("reencode_crf28", tmp_path, frames=rendered(size_HW=(71, 95))).frames.shape[1:] == (70, 94, 3)


def test_lengths_grow_with_the_frame():
    small, large = source(), source(frames=[(0.0, np.zeros((480, 640, 3), np.uint8))])
    assert (small.pixels, large.pixels) == (72 / 240, 2.0)


def test_a_clip_is_read_as_it_is_scored(tmp_path):
    """Up to 480 lines the frames that controls are derived from are those that any command measures."""
    path = tmp_path / "v.mp4"
    write_video(path, (f for _, f in FRAMES), fps=FPS)
    np.testing.assert_array_equal(prepare_frames(derive.load_frames(path)).frames, prepare(path).frames)


def test_large_clips_are_brought_to_480_lines(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, (np.full((600, 800, 3), 9 * n, np.uint8) for n in range(3)), fps=8)
    assert {f.shape for _, f in derive.load_frames(path)} == {(480, 640, 3)}


def test_a_movement_that_nobody_asked_for_is_asked_for():
    row = {"status": "skipped", "score": None, "reason": "", "raw": {"asked": None, "camera": {"movement": "pan-left"}}}
    assert found_movement(row) == "pan-left"
    assert found_movement({**row, "status": "ok"}) is None
    assert found_movement({**row, "raw": {**row["raw"], "asked": "aerial"}}) is None
    assert found_movement({**row, "raw": {"asked": None, "camera": {"movement": "mixed"}}}) is None
    assert found_movement({**row, "raw": None}) is None
    assert found_movement(None) is None
    prompt = asking(Prompt(id="x", text="a hall", fields={"style": "ink"}), "pan-left")
    assert (prompt.text, dict(prompt.fields)) == ("a hall", {"style": "ink", "camera": "pan-left"})
    assert asking(None, "static").fields == {"camera": "static"}
