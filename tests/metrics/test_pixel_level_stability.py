"""Pixel-level stability: the static region and the difference by hand; noise and flicker lower it, motion does not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wanbench.decoding.prepare import prepare_frames
from wanbench.metrics.pixel_level_stability import pair_differences, score, static_pixels
from wanbench.scenes import damage
from wanbench.scenes.damage import Timed
from wanbench.scenes.render import Scene, Subject, render
from wanbench.types import Reading, Skipped

from .measuring import lite, prepared, stability

SIZE = (240, 320)
SIGMAS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
AMPLITUDES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
TRIPOD = ("real/sign_language_again.mkv", "generated/lavie_corgi.gif")
"""A camera at rest; the whole set is `benchmarks/definitions.py`'s."""


# ---- formulas ----


@pytest.mark.parametrize(
    ("difference", "expected"), [(0.0, 1.0), (2.55, 0.97), (17.0, 0.8), (42.5, 0.5), (85.0, 0.0), (200.0, 0.0)]
)
def test_score_is_one_minus_three_differences(difference: float, expected: float) -> None:
    assert score(difference) == pytest.approx(expected)


def test_nothing_moves_everything_is_static() -> None:
    assert static_pixels(np.zeros((80, 120), np.float32)).all()
    assert static_pixels(np.full((80, 120), 0.0049, np.float32)).all()
    assert not static_pixels(np.full((80, 120), 0.0051, np.float32)).any()


def test_a_moving_region_grows() -> None:
    """Speed 0.1 in the left half: what is smoothed over the edge, dilated and eroded is no longer static."""
    speed = np.zeros((240, 320), np.float32)
    speed[:, :160] = 0.1
    static = static_pixels(speed)
    edge = int(np.argmax(static[120]))
    assert not static[:, :edge].any()
    assert static[:, edge:].all()
    # the smoothed step falls to a twentieth 1.64 standard deviations (of 4 px) out; 10 px dilation and 2 px erosion follow
    assert edge - 160 == pytest.approx(1.64 * 4 + 10 + 2, abs=2)


def test_differences_are_of_static_pixels_between_adjacent_frames(blank_clip) -> None:
    clip = blank_clip(4)
    clip.frames[1, :, :4] = 10  # left half up by 10 and back: all three channels
    clip.frames[3, :, 4:, 0] = 30  # right half, red alone
    left, right = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    left[:, :4], right[:, 4:] = True, True
    none = np.array([], np.intp)
    assert pair_differences(clip, dict.fromkeys(range(4), left), none) == ([1, 2, 3], [10.0, 10.0, 0.0], [0.5] * 3)
    assert pair_differences(clip, dict.fromkeys(range(4), right), none)[1] == [0.0, 0.0, 10.0]  # 30 in one of three
    assert pair_differences(clip, dict.fromkeys(range(4), left), np.array([2]))[0] == [1, 3], "none across a cut"


def test_frames_with_next_to_nothing_static_do_not_count(blank_clip) -> None:
    clip = blank_clip(3)
    one, two = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    one[0, 0] = True  # 1/64 is under 2 %
    two[0, :2] = True  # 1/32 is over
    none = np.array([], np.intp)
    assert pair_differences(clip, dict.fromkeys(range(3), one), none) == ([], [], [])
    assert pair_differences(clip, dict.fromkeys(range(3), two), none)[0] == [1, 2]


# ---- noise and flicker ----


def rendered(picture: str, seconds: float = 0.75, fps: int = 12, **scene) -> list[Timed]:
    balloon = Subject(kind="balloon", size=0.4, start_XY=(0.3, 0.5), velocity_XY=(0.15, 0.05))
    scene = {"subjects": (balloon,)} | scene
    return list(render(Scene(size_HW=SIZE, picture=picture, **scene), fps=fps, seconds=seconds, seed=1))


def noisy(frames: list[Timed], sigma: float) -> list[Timed]:
    return list(damage.noise(frames, sigma=sigma, rng=np.random.default_rng(1))) if sigma else frames


