"""Camera control: what was asked, what was found, and the score between them; real clips against their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wanbench.clip import Clip
from wanbench.decoding.prepare import prepare_frames
from wanbench.metrics import _camera, _shots, camera_control
from wanbench.metrics.camera_control import asked_movement
from wanbench.scenes import damage
from wanbench.scenes.damage import Timed
from wanbench.scenes.render import Scene, render
from wanbench.types import Prompt, Reading, Skipped

from .measuring import DIMENSIONS as ALL
from .measuring import camera_of, labelled, lite, prepared


def asking(camera: Any) -> Prompt:
    return Prompt(id="camera_control-001", text="a coast", fields={"camera": camera})


def filmed(movement: str = "pan-left", speed: float = 0.15, seconds: float = 2.0) -> list[Timed]:
    scene = Scene(size_HW=(120, 160), picture="mosaic", movement=movement, speed=speed)
    return list(render(scene, fps=8, seconds=seconds, seed=2))


def film(movement: str = "pan-left", speed: float = 0.15, seconds: float = 2.0) -> Clip:
    return prepare_frames(filmed(movement, speed, seconds))


def measured(windows: tuple[str, ...], movement: str, asked: Any, clip: Clip) -> Reading | Skipped:
    """The score of a camera that was found so."""
    rates = _camera.Rates(pan=0.1, tilt=0.0, zoom=0.0)
    found = _camera.Camera(pairs=(), movement=movement, rates=rates, inlier_share=1.0, windows=windows)

    class Found:
        method = ALL["camera_control"].method_for("lite")

        def share(self, feature: Any) -> Any:
            return {_camera.dis_camera: found, _shots.cuts: np.array([], np.intp)}[feature]

    return ALL["camera_control"].measure(clip, asking(asked), Found())


# ---- what was asked ----


@pytest.mark.parametrize(
    ("camera", "asked"),
    [
        ({"movement": "pan", "direction": "left"}, "pan-left"),
        ({"movement": "lift", "direction": "up"}, "tilt-up"),
        ({"movement": "lift", "direction": "down"}, "tilt-down"),
        ({"movement": "dolly", "direction": "in"}, "zoom-in"),
        ({"movement": "Dolly", "direction": "OUT"}, "zoom-out"),
        ({"movement": "zoom-in"}, "zoom-in"),
        ({"movement": "tilt_up"}, "tilt-up"),
        ({"movement": "pan-left", "direction": "right"}, "pan-right"),  # the field that was made for it wins
        ("pan right", "pan-right"),
        ("dolly_out", "zoom-out"),
        ("lift up", "tilt-up"),
        (" Static ", "static"),
        ("aerial", "aerial"),
        ({"movement": "aerial", "direction": None}, "aerial"),
        ({"movement": "tracking"}, "tracking"),
        ({"movement": "pan"}, "pan"),
        ({"movement": "orbit", "direction": "left"}, "orbit"),
        ({"movement": ""}, None),
        ({}, None),
        (None, None),
        ("", None),
        (["pan", "left"], None),
    ],
)
def test_asked_movement(camera: object, asked: str | None) -> None:
    assert asked_movement(camera) == asked


# ---- the score ----


@pytest.mark.parametrize(
    ("windows", "movement", "score"),
    [
        (("pan-left",) * 4, "pan-left", 1.0),
        (("pan-left", "static", "pan-left", "mixed"), "pan-left", 0.75),  # 1/2 + 1/2 * 2/4
        (("pan-left", "pan-right", "unknown", "static"), "static", 0.125),  # 0 + 1/2 * 1/4
        (("static", "static"), "pan-left", 0.5),
        (("static",), "static", 0.0),
    ],
)
def test_half_for_the_clip_and_half_for_its_windows(windows: tuple[str, ...], movement: str, score: float, blank_clip) -> None:
    large = blank_clip(9)
    object.__setattr__(large, "frames", np.zeros((9, 64, 64, 3), np.uint8))
    reading = measured(windows, movement, "pan-left", large)
    assert isinstance(reading, Reading)
    assert reading.score == score
    assert reading.raw["asked"] == "pan-left"
    assert reading.raw["windows_named_share"] == pytest.approx(windows.count("pan-left") / len(windows))


def test_a_rendered_pan_scores_for_what_was_asked() -> None:
    clip = film()
    scores = {asked: lite(clip, "camera_control", asking(asked)).score for asked in camera_control.DECIDED}
    assert scores == {asked: float(asked == "pan-left") for asked in camera_control.DECIDED}


def test_half_of_a_movement_scores_in_between() -> None:
    """A second of pan to the left, then a second at rest: half of the windows, and a mean that is still a pan."""
    moving = filmed(seconds=1.0)
    rest = [(1 + k / 8, moving[-1][1]) for k in range(8)]
    noisy = damage.noise([*moving, *rest], sigma=2, rng=np.random.default_rng(0))  # without it the rest is a repeat
    assert lite(prepare_frames(noisy), "camera_control", asking("pan-left")).score == 0.75


def test_reversed_film_turns_the_other_way() -> None:
    frames = filmed(seconds=1.5)
    assert camera_of(prepare_frames(damage.reverse(frames))).movement == "pan-right"


def test_raw_holds_the_rates() -> None:
    raw = lite(film(movement="tilt-down", speed=0.2), "camera_control", asking("tilt-down")).raw
    assert raw["camera"]["movement"] == "tilt-down"
    assert raw["camera"]["tilt_height_per_s"] == pytest.approx(-0.2, rel=0.03)
    assert raw["camera"]["pan_width_per_s"] == pytest.approx(0, abs=0.005)
    assert raw["camera"]["windows"] == ["tilt-down"] * 4
    assert raw["camera"]["inlier_share"] > 0.9


# ---- what is not decided ----


@pytest.mark.parametrize(
    ("camera", "reason"),
    [
        ("aerial", "aerial shots need a judge"),
        ("tracking", "tracking shots need a judge"),
        ({"movement": "orbit"}, "the prompt's camera movement 'orbit' is none of static, pan-left"),
        ("pan", "the prompt's camera movement 'pan' is none of static"),
        (None, "no prompt that names a camera movement"),
    ],
)
def test_what_flow_cannot_decide_is_skipped_but_described(camera: Any, reason: str) -> None:
    skipped = lite(film(seconds=1.0), "camera_control", asking(camera))
    assert isinstance(skipped, Skipped)
    assert skipped.reason.startswith(reason)
    assert skipped.raw is not None
    assert skipped.raw["camera"]["movement"] == "pan-left"


def test_a_frozen_clip_is_static() -> None:
    frozen = prepare_frames(damage.freeze(render(Scene(size_HW=(120, 160)), fps=8, seconds=1, seed=0)))
    assert frozen.frozen
    assert lite(frozen, "camera_control", asking("static")).score == 1
    assert lite(frozen, "camera_control", asking("pan-left")).score == 0


@pytest.mark.parametrize(
    ("size_HW", "frames", "reason"),
    [
        ((120, 160), 1, "too short: one distinct frame"),
        ((1, 1), 3, "too small: 1x1 pixels, flow needs 32"),
        ((8, 8), 3, "too small: 8x8 pixels, flow needs 32"),
        ((31, 31), 3, "too small: 31x31 pixels, flow needs 32"),
    ],
)
def test_short_and_tiny_clips_are_skipped_with_a_reason(size_HW: tuple[int, int], frames: int, reason: str) -> None:
    clip = prepare_frames((k / 8, np.full((*size_HW, 3), 60 * k, np.uint8)) for k in range(frames))
    skipped = lite(clip, "camera_control", asking("static"))
    assert isinstance(skipped, Skipped)
    assert skipped.reason == reason


@pytest.mark.parametrize("grey", [0, 128])
def test_a_picture_of_nothing_is_static_not_an_error(grey: int) -> None:
    """Flat, but for a brightness that changes: no point has structure, and nothing moves."""
    clip = prepare_frames((k / 8, np.full((64, 96, 3), grey + k, np.uint8)) for k in range(9))
    assert camera_of(clip).movement in ("static", "unknown")


# ---- real clips ----


def test_real_clips_are_named_as_labelled(clips: Path) -> None:
    lines = labelled(clips)
    named = {line["file"]: (camera_of(prepared(clips / line["file"])).movement, line["camera"]) for line in lines}
    wrong = {file: pair for file, pair in named.items() if pair[0] != pair[1]}
    assert len(named) >= 30
    assert len(wrong) <= 0.05 * len(named), wrong


def test_repeating_frames_does_not_change_the_name(clips: Path) -> None:
    clip = prepared(clips / "real/mug_zoom_out.mp4")
    twice = prepare_frames(damage.repeat(zip(clip.times.tolist(), clip.frames, strict=True), times=2))
    assert camera_of(twice).movement == camera_of(clip).movement == "zoom-out"
