"""What the judged dimensions share (ours): asking a prompt's questions, and what the record keeps of the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wanbench.clip import Clip
from wanbench.decoding import prepare
from wanbench.dimension import Method, Tools
from wanbench.judge.asking import Judge
from wanbench.judge.protocol import Answer, Frame, Question, questions_of
from wanbench.types import Prompt

RAW: Mapping[str, str] = {
    "questions_count": "questions asked, each with its contrary",
    "plain_average_0_1": "the same score from plain averages of probabilities, which a bias towards yes distorts",
    "inconsistency_mean_0_1": "mean over the questions of |P(yes) - P(no to the contrary)|",
    "mass_least_0_1": "smallest probability of yes and no together",
    "uninformative_count": "questions that were answered the same without any frame",
    "evidence": "transcript: each question with its contrary, their log-odds and probabilities, and the times of the frames",
}
"""Keys of `raw` of a dimension that asks yes-or-no questions."""


def method(settings: Mapping[str, str | int | float], needs: str | None = None) -> Method:
    """The method of a dimension that only a judge can measure; `needs` is what the prompt must carry."""
    return Method(
        name="judge",
        profile=None,
        settings={**prepare.SETTINGS, **settings},
        extra="judge",
        prompt_needs=needs,
        judge="needed",
    )


def words(questions: Sequence[Question]) -> str:
    """Questions that are ours, as a fingerprint holds them."""
    return " / ".join(text for q in questions for text in (q.text, q.contrary))


def judge_of(tools: Tools) -> Judge:
    """The judge, which a method that needs one always has."""
    assert tools.judge is not None
    return tools.judge


def asked(prompt: Prompt | None, *abouts: str) -> list[Question] | str:
    """The prompt's questions about all of `abouts`, or why they cannot be asked."""
    if prompt is None:
        return "no prompt"
    found = questions_of(prompt.fields, *abouts)
    lacking = [about for about in abouts if not any(q.about == about for q in found)]
    return f"the prompt carries no question about {' and '.join(lacking)}" if lacking else found


def still(clip: Clip) -> str | None:
    """Why nothing can be said of what happens, or None: a single frame shows no time; a frozen clip does, and loses by it."""
    return "too short: one frame" if len(clip.grid) < 2 and not clip.frozen else None


def score(answers: Sequence[Answer]) -> float:
    """Mean probability of the expected answers, in [0, 1]."""
    return sum(a.expected for a in answers) / len(answers)


def raw(answers: Sequence[Answer]) -> dict[str, Any]:
    """What the record keeps, by the keys of `RAW`."""
    plain = [a.plain_average if a.question.expect == "yes" else 1.0 - a.plain_average for a in answers]
    return {
        "questions_count": len(answers),
        "plain_average_0_1": round(sum(plain) / len(plain), 6),
        "inconsistency_mean_0_1": round(sum(a.inconsistency for a in answers) / len(answers), 6),
        "mass_least_0_1": round(min(a.mass for a in answers), 6),
        "uninformative_count": sum(a.uninformative for a in answers),
        "evidence": {"transcript": [a.to_json() for a in answers]},
    }


def unlike(frames: Sequence[Frame]) -> list[tuple[Frame, int]]:
    """Each different picture once, with how many of the frames show it."""
    firsts = {f.key: f for f in reversed(frames)}
    return [(frame, sum(f.key == key for f in frames)) for key, frame in sorted(firsts.items(), key=lambda kf: kf[1].seconds)]
