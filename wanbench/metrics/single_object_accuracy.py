"""Single object accuracy: in how many frames is the asked category there, in the asked number?

Wan report (arXiv 2503.20314, section 4.6): Qwen2-VL predicts categories and counts; share of frames that agree. Ours: in each of
8 frames spread over the clip the judge counts three categories, the asked one and two that the prompt does not ask for; score =
share of the frames with the asked number.
"""

from __future__ import annotations

from wanbench.clip import Clip
from wanbench.dimension import Tools, dimension
from wanbench.judge.frames import FRAMES, spread_over
from wanbench.metrics import _counting, _framewise, _judged
from wanbench.types import Prompt, Reading, Skipped

DISTRACTORS = 2

ONE_FRAME = 1 / FRAMES
"""A score's step."""
CONTROLS = _framewise.controls(ONE_FRAME)
"""Written before any result was seen."""


@dimension(
    id="single_object_accuracy",
    pillar="instruction",
    version=1,
    methods=(_judged.method({"frames": FRAMES, **_counting.SETTINGS}, needs="one category with a count, and two distractors"),),
    raw={
        "asked_count_probability_0_1": "mean probability of the asked number, where the judge gives probabilities",
        "asked_count": "how many the prompt asks for",
        "frames_count": "frames counted in",
        "evidence": "frames: time in seconds, and what was counted",
    },
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    fields = prompt.fields if prompt else {}
    objects, distractors = fields.get("objects") or [], fields.get("distractors") or []
    if len(objects) != 1 or "count" not in objects[0] or len(distractors) != DISTRACTORS:
        return Skipped(reason="the prompt names no single category with a count and two distractors")
    asked, name = min(int(objects[0]["count"]), _counting.MOST), str(objects[0]["name"])
    categories = {name: objects[0].get("aliases", []), **{str(d): [] for d in distractors}}
    judge = _judged.judge_of(tools)
    counted = [(_counting.count(judge, f, categories), f, shown) for f, shown in _judged.unlike(spread_over(clip, FRAMES))]
    agreeing = sum(shown for found, _, shown in counted if found.counts[name] == asked)
    known = [(p[asked], shown) for found, _, shown in counted if (p := found.probabilities[name]) is not None]
    probability = sum(p * shown for p, shown in known) / FRAMES if len(known) == len(counted) else None
    return Reading(
        score=agreeing / FRAMES,
        raw={
            "asked_count_probability_0_1": None if probability is None else round(probability, 6),
            "asked_count": asked,
            "frames_count": FRAMES,
            "evidence": {"frames": [{"seconds": round(f.seconds, 3), "counts": found.counts} for found, f, _ in counted]},
        },
    )
