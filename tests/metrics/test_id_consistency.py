"""ID consistency: the formula with numbers worked by hand, and the measurement over given features."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wanbench.dimension import load_all
from wanbench.metrics import id_consistency
from wanbench.metrics.nets.dino import dino_tokens
from wanbench.types import Reading, Skipped

DIMENSION = load_all()["id_consistency"]
METHOD = DIMENSION.method_for("reference")


class GivenFeatures:
    """Tools whose shared features are given, in place of a network's."""

    method = METHOD

    def __init__(self, features):
        self.features = features

    def network(self, network):
        pytest.fail("a network was asked for")

    def share(self, feature):
        assert feature is dino_tokens
        return self.features


@pytest.fixture
def measure(blank_clip):
    return lambda features, **kw: DIMENSION.measure(
        blank_clip(len(features), **kw), None, GivenFeatures(np.array(features, np.float32))
    )


def test_likenesses_by_hand():
    """f = (1, 0), (0, 2), (-3, 0): lengths do not matter; cosines with the first 0 and -1, with the one before 0 and 0."""
    with_first, with_previous = id_consistency.likenesses(np.array([[1, 0], [0, 2], [-3, 0]]))
    np.testing.assert_allclose(with_first, [0, -1], atol=1e-12)
    np.testing.assert_allclose(with_previous, [0, 0], atol=1e-12)


def test_score_by_hand(measure):
    """f at 0, 60 and 60 degrees: with the first 1/2 and 1/2, with the one before 1/2 and 1: (1/2 + 3/4) / 2 = 0.625."""
    turned = [math.cos(math.pi / 3), math.sin(math.pi / 3)]
    reading = measure([[1, 0], turned, turned])
    assert isinstance(reading, Reading)
    assert reading.score == pytest.approx(0.625, abs=1e-6)
    assert reading.raw["first_frame_cosine"] == pytest.approx(0.5)
    assert reading.raw["neighbour_cosine"] == pytest.approx(0.75)
    assert reading.raw["lowest_cosine"] == pytest.approx(0.5)
    assert reading.raw["frames_count"] == 3


def test_a_score_is_never_negative(measure):
    assert measure([[1, 0], [-1, 0]]).score == 0.0


def test_the_same_subject_scores_one(measure):
    assert measure([[3, 4, 12]] * 5).score == pytest.approx(1.0)
    assert measure([[3, 4, 12]] * 5).score <= 1.0


def test_the_least_alike_frame_is_evidence(measure):
    reading = measure([[1, 0.0], [1, 0.1], [0, 1.0], [1, 0.1]])
    assert reading.raw["evidence"] == {"least_alike_time_seconds": 0.25}


def test_drift_and_jumps_both_cost(measure):
    """A subject that turns slowly into another loses with the first frame; one that flips back and forth with its neighbour."""
    drift = measure([[math.cos(a), math.sin(a)] for a in np.linspace(0, math.pi / 2, 9)])
    flips = measure([[1, 0], [0, 1]] * 4)
    assert drift.raw["neighbour_cosine"] > 0.95 > drift.score
    assert flips.raw["neighbour_cosine"] == pytest.approx(0.0)
    assert flips.score < drift.score < 1


def test_one_frame_is_too_short(measure):
    for frozen in (False, True):
        skipped = measure([[1, 0]], seconds=0.05, frozen=frozen)
        assert isinstance(skipped, Skipped)
        assert skipped.reason.startswith("too short")


def test_a_frozen_clip_scores_one(measure):
    """The known limit, stated in the file: a second of one and the same frame."""
    reading = measure([[1, 0]], seconds=1.0, frozen=True)
    assert reading.score == 1.0


def test_numbers_that_are_none_never_become_a_score(measure):
    with pytest.warns(RuntimeWarning):
        assert math.isnan(measure([[0, 0], [0, 0]]).score)
    assert math.isnan(measure([[1, 0], [math.nan, 0]]).score)


def test_declaration(blank_clip, measure):
    assert set(measure([[1, 0], [0, 1]]).raw) == set(DIMENSION.raw)
    assert METHOD.grid_lines == (480,)
    assert {"grid_per_second", "window_seconds", "dino_lines", "dino_resize", "share_of_first"} <= set(METHOD.settings)
    assert DIMENSION.summary.startswith("ID consistency")
