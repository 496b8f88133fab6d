"""Human comparisons of two candidates' videos of one prompt, read from a CSV file. Light half.

Columns, in any order: `candidate_a`, `candidate_b`, `prompt_id`, `preference` (`a`, `b` or `tie`), and if wanted `score_a` and
`score_b` (any one scale, higher is better), `annotator`, `aspect`. Capitals and spaces are allowed in heads, and the shorter ones
in `ALIASES`. A line that cannot be used is an error that names it: dropping votes would change what the rest says.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from wanbench.errors import UsageError

Preference = Literal["a", "b", "tie"]
OUTCOMES: tuple[Preference, ...] = get_args(Preference)

NEEDED = ("candidate_a", "candidate_b", "prompt_id", "preference")
ALIASES = {"a": "candidate_a", "b": "candidate_b", "model_a": "candidate_a", "model_b": "candidate_b", "prompt": "prompt_id"}
OVERALL = "overall"
"""The aspect of votes in a file without the column."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vote:
    """One annotator's comparison of two candidates on one prompt; `a` is the candidate that comes first in the alphabet."""

    a: str
    b: str
    prompt: str
    preference: Preference
    annotator: str | None
    aspect: str
    scores: tuple[float, float] | None
    """Of a and b, on the annotators' scale."""
    line: int
    """In the file, counted from 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparisons:
    """The votes of a file."""

    votes: Sequence[Vote]
    sha256: str
    """Of the file."""

    def about(self, aspect: str) -> list[Vote]:
        """The votes on one aspect; where the file knows a single one, that is meant by `overall`. Raises `UsageError`."""
        known = self.aspects
        if aspect == OVERALL and len(known) == 1:
            return list(self.votes)
        if aspect not in known:
            raise UsageError(f"no vote is about the aspect {aspect!r}; --aspect takes {', '.join(known)}")
        return [v for v in self.votes if v.aspect == aspect]

    @property
    def aspects(self) -> list[str]:
        return list(dict.fromkeys(v.aspect for v in self.votes))


def read_votes(path: Path) -> Comparisons:
    """The comparisons of a CSV file. Raises `UsageError` with the number of the first line that cannot be used."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    votes: list[Vote] = []
    try:
        columns = _columns(next(reader, []), path)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                votes.append(_vote(columns, cells, reader.line_num))
    except csv.Error as error:
        raise UsageError(f"{path} line {reader.line_num}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{path} line {reader.line_num}: {error}") from error
    _refuse_repeats(votes, path)
    if not votes:
        raise UsageError(f"{path} holds no comparison")
    return Comparisons(votes=votes, sha256=hashlib.sha256(content).hexdigest())


def _columns(heads: Sequence[str], path: Path) -> list[str]:
    names = [head.strip().lower().replace(" ", "_") for head in heads]
    names = [ALIASES.get(name, name) for name in names]
    if missing := [name for name in NEEDED if name not in names]:
        raise UsageError(f"{path} has no column {', '.join(missing)}; it needs {', '.join(NEEDED)}, and may have "
                         "score_a, score_b, annotator, aspect")  # fmt: skip
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise UsageError(f"{path} has two columns {twice[0]}")
    if ("score_a" in names) != ("score_b" in names):
        raise UsageError(f"{path} has one of the columns score_a and score_b: it needs both or neither")
    return names


