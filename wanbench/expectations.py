"""What a dimension expects of the controls (ours): which damage must lower its score, which must leave it alone.

An expectation stands beside the dimension's code and is written from what the dimension claims to measure, before anybody has
seen a result; loosening one is a change of its own, with a reason. `wanbench controls` checks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ControlName = Literal[
    "again",
    "reencode_crf18",
    "reencode_crf28",
    "frozen",
    "shuffled",
    "reversed",
    "noise",
    "blur",
    "flicker",
    "jitter",
    "shake",
    "noisy_still",
    "jittered_still",
    "shaken_still",
    "twice",
    "thrice",
    "half_rate",
    "dropped",
    "pillars",
    "cut",
    "cut_turned",
    "other_prompt",
    "empty_prompt",
]
"""What is done to a clip, or to its prompt (`wanbench/controls/derive.py`)."""
CONTROL_NAMES: tuple[ControlName, ...] = get_args(ControlName)
SAME: tuple[ControlName, ...] = ("again", "reencode_crf18", "reencode_crf28")
"""Controls after which the clip is still the same to everybody who looks at it: the A/A noise floor."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a control must do to the score of a clip. All scores are in [0, 1]."""

    control: ControlName
    reason: str = ""
    """Where it is not obvious."""
    where_at_least: float = 0.0
    """Clips whose own score is lower than this say nothing: there is nothing to lose."""
    unless: tuple[str, object] | None = None
    """(key of `raw`, value): clips of which the unchanged clip's raw value is this say nothing."""

    def words(self) -> str:
        """What is expected, in a few words."""
        raise NotImplementedError

    def obeyed(self, original: float, control: float | None) -> bool:
        """Whether a clip's score under the control (None: skipped) is as expected."""
        raise NotImplementedError

    def contradicted(self, low: float, high: float) -> bool:
        """Whether every mean difference from `low` to `high`, a confidence interval, is against what is expected."""
        return False


@dataclass(frozen=True, slots=True)
class Lowers(Expectation):
    """The score must fall: by `by`, or to a share of what it was."""

    by: float = 0.0
    to_share: float = 1.0

    def __post_init__(self) -> None:
        if (self.by <= 0) == (self.to_share >= 1):
            raise ValueError(f"{self.control}: give either by or to_share")

    def words(self) -> str:
        return f"falls by {self.by:g}" if self.by else f"falls to {self.to_share:g} of it"

    def obeyed(self, original: float, control: float | None) -> bool:
        return control is not None and control <= (original - self.by if self.by else original * self.to_share) + ROUNDING

    def contradicted(self, low: float, high: float) -> bool:
        return low > -self.by + ROUNDING


@dataclass(frozen=True, slots=True)
class Keeps(Expectation):
    """The score must stay: within this of what it was."""

    within: float = 0.0

    def words(self) -> str:
        return f"stays within {self.within:g}"

    def obeyed(self, original: float, control: float | None) -> bool:
        return control is not None and abs(control - original) <= self.within + ROUNDING

    def contradicted(self, low: float, high: float) -> bool:
        return low > self.within + ROUNDING or high < -self.within - ROUNDING


@dataclass(frozen=True, slots=True)
class NotAbove(Expectation):
    """The score may fall but must not rise by more than this: the damage must not pay."""

    within: float = 0.0

    def words(self) -> str:
        return f"rises by {self.within:g} at most"

    def obeyed(self, original: float, control: float | None) -> bool:
        return control is not None and control - original <= self.within + ROUNDING

    def contradicted(self, low: float, high: float) -> bool:
        return low > self.within + ROUNDING


@dataclass(frozen=True, slots=True)
class Skips(Expectation):
    """There is nothing to measure any more: the row must be skipped, not scored."""

    def words(self) -> str:
        return "is skipped"

    def obeyed(self, original: float, control: float | None) -> bool:
        return control is None


ROUNDING = 1.5e-6
"""Scores have six decimals."""


def unmoved_by_prompts() -> tuple[Expectation, ...]:
    """Of a dimension that looks at the picture alone."""
    return (Keeps("other_prompt", "the prompt is not looked at"), Keeps("empty_prompt", "the prompt is not looked at"))


def unmoved_by_timing(*, repeats: float, fewer: float) -> tuple[Expectation, ...]:
    """Of a dimension that counts in seconds: frames shown twice or thrice change nothing but `repeats`, fewer frames `fewer`."""
    return (
        Keeps("twice", "repeated frames are dropped before anything is measured", within=repeats),
        Keeps("thrice", "repeated frames are dropped before anything is measured", within=repeats),
        Keeps("half_rate", "time is in seconds, not in frames", within=fewer),
        Keeps("dropped", "time is in seconds, not in frames", within=fewer),
    )


def unmoved_by_encoding(*, again: float = 0.0, crf18: float, crf28: float) -> tuple[Expectation, ...]:
    """Of every dimension: the clip once more, and two re-encodings that show the same."""
    return (
        Keeps("again", within=again),
        Keeps("reencode_crf18", "shows no difference", within=crf18),
        Keeps("reencode_crf28", "shows hardly a difference", within=crf28),
    )
