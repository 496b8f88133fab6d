"""Scene generation quality: the formula with numbers worked by hand, and the measurement over given embeddings."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wanbench.dimension import load_all
from wanbench.metrics import scene_generation_quality as scene
from wanbench.metrics.nets.clip import CLIP, clip_image_embeddings
from wanbench.types import Prompt, Reading, Skipped

DIMENSION = load_all()["scene_generation_quality"]
METHOD = DIMENSION.method_for("reference")
PROMPT = Prompt(id="scene_generation_quality-001", text="a quiet bay")


class GivenEmbeddings:
    """Tools whose image embeddings and text embedding are given, in place of a network's."""

    method = METHOD

    def __init__(self, images, text):
        self.images, self.given = np.array(images, np.float32), np.array(text, np.float32)

    def network(self, network):
        assert network is CLIP
        return self

    def text(self, text):
        assert text == PROMPT.text
        return self.given

    def share(self, feature):
        assert feature is clip_image_embeddings
        return self.images


@pytest.fixture
def measure(blank_clip):
    return lambda images, text, prompt=PROMPT, **kw: DIMENSION.measure(
        blank_clip(len(images), **kw), prompt, GivenEmbeddings(images, text)
    )


def test_combined_by_hand():
    """0.16 * 0.98 + 0.84 * 0.27 = 0.1568 + 0.2268 = 0.3836, in the middle of the report's 0.37-0.39."""
    assert scene.combined(0.98, 0.27) == pytest.approx(0.3836)
    assert scene.combined(1.0, 1.0) == pytest.approx(1.0)
    assert scene.combined(-1.0, -0.2) == 0.0
    assert math.isnan(scene.combined(math.nan, 0.3))


def test_cosines_by_hand():
    """Images at 0, 90 and 90 degrees, text at 0: neighbours 0 and 1, alignment 1, 0 and 0."""
    consistency, alignment = scene.cosines(np.array([[1, 0], [0, 1], [0, 1]]), np.array([1, 0]))
    np.testing.assert_allclose(consistency, [0, 1])
    np.testing.assert_allclose(alignment, [1, 0, 0])


def test_score_by_hand(measure):
    """The same: consistency 1/2, alignment 1/3: 0.16 / 2 + 0.84 / 3 = 0.36."""
    reading = measure([[1, 0], [0, 1], [0, 1]], [1, 0])
    assert isinstance(reading, Reading)
    assert reading.score == pytest.approx(0.36)
    assert reading.raw["consistency_cosine"] == pytest.approx(0.5)
    assert reading.raw["alignment_cosine"] == pytest.approx(0.333333)
    assert reading.raw["frames_count"] == 3
    assert reading.raw["evidence"] == {"least_aligned_time_seconds": 0.125, "least_alike_time_seconds": 0.125}


def test_a_score_is_never_negative(measure):
    assert measure([[1, 0], [-1, 0]], [-1, 0]).score == 0.0


def test_more_of_the_asked_scene_is_better(measure):
    scores = [measure([[math.cos(a), math.sin(a)]] * 3, [1, 0]).score for a in (1.2, 0.8, 0.4, 0.0)]
    assert scores == sorted(scores)
    assert scores[0] < scores[-1]


@pytest.mark.parametrize("prompt", [None, Prompt(id=None, text="  "), Prompt(id="x-001", text=None)])
def test_without_a_prompt_it_is_skipped(prompt, measure):
    assert measure([[1, 0], [0, 1]], [1, 0], prompt=prompt) == Skipped(reason="no prompt")


def test_one_frame_is_too_short(measure):
    for frozen in (False, True):
        skipped = measure([[1, 0]], [1, 0], seconds=0.05, frozen=frozen)
        assert isinstance(skipped, Skipped)
        assert skipped.reason.startswith("too short")


def test_a_frozen_clip_is_wholly_consistent(measure):
    """0.16 * 1 + 0.84 * 0.6 = 0.664."""
    reading = measure([[0.6, 0.8]], [1, 0], seconds=1.0, frozen=True)
    assert reading.score == pytest.approx(0.664)
    assert reading.raw["evidence"] == {"least_aligned_time_seconds": 0.0}


def test_declaration(blank_clip, measure):
    assert set(measure([[1, 0], [0, 1]], [1, 0]).raw) == set(DIMENSION.raw)
    assert METHOD.grid_lines == (480,)
    assert {"grid_per_second", "window_seconds", "clip_lines", "clip_resize", "consistency_share"} <= set(METHOD.settings)
    assert DIMENSION.summary.startswith("Scene generation quality")
