"""The shipped prompts, all of them: the counts and rules that the suite promises."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from itertools import combinations

import pytest

from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN
from wanbench.prompts import diversity, rules, suite
from wanbench.prompts.coverage import cover
from wanbench.prompts.selection import choose_suites, features
from wanbench.prompts.suite import load_suite, shipped_lines, shipped_suites
from wanbench.prompts.writing import line, write

SPLIT = {
    "large_motion_generation": 70, "human_artifacts": 70, "pixel_level_stability": 50, "id_consistency": 90,
    "physical_plausibility": 70, "smoothness": 70, "comprehensive_image_quality": 70, "scene_generation_quality": 70,
    "stylization_ability": 65, "single_object_accuracy": 60, "multiple_object_accuracy": 65, "spatial_position_accuracy": 65,
    "camera_control": 130, "action_instruction_following": 90,
}  # fmt: skip
"""Wan-Bench's definition page, section 7."""
BY_KIND = {"human": 30, "animal": 30, "object": 30}
SUBSETS = {
    "camera_control": {"pan": 26, "lift": 26, "zoom": 26, "aerial": 26, "tracking": 26},
    "id_consistency": BY_KIND,
    "action_instruction_following": BY_KIND,
}
OPPOSITES = {"left": "right", "up": "down", "in": "out", "forward": "backward"}
BANNED = {
    "vbench", "evalcrafter", "pixar", "disney", "ghibli", "marvel", "lego", "pokemon", "nintendo", "barbie",
    "batman", "spiderman", "spider-man", "superman", "mickey", "coca-cola", "pepsi", "nike", "adidas",
    "iphone", "tesla", "ferrari", "porsche", "bmw", "mercedes", "toyota", "mcdonald", "starbucks", "google",
    "youtube", "tiktok", "picasso", "warhol", "miyazaki", "hogwarts", "naruto", "minecraft", "gore", "corpse",
    "nude", "naked", "sexy", "nazi", "masterpiece", "4k", "8k",
}  # fmt: skip

FULL = load_suite("full")
FIELDS = {identity: prompt.fields for identity, prompt in FULL.prompts.items()}


def of(dimension: str) -> dict[str, dict]:
    return {i: f for i, f in FIELDS.items() if f["dimension"] == dimension}


def test_the_split():
    assert Counter(f["dimension"] for f in FIELDS.values()) == SPLIT
    assert len(FIELDS) == 1035
    for dimension, subsets in SUBSETS.items():
        assert Counter(f["subset"] for f in of(dimension).values()) == subsets


@pytest.mark.parametrize("dimension", FOURTEEN)
def test_ids_are_numbered_in_order(dimension):
    assert list(of(dimension)) == [f"{dimension}-{n:03d}" for n in range(1, SPLIT[dimension] + 1)]


@pytest.mark.parametrize("dimension", FOURTEEN)
def test_every_line_keeps_every_rule(dimension):
    wrong = [
        f"{i}: {problem}"
        for i, fields in of(dimension).items()
        for problem in (*rules.breaches(fields), *rules.flaws(fields), *rules.lacks(fields))
    ]
    assert wrong == []


def test_both_languages_and_their_lengths():
    lengths = {i: len(diversity.words(f["text"]["en"])) for i, f in FIELDS.items()}
    assert {i: n for i, n in lengths.items() if not 8 <= n <= 60} == {}
    ratio = {i: len(diversity.characters(f["text"]["zh"])) / lengths[i] for i, f in FIELDS.items()}
    assert {i: r for i, r in ratio.items() if not 0.7 <= r <= 3.2} == {}, "a translation that lost or gained half its text"
    assert [i for i, f in FIELDS.items() if re.search(r"[，。]", f["text"]["zh"]) is None] == []
    assert max(Counter(f["text"]["zh"] for f in FIELDS.values()).values()) == 1


@pytest.mark.parametrize("dimension", FOURTEEN)
def test_lengths_vary_in_every_dimension(dimension):
    smallest, *_, largest = diversity.quartiles([len(diversity.words(f["text"]["en"])) for f in of(dimension).values()])
    assert smallest <= 16
    assert largest >= 33


def test_no_templates():
    sequences = diversity.shared_sequences(f["text"]["en"] for f in FIELDS.values())
    assert {" ".join(s): n for s, n in sequences.items() if n > 3} == {}
    for dimension in FOURTEEN:
        overlap, first, second = diversity.closest_pair(
            {i: set(diversity.words(f["text"]["en"])) for i, f in of(dimension).items()}
        )
        assert overlap <= 0.5, (first, second)


def test_variety():
    total = cover(FULL)["all"]
    assert total.objects >= 150
    assert total.styles >= 40
    assert total.actions >= 120
    assert total.places >= 60
    assert total.events >= 30
    assert set(total.ages) >= {"child", "teenager", "young", "adult", "middle-aged", "elderly"}
    assert total.origins >= 40
    assert total.occupations >= 60


def test_openings_vary():
    """Two first words, of all prompts: no opening is a habit."""
    openings = Counter(" ".join(diversity.words(f["text"]["en"])[:2]) for f in FIELDS.values())
    assert openings.most_common(1)[0][1] <= 0.04 * len(FIELDS)


