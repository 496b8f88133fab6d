"""Rendered scenes move as asked, whatever the frame rate, and every damage does what its name says and no more."""

from __future__ import annotations

import itertools
import time
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from wanbench.scenes import backdrop, damage, sprite
from wanbench.scenes.damage import Frame, Timed
from wanbench.scenes.render import MOVEMENTS, PICTURE_PER_FRAME_HW, Movement, Scene, Subject, render

SIZE = (240, 416)


def frames_of(scene: Scene, *, fps: float = 8, seconds: float = 1.0, seed: int = 1) -> list[Frame]:
    return [frame for _, frame in render(scene, fps=fps, seconds=seconds, seed=seed)]


def grey(frame: Frame) -> npt.NDArray[np.float32]:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)


def displacement(a: Frame, b: Frame) -> tuple[float, float]:
    """How far the content moved from `a` to `b`, pixels right and down.

    cv2.phaseCorrelate finds the whole pixels; its parts of a pixel are up to 0.4 px off, so these come from the slope of the
    cross spectrum's phase at low frequencies (a shift by d turns frequency f by 2π·f·d).
    """
    window = cv2.createHanningWindow(a.shape[1::-1], cv2.CV_32F)
    x, y = (round(d) for d in cv2.phaseCorrelate(grey(a), grey(b), window)[0])
    height, width = a.shape[:2]
    ga = grey(a)[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
    gb = grey(b)[max(0, y) : height - max(0, -y), max(0, x) : width - max(0, -x)]
    taper = np.outer(np.hanning(ga.shape[0]), np.hanning(ga.shape[1]))
    cross = np.fft.fft2((ga - ga.mean()) * taper) * np.conj(np.fft.fft2((gb - gb.mean()) * taper))
    fy, fx = np.meshgrid(np.fft.fftfreq(ga.shape[0]), np.fft.fftfreq(ga.shape[1]), indexing="ij")
    low = (np.hypot(fx, fy) > 0.01) & (np.hypot(fx, fy) < 0.1)
    weight = np.sqrt(np.abs(cross[low]))
    slopes = 2 * np.pi * np.stack([fx[low], fy[low]], 1) * weight[:, None]
    rest = np.linalg.lstsq(slopes, np.angle(cross[low]) * weight, rcond=None)[0]
    return x + float(rest[0]), y + float(rest[1])


def similarity(a: Frame, b: Frame) -> npt.NDArray[np.float64]:
    """The 2×3 similarity from `a` to `b`, from tracked corners."""
    ga, gb = (cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in (a, b))
    corners = cv2.goodFeaturesToTrack(ga, 400, 0.01, 6)
    found, ok, _ = cv2.calcOpticalFlowPyrLK(ga, gb, corners, None, winSize=(21, 21), maxLevel=4)
    kept = ok[:, 0] == 1
    return cv2.estimateAffinePartial2D(corners[kept], found[kept], ransacReprojThreshold=0.5)[0]


def centroid(frame: Frame, background: Frame) -> tuple[float, float]:
    mask = np.abs(frame.astype(int) - background).sum(2) > 20
    y, x = np.nonzero(mask)
    return float(x.mean()), float(y.mean())


# Content moves against the camera: x to the right, y down.
DIRECTIONS: dict[Movement, tuple[int, int]] = {"pan-left": (1, 0), "pan-right": (-1, 0), "tilt-up": (0, 1), "tilt-down": (0, -1)}


@pytest.mark.parametrize("movement", list(DIRECTIONS))
@pytest.mark.parametrize("speed", [0.02, 0.1, 0.37])
@pytest.mark.parametrize("fps", [8, 30])
def test_content_moves_against_the_camera_at_the_asked_speed(movement: Movement, speed: float, fps: int) -> None:
    first, *_, last = frames_of(Scene(size_HW=SIZE, movement=movement, speed=speed), fps=fps, seconds=3 / fps)
    x, y = DIRECTIONS[movement]
    dx, dy = displacement(first, last)
    assert dx == pytest.approx(x * speed * SIZE[1] * 2 / fps, abs=0.02)
    assert dy == pytest.approx(y * speed * SIZE[0] * 2 / fps, abs=0.02)


@pytest.mark.parametrize("picture", backdrop.BACKDROPS)
def test_every_picture_can_be_tracked(picture: backdrop.Backdrop) -> None:
    a, b = frames_of(Scene(size_HW=SIZE, movement="pan-right", speed=0.13, picture=picture), seconds=0.25)
    assert displacement(a, b) == pytest.approx((-0.13 * SIZE[1] / 8, 0), abs=0.1)


@pytest.mark.parametrize(("movement", "sign"), [("zoom-in", 1), ("zoom-out", -1)])
@pytest.mark.parametrize("speed", [0.03, 0.2])
def test_zoom_scales_by_twice_the_speed_in_logarithm(movement: Movement, sign: int, speed: float) -> None:
    first, *_, last = frames_of(Scene(size_HW=SIZE, movement=movement, speed=speed), fps=8, seconds=5 / 8)
    matrix = similarity(first, last)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    assert np.log(scale) == pytest.approx(sign * 2 * speed * 0.5, abs=0.003)
    middle = np.array([(SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2, 1])
    assert matrix @ middle == pytest.approx(middle[:2], abs=0.3)  # the middle of the picture stays


@pytest.mark.parametrize("movement", MOVEMENTS)
def test_frames_at_equal_times_are_equal_at_every_rate(movement: Movement) -> None:
    ball = Subject(kind="ball", velocity_XY=(0.2, 0.1), anchored=True, wobble=0.1)
    scene = Scene(size_HW=(96, 160), movement=movement, speed=0 if movement == "static" else 0.2, subjects=(ball,))
    few = dict(render(scene, fps=8, seconds=1, seed=2))
    for fps in (24, 16, 40):
        many = dict(render(scene, fps=fps, seconds=1, seed=2))
        assert set(few) <= set(many)
        assert all(np.array_equal(few[t], many[t]) for t in few)


def test_times_and_number_of_frames() -> None:
    times = [t for t, _ in render(Scene(size_HW=(32, 48)), fps=Fraction(30000, 1001), seconds=1, seed=0)]
    assert len(times) == 30
    assert times[7] == 7 * 1001 / 30000


def test_static_is_constant() -> None:
    first, *others = frames_of(Scene(size_HW=(64, 96)))
    assert all(np.array_equal(first, other) for other in others)


def test_a_long_pan_goes_on_past_the_picture() -> None:
    """Five seconds at half a width a second leave the painted picture; the mirrored part moves on as the rest did."""
    frames = frames_of(Scene(size_HW=SIZE, movement="pan-left", speed=0.5), fps=24, seconds=5)
    for a, b in ((0, 1), (70, 71), (118, 119)):
        assert displacement(frames[a], frames[b]) == pytest.approx((0.5 * SIZE[1] / 24, 0), abs=0.1)


@pytest.mark.parametrize("kind", sprite.KINDS)
def test_a_subject_moves_at_its_own_speed(kind: sprite.Kind) -> None:
    subject = Subject(kind=kind, start_XY=(0.3, 0.4), velocity_XY=(0.24, 0.16))
    background = frames_of(Scene(size_HW=SIZE, picture="sea"))[0]
    first, *_, last = frames_of(Scene(size_HW=SIZE, picture="sea", subjects=(subject,)), fps=8, seconds=9 / 8)
    (x0, y0), (x1, y1) = centroid(first, background), centroid(last, background)
    assert (x1 - x0, y1 - y0) == pytest.approx((0.24 * SIZE[1], 0.16 * SIZE[0]), abs=1.0)


def test_an_anchored_subject_goes_with_the_picture_and_a_free_one_does_not() -> None:
    def moved(anchored: bool) -> float:
        scene = Scene(size_HW=SIZE, movement="pan-left", speed=0.2, picture="sea")
        ball = Subject(kind="ball", start_XY=(0.3, 0.5), anchored=anchored)
        seen = zip(
            frames_of(Scene(size_HW=SIZE, movement="pan-left", speed=0.2, picture="sea", subjects=(ball,))),
            frames_of(scene),
            strict=True,
        )
        centres = [centroid(frame, background)[0] for frame, background in seen]
        return centres[-1] - centres[0]

    assert moved(True) == pytest.approx(0.2 * SIZE[1] * 7 / 8, abs=1.0)
    assert moved(False) == pytest.approx(0, abs=1.0)


def test_an_anchored_subject_grows_with_a_zoom() -> None:
    ball = Subject(kind="ball", size=0.2, anchored=True)

    def area(scene: Scene) -> list[int]:
        empty = Scene(size_HW=SIZE, movement=scene.movement, speed=scene.speed, picture="sea")
        pairs = zip(frames_of(scene), frames_of(empty), strict=True)
        return [int((np.abs(a.astype(int) - b).sum(2) > 20).sum()) for a, b in pairs]

    areas = area(Scene(size_HW=SIZE, movement="zoom-in", speed=0.2, picture="sea", subjects=(ball,)))
    assert areas[-1] / areas[0] == pytest.approx(np.exp(2 * 2 * 0.2 * 7 / 8), rel=0.03)


def test_a_wobbling_subject_changes_its_shape_and_stays_where_it_is() -> None:
    still, flapping = (Subject(kind="bird", size=0.6, wobble=w, wobble_hertz=1) for w in (0.0, 0.2))
    background = frames_of(Scene(size_HW=SIZE, picture="sea"))[0]
    rigid = frames_of(Scene(size_HW=SIZE, picture="sea", subjects=(still,)), fps=8)
    bent = frames_of(Scene(size_HW=SIZE, picture="sea", subjects=(flapping,)), fps=8)
    assert np.array_equal(rigid[0], bent[0])
    assert np.array_equal(rigid[0], rigid[2])
    assert not np.array_equal(bent[0], bent[2])
    assert centroid(bent[2], background)[0] == pytest.approx(centroid(rigid[2], background)[0], abs=1.5)
    assert centroid(bent[2], background)[1] > centroid(rigid[2], background)[1] + 2  # sin(π/2) = 1: the sides are lowest


def test_motion_blur_averages_along_the_motion() -> None:
    sharp = Scene(size_HW=SIZE, movement="pan-left", speed=0.5)
    blurred = Scene(size_HW=SIZE, movement="pan-left", speed=0.5, shutter_seconds=1 / 16)
    a, b = frames_of(sharp)[3], frames_of(blurred)[3]
    across, down = (np.abs(np.diff(grey(b), axis=k)).mean() / np.abs(np.diff(grey(a), axis=k)).mean() for k in (1, 0))
    assert across < 0.5
    assert across < 0.7 * down  # shadows of slopes run across too, so `down` falls as well
    assert displacement(a, b) == pytest.approx((0, 0), abs=0.3)  # centred on the frame's time


def test_minified_pictures_do_not_alias() -> None:
    """A zoom in begins at half size: close to the mean of four pixels, far from every second pixel."""
    (seen,) = frames_of(Scene(size_HW=SIZE, movement="zoom-in", speed=0.1), fps=1, seconds=1)
    height, width = (round(n * share) for n, share in zip(SIZE, PICTURE_PER_FRAME_HW, strict=True))
    picture = backdrop.paint("mosaic", (height, width), np.random.default_rng((1, 0, 0)))
    top, left = height // 2 - SIZE[0], width // 2 - SIZE[1]
    part = picture[top : top + 2 * SIZE[0], left : left + 2 * SIZE[1]]
    averaged = cv2.resize(part, SIZE[::-1], interpolation=cv2.INTER_AREA)
    to_mean, to_skipped = (np.abs(grey(seen) - grey(other)).mean() for other in (averaged, np.ascontiguousarray(part[::2, ::2])))
    assert to_mean < 0.5 * to_skipped


def test_a_cut_shows_another_picture_and_starts_its_movement_anew() -> None:
    scene = Scene(size_HW=SIZE, movement="pan-left", speed=0.1, cuts_seconds=(0.5,))
    uncut = Scene(size_HW=SIZE, movement="pan-left", speed=0.1)
    cut, whole = frames_of(scene), frames_of(uncut)
    assert all(np.array_equal(a, b) for a, b in zip(cut[:4], whole[:4], strict=True))
    assert np.abs(cut[4].astype(int) - cut[3]).mean() > 1.5 * np.abs(cut[3].astype(int) - cut[2]).mean()
    assert displacement(cut[4], cut[5]) == pytest.approx((0.1 * SIZE[1] / 8, 0), abs=0.1)


def test_same_seed_same_bytes_other_seed_others() -> None:
    scene = Scene(
        size_HW=(64, 96),
        movement="zoom-in",
        speed=0.1,
        subjects=(Subject(),),
        noise_sigma=5,
        flicker=0.1,
        jitter_px=4,
        shake_px=2,
    )
    one, two, other = (np.stack(frames_of(scene, seed=seed)) for seed in (3, 3, 4))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_the_picture_does_not_depend_on_length_speed_or_damage() -> None:
    plain = frames_of(Scene(size_HW=(64, 96), movement="tilt-up", speed=0.1), seconds=1)[0]
    other = frames_of(Scene(size_HW=(64, 96), movement="tilt-up", speed=0.4), seconds=3)[0]
    assert np.array_equal(plain, other)


@pytest.mark.parametrize(
    "wrong",
    [
        {"movement": "pan"},
        {"picture": "moon"},
        {"speed": 0.1},
        {"movement": "pan-left", "speed": -1},
        {"size_HW": (8, 8)},
        {"cuts_seconds": (2, 1)},
    ],
)
def test_impossible_scenes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Scene(**wrong)  # type: ignore[arg-type]


# ---- damages ----


def flat(count: int = 20, level: int = 120, size_HW: tuple[int, int] = (64, 96)) -> list[Timed]:
    return [(k / 10, np.full((*size_HW, 3), level, np.uint8)) for k in range(count)]


def numbered(count: int = 10) -> list[Timed]:
    return [(k / 10, np.full((16, 16, 3), 10 * k, np.uint8)) for k in range(count)]


def levels(frames: list[Timed]) -> list[int]:
    return [int(frame[0, 0, 0]) // 10 for _, frame in frames]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_noise_has_the_asked_sigma_and_is_new_in_every_frame() -> None:
    noisy = np.stack([f for _, f in damage.noise(flat(), sigma=6, rng=rng())]).astype(float)
    assert noisy.std() == pytest.approx(np.sqrt(6**2 + 1 / 12), rel=0.01)  # rounding adds 1/12
    assert noisy.mean() == pytest.approx(120, abs=0.1)
    assert np.diff(noisy, axis=0).std() == pytest.approx(6 * np.sqrt(2), rel=0.02)


def test_noise_saturates() -> None:
    for level in (0, 255):
        ((_, frame),) = damage.noise(flat(1, level), sigma=20, rng=rng())
        assert abs(int(np.median(frame)) - level) <= 1


def test_flicker_changes_each_whole_frame_within_the_amplitude() -> None:
    spoiled = [f for _, f in damage.flicker(flat(200, 100), amplitude=0.1, rng=rng())]
    means = np.array([f.mean() for f in spoiled])
    assert all(f.std() == 0 for f in spoiled)
    assert 90 <= means.min() < 92
    assert 108 < means.max() <= 110
    assert abs(np.corrcoef(means[1:], means[:-1])[0, 1]) < 0.2


def test_shake_moves_the_whole_frame_within_the_amplitude() -> None:
    still = list(render(Scene(size_HW=SIZE), fps=8, seconds=3, seed=1))
    moved = np.array([displacement(still[0][1], f) for _, f in damage.shake(still, amplitude_px=5, rng=rng())])
    assert np.abs(moved).max() <= 5.1
    assert moved.std(axis=0) == pytest.approx([5 / np.sqrt(3)] * 2, rel=0.35)


def test_jitter_moves_blocks_apart_and_nothing_further_than_the_amplitude() -> None:
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (128, 200, 3)).copy()
    for _, frame in damage.jitter([(0.0, ramp), (0.1, ramp)], amplitude_px=8, rng=rng()):
        inside = (frame.astype(int) - ramp)[:, 10:-10, 0]  # a ramp of one grey level a pixel shows the displacement itself
        assert 5 <= np.abs(inside).max() <= 8
        assert inside.std() > 2
        assert np.abs(np.diff(inside, axis=0)).max() <= 1  # torn softly: 16 px over a block of 32


def test_bars_are_black_where_asked_and_nowhere_else() -> None:
    ((_, frame),) = damage.bars(flat(1, 99, (100, 200)), shares_TBLR=(0.1, 0.2, 0.05, 0))
    assert (frame[10:80, 10:] == 99).all()
    assert frame.sum() == 99 * 70 * 190 * 3


def test_blur_keeps_the_mean_and_smooths() -> None:
    ((_, sharp),) = render(Scene(size_HW=SIZE), fps=1, seconds=1, seed=1)
    ((_, soft),) = damage.blur([(0.0, sharp)], sigma_px=3)
    assert soft.mean() == pytest.approx(sharp.mean(), abs=0.6)
    assert cv2.Laplacian(grey(soft), cv2.CV_32F).std() < 0.2 * cv2.Laplacian(grey(sharp), cv2.CV_32F).std()


def test_damages_of_time() -> None:
    clip = numbered()
    times = [t for t, _ in clip]
    assert levels(list(damage.freeze(clip))) == [0] * 10
    assert levels(list(damage.reverse(clip))) == list(range(9, -1, -1))
    shuffled = list(damage.shuffle(clip, rng=rng()))
    assert sorted(levels(shuffled)) == list(range(10)) != levels(shuffled)
    for spoiled in (damage.freeze(clip), damage.reverse(clip), damage.shuffle(clip, rng=rng())):
        assert [t for t, _ in spoiled] == times
    thinned = list(damage.thin(clip, keep_every=2))
    assert (levels(thinned), [t for t, _ in thinned]) == ([0, 2, 4, 6, 8], times[::2])
    dropped = list(damage.drop(numbered(20), share=0.5, rng=rng()))
    assert 5 <= len(dropped) <= 15
    assert levels(dropped)[0] == 0
    assert all(t == pytest.approx(n / 10) for (t, _), n in zip(dropped, levels(dropped), strict=True))


def test_repeat_multiplies_the_rate_and_keeps_the_motion() -> None:
    doubled = list(damage.repeat(numbered(4), times=2))
    assert levels(doubled) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [t for t, _ in doubled] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35])
    choppy = list(damage.repeat(damage.thin(numbered(6), keep_every=3), times=3))
    assert levels(choppy) == [0, 0, 0, 3, 3, 3]
    assert [t for t, _ in choppy] == pytest.approx([k / 10 for k in range(6)])
    assert len(list(damage.repeat(numbered(1), times=3))) == 1


