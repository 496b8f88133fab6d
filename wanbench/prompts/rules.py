"""What a line of a suite must be: its schema, the wording of its questions, and what its dimension needs.

Wan-Bench's definition page, section 4: a question comes with an affirmative contrary, because vision-language models misread
negated questions. The JSON Schema in `schema.json` is the definition of the fields.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

QUESTIONS_OF_PHYSICS = 4
"""One question asks for the event; fewer than three beside it would let a single mistaken answer decide the score."""

JUDGE_COUNTS = ("single_object_accuracy", "multiple_object_accuracy", "spatial_position_accuracy")
ASKED_ABOUT: Mapping[str, tuple[str, ...]] = {
    "physical_plausibility": ("event", "physics"),
    "smoothness": ("motion",),
    "stylization_ability": ("style",),
    "action_instruction_following": ("action", "completion", "integrity"),
}
"""What the questions of a dimension must be about, at least once each."""

_PATTERNS = {
    r"\S": "a text that is not empty",
    r"\?\s*$": "a question that ends with a question mark",
    r"^[^/\\\x00-\x1f]+$": "something that a file's name can hold",
}
"""Pattern of the schema -> what it asks for, in words."""
_NEGATED = re.compile(r"\b(?:not|no|without|never|none|nothing|nobody|nowhere|neither|nor|cannot)\b|n['’]t\b", re.IGNORECASE)


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one line."""
    loaded: dict[str, Any] = msgspec.json.decode(files("wanbench.prompts").joinpath("schema.json").read_bytes())
    return loaded


@cache
def _validator() -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator(schema())


def breaches(fields: Mapping[str, Any]) -> Iterator[str]:
    """Where a line does not keep the schema: it cannot be used."""
    found = _validator().iter_errors(dict(fields))
    for breach in sorted(found, key=lambda error: [str(step) for step in error.absolute_path]):
        yield from (f"{_place(error)}: {_said(error)}" for error in _meant(breach))


def _meant(error: Any) -> list[Any]:
    """Of a breach of alternatives, what breaks the one that was meant: the one of the value's own type."""
    if error.validator != "oneOf":
        return [error]
    branches = itertools.groupby(error.context, key=lambda inner: inner.relative_schema_path[0])
    tried = [list(errors) for _, errors in branches]
    of_its_type = [errors for errors in tried if not any(e.validator == "type" and not e.relative_path for e in errors)]
    return of_its_type[0] if len(of_its_type) == 1 else [error]


def flaws(fields: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a line that keeps the schema: it can be used, and its answers would mislead."""
    yield from _wording(fields)
    yield from _names(fields)


def _place(error: Any) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path]
    return "".join(steps).lstrip(".") or "the line"


def _said(error: Any) -> str:
    if error.validator == "pattern":
        return f"{error.instance!r} is not {_PATTERNS[error.validator_value]}"
    if error.validator == "maxLength":
        return f"has {len(error.instance)} characters, and a file's name holds {error.validator_value}"
    if error.validator == "oneOf":
        return f"{error.instance!r} is neither a {' nor a '.join(_kind(a) for a in error.validator_value)}"
    return str(error.message)


def _kind(alternative: Mapping[str, Any]) -> str:
    return {"object": "JSON object"}.get(alternative["type"], str(alternative["type"]))


def _wording(fields: Mapping[str, Any]) -> Iterator[str]:
    for i, question in enumerate(fields.get("questions") or ()):
        for key in ("q", "negation"):
            if found := _NEGATED.search(question[key]):
                yield f"questions[{i}].{key}: holds {found.group(0)!r}; ask it in the affirmative, models misread negations"
        if question["q"].strip().lower() == question["negation"].strip().lower():
            yield f"questions[{i}]: the negation repeats the question"


def _names(fields: Mapping[str, Any]) -> Iterator[str]:
    names = [name for entry in fields.get("objects") or () for name in (entry["name"], *entry.get("aliases", ()))]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"objects: {name!r} is there twice"
    for name in fields.get("distractors") or ():
        if name in names:
            yield f"distractors: {name!r} is asked for"
    seen = [entry["name"] for entry in fields.get("objects") or ()]
    relation = fields.get("relation") or {}
    for role in ("subject", "object"):
        if relation and relation[role] not in seen:
            yield f"relation.{role}: {relation[role]!r} is not among the names in objects"


def lacks(fields: Mapping[str, Any]) -> Iterator[str]:
    """What the line's own dimension needs and the line does not have: it can be generated, but not be measured in full."""
    dimension = str(fields.get("dimension") or "")
    objects, questions = fields.get("objects") or [], fields.get("questions") or []
    if dimension in JUDGE_COUNTS and not objects:
        yield "needs `objects`"
    if dimension in JUDGE_COUNTS[:2]:
        yield from (f"needs a `count` for {entry['name']!r}" for entry in objects if "count" not in entry)
    if dimension == "single_object_accuracy" and objects:
        if len(objects) != 1:
            yield f"needs one category in `objects`, not {len(objects)}"
        if len(fields.get("distractors") or ()) != 2:
            yield "needs two `distractors`"
    if dimension == "multiple_object_accuracy" and objects and not 2 <= len(objects) <= 4:
        yield f"needs two to four categories in `objects`, not {len(objects)}"
    if dimension == "spatial_position_accuracy" and not fields.get("relation"):
        yield "needs `relation`"
    for field, owner in {"style": "stylization_ability", "camera": "camera_control", "event": "physical_plausibility"}.items():
        if dimension == owner and not fields.get(field):
            yield f"needs `{field}`"
    if dimension in ("smoothness", "action_instruction_following") and not fields.get("action"):
        yield "needs `action`"
    labels = {question.get("about") for question in labelled(questions, fields)}
    yield from (f"needs a question about {about!r}" for about in _abouts(fields) if about not in labels)
    if dimension == "physical_plausibility" and len(questions) < QUESTIONS_OF_PHYSICS:
        yield f"needs {QUESTIONS_OF_PHYSICS} questions or more, not {len(questions)}"


def labelled(questions: Sequence[Mapping[str, Any]], fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The questions with what each is about. Where none says so they are taken in the order that the line's dimension needs:
    the first one asks whether the event happens, all after it look for violations of physics."""
    abouts = _abouts(fields)
    if not abouts or any("about" in question for question in questions):
        return [dict(question) for question in questions]
    return [{**question, "about": abouts[min(k, len(abouts) - 1)]} for k, question in enumerate(questions)]


def _abouts(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """What the questions of a line must be about."""
    return ("camera",) if needs_judged_camera(fields) else ASKED_ABOUT.get(str(fields.get("dimension") or ""), ())


def needs_judged_camera(fields: Mapping[str, Any]) -> bool:
    """Whether a camera prompt asks for what flow cannot tell: an aerial or a tracking shot."""
    camera = fields.get("camera")
    movement = camera.get("movement") if isinstance(camera, Mapping) else camera
    return fields.get("dimension") == "camera_control" and movement in ("aerial", "tracking")
