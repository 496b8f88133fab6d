"""Action instruction following: is it the asked action, is it carried through, and does its subject stay whole?

Wan report (arXiv 2503.20314, section 4.6): Qwen2-VL on keyframes about alignment, completion and the presence of artifacts, for
actions of people, animals and objects. Ours: the prompt's questions about 16 frames spread over the clip; score = mean of the
three probabilities.
"""

from __future__ import annotations

from wanbench.clip import Clip
from wanbench.dimension import Tools, dimension
from wanbench.expectations import Keeps, Lowers, NotAbove, Skips, unmoved_by_encoding, unmoved_by_timing
from wanbench.judge.frames import EVENT_FRAMES, spread_over
from wanbench.metrics import _judged
from wanbench.types import Prompt, Reading, Skipped

PARTS = ("action", "completion", "integrity")

CONTROLS = (
    *unmoved_by_encoding(again=1e-5, crf18=0.05, crf28=0.1),
    *unmoved_by_timing(repeats=0.02, fewer=0.1),
    Lowers("other_prompt", "another action was asked for", by=0.2, where_at_least=0.5),
    Skips("empty_prompt", "nothing was asked for"),
    Lowers("frozen", "nothing is done", by=0.2, where_at_least=0.5),
    Lowers("cut", "the second half shows something else", by=0.1, where_at_least=0.5),
    Lowers("jitter", "the subject does not stay intact", by=0.05, where_at_least=0.5),
    NotAbove("shuffled", "disorder carries nothing through", within=0.05),
    NotAbove("reversed", "backwards is not the action that was asked for", within=0.05),
    NotAbove("noise", "noise shows no action better", within=0.05),
    NotAbove("blur", "blur shows no action better", within=0.05),
    Keeps("pillars", "bars are cropped", within=0.05),
)
"""Written before any result was seen."""


@dimension(
    id="action_instruction_following",
    pillar="instruction",
    version=1,
    methods=(_judged.method({"frames": EVENT_FRAMES}, needs="questions about action, completion and integrity"),),
    raw={
        "action_0_1": "probability that the action is the asked one",
        "completion_0_1": "probability that it is carried through",
        "integrity_0_1": "probability that the subject stays intact",
        **_judged.RAW,
    },
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    questions = _judged.asked(prompt, *PARTS)
    if isinstance(questions, str):
        return Skipped(reason=questions)
    if reason := _judged.still(clip):
        return Skipped(reason=reason)
    answers = _judged.judge_of(tools).ask(spread_over(clip, EVENT_FRAMES), questions)
    parts = {part: _judged.score([a for a in answers if a.question.about == part]) for part in PARTS}
    raw = {f"{part}_0_1": round(value, 6) for part, value in parts.items()}
    return Reading(score=sum(parts.values()) / len(PARTS), raw={**raw, **_judged.raw(answers)})
