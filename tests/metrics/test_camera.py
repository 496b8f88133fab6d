"""The camera's movement: names at their thresholds, fits on fields made by hand, and rendered movements named rightly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wanbench.clip import Clip
from wanbench.decoding.prepare import prepare, prepare_frames
from wanbench.metrics import _camera
from wanbench.metrics._camera import PairFit, Rates
from wanbench.scenes.backdrop import Backdrop
from wanbench.scenes.damage import Timed
from wanbench.scenes.encode import Encoding, write_video
from wanbench.scenes.render import MOVEMENTS, Movement, Scene, Subject, render

from .measuring import camera_of, field_of, flow, grain, uniform

RATES = (8, 12, 15, 16, 24, 25, 30, 50, 60)
PICTURES: tuple[Backdrop, ...] = ("hills", "garden", "city", "mosaic")
"""Four: as many as the renderer keeps painted."""
IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


# ---- names ----


@pytest.mark.parametrize(
    ("pan", "tilt", "zoom", "name"),
    [
        (0.0, 0.0, 0.0, "static"),
        (0.0199, 0.0199, 0.0199, "static"),
        (0.0201, 0.0, 0.0, "pan-left"),  # content to the right: the camera turns left
        (-0.0201, 0.0, 0.0, "pan-right"),
        (0.0, 0.0201, 0.0, "tilt-up"),  # content down
        (0.0, -0.0201, 0.0, "tilt-down"),
        (0.0, 0.0, 0.0201, "zoom-in"),
        (0.0, 0.0, -0.0201, "zoom-out"),
        (0.09, 0.059, 0.0, "pan-left"),  # 0.059 < 2/3 of 0.09
        (0.09, 0.061, 0.0, "mixed"),
        (0.061, -0.09, 0.0, "mixed"),
        (0.01, 0.059, -0.09, "zoom-out"),
        (0.024, 0.019, 0.0, "pan-left"),  # over 2/3, but under 0.02
        (0.024, 0.021, 0.0, "mixed"),
        (0.03, 0.03, 0.03, "mixed"),
        (-0.6, 0.1, 0.2, "pan-right"),
    ],
)
def test_names_at_their_thresholds(pan: float, tilt: float, zoom: float, name: str) -> None:
    assert Rates(pan=pan, tilt=tilt, zoom=zoom).name() == name


def pair(pan: float, seconds: float = 0.125, inliers: float = 1.0) -> PairFit:
    return PairFit(seconds=seconds, rates=Rates(pan=pan, tilt=0.0, zoom=0.0), inlier_share=inliers, matrix=IDENTITY)


def test_a_clip_is_named_by_its_mean_rates_over_time() -> None:
    movement, rates, inliers = _camera.name([(pair(0.1, inliers=0.5), 0.1), (pair(-0.02, inliers=0.9), 0.3)])
    assert rates is not None
    assert rates.pan == pytest.approx((0.1 * 0.1 - 0.02 * 0.3) / 0.4)  # 0.01
    assert inliers == pytest.approx((0.5 * 0.1 + 0.9 * 0.3) / 0.4)
    assert movement == "static"


@pytest.mark.parametrize(("inliers", "name"), [(0.249, "unknown"), (0.25, "pan-left"), (0.251, "pan-left")])
def test_too_few_that_agree_have_no_name(inliers: float, name: str) -> None:
    assert _camera.name([(pair(0.1, inliers=inliers), 0.125)])[0] == name
    assert _camera.name([])[0] == "unknown"


# ---- points ----


def test_lattice_counts_by_hand() -> None:
    """240x360: 40 rows and 60 columns of 6 px. Inner: 30 % to 70 % from the middle out, 24 rows by 36 columns; of those each
    fourth row and column counted from the frame's first: rows 8..28 (6), columns 12..44 (9)."""
    points = _camera.lattice(240, 360)
    assert len(points) == 40 * 60 - 24 * 36 + 6 * 9
    assert points.min() == 3
    assert points.max(axis=0).tolist() == [357, 237]
    assert len({tuple(p) for p in points.tolist()}) == len(points)
    inner = (np.abs(points / (360, 240) - 0.5) < 0.3).all(axis=1)
    assert inner.sum() == 54


def test_lattice_grows_with_the_frame_and_fits_the_smallest() -> None:
    assert len(_camera.lattice(480, 720)) == len(_camera.lattice(240, 360))
    small = _camera.lattice(32, 32)
    assert len(small) > 500  # a point per pixel of the border
    assert small.max() == 31


