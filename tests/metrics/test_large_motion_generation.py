"""Large motion: formulas by hand, motion that grows with speed and not with frame rate, and damage that is no motion."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from wanbench.decoding.prepare import prepare_frames
from wanbench.metrics.large_motion_generation import score, top_mean
from wanbench.scenes import damage
from wanbench.scenes.damage import Timed
from wanbench.scenes.render import Scene, Subject, render
from wanbench.types import Reading, Skipped

from .measuring import lite, motion, prepared

SIZE = (240, 320)
DIAGONAL = 400
RATES = (8, 10, 12, 15, 16, 20, 24, 25, 30, 48, 50, 60)


def subject(speed: float, size: float = 0.5, kind: str = "blob") -> Subject:
    """Moves to the right by `speed` frame widths per second."""
    return Subject(kind=kind, size=size, start_XY=(0.3, 0.5), velocity_XY=(speed, 0.0))


# ---- formulas ----


@pytest.mark.parametrize(
    ("r", "expected"),
    [(0.0, 0.0), (0.4, 1 - 1 / math.e), (0.4 * math.log(2), 0.5), (0.21, 0.408445), (4.0, 1 - math.exp(-10))],
)
def test_score_is_one_minus_exp(r: float, expected: float) -> None:
    assert score(r) == pytest.approx(expected, abs=1e-6)


def test_top_mean_is_the_mean_of_the_largest_twentieth() -> None:
    assert top_mean(np.arange(100.0)) == 97.0  # 95..99
    assert top_mean(np.arange(100.0).reshape(4, 25)[::-1]) == 97.0
    assert top_mean(np.arange(40.0)) == 38.5  # two of forty
    assert top_mean(np.array([3.0, 7.0])) == 7.0, "at least one"
    assert top_mean(np.zeros((8, 8))) == 0.0


# ---- rendered motion ----


def test_a_pan_has_the_speed_it_is_rendered_with() -> None:
    """0.2 widths of 320 px a second over a diagonal of 400 px: 0.16 diagonals a second."""
    for movement, expected in (("pan-left", 0.2 * 320 / DIAGONAL), ("tilt-down", 0.2 * 240 / DIAGONAL)):
        scene = Scene(size_HW=SIZE, picture="hills", movement=movement, speed=0.2)
        reading = lite(prepare_frames(render(scene, fps=8, seconds=1.5, seed=1)), "large_motion_generation")
        assert isinstance(reading, Reading)
        assert reading.raw["flow_top5_diag_per_s"] == pytest.approx(expected, rel=0.05)
        assert reading.raw["camera_diag_per_s"] == pytest.approx(expected, rel=0.05)
        assert reading.raw["coherence_ratio"] > 0.9
        assert reading.raw["low_coherence"] is False
        assert reading.score == pytest.approx(score(expected), abs=0.02)


SCENES: dict[str, Callable[[float], Scene]] = {
    "subject": lambda v: Scene(size_HW=SIZE, picture="hills", subjects=(subject(v),)),
    "pan": lambda v: Scene(size_HW=SIZE, picture="garden", movement="pan-right", speed=v),
    "tilt": lambda v: Scene(size_HW=SIZE, picture="garden", movement="tilt-up", speed=v),
    "zoom": lambda v: Scene(size_HW=SIZE, picture="mosaic", movement="zoom-in", speed=v),
    "pan and subject": lambda v: Scene(
        size_HW=SIZE, picture="hills", movement="pan-left", speed=v, subjects=(subject(-1.5 * v),)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENES)
def test_motion_grows_with_rendered_speed(name: str) -> None:
    speeds = (0.01, 0.02, 0.04, 0.08, 0.12, 0.18, 0.25, 0.35)
    found = [motion(prepare_frames(render(SCENES[name](v), fps=8, seconds=0.875, seed=1))) for v in speeds]
    assert all(a < b for a, b in itertools.pairwise(found)), found


@pytest.mark.parametrize("name", ["subject", "pan", "pan and subject"])
def test_motion_does_not_depend_on_the_frame_rate(name: str) -> None:
    """12 frame rates, the same scene: all within 10 % of each other."""
    found = {fps: motion(prepare_frames(render(SCENES[name](0.15), fps=fps, seconds=1.0, seed=1))) for fps in RATES}
    assert max(found.values()) <= 1.1 * min(found.values()), found


@pytest.mark.full
@pytest.mark.parametrize("speed", [0.05, 0.3])
@pytest.mark.parametrize("name", SCENES)
def test_motion_does_not_depend_on_the_frame_rate_at_other_speeds(name: str, speed: float) -> None:
    found = {fps: motion(prepare_frames(render(SCENES[name](speed), fps=fps, seconds=1.5, seed=2))) for fps in RATES}
    assert max(found.values()) <= 1.1 * min(found.values()), found


def test_residual_is_what_the_camera_leaves() -> None:
    scene = Scene(size_HW=SIZE, picture="hills", movement="pan-left", speed=0.1)
    alone = lite(prepare_frames(render(scene, fps=8, seconds=1, seed=1)), "large_motion_generation")
    assert alone.raw["residual_top5_diag_per_s"] < 0.3 * alone.raw["plain_top5_diag_per_s"]
    still = Scene(size_HW=SIZE, picture="hills", subjects=(subject(0.2),))
    moved = lite(prepare_frames(render(still, fps=8, seconds=1, seed=1)), "large_motion_generation")
    assert moved.raw["camera_diag_per_s"] < 0.002
    assert moved.raw["residual_top5_diag_per_s"] == pytest.approx(moved.raw["plain_top5_diag_per_s"], rel=0.1)


# ---- damage is no motion ----


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


DAMAGES: dict[str, Callable[[Iterable[Timed]], Iterable[Timed]]] = {
    "shuffled": lambda frames: damage.shuffle(frames, rng=rng()),
    "shaken still": lambda frames: damage.shake(damage.freeze(frames), amplitude_px=8, rng=rng()),
    "jittered still": lambda frames: damage.jitter(damage.freeze(frames), amplitude_px=8, rng=rng()),
    "noisy still": lambda frames: damage.noise(damage.freeze(frames), sigma=20, rng=rng()),
    "flickering still": lambda frames: damage.flicker(damage.freeze(frames), amplitude=0.2, rng=rng()),
}

MOVING = (
    "real/mug_zoom_out.mp4",
    "generated/instructvideo_cat_walking.mp4",
    "real/car_turn_road.mp4",
)
"""A zoom and two shots that follow something, two seconds each; the whole set is `benchmarks/definitions.py`'s."""


