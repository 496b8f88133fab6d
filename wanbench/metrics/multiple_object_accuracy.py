"""Multiple object accuracy: in how many frames is every asked category there, in its number?

Wan report (arXiv 2503.20314, section 4.6): as for single objects, by Qwen2-VL. Ours: in each of 8 frames spread over the clip
the judge counts the asked categories; score = share of the frames in which all numbers are the asked ones.
"""

from __future__ import annotations

from wanbench.clip import Clip
from wanbench.dimension import Tools, dimension
from wanbench.judge.frames import FRAMES, spread_over
from wanbench.metrics import _counting, _framewise, _judged
from wanbench.types import Prompt, Reading, Skipped

ONE_FRAME = 1 / FRAMES
"""A score's step."""
CONTROLS = _framewise.controls(ONE_FRAME)
"""Written before any result was seen."""


@dimension(
    id="multiple_object_accuracy",
    pillar="instruction",
    version=1,
    methods=(_judged.method({"frames": FRAMES, **_counting.SETTINGS}, needs="two or more categories with counts"),),
    raw={
        "categories_agreeing_share": "mean share of the categories whose number is the asked one",
        "frames_count": "frames counted in",
        "evidence": "asked: category and number; frames: time in seconds, and what was counted",
    },
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    objects = (prompt.fields.get("objects") if prompt else None) or []
    if len(objects) < 2 or any("count" not in entry for entry in objects):
        return Skipped(reason="the prompt names no two categories with counts")
    asked = {str(entry["name"]): min(int(entry["count"]), _counting.MOST) for entry in objects}
    categories = {str(entry["name"]): entry.get("aliases", []) for entry in objects}
    judge = _judged.judge_of(tools)
    counted = [(_counting.count(judge, f, categories), f, shown) for f, shown in _judged.unlike(spread_over(clip, FRAMES))]
    right = [(sum(found.counts[name] == number for name, number in asked.items()), shown) for found, _, shown in counted]
    return Reading(
        score=sum(shown for agreeing, shown in right if agreeing == len(asked)) / FRAMES,
        raw={
            "categories_agreeing_share": round(sum(n * shown for n, shown in right) / (FRAMES * len(asked)), 6),
            "frames_count": FRAMES,
            "evidence": {
                "asked": asked,
                "frames": [{"seconds": round(f.seconds, 3), "counts": found.counts} for found, f, _ in counted],
            },
        },
    )
