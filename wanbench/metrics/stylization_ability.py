"""Stylization ability: is every frame in the asked style?

Wan report (arXiv 2503.20314, section 4.6): frame-level question answering by Qwen2-VL. Ours: the prompt's questions about its
style, of each of 8 frames spread over the clip by itself; score = mean over frames and questions of the expected answers'
probability.
"""

from __future__ import annotations

from wanbench.clip import Clip
from wanbench.dimension import Tools, dimension
from wanbench.expectations import Keeps, Lowers, NotAbove, Skips, unmoved_by_encoding, unmoved_by_timing
from wanbench.judge.frames import FRAMES, spread_over
from wanbench.metrics import _judged
from wanbench.types import Prompt, Reading, Skipped

CONTROLS = (
    *unmoved_by_encoding(again=1e-5, crf18=0.05, crf28=0.1),
    *unmoved_by_timing(repeats=0.02, fewer=0.05),
    Lowers("other_prompt", "another style was asked for", by=0.2, where_at_least=0.5),
    Skips("empty_prompt", "nothing was asked for"),
    NotAbove("noise", "noise is no style that is asked for", within=0.05),
    NotAbove("blur", "blur may pass for a painter's hand, but must not make a style", within=0.1),
    NotAbove("jitter", "jitter is no style that is asked for", within=0.05),
    Keeps("frozen", "frames are judged one by one, and the first is like the others", within=0.05),
    Keeps("reversed", "frames are judged one by one", within=0.03),
    Keeps("shuffled", "frames are judged one by one", within=0.03),
    Keeps("flicker", "the style is the same", within=0.05),
    Keeps("pillars", "bars are cropped", within=0.05),
)
"""Written before any result was seen."""


@dimension(
    id="stylization_ability",
    pillar="image",
    version=1,
    methods=(_judged.method({"frames": FRAMES}, needs="a question about its style"),),
    raw={"worst_frame_0_1": "score of the worst frame", "frames_count": "frames asked about", **_judged.RAW},
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    questions = _judged.asked(prompt, "style")
    if isinstance(questions, str):
        return Skipped(reason=questions)
    judge = _judged.judge_of(tools)
    frames = [(judge.ask([frame], questions), shown) for frame, shown in _judged.unlike(spread_over(clip, FRAMES))]
    scores = [(_judged.score(answers), shown) for answers, shown in frames]
    return Reading(
        score=sum(score * shown for score, shown in scores) / FRAMES,
        raw={
            "worst_frame_0_1": round(min(score for score, _ in scores), 6),
            "frames_count": FRAMES,
            **_judged.raw([answer for answers, _ in frames for answer in answers]),
        },
    )
