"""The judge as a dimension meets it: questions and frames in, probabilities out; every answer given once is remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from wanbench.judge.cache import AnswerCache
from wanbench.judge.protocol import (
    BLIND,
    LEAST_MASS,
    TEMPLATE,
    YES_OR_NO,
    Answer,
    Backend,
    Frame,
    JudgeFailed,
    Odds,
    Question,
    Written,
    posed,
    probability,
)
from wanbench.types import JSONObject


class Judge:
    """A back end with a memory."""

    def __init__(self, backend: Backend, fingerprint: str, cache: AnswerCache | None) -> None:
        self._backend = backend
        self._fingerprint = fingerprint
        self._cache = cache

    def ask(self, frames: Sequence[Frame], questions: Sequence[Question]) -> list[Answer]:
        """Each question with its contrary about the frames, and once without any frame.

        Raises `JudgeFailed` when an answer about the frames is neither yes nor no, and `ServerError`.
        """
        return [trusted(answer) for answer in self.consider(frames, questions)]

    def consider(self, frames: Sequence[Frame], questions: Sequence[Question]) -> list[Answer]:
        """The same, whatever the answers are worth."""
        words = [text for q in questions for text in (q.text, q.contrary)]
        seen = self._odds(frames, [posed(YES_OR_NO, text) for text in words])
        blind = self._odds([], [posed(BLIND, text) for text in words])
        answers = []
        for k, question in enumerate(questions):
            straight, contrary = seen[2 * k], seen[2 * k + 1]
            answers.append(
                Answer(
                    question=question,
                    probability=probability(straight.log_odds, contrary.log_odds),
                    log_odds=straight.log_odds,
                    contrary_log_odds=contrary.log_odds,
                    mass=min(straight.mass, contrary.mass),
                    blind_probability=_blind(blind[2 * k], blind[2 * k + 1]),
                    frames_seconds=tuple(f.seconds for f in frames),
                )
            )
        return answers

    def write(self, frames: Sequence[Frame], prompt: str, schema: Mapping[str, Any], max_tokens: int) -> Written:
        """The most probable answer that keeps `schema`. Raises `JudgeFailed`, `ServerError`."""
        asked = self._key("write", frames, prompt, msgspec.json.encode(schema).decode(), str(max_tokens))
        known = self._cache.get(asked) if self._cache else None
        if known is not None:
            return msgspec.convert(known, Written)
        written = self._backend.write(frames, prompt, schema, max_tokens)
        if self._cache:
            self._cache.put(asked, msgspec.to_builtins(written))
        return written

    def facts(self) -> JSONObject:
        """What is recorded of the judge beside its fingerprint."""
        return self._backend.facts()

    def _odds(self, frames: Sequence[Frame], prompts: Sequence[str]) -> list[Odds]:
        """Odds of each prompt, from memory where they are; what is not known is asked in one go."""
        found: dict[str, Odds] = {}
        for prompt in dict.fromkeys(prompts):
            known = self._cache.get(self._key("odds", frames, prompt)) if self._cache else None
            if known is not None:
                found[prompt] = Odds(log_odds=known[0], mass=known[1])
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in found]
        for prompt, odds in zip(new, self._backend.odds(frames, new) if new else [], strict=True):
            found[prompt] = odds  # kept one by one: a server that fails in the middle is not asked the first ones again
            if self._cache:
                self._cache.put(self._key("odds", frames, prompt), [odds.log_odds, odds.mass])
        return [found[prompt] for prompt in prompts]

    def _key(self, kind: str, frames: Sequence[Frame], *words: str) -> bytes:
        asked = [TEMPLATE, self._fingerprint, kind, [(f.key, f"{f.seconds:.3f}") for f in frames], words]
        return hashlib.sha256(msgspec.json.encode(asked)).digest()


def trusted(answer: Answer) -> Answer:
    """The answer itself. Raises `JudgeFailed` when it is neither yes nor no."""
    if answer.mass < LEAST_MASS:
        raise JudgeFailed(f"the judge answers neither yes nor no ({answer.mass:.2f} of 1 on the two): {answer.question.text}")
    return answer


def _blind(straight: Odds, contrary: Odds) -> float | None:
    """None where the judge would not answer without frames."""
    if min(straight.mass, contrary.mass) < LEAST_MASS:
        return None
    return probability(straight.log_odds, contrary.log_odds)
