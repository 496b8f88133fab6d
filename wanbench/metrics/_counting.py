"""Answers in JSON about single frames (ours): counts of named categories, held to a schema while they are written.

The judge is asked for counts of a list and never whether there are as many as the prompt asks for: a leading question is
answered yes. The list is in alphabetical order, or else the asked category would always stand first.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from wanbench.judge.asking import Judge
from wanbench.judge.protocol import Frame, JudgeFailed, Token, Written, inside

MOST = 9
"""[ours] One digit, so that its probability can be read off one token; nobody counts more in a frame at a glance."""
MAX_TOKENS = 160
"""[ours] Four categories of three words and their counts take half of it."""
TEMPLATES = (
    "Look at the frame and count. How many of each of the things named between the marks are to be seen in it?\n"
    "<names>\n{names}\n</names>\n"
    "Answer with one JSON object that gives for each name a whole number from 0 to 9; 9 stands for nine or more.",
    "Count in the frame what is named between the marks.\n<names>\n{names}\n</names>\n"
    "Your whole answer is one line of JSON such as {example}, with whole numbers from 0 to 9.",
)
"""The second is for an answer to the first that cannot be read."""
SETTINGS: dict[str, str | int | float] = {"counts": " / ".join(TEMPLATES), "most": MOST, "max_tokens": MAX_TOKENS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What the judge counts in a frame."""

    counts: Mapping[str, int]
    """Category -> how many, 9 for more."""
    probabilities: Mapping[str, tuple[float, ...] | None]
    """Category -> probability of each count from 0 to 9; None where the judge does not say."""


def count(judge: Judge, frame: Frame, categories: Mapping[str, Sequence[str]]) -> Counted:
    """Count categories (name -> other names for it) in a frame. Raises `JudgeFailed` when no answer can be read."""
    names = sorted(categories)
    listed = "\n".join(
        inside(name) + (f" (or {', '.join(map(inside, categories[name]))})" if categories[name] else "") for name in names
    )
    schema = {
        "type": "object",
        "properties": {name: {"type": "integer", "minimum": 0, "maximum": MOST} for name in names},
        "required": names,
        "additionalProperties": False,
    }
    example = msgspec.json.encode(dict.fromkeys(map(inside, names), 0)).decode()
    prompts = [template.format(names=listed, example=example) for template in TEMPLATES]

    def whole_numbers(found: Mapping[str, Any]) -> bool:
        return found.keys() == set(names) and all(type(n) is int and 0 <= n <= MOST for n in found.values())

    written, found = written_json(judge, frame, prompts, schema, whole_numbers)
    return Counted(counts=found, probabilities=_digits(written))


def written_json(
    judge: Judge,
    frame: Frame,
    prompts: Sequence[str],
    schema: Mapping[str, Any],
    is_right: Callable[[Mapping[str, Any]], bool],
) -> tuple[Written, dict[str, Any]]:
    """The first answer to one of `prompts` that is what was asked for. Raises `JudgeFailed`."""
    written = None
    for prompt in prompts:
        written = judge.write([frame], prompt, schema, MAX_TOKENS)
        try:
            found = msgspec.json.decode(written.text)
        except ValueError:
            continue
        if isinstance(found, dict) and is_right(found):
            return written, found
    said = written.text[:80] if written else ""
    raise JudgeFailed(
        f"the judge's answer is not the JSON that was asked for: {said!r}{'' if written and written.finished else ' (cut)'}"
    )


def _digits(written: Written) -> dict[str, tuple[float, ...] | None]:
    """Name -> probabilities of 0 to 9 where its count was written; None where no token is that digit alone."""
    starts = itertools.accumulate((len(token.text) for token in written.tokens), initial=0)
    at = {start + len(t.text) - len(t.text.lstrip()): t for start, t in zip(starts, written.tokens, strict=False)}
    whole = "".join(token.text for token in written.tokens) == written.text  # some servers leave tokens out, or spell bytes
    return {
        msgspec.json.decode(entry[1]): _shares(at.get(entry.start(2))) if whole else None
        for entry in _ENTRY.finditer(written.text)
    }


def _shares(token: Token | None) -> tuple[float, ...] | None:
    if token is None or token.text.strip() not in _DIGITS:
        return None
    shares = [sum(p for text, p in token.alternatives if text.strip() == digit) for digit in _DIGITS]
    total = sum(shares)
    return tuple(share / total for share in shares) if total else None


_DIGITS = [str(n) for n in range(MOST + 1)]
_ENTRY = re.compile(r'("(?:[^"\\]|\\.)*")\s*:\s*(\d)')
"""A name and its count in a flat JSON object."""
