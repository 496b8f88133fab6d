"""Smoothness: is complex motion fluid, and is it there at all?

Wan report (arXiv 2503.20314, section 4.6): Qwen2-VL identifies artifacts in complex motion. Ours: windows of 2 s at 8 frames a
second that cover the clip; in each, half the probability that the motion is fluid and half that the asked motion happens (or
else a frozen clip, which never stutters, would win); score = mean over the windows.
"""

from __future__ import annotations

from wanbench.clip import Clip
from wanbench.dimension import Tools, dimension
from wanbench.expectations import Keeps, Lowers, NotAbove, Skips, unmoved_by_encoding
from wanbench.judge.frames import WINDOW_PER_SECOND, WINDOW_SECONDS, windows
from wanbench.judge.protocol import Question
from wanbench.metrics import _judged
from wanbench.types import Prompt, Reading, Skipped

FLUID = Question(
    text="Does everything that moves in these frames move fluidly, each position following naturally from the one before?",
    contrary="Does something in these frames jitter, stutter, jump or warp at some moment while it moves?",
    expect="yes",
    about="fluid",
)

CONTROLS = (
    *unmoved_by_encoding(again=1e-5, crf18=0.05, crf28=0.1),
    Keeps("twice", "repeated frames are dropped before anything is measured", within=0.02),
    Keeps("thrice", "repeated frames are dropped before anything is measured", within=0.02),
    NotAbove("half_rate", "fewer frames are not smoother", within=0.05),
    NotAbove("dropped", "a stuttering clip is not smoother", within=0.05),
    Lowers("other_prompt", "another motion was asked for, which is half of the score", by=0.1, where_at_least=0.5),
    Skips("empty_prompt", "nothing was asked for"),
    Lowers("frozen", "the motion does not happen", by=0.2, where_at_least=0.5),
    Lowers("shuffled", "everything jumps", by=0.2, where_at_least=0.5),
    Lowers("jitter", "everything jitters", by=0.1, where_at_least=0.5),
    Lowers("shake", "everything is shaken", by=0.05, where_at_least=0.5),
    NotAbove("flicker", "flicker is not smooth", within=0.05),
    NotAbove("noise", "noise is not smooth", within=0.05),
    NotAbove("cut", "a cut is a jump", within=0.05),
    NotAbove("reversed", "backwards is not smoother", within=0.05),
    Keeps("pillars", "bars are cropped", within=0.05),
)
"""Written before any result was seen."""


@dimension(
    id="smoothness",
    pillar="dynamic",
    version=1,
    methods=(
        _judged.method(
            {
                "asked_window_seconds": WINDOW_SECONDS,
                "asked_frames_per_second": WINDOW_PER_SECOND,
                "fluid": _judged.words([FLUID]),
            },
            needs="a question about its motion",
        ),
    ),
    raw={
        "fluid_0_1": "mean probability that the motion is fluid",
        "motion_0_1": "mean probability that the asked motion happens",
        "worst_window_0_1": "score of the worst window",
        "windows_count": "windows asked about",
        **_judged.RAW,
    },
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    motion = _judged.asked(prompt, "motion")
    if isinstance(motion, str):
        return Skipped(reason=motion)
    if reason := _judged.still(clip):
        return Skipped(reason=reason)
    asked = [_judged.judge_of(tools).ask(window, [FLUID, *motion]) for window in windows(clip)]
    fluid = [answers[0].expected for answers in asked]
    moving = [_judged.score(answers[1:]) for answers in asked]
    scores = [0.5 * (f + m) for f, m in zip(fluid, moving, strict=True)]
    return Reading(
        score=sum(scores) / len(scores),
        raw={
            "fluid_0_1": round(sum(fluid) / len(fluid), 6),
            "motion_0_1": round(sum(moving) / len(moving), 6),
            "worst_window_0_1": round(min(scores), 6),
            "windows_count": len(scores),
            **_judged.raw([answer for answers in asked for answer in answers]),
        },
    )
