"""Spatial position accuracy: in how many frames are both objects there and in the asked relation?

Wan report (arXiv 2503.20314, section 4.6): as for single objects, by Qwen2-VL. Ours: in each of 8 frames spread over the clip
the judge says whether it sees the one and the other, and chooses their relation from a short list on the asked one's axis; score
= share of the frames in which both are seen and the relation is the asked one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wanbench.clip import Clip
from wanbench.dimension import Tools, dimension
from wanbench.expectations import NotAbove
from wanbench.judge.asking import Judge
from wanbench.judge.frames import FRAMES, spread_over
from wanbench.judge.protocol import Frame, inside
from wanbench.metrics import _counting, _framewise, _judged
from wanbench.types import Prompt, Reading, Skipped

AXES = (
    ("left of", "right of", "neither"),
    ("above", "below", "neither"),
    ("on", "under", "beside", "apart"),
    ("in front of", "behind", "neither"),
    ("inside", "outside"),
    ("next to", "far from"),
)
"""Choices for a relation: it and what it is confused with. `on` is not set against `above`: both may hold."""
TEMPLATES = (
    "Look at the frame for two things, named between the marks.\n<first>{subject}</first>\n<second>{object}</second>\n"
    "Do you see the first? Do you see the second? Where is the first, seen from the camera, relative to the second: {choices}? "
    "Answer with one JSON object with the keys subject_seen (the first, true or false), object_seen (the second) and relation.",
    "About this frame, one line of JSON and nothing else.\n<first>{subject}</first>\n<second>{object}</second>\n"
    "Keys: subject_seen (is the first in the frame, true or false), object_seen (is the second), relation (the first is ... the "
    "second, one of: {choices}).",
)

SETTINGS: dict[str, str | int | float] = {
    "frames": FRAMES,
    "relation": " / ".join(TEMPLATES),
    "axes": "; ".join(", ".join(axis) for axis in AXES),
    "max_tokens": _counting.MAX_TOKENS,
}

ONE_FRAME = 1 / FRAMES
"""A score's step."""
CONTROLS = (
    *_framewise.controls(ONE_FRAME),
    NotAbove("cut_turned", "turned upside down, no relation gets truer", within=ONE_FRAME),
)
"""Written before any result was seen."""


@dimension(
    id="spatial_position_accuracy",
    pillar="instruction",
    version=1,
    methods=(_judged.method(SETTINGS, needs="a relation of two objects"),),
    raw={
        "both_seen_share": "share of the frames in which both objects are seen",
        "frames_count": "frames asked about",
        "evidence": "asked: the relation; frames: time in seconds, what is seen and the relation found",
    },
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    relation = prompt.fields.get("relation") if prompt else None
    if not relation:
        return Skipped(reason="the prompt names no relation of two objects")
    judge = _judged.judge_of(tools)
    looked = [(look(judge, f, relation), f, shown) for f, shown in _judged.unlike(spread_over(clip, FRAMES))]
    seen = [(found["subject_seen"] and found["object_seen"], found["relation"], shown) for found, _, shown in looked]
    return Reading(
        score=sum(shown for both, found, shown in seen if both and found == relation["predicate"]) / FRAMES,
        raw={
            "both_seen_share": round(sum(shown for both, _, shown in seen if both) / FRAMES, 6),
            "frames_count": FRAMES,
            "evidence": {
                "asked": dict(relation),
                "frames": [{"seconds": round(f.seconds, 3), **found} for found, f, _ in looked],
            },
        },
    )


def look(judge: Judge, frame: Frame, relation: Mapping[str, str]) -> dict[str, Any]:
    """`subject_seen`, `object_seen` and `relation` of a frame. Raises `JudgeFailed` when no answer can be read."""
    choices = next(axis for axis in AXES if relation["predicate"] in axis)
    schema = {
        "type": "object",
        "properties": {
            "subject_seen": {"type": "boolean"},
            "object_seen": {"type": "boolean"},
            "relation": {"enum": list(choices)},
        },
        "required": ["subject_seen", "object_seen", "relation"],
        "additionalProperties": False,
    }
    named = {"subject": inside(relation["subject"]), "object": inside(relation["object"]), "choices": ", ".join(choices)}

    def is_right(found: Mapping[str, Any]) -> bool:
        seen = (found.get("subject_seen"), found.get("object_seen"))
        return all(type(s) is bool for s in seen) and found.get("relation") in choices

    return _counting.written_json(judge, frame, [template.format(**named) for template in TEMPLATES], schema, is_right)[1]
