"""A back end with a script instead of a model: what cannot exist here is a judge whose answers are known beforehand."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from wanbench.judge.protocol import Frame, Odds, Token, Written

Opinion = Callable[[Sequence[Frame], str], float]
"""(frames, prompt) -> log-odds of yes."""
Writing = Callable[[Frame, str, Mapping[str, Any]], str]
"""(frame, prompt, schema) -> the answer."""


def by_digest(frames: Sequence[Frame], prompt: str) -> float:
    """An opinion like any other, the same whenever the same is asked."""
    content = "".join([f"{f.key}{f.seconds:.3f}" for f in frames] + [prompt])
    return 6.0 * int.from_bytes(hashlib.sha256(content.encode()).digest()[:4]) / 2**32 - 3.0


def least(frame: Frame, prompt: str, schema: Mapping[str, Any]) -> str:
    """The first value that the schema allows for each key."""
    kinds: dict[str, Any] = {"integer": 0, "boolean": False}
    return json_of({k: v["enum"][0] if "enum" in v else kinds[v["type"]] for k, v in schema["properties"].items()})


def json_of(values: Mapping[str, Any]) -> str:
    return msgspec.json.encode(values).decode().replace(":", ": ").replace(",", ", ")


@dataclass
class Scripted:
    """`wanbench.judge.protocol.Backend`"""

    opinion: Opinion = by_digest
    writing: Writing = least
    mass: float = 1.0
    asked: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    """(the frames' keys, prompt) of each question in turn."""

    def odds(self, frames: Sequence[Frame], prompts: Sequence[str]) -> Iterable[Odds]:
        for prompt in prompts:
            self.asked.append((tuple(f.key for f in frames), prompt))
            yield Odds(log_odds=self.opinion(frames, prompt), mass=self.mass)

    def write(self, frames: Sequence[Frame], prompt: str, schema: Mapping[str, Any], max_tokens: int) -> Written:
        self.asked.append((tuple(f.key for f in frames), prompt))
        text = self.writing(frames[0], prompt, schema)
        return Written(text=text, tokens=tuple(Token(text=t, alternatives=((t, 0.75), ("7", 0.25))) for t in text), finished=True)

    def facts(self) -> dict[str, Any]:
        return {"scripted": True}


def logit(p: float) -> float:
    return math.log(p) - math.log(1 - p)


def between_marks(prompt: str) -> str:
    """The question that a prompt holds."""
    return prompt.partition("<question>\n")[2].partition("\n</question>")[0]