def _vote(columns: Sequence[str], cells: Sequence[str], line: int) -> Vote:
    """Raises `ValueError` in words."""
    if len(cells) != len(columns):
        raise ValueError(f"{len(cells)} cells for {len(columns)} columns")
    given = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    for name in ("candidate_a", "candidate_b", "prompt_id", *(n for n in ("annotator", "aspect") if n in given)):
        if not given[name]:
            raise ValueError(f"{name} is empty")
    a, b = given["candidate_a"], given["candidate_b"]
    if a == b:
        raise ValueError(f"{a} is compared with itself")
    preference = next((o for o in OUTCOMES if o == given["preference"].lower()), None)
    if preference is None:
        raise ValueError(f"preference must be a, b or tie, not {given['preference']!r}")
    scores = _scores(given.get("score_a", ""), given.get("score_b", ""), preference)
    if a > b:
        a, b = b, a
        swapped: Mapping[Preference, Preference] = {"a": "b", "b": "a", "tie": "tie"}
        preference = swapped[preference]
        scores = scores[::-1] if scores else None
    return Vote(
        a=a,
        b=b,
        prompt=given["prompt_id"],
        preference=preference,
        annotator=given.get("annotator"),
        aspect=given.get("aspect", OVERALL),
        scores=scores,
        line=line,
    )


def _scores(a: str, b: str, preference: Preference) -> tuple[float, float] | None:
    if not a and not b:
        return None
    try:
        scores = float(a), float(b)
    except ValueError:
        raise ValueError(f"score_a and score_b must both be numbers, not {a!r} and {b!r}") from None
    if not all(map(math.isfinite, scores)):
        raise ValueError(f"score_a and score_b must be finite, not {a!r} and {b!r}")
    if (preference == "a" and scores[0] < scores[1]) or (preference == "b" and scores[1] < scores[0]):
        raise ValueError(f"{preference} is preferred, but has the lower score ({a} and {b})")
    return scores


def _refuse_repeats(votes: Sequence[Vote], path: Path) -> None:
    seen: dict[tuple[str, ...], int] = {}
    for vote in votes:
        if vote.annotator is None:
            continue
        key = (vote.a, vote.b, vote.prompt, vote.aspect, vote.annotator)
        if key in seen:
            raise UsageError(f"{path} line {vote.line}: {vote.annotator} has compared {vote.a} and {vote.b} on {vote.prompt} "
                             f"already, in line {seen[key]}")  # fmt: skip
        seen[key] = vote.line


Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, slots=True)
class Coded:
    """Votes as numbers; N votes."""

    pairs: list[tuple[str, str]]
    """Pairs of candidates, each in the order of the alphabet; sorted."""
    pair: Ints
    """(N,) index into `pairs`."""
    prompts: list[str]
    prompt: Ints
    """(N,) index into `prompts`."""
    annotators: list[str]
    annotator: Ints
    """(N,) index into `annotators`; where nobody is named, every vote counts as that of one annotator."""
    outcome: Ints
    """(N,) index into `OUTCOMES`."""
    value: Floats
    """(N,) a's human score less b's where every vote has scores, else +1, -1 or 0."""
    valued_by: Literal["scores", "preference"]


def code(votes: Sequence[Vote]) -> Coded:
    """Votes, sorted so that their order in the file does not matter."""
    votes = sorted(votes, key=lambda v: (v.a, v.b, v.prompt, v.annotator or "", v.aspect, v.preference, v.scores or (0.0, 0.0)))
    pairs, prompts = sorted({(v.a, v.b) for v in votes}), sorted({v.prompt for v in votes})
    annotators = sorted({v.annotator or "" for v in votes})
    scored = all(v.scores for v in votes)
    signs = {"a": 1.0, "b": -1.0, "tie": 0.0}
    values = [v.scores[0] - v.scores[1] if scored and v.scores else signs[v.preference] for v in votes]
    return Coded(
        pairs=pairs,
        pair=_indices([(v.a, v.b) for v in votes], pairs),
        prompts=prompts,
        prompt=_indices([v.prompt for v in votes], prompts),
        annotators=annotators,
        annotator=_indices([v.annotator or "" for v in votes], annotators),
        outcome=_indices([v.preference for v in votes], OUTCOMES),
        value=np.array(values),
        valued_by="scores" if scored else "preference",
    )


def _indices(values: Sequence[object], known: Sequence[object]) -> Ints:
    places = {value: place for place, value in enumerate(known)}
    return np.array([places[value] for value in values], np.intp)
