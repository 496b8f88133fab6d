"""Comprehensive image quality: the formula by hand, and which frames it looks at, with networks that say what they are told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from wanbench.dimension import load_all
from wanbench.metrics import comprehensive_image_quality as dimension
from wanbench.metrics._spread import spread
from wanbench.metrics.nets.aesthetic import AESTHETIC
from wanbench.metrics.nets.clip import clip_image_embeddings
from wanbench.metrics.nets.maniqa import MANIQA
from wanbench.metrics.nets.musiq import MUSIQ
from wanbench.types import Reading


@pytest.fixture
def clip_of(blank_clip):
    """A clip of so many frames, eight a second; all pixels of grid frame i are i."""

    def make(count):
        frames = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
        return dataclasses.replace(blank_clip(count), views={480: frames})

    return make


class Tools:
    """Networks that read the frame's number from its pixels, and for the embeddings from their only value."""

    method = None

    def __init__(self, maniqa, laion, musiq):
        at = lambda values: lambda numbers: np.array([values[int(n)] for n in numbers], np.float32)  # noqa: E731
        by_pixel = lambda values: lambda frames: at(values)(frames[:, 0, 0, 0])  # noqa: E731
        by_embedding = lambda embeddings: at(laion)(embeddings[:, 0])  # noqa: E731
        self.networks = {MANIQA: by_pixel(maniqa), MUSIQ: by_pixel(musiq), AESTHETIC: by_embedding}

    def network(self, network):
        return self.networks[network]

    def share(self, feature):
        assert feature is clip_image_embeddings
        return np.arange(255, dtype=np.float32)[:, None]


def test_frame_quality_worked_by_hand():
    """(0.6 + 5/10 + 70/100)/3 = 0.6; parts beyond their scale are cut: (1 + 0 + 1)/3."""
    quality = dimension.frame_quality(np.array([0.6, 1.3]), np.array([5.0, -0.4]), np.array([70.0, 104.0]))
    np.testing.assert_allclose(quality, [0.6, 2 / 3])


def test_spread():
    assert spread(5, 3).tolist() == [0, 2, 4]
    assert spread(3, 16).tolist() == [0, 1, 2]
    assert spread(1, 16).tolist() == [0]
    forty = spread(40, 16)
    assert len(forty) == 16
    assert (forty[0], forty[-1]) == (0, 39)
    assert set(np.diff(forty).tolist()) == {2, 3}


def test_measurement_worked_by_hand(clip_of):
    """Two frames of quality 0.6 and (0.3 + 0.4 + 0.2)/3 = 0.3, at 0 and 0.125 s."""
    reading = dimension.measure(clip_of(2), None, Tools([0.6, 0.3], [5.0, 4.0], [70.0, 20.0]))
    assert isinstance(reading, Reading)
    assert reading.score == pytest.approx(0.45)
    assert reading.raw["maniqa_mean_0_1"] == pytest.approx(0.45)
    assert reading.raw["laion_mean_1_10"] == pytest.approx(4.5)
    assert reading.raw["musiq_mean_0_100"] == pytest.approx(45.0)
    assert reading.raw["worst_frame_0_1"] == pytest.approx(0.3)
    assert reading.raw["evidence"] == {"best_time_seconds": 0.0, "worst_time_seconds": 0.125}


def test_the_three_networks_judge_the_same_sixteen_frames(clip_of):
    """Frame i has all three parts at i/100, so that any misaligned pick would move the mean off that of the chosen."""
    ramp = np.arange(40) / 100
    reading = dimension.measure(clip_of(40), None, Tools(ramp, ramp * 10, ramp * 100))
    assert isinstance(reading, Reading)
    assert reading.raw["frames_count"] == 16
    assert reading.score == pytest.approx(spread(40, 16).mean() / 100, abs=1e-6)
    assert reading.raw["evidence"] == {"best_time_seconds": 4.875, "worst_time_seconds": 0.0}


def test_one_frame_is_enough(clip_of):
    reading = dimension.measure(clip_of(1), None, Tools([0.5], [5.0], [50.0]))
    assert isinstance(reading, Reading)
    assert reading.score == pytest.approx(0.5)


def test_every_raw_key_is_declared(clip_of):
    reading = dimension.measure(clip_of(1), None, Tools([0.5], [5.0], [50.0]))
    assert isinstance(reading, Reading)
    assert set(reading.raw) == set(load_all()["comprehensive_image_quality"].raw)
