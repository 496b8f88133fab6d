"""From frames to a clip: repeats, the grid, views, bars and resizing, against answers worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from wanbench.decoding.prepare import prepare, prepare_frames, shrink
from wanbench.decoding.video import Video
from wanbench.scenes import damage
from wanbench.scenes.encode import Frame

from ..footage import file, moving, mux, picture

SMALL = (36, 64)


def plain(level: int, size_HW: tuple[int, int] = SMALL) -> Frame:
    return np.full((*size_HW, 3), level, np.uint8)


def numbered(count: int, size_HW: tuple[int, int] = SMALL) -> list[Frame]:
    """Frames that tell their number: number k has the grey level 30 + k."""
    return [plain(30 + k, size_HW) for k in range(count)]


@pytest.mark.parametrize(
    ("times", "grid"),
    [
        ([k / 8 for k in range(9)], list(range(9))),
        ([k / 24 for k in range(24)], [0, 3, 6, 9, 12, 15, 18, 21, 23]),  # 1.0 s is still nearer than half a step: frame 23
        ([k / 12 for k in range(13)], [0, 1, 3, 4, 6, 7, 9, 10, 12]),  # 1.5, 4.5, ... lie between two: the earlier
        ([k / 30 for k in range(16)], [0, 4, 7, 11, 15]),  # 3.75, 7.5, 11.25
        ([k / 6 for k in range(7)], [0, 1, 2, 3, 4, 5, 6]),  # slower than the grid: every frame, once
        ([0.0, 0.05, 0.1, 0.4, 0.9], [0, 2, 3, 4]),
        ([0.0, 2.0], [0, 1]),
        ([0.0], [0]),
        ([0.0, 0.01, 0.02], [0]),
        ([0.0, 0.01, 0.07], [0, 2]),  # 0.125 is within half a step after the last frame
    ],
)
@pytest.mark.parametrize("start", [0.0, 17.25])
def test_grid_takes_the_nearest_frame(times: list[float], grid: list[int], start: float) -> None:
    clip = prepare_frames(zip([start + t for t in times], numbered(len(times)), strict=True), lines=[480])
    assert clip.grid.tolist() == grid
    assert clip.times == pytest.approx(times)
    assert [int(v.mean()) - 30 for v in clip.grid_frames(480)] == grid
    assert clip.grid_times == pytest.approx([times[i] for i in grid])


@pytest.mark.parametrize("fps", [5, 8, 12.5, 15, 16, 23.976, 24, 25, 29.97, 30, 50, 60, 90, 120])
def test_grid_at_every_rate(fps: float) -> None:
    """At most half a frame from the due time, strictly increasing, five seconds and no more, whatever the rate."""
    clip = prepare_frames((k / fps, plain(30 + k % 200)) for k in range(int(7 * fps)))
    assert clip.times[-1] <= 5.0 + 1e-6
    assert np.all(np.diff(clip.grid) > 0)
    due = np.arange(0, 5.0001, 1 / 8)
    distance = np.abs(clip.times[clip.grid][None, :] - due[due <= clip.times[-1]][:, None]).min(axis=1)
    assert distance.max() <= 0.5 / fps + 1e-9
    assert len(clip.grid) == (41 if fps >= 8 else 26)


def test_the_same_frames_from_a_file(tmp_path: Path) -> None:
    """Through a real file: 7 s at 24 fps, of which 5 s count; the views hold the grid's frames."""
    frames = [np.roll(picture((96, 160)), -2 * k, axis=1) for k in range(168)]
    clip = prepare(file(tmp_path / "a.mp4", frames, fps=24, crf=10), lines=[48, 96, 480])
    assert clip.facts.frames_decoded == len(clip.times) == 121
    assert clip.facts.frames_promised == 168
    assert clip.grid.tolist() == list(range(0, 121, 3))
    assert {n: v.shape for n, v in clip.views.items()} == {48: (41, 48, 80, 3), 96: (41, 96, 160, 3), 480: (41, 96, 160, 3)}
    assert np.array_equal(clip.views[96], clip.frames[clip.grid])
    halves = [cv2.resize(f, (80, 48), interpolation=cv2.INTER_AREA) for f in clip.frames[clip.grid]]
    assert np.abs(clip.views[48].astype(int) - halves).max() <= 1


