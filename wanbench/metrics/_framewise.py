"""What is expected of dimensions that look at frames one by one for what the prompt names (ours)."""

from __future__ import annotations

from wanbench.expectations import Expectation, Keeps, Lowers, NotAbove, Skips, unmoved_by_encoding, unmoved_by_timing


def controls(one_frame: float) -> tuple[Expectation, ...]:
    """Written before any result was seen. `one_frame`: the score's step."""
    return (
        *unmoved_by_encoding(again=1e-5, crf18=one_frame, crf28=one_frame),
        *unmoved_by_timing(repeats=0.01, fewer=one_frame),
        Lowers("other_prompt", "something else was asked for", by=0.3, where_at_least=0.5),
        Skips("empty_prompt", "nothing was asked for"),
        Lowers("cut", "the second half shows something else", by=0.25, where_at_least=0.75),
        NotAbove("noise", "noise shows nothing better", within=one_frame),
        NotAbove("blur", "blur shows nothing better", within=one_frame),
        NotAbove("jitter", "jitter shows nothing better", within=one_frame),
        Keeps("frozen", "frames are judged one by one, and the first is like the others", within=2 * one_frame),
        Keeps("reversed", "frames are judged one by one", within=one_frame),
        Keeps("shuffled", "frames are judged one by one", within=one_frame),
        Keeps("pillars", "bars are cropped", within=one_frame),
    )
