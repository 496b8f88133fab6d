"""Scores worked by hand: what each judged dimension makes of answers that are known beforehand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest

from wanbench.clip import Clip
from wanbench.decoding.prepare import prepare_frames
from wanbench.dimension import Tools, load_all
from wanbench.evaluation.worker import ClipTools
from wanbench.judge.asking import Judge
from wanbench.judge.frames import LINES
from wanbench.judge.protocol import Frame, JudgeFailed
from wanbench.metrics import human_artifacts, smoothness, spatial_position_accuracy
from wanbench.metrics._counting import MOST, TEMPLATES, count
from wanbench.networks import NetworkPool, Placement
from wanbench.types import Prompt, Reading, Skipped

from .lines import JUDGED, ONE, TWO
from .scripted import Opinion, Scripted, Writing, between_marks, json_of, least, logit

ALL = load_all()
POOL = NetworkPool({}, Placement(device="cpu", dtype="float32", batch_size=1))


def filmed(*greys: int, hold: int = 1) -> Clip:
    """Pictures of one grey each, `hold` eighths of a second long."""
    frames = [(k / 8, np.full((48, 64, 3), greys[k // hold], np.uint8)) for k in range(len(greys) * hold)]
    return prepare_frames(frames, [LINES])


HALVES = filmed(40, 200, hold=8)
"""One second dark, one bright: 1.875 s; of 8 frames 4 are dark, of 16 frames 8."""


def measured(name: str, clip: Clip, fields: Mapping[str, Any] | None, backend: Scripted | None) -> Reading | Skipped:
    dimension = ALL[name]
    method = next(m for m in dimension.methods if m.judge != "none" and m.profile in (None, "lite"))
    prompt = Prompt(id=None, text="x", fields=fields) if fields is not None else None
    judge = Judge(backend, "x", None) if backend else None
    return dimension.measure(clip, prompt, cast(Tools, ClipTools(clip, method, POOL, {}, judge)))


def score(name: str, clip: Clip, fields: Mapping[str, Any], opinion: Opinion | None = None, writing: Writing = least) -> Reading:
    reading = measured(name, clip, fields, Scripted(**({"opinion": opinion} if opinion else {}), writing=writing))
    assert isinstance(reading, Reading), reading
    return reading


def grey(frame: Frame) -> int:
    return int(frame.picture[0, 0, 0])


def saying(told: Mapping[str, float]) -> Opinion:
    """Probability of yes by question; the contrary of each is as unlikely as it is likely. Blind: a half."""

    def opinion(frames: Sequence[Frame], prompt: str) -> float:
        question = between_marks(prompt)
        if not frames:
            return 0.0
        contrary = question.replace("otherwise", "as it should be")
        return logit(told[question]) if question in told else -logit(told[contrary])

    return opinion


def so(about: str) -> str:
    return f"Is the {about} as it should be?"


EXPECTED = {q["about"]: q["expect"] for q in ONE["questions"]}


# ---- yes or no ----


def test_physical_plausibility() -> None:
    """(0.8 + (1 - 0.3)) / 2: the event is expected, and the answer about physics should be no."""
    assert (EXPECTED["event"], EXPECTED["physics"]) == ("yes", "no")
    found = score("physical_plausibility", HALVES, ONE, saying({so("event"): 0.8, so("physics"): 0.3}))
    assert found.score == pytest.approx(0.75)
    assert found.raw["event_probability_0_1"] == pytest.approx(0.8)
    assert found.raw["questions_count"] == 2
    assert found.raw["plain_average_0_1"] == pytest.approx(0.75)
    assert found.raw["inconsistency_mean_0_1"] == 0.0
    assert found.raw["mass_least_0_1"] == 1.0
    assert found.raw["uninformative_count"] == 0
    assert len(found.raw["evidence"]["transcript"][0]["frames_seconds"]) == 16


def test_a_frozen_clip_is_asked_about_and_a_single_frame_is_not() -> None:
    """In the one nothing happens, which is an answer; in the other nothing can be told."""
    frozen, single = filmed(40, hold=8), filmed(40)
    opinion = saying({so("event"): 0.1, so("physics"): 0.1, so("motion"): 0.2, smoothness.FLUID.text: 0.9} | {
        so(a): 0.5 for a in ("action", "completion", "integrity")})  # fmt: skip
    assert score("physical_plausibility", frozen, ONE, opinion).score == pytest.approx((0.1 + 0.9) / 2)
    for name in ("physical_plausibility", "smoothness", "action_instruction_following"):
        given = measured(name, single, ONE, Scripted(opinion))
        assert isinstance(given, Skipped)
        assert given.reason == "too short: one frame"


def test_action_is_a_mean_of_three_parts_however_many_questions_each_has() -> None:
    """Two questions about the action (0.9, 0.5), one each about the others (0.6; no expected of 0.2): (0.7 + 0.6 + 0.8) / 3."""
    extra = {"q": "Is it jumping?", "negation": "Is it otherwise than jumping?", "expect": "yes", "about": "action"}
    questions = [{**q, "expect": "no" if q["about"] == "integrity" else "yes"} for q in ONE["questions"]]
    fields = {**ONE, "questions": [*questions, extra]}

    def opinion(frames: Sequence[Frame], prompt: str) -> float:
        told = {so("action"): 0.9, "Is it jumping?": 0.5, so("completion"): 0.6, so("integrity"): 0.2}
        question = between_marks(prompt)
        straight = {"Is it otherwise than jumping?": "Is it jumping?"}.get(
            question, question.replace("otherwise", "as it should be")
        )
        return logit(told[question]) if question in told else -logit(told[straight])

    found = score("action_instruction_following", HALVES, fields, opinion)
    assert found.score == pytest.approx((0.7 + 0.6 + 0.8) / 3)
    assert [found.raw[k] for k in ("action_0_1", "completion_0_1", "integrity_0_1")] == pytest.approx([0.7, 0.6, 0.8])


def test_smoothness_is_half_fluid_and_half_motion_over_windows() -> None:
    """4.875 s: three windows. The second jitters (0.2 for 0.9); motion 0.7 in all: (0.8 + 0.45 + 0.8) / 3."""
    clip = filmed(*range(10, 210, 5))
    middle = 1.375

    def opinion(frames: Sequence[Frame], prompt: str) -> float:
        if not frames:
            return 0.0
        fluid = 0.2 if frames[0].seconds == pytest.approx(middle) else 0.9
        told = {smoothness.FLUID.text: fluid, smoothness.FLUID.contrary: 1 - fluid, so("motion"): 0.3}
        return logit(told.get(between_marks(prompt), 0.7))

    fields = {**ONE, "questions": [{**q, "expect": "no"} for q in ONE["questions"] if q["about"] == "motion"]}
    found = score("smoothness", clip, fields, opinion)
    assert found.raw["windows_count"] == 3
    assert found.score == pytest.approx((0.8 + 0.45 + 0.8) / 3)
    assert found.raw["worst_window_0_1"] == pytest.approx(0.45)
    assert found.raw["motion_0_1"] == pytest.approx(0.7)
    assert found.raw["fluid_0_1"] == pytest.approx((0.9 + 0.2 + 0.9) / 3)
    assert found.raw["questions_count"] == 6


def test_repeated_frames_weigh_what_they_stand_for_and_are_asked_once() -> None:
    """Three quarters dark (no style: 0.2), one bright (0.8): of 8 frames 6 and 2."""
    clip = filmed(40, 40, 40, 200, hold=4)

    def opinion(frames: Sequence[Frame], prompt: str) -> float:
        p = 0.5 if not frames else 0.2 if grey(frames[0]) < 100 else 0.8
        return logit(p) if "should" in prompt else -logit(p)

    backend = Scripted(opinion)
    fields = {**ONE, "questions": [{**q, "expect": "yes"} for q in ONE["questions"] if q["about"] == "style"]}
    found = measured("stylization_ability", clip, fields, backend)
    assert isinstance(found, Reading)
    assert found.score == pytest.approx((6 * 0.2 + 2 * 0.8) / 8)
    assert found.raw["worst_frame_0_1"] == pytest.approx(0.2)
    assert found.raw["frames_count"] == 8
    assert sum(bool(keys) for keys, _ in backend.asked) == 4, "two pictures, a question and its contrary"
    frozen = measured("stylization_ability", filmed(40, hold=16), fields, Scripted(opinion))
    assert isinstance(frozen, Reading)
    assert frozen.score == pytest.approx(0.2)


def test_aerial_shots_are_judged_and_pans_are_not() -> None:
    assert EXPECTED["camera"] == "no"
    clip = panned()
    judged = score("camera_control", clip, ONE, saying({so("camera"): 0.3}))
    assert judged.score == pytest.approx(0.7)
    assert judged.raw["asked"] == "aerial"
    assert judged.raw["camera"]["movement"] == "pan-left"
    backend = Scripted()
    pan = measured("camera_control", clip, {**ONE, "camera": "pan-left"}, backend)
    assert isinstance(pan, Reading)
    assert pan.score == 1.0
    assert not backend.asked
    alone = measured("camera_control", clip, ONE, None)
    assert isinstance(alone, Skipped)
    assert alone.reason == "aerial shots need a judge: --judge NAME or URL"


def panned() -> Clip:
    from wanbench.scenes.render import Scene, render

    return prepare_frames(
        list(render(Scene(size_HW=(96, 128), movement="pan-left", speed=0.2), fps=8, seconds=1.0, seed=1)), [LINES]
    )


def test_human_artifacts_asks_for_a_person_first() -> None:
    """Four questions, 0.9, 0.7, 0.5 and 0.3 intact: 0.6; seen by chance 0.4, there is nobody to look at."""

    def opinion(person: float) -> Opinion:
        told = {q.text: p for q, p in zip(human_artifacts.INTACT, (0.9, 0.7, 0.5, 0.3), strict=True)}
        told[human_artifacts.PERSON.text] = person
        contraries = {q.contrary: told[q.text] for q in (*human_artifacts.INTACT, human_artifacts.PERSON)}
        return lambda frames, prompt: (
            0.0 if not frames else logit(told[q]) if (q := between_marks(prompt)) in told else -logit(contraries[q])
        )

    found = score("human_artifacts", HALVES, ONE, opinion(0.8))
    assert found.score == pytest.approx(0.6)
    assert found.raw["person_probability_0_1"] == pytest.approx(0.8)
    assert found.raw["questions_count"] == 4
    nobody = measured("human_artifacts", HALVES, None, Scripted(opinion(0.4)))
    assert isinstance(nobody, Skipped)
    assert nobody.reason == "no person"
    assert nobody.raw is not None
    assert nobody.raw["person_probability_0_1"] == pytest.approx(0.4)


# ---- counts ----


def counting(by_grey: Mapping[int, Mapping[str, int]]) -> Writing:
    return lambda frame, prompt, schema: json_of({k: by_grey[grey(frame)][k] for k in schema["properties"]})


def test_single_object_accuracy() -> None:
    """One ball in the dark half, two in the bright one; the asked count had 0.75 there, and the rest none of 1."""
    told = {40: {"ball": 1, "cube": 3, "cat": 0}, 200: {"ball": 2, "cube": 3, "cat": 0}}
    found = score("single_object_accuracy", HALVES, ONE, writing=counting(told))
    assert found.score == 0.5
    assert found.raw["asked_count"] == 1
    assert found.raw["asked_count_probability_0_1"] == pytest.approx(0.375)
    assert [f["counts"]["ball"] for f in found.raw["evidence"]["frames"]] == [1, 2]


def test_weights_of_repeated_frames_in_counts() -> None:
    told = {40: {"ball": 1, "cube": 0, "cat": 0}, 200: {"ball": 0, "cube": 0, "cat": 0}}
    backend = Scripted(writing=counting(told))
    found = measured("single_object_accuracy", filmed(40, 40, 40, 200, hold=4), ONE, backend)
    assert isinstance(found, Reading)
    assert found.score == 0.75
    assert len(backend.asked) == 2


def test_counts_over_nine_are_nine_or_more() -> None:
    fields, many = {**ONE, "objects": [{"name": "ball", "count": 12}]}, {"ball": 9, "cube": 0, "cat": 0}
    found = score("single_object_accuracy", HALVES, fields, writing=counting(dict.fromkeys((40, 200), many)))
    assert found.score == 1.0
    assert found.raw["asked_count"] == MOST == 9


def test_multiple_object_accuracy() -> None:
    """Both right in the dark half; in the bright one a cup is missing: half the frames, three quarters of the categories."""
    told = {40: {"cup": 2, "jug": 1}, 200: {"cup": 1, "jug": 1}}
    found = score("multiple_object_accuracy", HALVES, TWO, writing=counting(told))
    assert found.score == 0.5
    assert found.raw["categories_agreeing_share"] == 0.75
    assert found.raw["evidence"]["asked"] == {"cup": 2, "jug": 1}


def test_the_judge_is_never_told_the_asked_count() -> None:
    """The same question whatever count is asked for, and the asked category is not always the first."""
    prompts = []
    for number in (1, 5):
        backend = Scripted()
        measured("single_object_accuracy", HALVES, {**ONE, "objects": [{"name": "ball", "count": number}]}, backend)
        prompts.append({prompt for _, prompt in backend.asked})
    assert prompts[0] == prompts[1]
    (prompt,) = prompts[0]
    assert prompt.partition("<names>\n")[2].startswith("ball\ncat\ncube\n")
    backend = Scripted()
    measured("single_object_accuracy", HALVES, {**ONE, "objects": [{"name": "zebra", "count": 1}]}, backend)
    assert backend.asked[0][1].partition("<names>\n")[2].startswith("cat\ncube\nzebra\n")


def test_a_second_template_for_an_answer_that_cannot_be_read() -> None:
    """No JSON, a count that is none, a missing or an added name: then the second; after it an error with what came."""
    frame = Frame(seconds=0.0, picture=np.zeros((4, 4, 3), np.uint8), key="k")
    wrong = (
        "none",
        '{"ball": "1"}',
        '{"ball": 10}',
        '{"ball": true}',
        '{"ball": 1, "cat": 0}',
        "{}",
        "[1]",
        '{"ball": -1}',
        '{"ball": 1',
    )
    second = TEMPLATES[1][:20]
    for text in wrong:
        backend = Scripted(writing=lambda f, prompt, schema, t=text: '{"ball": 4}' if prompt.startswith(second) else t)
        assert count(Judge(backend, "x", None), frame, {"ball": []}).counts == {"ball": 4}, text
        assert len(backend.asked) == 2
        with pytest.raises(JudgeFailed, match="not the JSON that was asked for"):
            count(Judge(Scripted(writing=lambda f, prompt, schema, t=text: t), "x", None), frame, {"ball": []})


# ---- relations ----


@pytest.mark.parametrize(
    "predicate", ["left of", "right of", "above", "below", "on", "under", "in front of", "behind", "inside", "next to"]
)
def test_every_relation_of_the_schema_has_an_axis(predicate: str) -> None:
    """It is offered beside what it is confused with, and only there."""
    axes = [axis for axis in spatial_position_accuracy.AXES if predicate in axis]
    assert len(axes) == 1
    assert len(axes[0]) >= 2


def test_spatial_position_accuracy() -> None:
    """Dark: both seen, left of; bright: both seen, right of. Then one of them unseen in the dark half: nothing is left."""

    def looking(seen: bool) -> Writing:
        return lambda frame, prompt, schema: json_of(
            {
                "subject_seen": True,
                "object_seen": seen or grey(frame) > 100,
                "relation": "left of" if grey(frame) < 100 else "right of",
            }
        )

    found = score("spatial_position_accuracy", HALVES, TWO, writing=looking(True))
    assert found.score == 0.5
    assert found.raw["both_seen_share"] == 1.0
    found = score("spatial_position_accuracy", HALVES, TWO, writing=looking(False))
    assert found.score == 0.0
    assert found.raw["both_seen_share"] == 0.5


def test_a_relation_off_the_axis_is_no_answer() -> None:
    found = {"subject_seen": True, "object_seen": True, "relation": "above"}
    with pytest.raises(JudgeFailed):
        score("spatial_position_accuracy", HALVES, TWO, writing=lambda frame, prompt, schema: json_of(found))


# ---- what cannot be asked ----

LACKING = [
    ("physical_plausibility", {}, "the prompt carries no question about event and physics"),
    ("physical_plausibility", {"questions": ONE["questions"][:1]}, "the prompt carries no question about physics"),
    ("smoothness", {"questions": ONE["questions"][:1]}, "the prompt carries no question about motion"),
    ("stylization_ability", {}, "the prompt carries no question about style"),
    ("action_instruction_following", {"questions": ONE["questions"][:6]}, "the prompt carries no question about integrity"),
    ("single_object_accuracy", {"objects": ONE["objects"]}, "no single category with a count and two distractors"),
    ("single_object_accuracy", {**ONE, "objects": [{"name": "ball"}]}, "no single category with a count"),
    ("single_object_accuracy", TWO, "no single category"),
    ("multiple_object_accuracy", ONE, "names no two categories with counts"),
    ("multiple_object_accuracy", {"objects": [{"name": "a"}, {"name": "b", "count": 1}]}, "names no two categories with counts"),
    ("spatial_position_accuracy", ONE, "names no relation of two objects"),
    ("camera_control", {"camera": "tracking"}, "the prompt carries no question about camera"),
]


@pytest.mark.parametrize(("name", "fields", "reason"), LACKING, ids=[f"{n}-{k}" for k, (n, _, _) in enumerate(LACKING)])
def test_missing_metadata_is_skipped_with_the_reason(name: str, fields: Mapping[str, Any], reason: str) -> None:
    backend = Scripted()
    given = measured(name, panned(), fields, backend)
    assert isinstance(given, Skipped)
    assert reason in given.reason
    assert not backend.asked, "nothing is asked in vain"


@pytest.mark.parametrize("name", [d for d in JUDGED if d not in ("human_artifacts",)])
def test_no_prompt_is_skipped(name: str) -> None:
    given = measured(name, HALVES, None, Scripted())
    assert isinstance(given, Skipped)


def test_the_judge_cannot_say() -> None:
    with pytest.raises(JudgeFailed, match="neither yes nor no"):
        measured("physical_plausibility", HALVES, ONE, Scripted(mass=0.3))


def test_log_odds_are_what_is_on_record() -> None:
    """The transcript lets anybody work the score out again."""
    found = score("physical_plausibility", HALVES, ONE)
    parts = []
    for entry in found.raw["evidence"]["transcript"]:
        p = 1 / (1 + math.exp(-0.5 * (entry["log_odds"] - entry["contrary_log_odds"])))
        parts.append(p if entry["expect"] == "yes" else 1 - p)
    assert found.score == pytest.approx(sum(parts) / len(parts), abs=1e-5)
