"""Flow, the round trip and coherent speed: worked by hand on constant, alternating and broken fields."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from wanbench.decoding.prepare import prepare_frames
from wanbench.metrics import _dis, _flow
from wanbench.scenes.render import Scene, render

from .measuring import field_of, flow, tools, uniform

DIAGONAL = 400.0  # of 240x320 pixels: the 3-4-5 triangle


def middle(plane):
    return plane[plane.shape[0] // 2, plane.shape[1] // 2]


# ---- DIS and the round trip ----


@pytest.mark.parametrize(("dx", "dy"), [(3.0, 0.0), (0.0, -2.5), (-12.0, 5.0)])
def test_dis_finds_a_known_shift_both_ways(dx: float, dy: float) -> None:
    scene = Scene(size_HW=(240, 320), picture="mosaic")
    (_, picture), *_ = render(scene, fps=8, seconds=0.125, seed=3)
    matrix = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])
    moved = cv2.warpAffine(picture, matrix, (320, 240), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    there, back = _dis.flow_both_ways(_dis.grey(picture), _dis.grey(moved))
    inside = (slice(30, -30), slice(30, -30))
    assert np.median(there[inside], axis=(0, 1)) == pytest.approx((dx, dy), abs=0.05)
    assert np.median(back[inside], axis=(0, 1)) == pytest.approx((-dx, -dy), abs=0.05)
    assert _dis.round_trip(there, back)[inside].mean() > 0.99


@pytest.mark.parametrize(
    ("lines", "length", "gap", "passes"),
    [
        (240, 0.0, 0.49, True),  # 0.5 px + 0.1 * 0
        (240, 0.0, 0.51, False),
        (240, 10.0, 1.49, True),  # 0.5 px + 0.1 * 10
        (240, 10.0, 1.51, False),
        (480, 10.0, 1.99, True),  # 1.0 px + 0.1 * 10
        (480, 10.0, 2.01, False),
        (120, 0.0, 0.26, False),  # 0.25 px
    ],
)
def test_round_trip_tolerance_grows_with_size_and_length(lines: int, length: float, gap: float, passes: bool) -> None:
    size = (lines, 2 * lines)
    ok = _dis.round_trip(uniform(length, 0, size), uniform(gap - length, 0, size))
    assert middle(ok) == passes


def test_round_trip_fails_where_a_pixel_leaves_the_frame() -> None:
    assert _dis.round_trip(uniform(0, 0), uniform(0, 0)).all(), "nothing leaves where nothing moves"
    ok = _dis.round_trip(uniform(20, 0), uniform(-20, 0))
    assert ok[:, :300].all()
    assert not ok[:, 300:].any()  # 300 + 20 is the first column outside of 320


@pytest.mark.parametrize(("side", "small"), [(1, True), (8, True), (31, True), (32, False), (33, False)])
def test_tiny_frames_are_refused_with_a_reason(side: int, small: bool) -> None:
    clip = prepare_frames((k / 8, np.full((side, side, 3), 40 * k, np.uint8)) for k in range(3))
    reason = _flow.too_small(clip)
    assert (reason == f"too small: {side}x{side} pixels, flow needs 32") if small else reason is None
    if not small:
        assert tools(clip).share(_flow.dis_flow).size_HW == (side, side)


def test_a_long_thin_frame_is_refused_too() -> None:
    clip = prepare_frames((k / 8, np.full((31, 200, 3), 40 * k, np.uint8)) for k in range(3))
    assert _flow.too_small(clip) == "too small: 31x200 pixels, flow needs 32"


# ---- coherent speed ----


def test_coherent_speed_of_a_constant_velocity_is_its_length() -> None:
    assert _flow.coherent_speed([uniform(3, 4)] * 4) == pytest.approx(5.0)
    assert _flow.coherent_speed([uniform(3, 4)]) == pytest.approx(5.0)


def test_coherent_speed_by_hand() -> None:
    # products 6, 2, 2, mean 10/3
    assert middle(_flow.coherent_speed([uniform(x, 0) for x in (3, 2, 1, 2)])) == pytest.approx(math.sqrt(10 / 3))
    # at right angles nothing is coherent; there and back it is negative and counts as nothing
    assert middle(_flow.coherent_speed([uniform(*v) for v in ((5, 0), (0, 5), (5, 0), (0, 5))])) == 0
    assert middle(_flow.coherent_speed([uniform(x, 0) for x in (5, -5, 5, -5)])) == 0
    # one turn in four steps: products 25, -25, 25, mean 25/3
    assert middle(_flow.coherent_speed([uniform(x, 0) for x in (5, 5, -5, -5)])) == pytest.approx(5 / math.sqrt(3))


def test_constant_flow_has_its_speed_in_diagonals_per_second() -> None:
    coherence = _flow.coherence(flow([uniform(3, 4)] * 6))
    assert coherence.frames == [2, 3, 4]
    # 5 px in 1/8 s over a diagonal of 400 px
    assert middle(coherence.checked[0]) == pytest.approx(5 * 8 / DIAGONAL)
    assert middle(coherence.unchecked[0]) == pytest.approx(5 * 8 / DIAGONAL)


def test_actual_distances_count_not_nominal_ones() -> None:
    seconds = [0.1, 0.15, 0.125, 0.1, 0.2]
    coherence = _flow.coherence(flow([uniform(40 * s, 0) for s in seconds], seconds=seconds))
    assert coherence.frames == [2, 3]
    assert [middle(plane) for plane in coherence.checked] == pytest.approx([40 / DIAGONAL] * 2)


def test_alternating_flow_has_speed_but_no_coherence() -> None:
    shaking = flow([uniform(5 * (-1) ** k, 0) for k in range(6)])
    assert all(plane.max() == 0 for plane in _flow.coherence(shaking).unchecked)


def test_a_failed_round_trip_anywhere_on_the_path_counts_as_nothing() -> None:
    fields = [uniform(4, 0) for _ in range(4)]
    back = [uniform(-4, 0) for _ in range(4)]
    back[3][:, 160:] = 20  # the last step of the path is not undone in the right half
    coherence = _flow.coherence(flow(fields, back=back))
    (checked,), (unchecked,) = coherence.checked, coherence.unchecked
    size = checked.shape[1]
    assert checked[:, size // 4] == pytest.approx(4 * 8 / DIAGONAL)
    assert checked[:, 3 * size // 4] == pytest.approx(0)
    assert unchecked == pytest.approx(4 * 8 / DIAGONAL)


def test_pixels_are_followed_along_their_path() -> None:
    """A pixel that moves into another region takes that region's velocity: 4 px a step, from x = 158 on 8 px a step."""
    fields = [uniform(4, 0) for _ in range(4)]
    for field in fields:
        field[:, 158:] = (8, 0)
    (plane,) = _flow.coherence(flow(fields)).unchecked
    # at x = 156: back 4 and 4; forth 4, then at x = 160 8: products 16, 16, 32
    assert plane[40, 156 // _flow.STRIDE] == pytest.approx(math.sqrt(64 / 3) * 8 / DIAGONAL)


def test_nothing_is_followed_across_a_cut() -> None:
    steps = [uniform(4, 0)] * 9
    assert flow(steps).centres() == [2, 3, 4, 5, 6, 7]
    assert flow(steps, cuts=[4]).centres() == [2, 7]
    assert _flow.coherence(flow([uniform(4, 0)] * 4, cuts=[1])).frames == []


def test_short_clips_are_followed_over_the_steps_there_are() -> None:
    one_step = _flow.short_coherence(flow([uniform(3, 4)]))
    assert sorted(one_step) == [0, 1]
    assert [middle(plane) for plane in one_step.values()] == pytest.approx([40 / DIAGONAL] * 2)
    there_and_back = _flow.short_coherence(flow([uniform(3, 4), uniform(-3, -4)]))
    assert middle(there_and_back[1]) == 0
    assert middle(there_and_back[0]) == pytest.approx(40 / DIAGONAL)
    assert sorted(_flow.short_coherence(flow([uniform(1, 0)] * 3, cuts=[0]))) == [1, 2, 3]


def test_zoom_is_fastest_at_the_border() -> None:
    zooming = field_of(lambda x, y: (0.05 * x, 0.05 * y))
    back = field_of(lambda x, y: (-x * 0.05 / 1.05, -y * 0.05 / 1.05))
    (plane,) = _flow.coherence(flow([zooming] * 4, back=[back] * 4)).checked
    # v_n = 0.05 r 1.05^n per step for n = -2..1: mean of the products 1.05^-3, 1.05^-1, 1.05^1
    radius = np.hypot(100 * _flow.STRIDE - 159.5, 60 * _flow.STRIDE - 119.5)
    expected = 0.05 * radius * math.sqrt((1.05**-3 + 1.05**-1 + 1.05) / 3) * 8 / DIAGONAL
    assert plane[60, 100] == pytest.approx(expected, rel=0.01)
