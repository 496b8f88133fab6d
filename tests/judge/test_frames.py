"""Which frames the judge is shown, when, and at what size."""

from __future__ import annotations

import numpy as np
import pytest

from wanbench.clip import Clip
from wanbench.decoding.prepare import prepare_frames
from wanbench.judge import frames
from wanbench.judge.frames import EVENT_FRAMES, FRAMES, LINES, PIXEL_BUDGET
from wanbench.metrics import _judged
from wanbench.scenes import damage
from wanbench.scenes.render import Scene, render


def clip(seconds: float, *, fps: float = 8, frozen: bool = False, size_HW: tuple[int, int] = (48, 64)) -> Clip:
    filmed = list(render(Scene(size_HW=size_HW, movement="pan-left", speed=0.2), fps=fps, seconds=seconds, seed=1))
    return prepare_frames(list(damage.freeze(filmed)) if frozen else filmed, [LINES])


def times(shown: list[frames.Frame]) -> list[float]:
    return [round(f.seconds, 4) for f in shown]


def test_spread_from_the_first_to_the_last_frame() -> None:
    """2 s at 8 frames a second last 1.875 s: 16 frames fall on the grid, 8 between it, each shown as the nearest."""
    filmed = clip(2.0)
    shown = frames.spread_over(filmed, EVENT_FRAMES)
    assert times(shown) == [k / 8 for k in range(16)]
    assert len({f.key for f in shown}) == 16
    for k, frame in enumerate(shown):
        np.testing.assert_array_equal(frame.picture, filmed.grid_frames(LINES)[k])
    shown = frames.spread_over(filmed, FRAMES)
    assert times(shown) == pytest.approx([1.875 * k / 7 for k in range(8)], abs=1e-4)
    numbers = [round(1.875 * k / 7 * 8) for k in range(8)]
    assert numbers == [0, 2, 4, 6, 9, 11, 13, 15]
    assert [f.key for f in shown] == [frames.spread_over(filmed, EVENT_FRAMES)[n].key for n in numbers]


def test_a_frozen_clip_is_the_same_picture_at_every_time() -> None:
    """And the times say so: nothing is hidden from the judge by dropping repeats."""
    shown = frames.spread_over(clip(3.0, frozen=True), EVENT_FRAMES)
    assert len({f.key for f in shown}) == 1
    assert times(shown) == pytest.approx([2.875 * k / 15 for k in range(16)], abs=1e-4)


def test_repeats_are_shown_as_what_they_repeat() -> None:
    """Each frame three times: at a time between, the picture is the one that stands there."""
    filmed = list(render(Scene(size_HW=(48, 64), movement="pan-left", speed=0.4), fps=24, seconds=1.5, seed=1))
    held = [(t, filmed[k // 12 * 12][1]) for k, (t, _) in enumerate(filmed)]  # three pictures of half a second
    shown = frames.shown_at(prepare_frames(held, [LINES]), [0.0, 0.3, 0.43, 0.51, 0.9, 1.2, 1.4])
    keys = [f.key for f in shown]
    assert len(set(keys)) == 3
    assert keys == [keys[0]] * 3 + [keys[3]] * 2 + [keys[5]] * 2
    assert _judged.unlike(shown) == [(shown[0], 3), (shown[3], 2), (shown[5], 2)]


@pytest.mark.parametrize("fps", [8, 10, 12, 15, 16, 24, 25, 30_000 / 1001, 30, 48, 50, 60])
def test_steady_motion_is_shown_steadily(fps: float) -> None:
    """At no frame rate does a window show a picture twice, which a judge of smoothness would take for a stutter."""
    scene = Scene(size_HW=(48, 64), movement="pan-left", speed=0.4)
    filmed = prepare_frames(list(render(scene, fps=fps, seconds=5.0, seed=1)), [LINES])
    for window in frames.windows(filmed):
        assert len({frame.key for frame in window}) == len(window)


def test_single_and_few_frames() -> None:
    one = clip(0.125)
    assert times(frames.spread_over(one, 8)) == [0.0] * 8
    assert [times(w) for w in frames.windows(one)] == [[0.0, 0.0]]
    two = clip(0.25)
    assert len({f.key for f in frames.spread_over(two, 8)}) == 2


@pytest.mark.parametrize(
    ("seconds", "starts", "length", "count"),
    [(5.0, [0.0, 1.375, 2.875], 2.0, 17), (4.125, [0.0, 2.0], 2.0, 17), (2.125, [0.0], 2.0, 17), (1.125, [0.0], 1.0, 9)],
)
def test_windows_cover_the_clip_evenly(seconds: float, starts: list[float], length: float, count: int) -> None:
    """Two seconds at eight frames a second, from the first frame to the last; 5 s of film at 8 fps last 4.875 s."""
    found = frames.windows(clip(seconds))
    assert [w[0].seconds for w in found] == pytest.approx(starts, abs=1e-6)
    assert all(w[-1].seconds - w[0].seconds == pytest.approx(length) for w in found)
    assert all(len(w) == count for w in found)
    assert found[-1][-1].seconds == pytest.approx(seconds - 1 / 8)


def test_the_same_whatever_the_frame_rate() -> None:
    slow, fast = (times(frames.spread_over(clip(2.0 + 1 / fps, fps=fps), FRAMES)) for fps in (8, 30))
    assert slow == pytest.approx(fast, abs=1e-3)


@pytest.mark.parametrize(
    ("size_HW", "shrunk"), [((480, 832), False), ((776, 775), False), ((720, 1280), True), ((2000, 500), True)]
)
def test_pixels_stay_within_the_budget_and_are_else_untouched(size_HW: tuple[int, int], shrunk: bool) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size_HW, 3), dtype=np.uint8)
    seen = frames.within_budget(picture)
    if not shrunk:
        assert seen is picture
        return
    height, width = seen.shape[:2]
    assert 0.98 * PIXEL_BUDGET < height * width <= PIXEL_BUDGET
    assert height / width == pytest.approx(size_HW[0] / size_HW[1], rel=0.01)


def test_what_the_decoder_gives_is_never_less_than_the_budget_allows() -> None:
    """`LINES` is the short side of the square of the budget; any other shape of that short side is larger."""
    assert LINES * (LINES - 1) <= PIXEL_BUDGET <= LINES * (LINES + 1)


def test_keys_tell_pictures_apart() -> None:
    a = np.zeros((4, 6, 3), np.uint8)
    b = a.copy()
    b[3, 5, 2] = 1
    assert frames.key_of(a) == frames.key_of(a.copy())
    assert len({frames.key_of(p) for p in (a, b, a.reshape(6, 4, 3))}) == 3
    assert frames.key_of(np.asfortranarray(b)) == frames.key_of(b)
