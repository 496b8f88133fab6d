"""Human artifacts: the formula against numbers worked by hand, and the measurement with detectors that say what they are told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from wanbench.dimension import load_all
from wanbench.metrics import _judged, human_artifacts
from wanbench.metrics.nets.person import PERSON_DETECTOR
from wanbench.metrics.nets.yolov3 import ARTIFACT_DETECTOR
from wanbench.types import Reading, Skipped

NOTHING = np.zeros((0, 6), np.float32)
NOBODY = np.zeros((0, 5), np.float32)


def box(x0, y0, x1, y1, probability, kind=0):
    return [x0, y0, x1, y1, probability, kind]


def boxes(*rows):
    return np.array(rows, np.float32)


@pytest.fixture
def clip_of(blank_clip):
    """A clip with frames at the given times; all pixels of grid frame i are i."""

    def make(times):
        frames = np.arange(len(times), dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
        return dataclasses.replace(blank_clip(len(times)), times=np.array(times), views={480: frames})

    return make


class Detector:
    """Answers for frame i (all its pixels are i) what it was told for frame i."""

    classes = ("hand", "face")

    def __init__(self, answers):
        self.answers = answers
        self.seen = []

    def __call__(self, frames):
        numbers = [int(frame[0, 0, 0]) for frame in frames]
        self.seen += numbers
        return [self.answers[number] for number in numbers]


class Tools:
    method = load_all()["human_artifacts"].method_named("yolov3")
    judge = None

    def __init__(self, people, artifacts):
        self.networks = {PERSON_DETECTOR: Detector(people), ARTIFACT_DETECTOR: Detector(artifacts)}

    def network(self, network):
        return self.networks[network]

    def share(self, feature):
        raise AssertionError("nothing is shared here")


SOMEBODY = np.array([[0.1, 0.1, 0.5, 0.9, 0.9]], np.float32)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (NOTHING, 0.0),
        (boxes(box(0, 0, 0.5, 0.5, 0.8)), 0.4),  # 0.8 * sqrt(0.25)
        (boxes(box(0, 0, 0.5, 0.5, 0.8), box(0.5, 0, 1, 0.5, 0.5)), 1 - 0.6 * 0.75),
        (boxes(box(0, 0, 1, 1, 1.0)), 1.0),
        (boxes(box(0, 0, 1, 1, 0.24)), 0.0),  # under the threshold
        (boxes(box(0, 0, 1, 1, 0.25)), 0.25),  # at it
        (boxes(box(0.3, 0.3, 0.3, 0.9, 0.9)), 0.0),  # without extent
    ],
)
def test_severity(found, expected):
    assert human_artifacts.severity(found) == pytest.approx(expected, abs=1e-6)


def test_mean_over_time_is_the_trapezoid_rule():
    """Times 0, 1, 3: the frames stand for 0.5, 1.5 and 1.0 s; (0.5 * 0 + 1.5 * 0.6 + 1 * 0.3) / 3 = 0.4."""
    seconds = human_artifacts.seconds_each(np.array([0.0, 1.0, 3.0]), 3.0)
    np.testing.assert_allclose(seconds, [0.5, 1.5, 1.0])
    assert human_artifacts.mean_over_time(np.array([0.0, 0.6, 0.3]), seconds) == pytest.approx(0.4)
    assert human_artifacts.mean_over_time(np.array([0.7]), np.array([0.0])) == 0.7


def test_a_picture_that_freezes_stands_until_the_end():
    """An artifact in the last distinct frame, at 1 s, which is held until 5 s; and a clip that is nothing but that frame."""
    np.testing.assert_allclose(human_artifacts.seconds_each(np.array([0.0, 1.0]), 5.0), [0.5, 4.5])
    np.testing.assert_allclose(human_artifacts.seconds_each(np.array([0.0]), 4.0), [4.0])
    broken = [boxes().reshape(0, 6), boxes(box(0, 0, 1, 1, 0.9))]
    score, raw = human_artifacts.scored(broken, np.array([0.0, 1.0]), 5.0, ("hand", "face"))
    assert score == pytest.approx(1 - 0.9 * 4.5 / 5)
    assert raw["longest_run_seconds"] == 4.5


def test_longest_run():
    """Frames of 0.25, 0.5, 0.5, 0.5 and 0.25 s: runs of 0.75 s at the start and of 0.25 s at the end."""
    seconds = human_artifacts.seconds_each(np.array([0.0, 0.5, 1.0, 1.5, 2.0]), 2.0)
    assert human_artifacts.longest_run(np.array([True, True, False, False, True]), seconds) == pytest.approx(0.75)
    assert human_artifacts.longest_run(np.ones(5, bool), seconds) == pytest.approx(2.0)
    assert human_artifacts.longest_run(np.zeros(5, bool), seconds) == 0.0
    assert human_artifacts.longest_run(np.array([True]), np.array([0.0])) == 0.0


def test_measurement_worked_by_hand(clip_of):
    """Severities 0, 0.4, 0.8 at 0, 1 and 3 s: mean (1.5 * 0.4 + 1.0 * 0.8) / 3 = 0.46667. The faint box does not count."""
    artifacts = [
        boxes(box(0, 0, 1, 1, 0.2)),
        boxes(box(0, 0, 0.5, 0.5, 0.8), box(0, 0, 1, 1, 0.1)),
        boxes(box(0, 0, 1, 1, 0.8, kind=1)),
    ]
    reading = human_artifacts.measure(clip_of([0.0, 1.0, 3.0]), None, Tools([SOMEBODY] * 3, artifacts))
    assert isinstance(reading, Reading)
    assert reading.score == pytest.approx(1 - 1.4 / 3, abs=1e-6)
    assert reading.raw["mean_severity_0_1"] == pytest.approx(1.4 / 3, abs=1e-6)
    assert reading.raw["worst_severity_0_1"] == pytest.approx(0.8, abs=1e-6)
    assert reading.raw["longest_run_seconds"] == pytest.approx(2.5)
    assert reading.raw["artifact_time_share"] == pytest.approx(2.5 / 3, abs=1e-6)
    assert reading.raw["boxes_per_frame_mean"] == pytest.approx(2 / 3, abs=1e-6)
    assert reading.raw["evidence"] == {
        "worst_time_seconds": 3.0,
        "worst_boxes": [{"x0_y0_x1_y1_shares": [0.0, 0.0, 1.0, 1.0], "probability": 0.8, "class": "face"}],
    }


def test_a_clip_without_artifacts_scores_one_and_a_single_frame_is_enough(clip_of):
    reading = human_artifacts.measure(clip_of([0.0]), None, Tools([SOMEBODY], [NOTHING]))
    assert isinstance(reading, Reading)
    assert reading.score == 1.0
    assert reading.raw["evidence"] == {"worst_time_seconds": 0.0, "worst_boxes": []}


def test_no_person_is_skipped_before_the_artifact_detector_looks(clip_of):
    faint = np.array([[0, 0, 1, 1, 0.49]], np.float32)
    tools = Tools([faint, NOBODY, faint], [NOTHING] * 3)
    skipped = human_artifacts.measure(clip_of([0.0, 1.0, 2.0]), None, tools)
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "no person"
    assert skipped.raw["person_probability_0_1"] == 0.49
    assert tools.networks[ARTIFACT_DETECTOR].seen == []


def test_eight_frames_are_searched_for_a_person_and_all_for_artifacts(clip_of):
    """Of 15 frames every second, first and last among them; one person in one of them is enough."""
    people = [NOBODY] * 15
    people[6] = SOMEBODY
    tools = Tools(people, [NOTHING] * 15)
    assert isinstance(human_artifacts.measure(clip_of([i / 8 for i in range(15)]), None, tools), Reading)
    assert tools.networks[PERSON_DETECTOR].seen == [0, 2, 4, 6, 8, 10, 12, 14]
    assert tools.networks[ARTIFACT_DETECTOR].seen == list(range(15))


def test_every_raw_key_is_declared(clip_of):
    declared = load_all()["human_artifacts"].raw
    reading = human_artifacts.measure(clip_of([0.0, 1.0]), None, Tools([SOMEBODY] * 2, [NOTHING] * 2))
    assert isinstance(reading, Reading)
    of_the_judge = set(_judged.RAW) - {"evidence"}
    assert set(reading.raw) == set(declared) - of_the_judge