def flickering(frames: list[Timed], amplitude: float) -> list[Timed]:
    return list(damage.flicker(frames, amplitude=amplitude, rng=np.random.default_rng(1))) if amplitude else frames


SPOILINGS = [(noisy, SIGMAS), (flickering, AMPLITUDES)]
spoilings = pytest.mark.parametrize(("spoil", "amounts"), SPOILINGS, ids=["noise", "flicker"])


def falls(spoil: Callable[[list[Timed], float], list[Timed]], frames: list[Timed], amounts: tuple[float, ...]) -> list[float]:
    scores = [stability(prepare_frames(spoil(frames, amount))) for amount in amounts]
    assert all(a > b for a, b in itertools.pairwise(scores)), scores
    return scores


@spoilings
@pytest.mark.parametrize("picture", ["hills", "mosaic"])
def test_it_falls_with_noise_and_flicker(picture: str, spoil, amounts) -> None:
    scores = falls(spoil, rendered(picture), amounts)
    assert scores[0] > 0.995
    assert scores[-1] < 0.85


@spoilings
def test_it_falls_with_noise_and_flicker_on_real_clips(spoil, amounts, clips: Path) -> None:
    for file in TRIPOD:
        clip = prepared(clips / file)
        begins = clip.times < 0.8
        falls(spoil, list(zip(clip.times[begins].tolist(), clip.frames[begins], strict=True)), amounts[::2])


def test_noise_by_hand() -> None:
    """The difference of two Gaussians of sigma s has a mean absolute value of 2 s / sqrt(pi)."""
    still = rendered("hills", subjects=())
    for sigma in (1.0, 4.0):
        assert stability(prepare_frames(noisy(still, sigma))) == pytest.approx(score(2 * sigma / np.pi**0.5), abs=0.002)


def test_motion_is_not_instability() -> None:
    """A camera at rest and things that move: what is left still is still."""
    fast = Subject(kind="blob", size=0.6, start_XY=(0.1, 0.5), velocity_XY=(0.5, 0.0))
    assert stability(prepare_frames(rendered("hills", subjects=(fast,)))) > 0.99


def test_repeated_frames_change_nothing(clips: Path) -> None:
    for file in TRIPOD:
        clip = prepared(clips / file)
        frames = list(zip(clip.times.tolist(), clip.frames, strict=True))[:16]
        twice = prepare_frames(damage.repeat(frames, times=2))
        assert stability(twice) == pytest.approx(stability(prepare_frames(frames)), abs=0.002)


# ---- what cannot be measured ----


def test_a_frozen_clip_is_stable() -> None:
    reading = lite(prepare_frames(damage.freeze(rendered("hills"))), "pixel_level_stability")
    assert isinstance(reading, Reading)
    assert (reading.score, reading.raw["static_share"]) == (1.0, 1.0)


def test_nothing_static_is_skipped_with_a_reason() -> None:
    clip = prepare_frames(rendered("mosaic", movement="pan-left", speed=0.2))
    skipped = lite(clip, "pixel_level_stability")
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "no static region"
    assert skipped.raw is not None


def test_two_frames_are_enough() -> None:
    clip = prepare_frames(noisy(rendered("hills", seconds=2 / 8, fps=8, subjects=()), 2.0))
    assert len(clip.grid) == 2
    assert stability(clip) == pytest.approx(score(4 / np.pi**0.5), abs=0.005)


@pytest.mark.parametrize(
    ("size_HW", "frames", "reason"),
    [
        ((64, 64), 1, "too short: one distinct frame"),
        ((1, 1), 3, "too small: 1x1 pixels, flow needs 32"),
        ((8, 8), 3, "too small: 8x8 pixels, flow needs 32"),
        ((31, 31), 3, "too small: 31x31 pixels, flow needs 32"),
    ],
)
def test_short_and_tiny_clips_are_skipped_with_a_reason(size_HW: tuple[int, int], frames: int, reason: str) -> None:
    clip = prepare_frames((k / 8, np.full((*size_HW, 3), 60 * k, np.uint8)) for k in range(frames))
    skipped = lite(clip, "pixel_level_stability")
    assert isinstance(skipped, Skipped)
    assert skipped.reason == reason
