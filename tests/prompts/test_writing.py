"""Suites as files for other tools, and what comes back when they are read again."""

from __future__ import annotations

import json

import pytest

from wanbench.errors import UsageError
from wanbench.prompts.coverage import cover
from wanbench.prompts.selection import spread
from wanbench.prompts.suite import load_suite, name_of_text
from wanbench.prompts.writing import write

LINES = [
    {"id": "camera_control-001", "dimension": "camera_control", "subset": "pan",
     "text": {"en": "Left, over \"a bay\",\nslowly", "zh": "向左摇过海湾"}, "camera": {"movement": "pan", "direction": "left"}},
    {"id": "single_object_accuracy-001", "dimension": "single_object_accuracy", "text": {"en": "Two / three foxes", "zh": "狐狸"},
     "objects": [{"name": "fox", "aliases": ["vixen"], "count": 2}], "distractors": ["wolf", "dog"], "place": "heath",
     "people": [{"age": "child", "origin": "Sami"}],
     "questions": [{"q": "Is it?", "negation": "Is it other?", "expect": "yes"},
                   {"q": "Is a?", "negation": "Is b?", "expect": "no"}]},
]  # fmt: skip


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES), "utf-8")
    return load_suite(str(path))


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_every_field_comes_back(suite, tmp_path, form):
    path = tmp_path / f"copy.{form}"
    path.write_bytes(write(suite, form, "en", [0]))
    assert load_suite(str(path)).prompts == suite.prompts


def test_plain_texts_are_a_suite_again(suite, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes(write(suite, "txt", "zh", [0]))
    assert path.read_text("utf-8") == "向左摇过海湾\n狐狸\n"
    assert [p.text for p in load_suite(str(path)).prompts.values()] == ["向左摇过海湾", "狐狸"]
    assert write(suite, "txt", "en", [0]).decode().splitlines()[0] == 'Left, over "a bay", slowly'


def test_vbench_names_lead_back_to_the_prompt(suite):
    entries = json.loads(write(suite, "vbench", "en", [0, 3]))
    assert [e["dimension"] for e in entries] == [["camera_control"], ["single_object_accuracy"]]
    assert entries[1]["video_list"] == ["Two   three foxes-0.mp4", "Two   three foxes-3.mp4"]
    assert entries[1]["video_list"][0] == name_of_text("Two / three foxes") + "-0.mp4"


def test_a_language_that_is_not_there_is_said(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text('{"id": "a", "text": "x"}\n')
    with pytest.raises(UsageError, match="the prompt a has no text in 'zh'; it has en"):
        write(load_suite(str(path)), "txt", "zh", [0])


def test_the_tracks_are_never_mixed(tmp_path):
    path = tmp_path / "own.jsonl"
    rewritten = {"id": "b", "text": "long", "track": "rewritten", "raw_text": "short"}
    path.write_text(json.dumps({"id": "a", "text": "x"}) + "\n" + json.dumps(rewritten) + "\n")
    with pytest.raises(UsageError, match=r"mixes raw and rewritten prompts \(b\)"):
        load_suite(str(path))
    path.write_text(json.dumps(rewritten) + "\n")
    prompt = load_suite(str(path)).prompts["b"]
    assert (prompt.track, prompt.text, prompt.given) == ("rewritten", "short", {"en": "long"})


def test_coverage_counts(suite):
    found = cover(suite)
    assert list(found) == ["single_object_accuracy", "camera_control", "all"]
    one, total = found["single_object_accuracy"], found["all"]
    assert (one.prompts, one.objects, one.places, one.questions, one.expect_yes) == (1, 1, 1, 2, 0.5)
    assert (one.ages, one.origins, one.occupations) == ({"child": 1}, 1, 0)
    assert found["camera_control"].subsets == {"pan": 1}
    assert total.words == (3, 3, 3, 5, 5)  # "Left over a bay slowly" and "Two three foxes"; of two, the median is the lower
    assert total.characters == (2, 2, 2, 6, 6)
    assert total.largest_overlap == 0.0


def lines(*rows: tuple[str, str, str]) -> list[dict[str, str]]:
    return [{"id": identity, "subset": subset, "text": text, "place": text.split()[0]} for identity, subset, text in rows]


def test_a_choice_is_spread_and_balanced():
    prompts = lines(
        ("1", "a", "shore with boats at dawn"),
        ("2", "a", "shore with boats at dusk"),
        ("3", "a", "kitchen full of steam"),
        ("4", "b", "forest under heavy snow"),
        ("5", "b", "forest under heavy rain"),
        ("6", "b", "street market selling lanterns"),
    )
    chosen = spread(prompts, 4)
    assert len(chosen) == 4
    assert {"3", "6"} < set(chosen)  # of each subset the odd one out, and one of the twins
    assert spread(prompts, 2) == spread(list(prompts), 2)
    assert len(spread(prompts, 100)) == 6