def frames_of(clips: Path, name: str) -> list[Timed]:
    """At working size: damage is measured in pixels of 240 lines."""
    clip = prepared(clips / name)
    return list(zip(clip.times.tolist(), clip.frames, strict=True))


@functools.cache
def undamaged(clips: Path, name: str) -> float:
    return motion(prepare_frames(frames_of(clips, name)))


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_frames_have_a_fifth_of_the_motion_at_most(name: str, clips: Path) -> None:
    spoiled = [motion(prepare_frames(DAMAGES[name](frames_of(clips, file)))) for file in MOVING]
    assert sum(spoiled) < 0.2 * sum(undamaged(clips, file) for file in MOVING), spoiled


def test_shaking_is_seen_and_flagged() -> None:
    still = render(Scene(size_HW=SIZE, picture="garden"), fps=8, seconds=1.5, seed=1)
    reading = lite(prepare_frames(damage.shake(still, amplitude_px=8, rng=rng())), "large_motion_generation")
    assert reading.raw["plain_top5_diag_per_s"] > 0.1
    assert reading.raw["low_coherence"] is True
    assert reading.score < 0.05


@pytest.mark.parametrize("times", [2, 3])
def test_repeated_frames_change_nothing(times: int, clips: Path) -> None:
    for file in MOVING[:2]:
        clip = prepare_frames(damage.repeat(frames_of(clips, file), times=times))
        assert clip.repeated_share == pytest.approx(1 - 1 / times, abs=0.02)
        assert motion(clip) == pytest.approx(undamaged(clips, file), rel=0.01), file


def test_reversed_film_moves_as_much() -> None:
    frames = list(render(SCENES["pan and subject"](0.15), fps=8, seconds=1.0, seed=1))
    assert motion(prepare_frames(damage.reverse(frames))) == pytest.approx(motion(prepare_frames(frames)), rel=0.05)


# ---- what has no motion to measure ----


def test_a_frozen_clip_scores_nothing_rather_than_being_skipped() -> None:
    frames = list(render(Scene(size_HW=SIZE, picture="hills", subjects=(subject(0.2),)), fps=16, seconds=1.0, seed=1))
    frozen = lite(prepare_frames(damage.freeze(frames)), "large_motion_generation")
    assert isinstance(frozen, Reading)
    assert frozen.score == 0
    assert frozen.raw["flow_top5_diag_per_s"] == 0
    too_short = lite(prepare_frames(damage.freeze(frames[:5])), "large_motion_generation")
    assert isinstance(too_short, Skipped), "a quarter of a second tells nothing"


@pytest.mark.parametrize(
    ("size_HW", "frames", "reason"),
    [
        ((64, 64), 1, "too short: 1 distinct frames on the grid, 5 needed"),
        ((64, 64), 4, "too short: 4 distinct frames on the grid, 5 needed"),
        ((1, 1), 6, "too small: 1x1 pixels, flow needs 32"),
        ((8, 8), 6, "too small: 8x8 pixels, flow needs 32"),
        ((31, 31), 6, "too small: 31x31 pixels, flow needs 32"),
    ],
)
def test_short_and_tiny_clips_are_skipped_with_a_reason(size_HW: tuple[int, int], frames: int, reason: str) -> None:
    clip = prepare_frames((k / 8, np.full((*size_HW, 3), 40 * k, np.uint8)) for k in range(frames))
    skipped = lite(clip, "large_motion_generation")
    assert isinstance(skipped, Skipped)
    assert skipped.reason == reason


def test_a_cut_every_half_second_leaves_nothing_to_follow() -> None:
    scene = Scene(size_HW=(120, 160), picture="mosaic", movement="pan-left", speed=0.1, cuts_seconds=(0.5, 1.0, 1.5))
    skipped = lite(prepare_frames(render(scene, fps=8, seconds=2.0, seed=3)), "large_motion_generation")
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "too short: no 5 grid frames in a row without a cut"
