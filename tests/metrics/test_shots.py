"""Cuts: planted ones are found at their time, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from wanbench.clip import Clip
from wanbench.decoding.prepare import prepare_frames
from wanbench.decoding.video import Video
from wanbench.metrics import _flow, _shots
from wanbench.scenes import damage
from wanbench.scenes.damage import Timed
from wanbench.scenes.render import Scene, Subject, render

from .measuring import labelled, lite, prepared, tools

SIZE = (120, 208)


PICTURES = ("city", "garden", "mosaic", "sea")


def film(seconds: float = 2.0, fps: float = 12, seed: int = 4, **scene) -> list[Timed]:
    return list(render(Scene(size_HW=SIZE, **scene), fps=fps, seconds=seconds, seed=seed))


def cut_film(cuts_seconds: tuple[float, ...], seconds: float = 2.0, fps: float = 12, **scene) -> list[Timed]:
    """Another kind of picture from each of the times on."""
    frames = film(seconds, fps, picture=PICTURES[0], **scene)
    for picture, at in zip(PICTURES[1:], cuts_seconds, strict=False):
        frames = list(damage.cut(frames, film(seconds, fps, picture=picture, **scene), at_seconds=at))
    return frames


def cut_times(clip: Clip) -> list[float]:
    return [float(clip.times[n]) for n in _shots.cuts(clip)]


@pytest.mark.parametrize("fps", [8, 16, 25, 30, 60])
@pytest.mark.parametrize("movement", ["static", "pan-left", "zoom-in"])
def test_a_planted_cut_is_found_at_its_time(movement: str, fps: int) -> None:
    speed = 0.0 if movement == "static" else 0.15
    clip = prepare_frames(cut_film((1.0,), fps=fps, movement=movement, speed=speed))
    assert cut_times(clip) == pytest.approx([1.0], abs=1e-9)


def test_several_cuts() -> None:
    clip = prepare_frames(cut_film((0.75, 1.5, 2.25), seconds=3.0, movement="pan-right", speed=0.1))
    assert cut_times(clip) == pytest.approx([0.75, 1.5, 2.25])


def test_no_flow_crosses_a_cut() -> None:
    clip = prepare_frames(cut_film((1.0,), movement="pan-left", speed=0.1))
    flow = tools(clip).share(_flow.dis_flow)
    broken = np.flatnonzero(~flow.unbroken)
    assert len(broken) == 1
    assert clip.grid_times[broken[0]] < 1.0 <= clip.grid_times[broken[0] + 1]
    assert not flow.forward[broken[0]].any()
    assert flow.cut_times == (1.0,)
    reading = lite(clip, "large_motion_generation")
    assert reading.raw["cuts_count"] == 1


SPOILED = {
    "fast pan": lambda: film(picture="mosaic", movement="pan-left", speed=1.0),
    "fast zoom": lambda: film(picture="garden", movement="zoom-in", speed=0.6),
    "noise": lambda: film(picture="sea", noise_sigma=40),
    "flicker": lambda: film(picture="hills", flicker=0.3),
    "shake": lambda: film(picture="city", shake_px=8),
    "jitter": lambda: film(picture="city", jitter_px=8),
    "a large subject enters": lambda: film(
        picture="hills", subjects=(Subject(kind="blob", size=1.4, start_XY=(-0.6, 0.5), velocity_XY=(1.0, 0.0)),)
    ),
    "fade to black": lambda: [(t, np.asarray(f * max(0.0, 1 - t / 2), np.uint8)) for t, f in film(picture="garden")],
    "a flash": lambda: [(t, np.clip(f.astype(int) + 90 * (k == 12), 0, 255).astype(np.uint8)) for k, (t, f) in enumerate(film())],
    "white noise": lambda: [(k / 8, np.random.default_rng(k).integers(0, 256, (*SIZE, 3), np.uint8)) for k in range(16)],
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_not_a_cut_is_not_taken_for_one(name: str) -> None:
    assert cut_times(prepare_frames(SPOILED[name]())) == []


def test_a_dissolve_is_no_cut() -> None:
    a, b = film(picture="city"), film(picture="sea", seed=9)
    mixed = [(t, cv2.addWeighted(x, 1 - t / 2, y, t / 2, 0)) for (t, x), (_, y) in zip(a, b, strict=True)]
    assert cut_times(prepare_frames(mixed)) == []


def test_histogram_distance_by_hand() -> None:
    red, blue = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    half = red.copy()
    half[:2] = blue[:2]
    assert _shots.histogram_distance(red, red) == 0
    assert _shots.histogram_distance(red, blue) == 1
    assert _shots.histogram_distance(red, half) == 0.5


def test_local_median_leaves_the_pair_itself_out() -> None:
    differences = np.array([1.0, 2.0, 100.0, 4.0, 5.0])
    assert _shots._local_median(differences, 2) == 3.0  # of 1, 2, 4, 5
    assert _shots._local_median(differences, 0) == 4.5  # of 2, 100, 4, 5
    assert _shots._local_median(np.array([7.0]), 0) == 0.0
    far = np.concatenate([np.full(20, 9.0), np.ones(17), np.full(20, 9.0)])
    assert _shots._local_median(far, 28) == 1.0, "eight to each side, no more"


def test_clips_of_one_and_two_frames() -> None:
    one, two = film(seconds=1 / 12), film(seconds=2 / 12, movement="pan-left", speed=0.3)
    assert cut_times(prepare_frames(one)) == []
    assert cut_times(prepare_frames(two)) == []


def test_real_clips_have_no_cut_and_show_planted_ones(clips: Path) -> None:
    """Every second labelled clip that is not cut out of another; the whole set is `benchmarks/definitions.py`'s."""
    footage = [line for line in labelled(clips) if not line["derived"]]
    chosen = [prepared(clips / line["file"]) for line in footage[::2]]
    chosen = [clip for clip in chosen if len(clip.times) >= 6]
    half = len(chosen) // 2  # neighbours may be two answers to one prompt, alike to a pixel
    found = 0
    for clip, other in zip(chosen, chosen[half:] + chosen[:half], strict=True):
        assert cut_times(clip) == []
        size_WH = clip.frames.shape[2:0:-1]
        at = float(clip.times[len(clip.times) // 2])
        following = [(0.0, cv2.resize(frame, size_WH, interpolation=cv2.INTER_AREA)) for frame in other.frames]
        planted = damage.cut(zip(clip.times.tolist(), clip.frames, strict=True), following, at_seconds=at)
        found += cut_times(prepare_frames(planted)) == pytest.approx([at])
    assert len(chosen) >= 9
    assert found == len(chosen)


def test_a_real_cut_is_found(clips: Path) -> None:
    """Frame 202 of an edited film of 25 frames a second begins a new shot; a dissolve some seconds before is none."""
    with Video(clips / "real/nasa_dark_lift.mp4") as video:
        later = [(t, frame) for t, frame in video.frames(window_seconds=10.6) if t >= 5.8]
    clip = prepare_frames(later)
    assert cut_times(clip) == pytest.approx([202 / 25 - later[0][0]], abs=0.01)