def test_nothing_that_a_model_may_not_draw():
    said = {i: set(re.findall(r"[\w-]+", json.dumps(f, ensure_ascii=False).lower())) for i, f in FIELDS.items()}
    assert {i: words & BANNED for i, words in said.items() if words & BANNED} == {}


def test_questions_of_physics():
    for identity, fields in of("physical_plausibility").items():
        abouts = [question["about"] for question in fields["questions"]]
        assert Counter(abouts)["event"] == 1, identity
        assert next(q for q in fields["questions"] if q["about"] == "event")["expect"] == "yes", identity
    asked = [q for f in of("physical_plausibility").values() for q in f["questions"] if q["about"] == "physics"]
    assert 0.25 <= sum(q["expect"] == "no" for q in asked) / len(asked) <= 0.75, "who always says yes must gain nothing"


def test_a_question_is_asked_of_one_prompt():
    asked = Counter(
        q["q"].lower() for f in FIELDS.values() for q in f.get("questions", ()) if f["dimension"] == "physical_plausibility"
    )
    assert {q: n for q, n in asked.items() if n > 1} == {}


def test_actions_ask_for_three_things():
    for identity, fields in of("action_instruction_following").items():
        assert sorted(q["about"] for q in fields["questions"]) == ["action", "completion", "integrity"], identity


def test_camera_directions_are_balanced():
    movements = {"pan": "pan", "lift": "tilt", "zoom": "zoom", "aerial": "aerial", "tracking": "tracking"}
    for subset, movement in movements.items():
        lines = [f for f in of("camera_control").values() if f["subset"] == subset]
        assert {f["camera"]["movement"] for f in lines} == {movement}
        directions = Counter(f["camera"]["direction"] for f in lines)
        for one, other in OPPOSITES.items():
            assert directions[one] == directions[other], subset


def test_counted_objects():
    names = [entry["name"] for f in of("single_object_accuracy").values() for entry in f["objects"]]
    assert len(set(names)) >= 55
    assert {len(f["objects"]) for f in of("multiple_object_accuracy").values()} == {2, 3, 4}
    for identity, fields in of("spatial_position_accuracy").items():
        assert {entry["name"] for entry in fields["objects"]} == {fields["relation"]["subject"], fields["relation"]["object"]}, (
            identity
        )


def test_lines_are_written_one_way():
    assert {i: text for i, text in shipped_lines().items() if line(FIELDS[i]).encode() != text} == {}


def test_the_named_suites():
    named = shipped_suites()["suites"]
    assert {name: len(entry["prompts"]) for name, entry in named.items()} == {"smoke": 14, "mini": 140, "full": 1035}
    assert [FIELDS[i]["dimension"] for i in named["smoke"]["prompts"]] == list(FOURTEEN)
    assert Counter(FIELDS[i]["dimension"] for i in named["mini"]["prompts"]) == dict.fromkeys(FOURTEEN, 10)
    assert set(named["smoke"]["prompts"]) <= set(named["full"]["prompts"])


@pytest.mark.parametrize("name", ["smoke", "mini", "full"])
def test_the_hash_is_that_of_the_exported_file(name, tmp_path):
    loaded = load_suite(name)
    exported = write(loaded, "jsonl", "en", [0])
    assert hashlib.sha256(exported).hexdigest() == loaded.hash == shipped_suites()["suites"][name]["sha256"]
    (tmp_path / "copy.jsonl").write_bytes(exported)
    copy = load_suite(str(tmp_path / "copy.jsonl"))
    assert copy.hash == loaded.hash
    assert copy.prompts == loaded.prompts
    assert (loaded.version, copy.version) == ("1.0", None)


def test_the_suites_are_found_again_from_the_texts():
    assert choose_suites(shipped_lines()) == shipped_suites()


def test_a_changed_prompt_is_noticed(monkeypatch):
    lines = shipped_lines()
    first = next(iter(shipped_suites()["suites"]["smoke"]["prompts"]))
    lines[first] = lines[first].replace(b"e", b"3", 1).replace(b'"t3xt"', b'"text"').replace(b'"dim3nsion"', b'"dimension"')
    monkeypatch.setattr(suite, "shipped_lines", lambda: lines)
    suite._shipped.cache_clear()
    with pytest.raises(UsageError, match=r"smoke were changed"):
        load_suite("smoke")
    suite._shipped.cache_clear()


@pytest.mark.parametrize("dimension", FOURTEEN)
def test_mini_is_as_varied_as_full(dimension):
    """Mean distance of two prompts; every subset and direction is there in its share."""

    def mean_distance(lines: list[dict]) -> float:
        distances = [1 - diversity.overlap(features(a), features(b)) for a, b in combinations(lines, 2)]
        return sum(distances) / len(distances)

    whole, mini = list(of(dimension).values()), [FIELDS[i] for i in of(dimension) if i in load_suite("mini").prompts]
    assert mean_distance(mini) >= mean_distance(whole)
    shares, chosen = Counter(f["subset"] for f in whole), Counter(f["subset"] for f in mini)
    for subset, count in shares.items():
        assert abs(chosen[subset] - 10 * count / len(whole)) <= 1, subset
