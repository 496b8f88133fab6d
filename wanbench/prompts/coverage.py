"""What a suite covers: for each dimension how many prompts, of what, and how varied they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from wanbench.fourteen import FOURTEEN
from wanbench.prompts import diversity
from wanbench.prompts.suite import Suite
from wanbench.types import JSONObject, Prompt

WITHOUT_DIMENSION = "(none)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Counts of one dimension's prompts, or of all."""

    prompts: int
    subsets: Mapping[str, int]
    kinds: Mapping[str, int]
    """Subject kind -> prompts."""
    words: tuple[int, int, int, int, int]
    """Smallest, lower quartile, median, upper quartile and largest number of words of the English texts."""
    characters: tuple[int, int, int, int, int] | None
    """The same of the Chinese texts' characters; None when no text is Chinese."""
    objects: int
    """Distinct categories."""
    styles: int
    actions: int
    events: int
    places: int
    ages: Mapping[str, int]
    origins: int
    occupations: int
    questions: int
    expect_yes: float | None
    """Share of the questions whose expected answer is yes; None without questions."""
    largest_overlap: float
    """Of the words of two prompts (Jaccard), with the two ids in `closest`."""
    closest: tuple[str, str]
    most_shared_sequence: tuple[str, int]
    """The six words in a row that most prompts share, and how many prompts."""

    def to_json(self) -> JSONObject:
        return asdict(self)


def cover(suite: Suite) -> dict[str, Coverage]:
    """Dimension -> coverage, in the order of the fourteen; then `all`, where overlap is still sought inside dimensions only."""
    groups = {d: [p for p in suite.prompts.values() if p.dimension == d] for d in (*FOURTEEN, None)}
    found = {d or WITHOUT_DIMENSION: cover_prompts(prompts) for d, prompts in groups.items() if prompts}
    closest = max(found.values(), key=lambda coverage: coverage.largest_overlap)
    found["all"] = cover_prompts(list(suite.prompts.values()), (closest.largest_overlap, *closest.closest))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Likeness:
    """How near a suite comes to another set of prompts."""

    prompts: int
    """Of the other set."""
    largest_overlap: float
    """Of the words of two prompts (Jaccard)."""
    closest: tuple[str, str]
    """The two ids."""
    shared_sequences: tuple[str, ...]
    """Six words in a row that stand in both."""

    def to_json(self) -> JSONObject:
        return asdict(self)


def compare_texts(suite: Suite, other: Suite) -> Likeness:
    """Whether a suite's English texts stand in another set, or nearly do."""
    texts = {name: {i: p.given["en"] for i, p in s.prompts.items()} for name, s in (("ours", suite), ("theirs", other))}
    words = {name: {i: set(diversity.words(t)) for i, t in those.items()} for name, those in texts.items()}
    overlap, mine, other_id = diversity.closest_between(words["ours"], words["theirs"])
    sequences = [diversity.shared_sequences(those.values()).keys() for those in texts.values()]
    return Likeness(
        prompts=len(other.prompts),
        largest_overlap=overlap,
        closest=(mine, other_id),
        shared_sequences=tuple(sorted(" ".join(s) for s in sequences[0] & sequences[1])),
    )


def cover_prompts(prompts: Sequence[Prompt], closest: tuple[float, str, str] | None = None) -> Coverage:
    """Coverage of some prompts; `closest` saves looking for the closest pair."""
    fields = [p.fields for p in prompts]
    english = {str(p.id): p.given["en"] for p in prompts}
    chinese = [len(diversity.characters(p.given["zh"])) for p in prompts if "zh" in p.given]
    people = [person for f in fields for person in f.get("people", ())]
    questions = [question for f in fields for question in f.get("questions", ())]
    overlap, first, second = closest or diversity.closest_pair({i: set(diversity.words(t)) for i, t in english.items()})
    sequence, times = next(iter(diversity.shared_sequences(english.values()).most_common(1)), ((), 0))
    return Coverage(
        prompts=len(prompts),
        subsets=_count(p.subset for p in prompts),
        kinds=_count(f.get("subject_kind") for f in fields),
        words=diversity.quartiles([len(diversity.words(t)) for t in english.values()]),
        characters=diversity.quartiles(chinese) if chinese else None,
        objects=len({entry["name"].lower() for f in fields for entry in f.get("objects", ())}),
        styles=_distinct(fields, "style"),
        actions=_distinct(fields, "action"),
        events=_distinct(fields, "event"),
        places=_distinct(fields, "place"),
        ages=_count(person.get("age") for person in people),
        origins=len({person["origin"].lower() for person in people if "origin" in person}),
        occupations=len({person["occupation"].lower() for person in people if "occupation" in person}),
        questions=len(questions),
        expect_yes=sum(q["expect"] == "yes" for q in questions) / len(questions) if questions else None,
        largest_overlap=overlap,
        closest=(first, second),
        most_shared_sequence=(" ".join(sequence), times),
    )


def _count(values: Iterable[object]) -> dict[str, int]:
    return dict(sorted(Counter(str(value) for value in values if value).items()))


def _distinct(lines: Iterable[Mapping[str, Any]], field: str) -> int:
    return len({str(fields[field]).lower() for fields in lines if field in fields})
