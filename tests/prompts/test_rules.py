"""Rules for lines: what breaks the schema, what misleads a judge, what a dimension lacks."""

from __future__ import annotations

import jsonschema
import pytest

from wanbench.fourteen import FOURTEEN
from wanbench.prompts import rules

EVENT = {
    "q": "Does the ball reach the floor?",
    "negation": "Does the video lack any moment where the ball is on the floor?",
    "expect": "yes",
    "about": "event",
}
PHYSICS = {**EVENT, "q": "Does the ball pass through the table?", "about": "physics", "expect": "no"}


def test_the_schema_is_a_schema_and_knows_the_fourteen():
    jsonschema.Draft202012Validator.check_schema(rules.schema())
    assert tuple(rules.schema()["properties"]["dimension"]["enum"]) == tuple(FOURTEEN)
    undescribed = [name for name, field in rules.schema()["properties"].items() if not field.get("description")]
    assert undescribed == []


BREACHES = {
    "text: ' ' is not a text that is not empty": {"text": " "},
    "text: 7 is neither a string nor a JSON object": {"text": 7},
    "text: 'en' is a required property": {"text": {"zh": "一"}},
    "camera.direction: 'up' is not one of ['left', 'right']": {"camera": {"movement": "pan", "direction": "up"}},
    "camera: 'direction' is a required property": {"camera": {"movement": "zoom"}},
    "camera: 'pan' is not one of ['static', 'pan-left'": {"camera": "pan"},
    "camera: 3 is neither a string nor a JSON object": {"camera": 3},
    "objects[1].count: 'two' is not of type 'integer'": {"objects": [{"name": "a"}, {"name": "b", "count": "two"}]},
    "objects[0].count: 0 is less than the minimum of 1": {"objects": [{"name": "a", "count": 0}]},
    "questions[0]: 'negation' is a required property": {"questions": [{"q": "Is it?", "expect": "yes"}]},
    "questions[0].q: 'Is it' is not a question that ends with a question mark": {"questions": [{**EVENT, "q": "Is it"}]},
    "relation.predicate: 'near' is not one of ['left of'": {"relation": {"subject": "a", "predicate": "near", "object": "b"}},
    "id: 'a/b' is not something that a file's name can hold": {"id": "a/b"},
    "the line: 'raw_text' is a required property": {"track": "rewritten"},
}


@pytest.mark.parametrize("complaint", BREACHES)
def test_breaches_of_the_schema_are_named_by_their_place(complaint):
    found = list(rules.breaches({"text": "x", **BREACHES[complaint]}))
    assert any(line.startswith(complaint) for line in found), found


def test_only_the_text_is_required_and_other_keys_are_the_users_own():
    assert list(rules.breaches({"text": "x"})) == []
    assert list(rules.breaches({"text": {"en": "x", "zh": "一"}, "mine": 3, "camera": "zoom-in"})) == []


@pytest.mark.parametrize("word", ["not", "No", "without", "isn't", "doesn’t", "never", "nothing", "cannot", "nor"])
def test_a_negated_question_misleads(word):
    line = {"text": "x", "questions": [{**EVENT, "negation": f"Is it {word} there?"}]}
    assert list(rules.breaches(line)) == []
    assert any("questions[0].negation: holds" in flaw for flaw in rules.flaws(line))


def test_words_that_only_look_negated_do_not():
    line = {"text": "x", "questions": [{**EVENT, "q": "Is the notebook on the knot of a northern noble?"}]}
    assert list(rules.flaws(line)) == []


FLAWS = {
    "questions[0]: the negation repeats the question": {"questions": [{**EVENT, "negation": EVENT["q"]}]},
    "objects: 'fox' is there twice": {"objects": [{"name": "fox"}, {"name": "hen", "aliases": ["fox"]}]},
    "distractors: 'fox' is asked for": {"objects": [{"name": "fox"}], "distractors": ["fox", "wolf"]},
    "relation.object: 'hat' is not among the names in objects": {
        "objects": [{"name": "fox"}],
        "relation": {"subject": "fox", "predicate": "on", "object": "hat"},
    },
}


@pytest.mark.parametrize("complaint", FLAWS)
def test_flaws(complaint):
    assert list(rules.flaws({"text": "x", **FLAWS[complaint]})) == [complaint]


LACKS = {
    "physical_plausibility": ["needs `event`", "needs a question about 'event'", "needs a question about 'physics'",
                              "needs 4 questions or more, not 0"],
    "smoothness": ["needs `action`", "needs a question about 'motion'"],
    "stylization_ability": ["needs `style`", "needs a question about 'style'"],
    "single_object_accuracy": ["needs `objects`"],
    "multiple_object_accuracy": ["needs `objects`"],
    "spatial_position_accuracy": ["needs `objects`", "needs `relation`"],
    "camera_control": ["needs `camera`"],
    "action_instruction_following": ["needs `action`", "needs a question about 'action'", "needs a question about 'completion'",
                                     "needs a question about 'integrity'"],
}  # fmt: skip


@pytest.mark.parametrize("dimension", FOURTEEN)
def test_what_a_bare_prompt_lacks(dimension):
    assert list(rules.lacks({"text": "x", "dimension": dimension})) == LACKS.get(dimension, [])


def test_what_a_full_prompt_lacks():
    physics = {"dimension": "physical_plausibility", "event": "falling", "questions": [EVENT, PHYSICS, PHYSICS, PHYSICS]}
    assert list(rules.lacks({"text": "x", **physics})) == []
    single = {"dimension": "single_object_accuracy", "objects": [{"name": "fox", "count": 2}], "distractors": ["wolf", "dog"]}
    assert list(rules.lacks({"text": "x", **single})) == []
    assert list(rules.lacks({"text": "x", **single, "distractors": ["wolf"]})) == ["needs two `distractors`"]
    many = {"dimension": "multiple_object_accuracy", "objects": [{"name": f"o{i}", "count": 1} for i in range(5)]}
    assert list(rules.lacks({"text": "x", **many})) == ["needs two to four categories in `objects`, not 5"]
    aerial = {"dimension": "camera_control", "camera": {"movement": "aerial", "direction": "forward"}}
    assert list(rules.lacks({"text": "x", **aerial})) == ["needs a question about 'camera'"]
    assert list(rules.lacks({"text": "x", "dimension": "camera_control", "camera": "pan-left"})) == []


def test_questions_that_do_not_say_what_they_are_about() -> None:
    """They are taken in the order of the dimension's needs; where one says it, all are taken as they are."""
    bare = [{"q": f"Is it {k}?", "negation": f"Is it more than {k}?", "expect": "yes"} for k in range(4)]
    physics = {"dimension": "physical_plausibility", "questions": bare}
    assert [q["about"] for q in rules.labelled(bare, physics)] == ["event", "physics", "physics", "physics"]
    assert [q["about"] for q in rules.labelled(bare[:2], {"dimension": "smoothness"})] == ["motion", "motion"]
    tracking = {"dimension": "camera_control", "camera": {"movement": "tracking"}}
    assert [q["about"] for q in rules.labelled(bare[:1], tracking)] == ["camera"]
    assert not any("about" in q for q in rules.labelled(bare, {}))
    mixed = [{**bare[0], "about": "physics"}, bare[1]]
    assert rules.labelled(mixed, physics) == mixed
