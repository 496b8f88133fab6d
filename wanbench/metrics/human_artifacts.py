"""Human artifacts: how much of the picture, for how long, a YOLOv3 trained on artifact boxes takes for broken people.

The Wan report (arXiv 2503.20314, section 4.6) names likelihood, boxes and duration; the formula is ours. A frame's severity is
1 - prod(1 - p * sqrt(a)) over its boxes of probability p >= 0.25, a being the box's share of the frame: the chance that some
box is right, each weighed by its extent. The score is 1 minus the mean severity over time. Not applicable without a person.

The report's detector is not public. Where no detector file is at hand, method `judge`: 8 frames, questions on hands, faces, limbs
and bodies, score = mean probability of intact; whether there is a person is asked too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wanbench.clip import Clip, Floats
from wanbench.decoding import prepare
from wanbench.dimension import Method, Tools, dimension
from wanbench.expectations import Keeps, Lowers, NotAbove, unmoved_by_encoding, unmoved_by_prompts, unmoved_by_timing
from wanbench.judge.asking import Judge, trusted
from wanbench.judge.frames import FRAMES, spread_over
from wanbench.judge.protocol import Question
from wanbench.metrics import _judged
from wanbench.metrics._spread import spread
from wanbench.metrics.nets.person import PERSON_DETECTOR
from wanbench.metrics.nets.yolov3 import ARTIFACT_DETECTOR, LEAST_PROBABILITY, SAME_BOX_IOU
from wanbench.types import Prompt, Reading, Skipped

Boxes = npt.NDArray[np.float32]
"""(N, 6): x0, y0, x1, y1 as shares of width and height, probability, class."""

BOX_PROBABILITY = 0.25
"""A box counts from here on; the definition's, and the usual threshold of YOLO detectors."""
PERSON_FRAMES = 8
"""[ours] Frames searched for a person: one in 0.7 s of the five measured, less than a person usually stays."""
PERSON_PROBABILITY = 0.5
"""[ours] A person is there if the detector thinks it likelier than not."""
LINES = 480
"""[ours] The detectors see the grid frames at this short side, the size most candidates are generated at."""

SETTINGS: dict[str, str | int | float] = {
    **prepare.SETTINGS,
    "box_probability": BOX_PROBABILITY,
    "least_probability": LEAST_PROBABILITY,
    "lines": LINES,
    "person_frames": PERSON_FRAMES,
    "person_probability": PERSON_PROBABILITY,
    "time": "trapezoid, the last frame until the end",
    "same_box_iou": SAME_BOX_IOU,
}


def counted(boxes: Boxes) -> Boxes:
    """The boxes that are probable enough to count."""
    return boxes[boxes[:, 4] >= BOX_PROBABILITY]


def severity(boxes: Boxes) -> float:
    """1 - prod(1 - p * sqrt(area share)) over the counted boxes; in [0, 1], 0 without any."""
    corners = counted(boxes).astype(np.float64)
    areas = (corners[:, 2] - corners[:, 0]).clip(0, 1) * (corners[:, 3] - corners[:, 1]).clip(0, 1)
    return float(1.0 - np.prod(1.0 - corners[:, 4] * np.sqrt(areas)))


def seconds_each(times: Floats, end_seconds: float) -> Floats:
    """(G,) seconds that each frame stands for by the trapezoid rule: half the way to its neighbours, the last one until the end.

    A picture that freezes is a single frame for all that time. Sums to the duration.
    """
    gaps = np.diff(times)
    halves: Floats = np.concatenate([[0.0], gaps, [2 * max(0.0, end_seconds - float(times[-1]))]]) / 2
    return halves[:-1] + halves[1:]


def mean_over_time(values: Floats, seconds: Floats) -> float:
    """Mean of `values` that stand for `seconds` each; of a single frame without duration, its value."""
    return float(np.average(values, weights=seconds if seconds.sum() > 0 else None))


def longest_run(present: npt.NDArray[np.bool_], seconds_G: Floats) -> float:
    """Seconds that the longest unbroken series of frames with `present` stands for."""
    longest = run = 0.0
    for here, seconds in zip(present, seconds_G, strict=True):
        run = run + float(seconds) if here else 0.0
        longest = max(longest, run)
    return longest


CONTROLS = (
    *unmoved_by_encoding(again=1e-5, crf18=0.02, crf28=0.05),
    *unmoved_by_prompts(),
    *unmoved_by_timing(repeats=0.01, fewer=0.05),
    Lowers("jitter", "torn faces and limbs are broken people", by=0.02, where_at_least=0.5),
    NotAbove("noise", "noise must not hide broken people", within=0.05),
    NotAbove("blur", "blur must not hide broken people", within=0.05),
    Keeps("reversed", "frames are looked at one by one", within=0.02),
    Keeps("shuffled", "frames are looked at one by one", within=0.05),
    Keeps("flicker", "people are as intact as before", within=0.05),
    Keeps("pillars", "bars are cropped", within=0.05),
)
"""Written before any result was seen. Jitter lowers, and does not only not raise: a detector that never finds a box passes all
the others."""


def _question(text: str, contrary: str) -> Question:
    return Question(text=text, contrary=contrary, expect="yes", about="intact")


