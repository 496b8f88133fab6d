"""Physical plausibility: does the asked event happen, and as it would in the world?

Wan report (arXiv 2503.20314, section 4.6): Qwen2-VL video question answering on violations such as clipping, unrealistic
collisions and gravity. Ours: the prompt's own questions about 16 frames spread over the clip, each asked together with its
contrary; score = mean probability of the expected answers. One question is always whether the event happens at all, or else a
frozen clip, in which nothing goes wrong, would win.
"""

from __future__ import annotations

from wanbench.clip import Clip
from wanbench.dimension import Tools, dimension
from wanbench.expectations import Keeps, Lowers, NotAbove, Skips, unmoved_by_encoding, unmoved_by_timing
from wanbench.judge.frames import EVENT_FRAMES, spread_over
from wanbench.metrics import _judged
from wanbench.types import Prompt, Reading, Skipped

HAPPENS = 0.5
"""Ours: clips that score less show no plausible event that a control could take away."""
CONTROLS = (
    *unmoved_by_encoding(again=1e-5, crf18=0.05, crf28=0.1),
    *unmoved_by_timing(repeats=0.02, fewer=0.1),
    Lowers("other_prompt", "another event was asked for", by=0.2, where_at_least=HAPPENS),
    Skips("empty_prompt", "nothing was asked for"),
    Lowers("frozen", "the event does not happen", by=0.2, where_at_least=HAPPENS),
    Lowers("reversed", "events seldom run backwards", by=0.1, where_at_least=HAPPENS),
    Lowers("shuffled", "nothing follows from what was before", by=0.1, where_at_least=HAPPENS),
    NotAbove("noise", "noise makes nothing more plausible", within=0.05),
    NotAbove("blur", "blur makes nothing more plausible", within=0.05),
    Keeps("pillars", "bars are cropped", within=0.05),
)
"""Written before any result was seen."""


@dimension(
    id="physical_plausibility",
    pillar="dynamic",
    version=1,
    methods=(_judged.method({"frames": EVENT_FRAMES}, needs="questions about an event and its physics"),),
    raw={"event_probability_0_1": "that the asked event happens", **_judged.RAW},
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    questions = _judged.asked(prompt, "event", "physics")
    if isinstance(questions, str):
        return Skipped(reason=questions)
    if reason := _judged.still(clip):
        return Skipped(reason=reason)
    answers = _judged.judge_of(tools).ask(spread_over(clip, EVENT_FRAMES), questions)
    event = next(a for a in answers if a.question.about == "event")
    raw = {"event_probability_0_1": round(event.expected, 6), **_judged.raw(answers)}
    return Reading(score=_judged.score(answers), raw=raw)