def test_points_without_structure_are_not_followed() -> None:
    frame = grain((240, 320))
    frame[:, :160] = 90
    still = flow([uniform(0, 0)])
    points = _camera.lattice(240, 320)
    structure = _camera.structure(frame)[points[:, 1] // 2, points[:, 0] // 2]
    kept = _camera.followed(still, 0, points, structure)
    assert kept[:, 0].min() >= 152, "a few pixels beside the edge see it too"
    assert len(kept) > 0.4 * len(points)
    dark = _camera.structure((frame // 8).astype(np.uint8))[points[:, 1] // 2, points[:, 0] // 2]
    assert len(_camera.followed(still, 0, points, dark)) > 0.95 * len(kept), "relative: a dark picture keeps its points"


def test_points_that_do_not_return_are_not_followed() -> None:
    back = uniform(0, 0)
    back[:, 160:] = 9
    points = _camera.lattice(240, 320)
    kept = _camera.followed(flow([uniform(0, 0)], back=[back]), 0, points, np.ones(len(points), np.float32))
    assert kept[:, 0].max() < 160
    # with nothing to go by, all points are used
    lost = flow([uniform(0, 0)], back=[uniform(9, 9)])
    assert len(_camera.followed(lost, 0, points, np.ones(len(points), np.float32))) == len(points)


# ---- fits ----


def fitted(forward: Any, back: Any, frames: int = 9) -> _camera.Camera:
    steps = frames - 1
    return _camera.camera(flow([forward] * steps, back=[back] * steps), [grain()] * frames)


@pytest.mark.parametrize(
    ("dx", "dy", "name"), [(2.0, 0.0, "pan-left"), (-2.0, 0.0, "pan-right"), (0.0, 2.0, "tilt-up"), (0.0, -2.0, "tilt-down")]
)
def test_shift_gives_the_rate_of_width_and_height(dx: float, dy: float, name: str) -> None:
    found = fitted(uniform(dx, dy), uniform(-dx, -dy))
    assert found.rates is not None
    assert found.rates.pan == pytest.approx(dx * 8 / 320, abs=1e-6)
    assert found.rates.tilt == pytest.approx(dy * 8 / 240, abs=1e-6)
    assert found.rates.zoom == pytest.approx(0, abs=1e-6)
    assert found.movement == name
    assert found.windows == (name, name)
    assert found.inlier_share == 1


@pytest.mark.parametrize(("scale", "name"), [(1.01, "zoom-in"), (1 / 1.01, "zoom-out")])
def test_zoom_is_half_the_log_scale_about_the_middle(scale: float, name: str) -> None:
    grow = field_of(lambda x, y: ((scale - 1) * x, (scale - 1) * y))
    shrink = field_of(lambda x, y: ((1 / scale - 1) * x, (1 / scale - 1) * y))
    found = fitted(grow, shrink)
    assert found.rates is not None
    assert found.rates.zoom == pytest.approx(0.5 * math.log(scale) * 8, rel=1e-3)
    assert (found.rates.pan, found.rates.tilt) == pytest.approx((0, 0), abs=1e-4)
    assert found.movement == name


def test_rotation_about_the_middle_is_no_pan() -> None:
    turn = 0.02
    there = field_of(lambda x, y: (math.cos(turn) * x - math.sin(turn) * y - x, math.sin(turn) * x + math.cos(turn) * y - y))
    back = field_of(lambda x, y: (math.cos(turn) * x + math.sin(turn) * y - x, -math.sin(turn) * x + math.cos(turn) * y - y))
    assert fitted(there, back).movement == "static"


def test_a_subject_in_the_middle_does_not_carry_the_camera() -> None:
    """A third of the frame moves the other way, three times as fast."""
    there, back = uniform(2, 0), uniform(-2, 0)
    there[50:190, 70:250] = (-6, 1)
    back[50:190, 64:250] = (6, -1)
    found = fitted(there, back)
    assert found.movement == "pan-left"
    assert found.rates is not None
    assert found.rates.pan == pytest.approx(2 * 8 / 320, rel=0.02)


def test_an_empty_wall_does_not_hold_the_camera() -> None:
    """Three quarters of the frame are empty and have no flow, though the camera pans."""
    frame = grain()
    frame[:180] = 100
    there, back = uniform(3, 0), uniform(-3, 0)
    there[:180], back[:180] = 0, 0
    found = _camera.camera(flow([there] * 8, back=[back] * 8), [frame] * 9)
    assert found.movement == "pan-left"


def test_windows_are_half_seconds_and_cuts_leave_none() -> None:
    still, left, right = uniform(0, 0), uniform(4, 0), uniform(-4, 0)
    steps = [still] * 4 + [left] * 4 + [right] * 2
    found = _camera.camera(flow(steps, cuts=[8, 9]), [grain()] * 11)
    assert found.windows == ("static", "pan-left")
    assert [p is None for p in found.pairs] == [False] * 8 + [True] * 2
    # windows follow time, not count: at 0.25 s a step two fit into each
    slow = _camera.camera(flow(steps[:6], seconds=[0.25] * 6), [grain()] * 7)
    assert slow.windows == ("static", "static", "pan-left")


def test_no_window_crosses_a_cut() -> None:
    """A cut in the middle of the second window: what comes before it and what after it have names of their own."""
    still, left, right = uniform(0, 0), uniform(4, 0), uniform(-4, 0)
    found = _camera.camera(flow([still] * 4 + [left] * 2 + [still] + [right] * 3, cuts=[6]), [grain()] * 11)
    assert found.windows == ("static", "pan-left", "pan-right", "pan-right")


def test_time_that_stands_still_is_static() -> None:
    """Half a second of pan, then a picture held for two: in the middle it makes one long and slow pair, at the end none."""
    left = uniform(4, 0)
    end = _camera.camera(flow([left] * 4), [grain()] * 5, 2.0)
    assert end.windows == ("pan-left", *["static"] * 4)
    middle = _camera.camera(flow([left] * 5, seconds=[0.125] * 4 + [2.0]), [grain()] * 6)
    assert middle.windows == ("pan-left", *["static"] * 4)
    whole = _camera.camera(flow([left] * 4), [grain()] * 5)
    assert whole.rates is not None
    assert end.rates is not None
    assert end.rates.pan == pytest.approx(whole.rates.pan / 5)


def test_field_is_the_similarity_on_the_followed_pixels() -> None:
    found = fitted(uniform(3, -1), uniform(-3, 1), frames=2)
    assert found.pairs[0] is not None
    assert _camera.field(found.pairs[0], 240, 320) == pytest.approx(np.broadcast_to((3, -1), (80, 107, 2)), abs=1e-3)


# ---- rendered movements ----


def scene(movement: Movement, number: int, size_HW: tuple[int, int], **more: Any) -> Scene:
    """Noise, and a subject that covers up to an eighth of the frame and moves on its own, in turns against the camera."""
    speed = 0.0 if movement == "static" else (0.03, 0.06, 0.12, 0.25)[number % 4]
    kind = ("blob", "balloon", "ball", "boat")[number % 4]
    subject = Subject(kind=kind, size=0.5, start_XY=(0.45, 0.55), velocity_XY=(0.15 * (-1) ** number, 0.05))
    picture = PICTURES[number % len(PICTURES)]
    return Scene(
        size_HW=size_HW,
        movement=movement,
        speed=speed,
        picture=picture,
        noise_sigma=2.0 + number % 3,
        subjects=(subject,),
        **more,
    )


def right_of(cases: list[tuple[str, Movement, Clip]]) -> tuple[int, list[str]]:
    wrong = []
    for label, movement, clip in cases:
        found = camera_of(clip)
        if found.movement != movement:
            wrong.append(f"{label}: {found.movement} {found.rates}")
    return len(cases) - len(wrong), wrong


@pytest.mark.parametrize("fps", RATES)
def test_rendered_movements_are_named(fps: int) -> None:
    """7 movements at each of 9 frame rates, all right; speeds, pictures and subjects in turn."""
    cases = []
    for number, movement in enumerate(MOVEMENTS, start=RATES.index(fps)):
        filmed = render(scene(movement, number, (240, 320)), fps=fps, seconds=0.6 + 1 / fps, seed=1)
        cases.append((f"{movement} number {number} at {fps} fps", movement, prepare_frames(filmed)))
    right, wrong = right_of(cases)
    assert right == len(MOVEMENTS), wrong


CONDITIONS = ("plain", "encoded", "hard-encoded", "shaken", "flickering", "dark", "fading", "blurred")
SPEEDS = (0.024, 0.05, 0.12, 0.3, 0.6)


def conditioned(condition: str, frames: Iterator[Timed], seconds: float) -> Iterator[Timed]:
    for time, frame in frames:
        light = {"dark": 0.2, "fading": 1 - 0.8 * time / seconds}.get(condition, 1.0)
        yield time, np.asarray(frame * light + 0.5, np.uint8) if light < 1 else frame


def filmed(condition: str, movement: Movement, number: int, fps: int, speed: float, folder: Path) -> Clip:
    extra = {"shaken": {"shake_px": 1.5}, "flickering": {"flicker": 0.1}, "blurred": {"shutter_seconds": 0.5 / fps}}
    base = scene(movement, number, (240, 416), **extra.get(condition, {}))
    moving = Scene(**{name: getattr(base, name) for name in base.__slots__} | {"speed": 0.0 if movement == "static" else speed})
    frames = conditioned(condition, render(moving, fps=fps, seconds=1.5, seed=number // 45), 1.5)
    if "encoded" not in condition:
        return prepare_frames(frames)
    path = folder / f"{number}.mp4"
    write_video(path, (frame for _, frame in frames), fps=fps, encoding=Encoding(crf=32 if condition == "hard-encoded" else 23))
    clip = prepare(path)
    path.unlink()
    return clip


@pytest.mark.full
def test_rendered_grid_of_movements(tmp_path: Path) -> None:
    """7 movements x 5 speeds x 9 frame rates, pictures, subjects and conditions in turn: at least 98 %. Prints those missed."""
    cases = [m for m in itertools.product(MOVEMENTS, SPEEDS, RATES) if m[0] != "static" or m[1] == SPEEDS[0]]
    right, wrong = 0, []
    for number, (movement, speed, fps) in enumerate(cases):
        condition = CONDITIONS[number % len(CONDITIONS)]
        clip = filmed(condition, movement, number, fps, speed, tmp_path)
        one, missed = right_of([(f"{movement} {speed}/s at {fps} fps, {condition}, number {number}", movement, clip)])
        right, wrong = right + one, wrong + missed
    print(f"{right} of {len(cases)}", *wrong, sep="\n")
    assert len(cases) >= 270
    assert right >= 0.98 * len(cases), wrong