def test_cut_goes_over_to_the_other_clip_at_its_time() -> None:
    other = [(k / 10, np.full((16, 16, 3), 200 + 10 * k, np.uint8)) for k in range(5)]
    joined = list(damage.cut(numbered(6), other, at_seconds=0.3))
    assert levels(joined) == [0, 1, 2, 20, 21, 22]
    assert [t for t, _ in joined] == pytest.approx([k / 10 for k in range(6)])


def test_damages_leave_their_input_alone() -> None:
    clip = list(render(Scene(size_HW=(64, 96)), fps=8, seconds=0.5, seed=1))
    before = [frame.copy() for _, frame in clip]
    spoilers = (
        damage.noise(clip, sigma=9, rng=rng()),
        damage.flicker(clip, amplitude=0.3, rng=rng()),
        damage.shake(clip, amplitude_px=4, rng=rng()),
        damage.jitter(clip, amplitude_px=8, rng=rng()),
        damage.bars(clip, shares_TBLR=(0.1, 0.1, 0.1, 0.1)),
        damage.blur(clip, sigma_px=2),
    )
    for _ in itertools.chain(*spoilers):
        pass
    assert all(np.array_equal(frame, kept) for (_, frame), kept in zip(clip, before, strict=True))


def test_rendering_speed(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed, and checked against a tenth of what an idle core does, for tests run on busy machines."""
    scene = Scene(size_HW=(480, 832), movement="pan-left", speed=0.1, subjects=(Subject(),))
    frames = render(scene, fps=24, seconds=1, seed=1)
    next(frames)
    start = time.process_time()
    count = sum(1 for _ in frames)
    rate = count / (time.process_time() - start)
    with capsys.disabled():
        print(f"\nrendering: {rate:.0f} frames/s of CPU time at 480x832")
    assert rate > 8