def test_a_start_time_is_taken_away(tmp_path: Path) -> None:
    path = mux(tmp_path / "a.mkv", [moving(6)], places=[50, 51, 52, 55, 56, 58])
    assert prepare(path).times == pytest.approx([0.0, 0.1, 0.2, 0.5, 0.6, 0.8], abs=2e-3)


def test_repeats_leave_the_clip() -> None:
    """8 pictures a second, each shown three times: two thirds repeat, and 7 changes come in 23/24 s."""
    clip = prepare_frames((k / 24, plain(30 + 5 * (k // 3))) for k in range(24))
    assert clip.times == pytest.approx([k / 8 for k in range(8)])
    assert clip.repeated_share == pytest.approx(16 / 24)
    assert clip.effective_fps == pytest.approx(7 / (23 / 24))
    assert not clip.frozen
    assert clip.grid.tolist() == list(range(8))


def test_small_changes_add_up() -> None:
    """Every frame one pixel in sixteen is a level brighter: 0.0625 of 255; against the last kept one the third reaches 0.15."""
    base, step = plain(100), np.zeros((*SMALL, 3), np.uint8)
    step[::4, ::4] = 1
    clip = prepare_frames((k / 24, base + np.uint8(k) * step) for k in range(10))
    assert clip.times == pytest.approx([0, 3 / 24, 6 / 24, 9 / 24])
    assert clip.repeated_share == pytest.approx(6 / 10)


def test_frozen_and_single() -> None:
    frozen = prepare_frames((k / 10, plain(90)) for k in range(30))
    assert (frozen.frozen, frozen.effective_fps, len(frozen.times)) == (True, 0.0, 1)
    assert frozen.repeated_share == pytest.approx(29 / 30)
    assert frozen.grid.tolist() == [0]
    single = prepare_frames([(0.0, plain(90))])
    assert (single.frozen, single.effective_fps, single.repeated_share, len(single.times)) == (False, 0.0, 0.0, 1)


def test_frozen_in_a_file(tmp_path: Path) -> None:
    """Compression moves a still picture a little; with one key frame, by less than what counts."""
    for extension, codec in (("mp4", "libx264"), ("webm", "libvpx-vp9"), ("gif", "gif")):
        quality = {} if codec == "gif" else {"crf": 12, "codec_options": {"g": "250"}}
        clip = prepare(file(tmp_path / f"a.{extension}", moving(1, (360, 640)) * 20, codec, **quality))
        assert clip.frozen, codec
        assert clip.facts.frames_decoded == 20


def test_thinning_over_120_fps(tmp_path: Path) -> None:
    frames = moving(48, (36, 64))
    rendered = prepare_frames((k / 240, f) for k, f in enumerate(frames))
    filed = prepare(file(tmp_path / "a.mp4", frames, fps=240))
    for clip in (rendered, filed):
        assert clip.times == pytest.approx([k / 120 for k in range(24)])
        assert clip.facts.frames_decoded == 48


@pytest.mark.parametrize(
    ("size_HW", "lines", "expected"),
    [
        ((720, 1280), 240, (240, 427)),
        ((1280, 720), 480, (853, 480)),
        ((360, 640), 480, (360, 640)),  # never enlarged
        ((200, 4000), 240, (51, 1024)),  # the long side is bounded
        ((200, 4000), 480, (102, 2048)),
        ((1, 1), 240, (1, 1)),
        ((2, 3), 240, (2, 3)),
    ],
)
def test_sizes(size_HW: tuple[int, int], lines: int, expected: tuple[int, int]) -> None:
    clip = prepare_frames([(0.0, plain(90, size_HW))], lines=[lines])
    assert clip.views[lines].shape == (1, *expected, 3)
    assert clip.thumbnails.shape == (1, 36, 64, 3)


BARS = [
    (0.125, 0.125, 0.0, 0.0),
    (0.0, 0.0, 0.2, 0.2),
    (0.02, 0.02, 0.0, 0.0),
    (0.3, 0.0, 0.0, 0.0),
    (0.0, 0.0, 0.25, 0.0),
    (0.1, 0.1, 0.1, 0.1),
    (0.12, 0.2, 0.05, 0.0),
    (0.0, 0.0, 0.34, 0.34),
]


def barred(frames: Sequence[Frame], shares_TBLR: tuple[float, float, float, float]) -> list[Frame]:
    return [f for _, f in damage.bars(((0.0, f) for f in frames), shares_TBLR=shares_TBLR)]


@pytest.mark.parametrize("shares", BARS)
@pytest.mark.parametrize("size_HW", [(720, 1280), (640, 360)])
def test_bars_are_found(tmp_path: Path, shares: tuple[float, float, float, float], size_HW: tuple[int, int]) -> None:
    """Within two working pixels of where they are, and never short of it; the content gets the lines, if it has them."""
    path = file(tmp_path / "a.mp4", barred(moving(3, size_HW), shares), crf=30)
    clip = prepare(path, lines=[300])
    height, width = clip.frames.shape[1:3]
    kept_H, kept_W = 1 - sum(clip.bars_TBLR[:2]), 1 - sum(clip.bars_TBLR[2:])
    for found, true, whole in zip(clip.bars_TBLR, shares, (height / kept_H,) * 2 + (width / kept_W,) * 2, strict=True):
        assert (found == 0) if true == 0 else (-0.5 <= (found - true) * whole <= 2), (clip.bars_TBLR, shares)
    content = min(size_HW[0] * (1 - sum(shares[:2])), size_HW[1] * (1 - sum(shares[2:])))
    for frames, lines in ((clip.frames, 240), (clip.views[300], 300)):
        assert min(content, lines) - 4 <= min(frames.shape[1:3]) <= min(content, lines) + 1
        assert frames[:, [0, -1]].max(axis=(2, 3)).min() > 40  # no black line is left
        assert frames[:, :, [0, -1]].max(axis=(1, 3)).min() > 40


def test_without_bars_nothing_is_cut() -> None:
    assert prepare_frames((k / 10, f) for k, f in enumerate(moving(3, (240, 320)))).bars_TBLR == (0, 0, 0, 0)


@pytest.mark.parametrize(("with_bars", "without"), [(slice(0, 5), slice(5, 10)), (slice(5, 10), slice(0, 5))])
def test_bars_that_come_or_go_are_picture(with_bars: slice, without: slice) -> None:
    frames = moving(10, (480, 640))
    frames[with_bars] = barred(frames[with_bars], (0.1, 0.1, 0.1, 0.1))
    clip = prepare_frames((k / 10, f) for k, f in enumerate(frames))
    assert clip.bars_TBLR == (0, 0, 0, 0)
    assert clip.frames.shape[:2] == (10, 240)
    assert abs(clip.frames.shape[2] - 320) <= 1
    assert clip.frames[without].min() > 40


def test_bars_of_a_clip_that_fades_in_from_black() -> None:
    """The first frame shows nothing, so nothing can be told from it."""
    frames = barred(moving(10, (480, 640)), (0.125, 0.125, 0.0, 0.0))
    faded = [(f * min(1.0, k / 5)).astype(np.uint8) for k, f in enumerate(frames)]
    clip = prepare_frames((k / 10, f) for k, f in enumerate(faded))
    assert clip.bars_TBLR == pytest.approx((0.125, 0.125, 0, 0), abs=2 / 240)


def dark_scenes() -> dict[str, list[Frame]]:
    night = [(f * 0.1).astype(np.uint8) for f in moving(8, (240, 320))]
    lamp = [f.copy() for f in night]
    stage = [plain(4, (240, 320)) for _ in range(8)]
    vignette = moving(8, (240, 320))
    distance = np.hypot(*(np.indices((240, 320)) - np.array([120, 160])[:, None, None])) / 130
    for k in range(8):
        cv2.circle(lamp[k], (100 + 5 * k, 120), 30, (250, 240, 200), -1)
        cv2.ellipse(stage[k], (110 + 12 * k, 150), (25, 80), 0, 0, 360, (220, 180, 160), -1)
        vignette[k] = (vignette[k] * np.clip(1.2 - distance**2, 0, 1)[..., None]).astype(np.uint8)
    return {
        "night": night,
        "lamp in the night": lamp,
        "dancer on a black stage": stage,
        "vignette": vignette,
        "black": [plain(0)] * 8,
    }


@pytest.mark.parametrize("name", ["night", "lamp in the night", "dancer on a black stage", "vignette", "black"])
def test_darkness_is_no_bar(name: str) -> None:
    clip = prepare_frames((k / 10, f) for k, f in enumerate(dark_scenes()[name]))
    assert clip.bars_TBLR == (0, 0, 0, 0)


def test_no_bars_are_seen_in_the_real_clips(clips: Path) -> None:
    """None of them has any (looked at by eye); two are dark."""
    for name in ("real/nasa_dark_lift.mp4", "real/moonwalk_stage.mp4", "generated/opensora10_city_night.gif"):
        assert prepare(clips / name).bars_TBLR == (0, 0, 0, 0), name


def test_barred_and_bare_are_the_same_clip(tmp_path: Path) -> None:
    """A film and the same film in a letterbox show the same working frames, but for the lines given up with the bars."""
    bare = moving(4, (480, 640))
    boxed = [cv2.copyMakeBorder(f, 60, 60, 0, 0, cv2.BORDER_CONSTANT) for f in bare]
    a = prepare(file(tmp_path / "bare.mp4", bare, crf=12)).frames
    b = prepare(file(tmp_path / "boxed.mp4", boxed, crf=12)).frames
    assert a.shape[1:3] == (240, 320)
    assert np.abs(np.array(a.shape) - b.shape).max() <= 2
    assert np.abs(np.stack([cv2.resize(f, (320, 240)) for f in b]).astype(int) - a).mean() < 1.5


def photograph(size_HW: tuple[int, int], seed: int) -> Frame:
    """Amplitudes fall with frequency as in pictures of the world, and a lens has softened the finest."""
    rng, (height, width) = np.random.default_rng(seed), size_HW
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    amplitude = 1 / np.maximum(frequency, 1 / max(size_HW))
    channels = []
    for _ in range(3):
        phase = rng.standard_normal(frequency.shape) + 1j * rng.standard_normal(frequency.shape)
        channels.append(np.fft.irfft2(amplitude * phase, s=size_HW))
    values: npt.NDArray[np.float64] = cv2.GaussianBlur(np.stack(channels, axis=2), (0, 0), 1.0)
    return np.clip(values / values.std() * 45 + 128, 0, 255).astype(np.uint8)


SHRINKINGS = [
    ((1080, 1920), (240, 427)),
    ((1080, 1920), (480, 853)),
    ((720, 1280), (240, 427)),
    ((480, 854), (240, 427)),
    ((512, 512), (240, 240)),
    ((480, 832), (240, 416)),
    ((430, 766), (240, 427)),
    ((360, 640), (240, 427)),
    ((256, 448), (240, 420)),
    ((361, 641), (240, 426)),
]


@pytest.mark.parametrize(("source_HW", "target_HW"), SHRINKINGS)
def test_shrinking_is_area_averaging(source_HW: tuple[int, int], target_HW: tuple[int, int]) -> None:
    """Against OpenCV's exact averages: alike, no brighter or darker, no contrast gained or lost, and not a tenth pixel aside."""
    source = photograph(source_HW, seed=1)
    ours, exact = (
        f.astype(np.float64)
        for f in (shrink(source, target_HW), cv2.resize(source, target_HW[::-1], interpolation=cv2.INTER_AREA))
    )
    assert np.abs(ours - exact).mean() < 4  # every frequency is there up to the last; real frames below
    assert abs((ours - exact).mean()) < 0.3
    assert ours.std() / exact.std() == pytest.approx(1, abs=0.03)
    window = cv2.createHanningWindow(target_HW[::-1], cv2.CV_64F)
    shift, _ = cv2.phaseCorrelate(ours.mean(axis=2) - ours.mean(), exact.mean(axis=2) - exact.mean(), window)
    assert np.hypot(*shift) < 0.05


@pytest.mark.parametrize(("source_HW", "target_HW"), SHRINKINGS)
@pytest.mark.parametrize("level", [0, 1, 77, 128, 254, 255])
def test_shrinking_keeps_a_plain_grey(source_HW: tuple[int, int], target_HW: tuple[int, int], level: int) -> None:
    assert np.all(shrink(plain(level, source_HW), target_HW) == level)


def test_shrinking_real_frames(clips: Path) -> None:
    """First frames of the real and the generated clips: half a grey level from exact averages, three at the worst."""
    differences = []
    for path in sorted([*(clips / "real").iterdir(), *(clips / "generated").iterdir()]):
        with Video(path) as video:
            frame = next(iter(video.frames(window_seconds=0)))[1]
        scale = 240 / min(frame.shape[:2])
        if scale >= 1:
            continue
        size = (round(frame.shape[0] * scale), round(frame.shape[1] * scale))
        exact = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)
        differences.append(np.abs(shrink(frame, size).astype(int) - exact).mean())
    assert np.median(differences) < 0.75
    assert max(differences) < 3
