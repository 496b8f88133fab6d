"""How varied a set of prompts is: shared sequences of words, overlap of words, lengths.

Ours. A suite written from templates measures one prompt many times; these figures show it, and the tests of the shipped
suites hold them to limits.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

SEQUENCE_WORDS = 6
"""A sequence this long that returns in many prompts is a template, not an idiom."""

_WORD = re.compile(r"[a-z0-9]+(?:['’][a-z]+)*")
_HAN = re.compile(r"[\u3400-\u9fff]")


def words(text: str) -> list[str]:
    """The words of an English text, lower case, punctuation dropped; hyphens part words."""
    return _WORD.findall(text.lower())


def characters(text: str) -> list[str]:
    """The Chinese characters of a text, in order."""
    return _HAN.findall(text)


def pairs_of_characters(text: str) -> set[str]:
    """The pairs of neighbouring Chinese characters: what stands for words where none are parted."""
    return {a + b for a, b in itertools.pairwise(characters(text))}


def overlap(a: set[str], b: set[str]) -> float:
    """Jaccard index of two sets, in [0, 1]: shared over all. 0 for two empty sets."""
    return len(a & b) / len(a | b) if a or b else 0.0


def closest_pair(tokens: Mapping[str, set[str]]) -> tuple[float, str, str]:
    """(overlap, id, id) of the two prompts with the largest Jaccard index; (0, "", "") for fewer than two."""
    return max(
        ((overlap(a, b), i, j) for (i, a), (j, b) in itertools.combinations(tokens.items(), 2)),
        default=(0.0, "", ""),
        key=lambda found: found[0],
    )


def closest_between(ours: Mapping[str, set[str]], theirs: Mapping[str, set[str]]) -> tuple[float, str, str]:
    """(overlap, id of ours, id of theirs) of the two prompts of different sets with the largest Jaccard index."""
    return max(
        ((overlap(a, b), i, j) for i, a in ours.items() for j, b in theirs.items()),
        default=(0.0, "", ""),
        key=lambda found: found[0],
    )


def shared_sequences(texts: Iterable[str], length: int = SEQUENCE_WORDS) -> Counter[tuple[str, ...]]:
    """How many texts hold each sequence of `length` words. A text counts once for a sequence it repeats."""
    found: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        spoken = words(text)
        found.update({tuple(spoken[i : i + length]) for i in range(len(spoken) - length + 1)})
    return found


def quartiles(lengths: Sequence[int]) -> tuple[int, int, int, int, int]:
    """Smallest, lower quartile, median, upper quartile and largest of some lengths, each a value that occurs."""
    ordered = sorted(lengths)
    last = len(ordered) - 1
    return tuple(ordered[round(last * share)] for share in (0, 0.25, 0.5, 0.75, 1))  # type: ignore[return-value]