PERSON = Question(
    text="Is a person, or a part of a person, to be seen in at least one of the frames?",
    contrary="Are all of the frames free of people and of parts of people?",
    expect="yes",
    about="person",
)
INTACT = (
    _question(
        "Is every hand that is to be seen well formed, with five fingers of a natural shape?",
        "Does some hand have missing, extra, fused or misshapen fingers?",
    ),
    _question(
        "Is every face that is to be seen well formed, with its features in their natural places?",
        "Is some face distorted, melted or lacking a feature?",
    ),
    _question(
        "Does everybody have the natural number of arms and legs, each joined and bent as a body allows?",
        "Does somebody have a missing, extra, detached or impossibly bent arm or leg?",
    ),
    _question(
        "Does every body keep one natural shape and proportion from frame to frame?",
        "Does some body change its shape, merge with something or come apart?",
    ),
)
"""[ours] For a judge, where no detector file is at hand: hands, faces, limbs, bodies."""


@dimension(
    id="human_artifacts",
    pillar="dynamic",
    version=1,
    methods=(
        Method(
            name="yolov3",
            profile="reference",
            networks=(PERSON_DETECTOR, ARTIFACT_DETECTOR),
            grid_lines=(LINES,),
            settings=SETTINGS,
            extra="artifacts",
        ),
        _judged.method(
            {"frames": FRAMES, "questions": _judged.words([PERSON, *INTACT]), "person_probability": PERSON_PROBABILITY}
        ),
    ),
    raw={
        "mean_severity_0_1": "severity averaged over time; the score is 1 minus it",
        "worst_severity_0_1": "the highest severity of a frame",
        "longest_run_seconds": "longest unbroken stretch with at least one artifact box",
        "artifact_time_share": "share of the time with at least one artifact box (of the frames, for a single one)",
        "boxes_per_frame_mean": "artifact boxes per grid frame",
        "frames_count": "grid frames looked at",
        "person_probability_0_1": "highest probability of a person in the frames searched for one",
        **{key: text for key, text in _judged.RAW.items() if key != "evidence"},
        "evidence": "yolov3: time of the worst frame, and its boxes: corners as shares of the frame, probability, class; "
        "judge: transcript",
    },
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    """Score in [0, 1]; skipped where none of eight frames shows a person."""
    if tools.method.judge == "needed":
        return judged(clip, _judged.judge_of(tools))
    frames = clip.grid_frames(LINES)
    people = tools.network(PERSON_DETECTOR)(frames[spread(len(frames), PERSON_FRAMES)])
    person = max((float(p[:, 4].max()) for p in people if len(p)), default=0.0)
    if person < PERSON_PROBABILITY:
        return Skipped(reason="no person", raw={"person_probability_0_1": round(person, 6)})
    detector = tools.network(ARTIFACT_DETECTOR)
    end, boxes = clip.facts.measured_seconds, [counted(found) for found in detector(frames)]
    score, raw = scored(boxes, clip.grid_times, end, detector.classes)
    return Reading(score=score, raw={**raw, "person_probability_0_1": round(person, 6)})


def judged(clip: Clip, judge: Judge) -> Reading | Skipped:
    """Mean probability that hands, faces, limbs and bodies are intact, of 8 frames; skipped where the judge sees nobody."""
    seen = spread_over(clip, FRAMES)
    person, *answers = judge.consider(seen, [PERSON, *INTACT])
    raw = {"person_probability_0_1": round(trusted(person).expected, 6)}
    if person.expected < PERSON_PROBABILITY:
        return Skipped(reason="no person", raw=raw)
    # Whether hands are well formed where there are none is no yes-or-no question: only now must the others be answered.
    return Reading(score=_judged.score([trusted(a) for a in answers]), raw={**raw, **_judged.raw(answers)})


def scored(
    boxes: list[Boxes], times: Floats, end_seconds: float, classes: tuple[str, ...]
) -> tuple[float, dict[str, Any]]:  # fmt: skip
    """Score and raw values from each grid frame's counted boxes; the last frame stands until `end_seconds`."""
    seconds = seconds_each(times, end_seconds)
    severities = np.array([severity(b) for b in boxes])
    present = np.array([len(b) > 0 for b in boxes])
    mean, worst = mean_over_time(severities, seconds), int(severities.argmax())
    return float(np.clip(1.0 - mean, 0.0, 1.0)), {
        "mean_severity_0_1": round(mean, 6),
        "worst_severity_0_1": round(float(severities[worst]), 6),
        "longest_run_seconds": round(longest_run(present, seconds), 6),
        "artifact_time_share": round(mean_over_time(present.astype(np.float64), seconds), 6),
        "boxes_per_frame_mean": round(sum(len(b) for b in boxes) / len(boxes), 6),
        "frames_count": len(boxes),
        "evidence": {
            "worst_time_seconds": round(float(times[worst]), 3),
            "worst_boxes": [evidence(box, classes) for box in boxes[worst]],
        },
    }


def evidence(box: npt.NDArray[np.float32], classes: tuple[str, ...]) -> dict[str, Any]:
    """One box as the record holds it: corners as shares of the frame, probability, class name."""
    return {
        "x0_y0_x1_y1_shares": [round(float(corner), 4) for corner in box[:4]],
        "probability": round(float(box[4]), 4),
        "class": classes[int(box[5])],
    }
