"""`wanbench prompts`, as a user has it: real processes, shipped suites and one's own."""

from __future__ import annotations

import hashlib
import json

import pytest

from wanbench.fourteen import FOURTEEN
from wanbench.prompts.suite import load_suite

from .command import Wanbench, check_run, info, lines, write_clips


def test_list_names_the_suites(wanbench: Wanbench) -> None:
    ended = wanbench("prompts", "list")
    assert ended.code == 0
    words = [line.split() for line in ended.out.splitlines()]
    assert words[0] == ["Suite", "Prompts", "Version", "Hash"]
    assert [w[:3] for w in words[1:]] == [["smoke", "14", "1.0"], ["mini", "140", "1.0"], ["full", "1035", "1.0"]]
    assert {s["name"]: s["hash"] for s in wanbench("prompts", "list", "--json").json}["mini"] == load_suite("mini").hash


def test_list_and_show_prompts(wanbench: Wanbench) -> None:
    ended = wanbench("prompts", "list", "--suite", "mini", "--dimensions", "camera_control", "--language", "zh")
    assert ended.code == 0
    found = [line.split("\t") for line in ended.out.splitlines()]
    assert len(found) == 10
    assert all(i.startswith("camera_control-") and load_suite("full").prompts[i].given["zh"] == text for i, text in found)
    shown = wanbench("prompts", "show", "physical_plausibility-001", found[0][0])
    assert shown.code == 0
    prompt = load_suite("full").prompts["physical_plausibility-001"]
    for text in (*prompt.given.values(), prompt.fields["questions"][0]["q"], "contrary: ", found[0][0]):
        assert text in shown.out
    assert wanbench("prompts", "show", "physical_plausibility-001", "--json").json == [prompt.fields]


def test_stats_print_coverage_and_variety(wanbench: Wanbench) -> None:
    ended = wanbench("prompts", "stats")
    assert ended.code == 0
    for name in (*FOURTEEN, "all", "1035", "Jaccard", "Six words in a row"):
        assert name in ended.out
    found = wanbench("prompts", "stats", "--suite", "mini", "--json").json
    assert found["suite"]["prompts"] == found["coverage"]["all"]["prompts"] == 140
    assert found["coverage"]["camera_control"]["subsets"] == dict.fromkeys(("aerial", "lift", "pan", "tracking", "zoom"), 2)


def test_validate_names_every_wrong_line(wanbench: Wanbench) -> None:
    (wanbench.cwd / "own.jsonl").write_text(
        '{"id": "a", "text": "x", "dimension": "beauty"}\n'
        "not json\n"
        '{"id": "b", "text": {"zh": "一"}}\n'
        '{"id": "b", "text": "y", "dimension": "smoothness"}\n'
        '{"text": "z", "questions": [{"q": "Is it not?", "negation": "Is it?", "expect": "yes"}]}\n'
    )
    ended = wanbench("prompts", "validate", "own.jsonl")
    assert ended.code == 2
    assert ended.err == ""
    found = ended.out.splitlines()
    assert found[0].startswith("own.jsonl line 1: dimension: 'beauty' is not one of")
    assert any(line.startswith("own.jsonl line 2: is not valid JSON") for line in found)
    assert "own.jsonl line 3: text: 'en' is a required property" in found
    assert "own.jsonl line 4: the id 'b' is there twice, first at own.jsonl line 3" in found
    assert any(line.startswith("own.jsonl line 5: questions[0].q: holds 'not'") for line in found)
    assert "own.jsonl line 4: warning: needs `action`" in found
    assert found[-1].startswith("4 prompts: 5 errors, 2 warnings")
    assert len(wanbench("prompts", "validate", "own.jsonl", "--json").json["errors"]) == 5


@pytest.mark.parametrize("name", ["smoke", "mini", "full"])
def test_the_shipped_suites_are_valid(wanbench: Wanbench, name: str) -> None:
    ended = wanbench("prompts", "validate", name)
    assert (ended.code, ended.out) == (0, f"{len(load_suite(name).prompts)} prompts: nothing wrong\n")


@pytest.mark.parametrize("form", ["jsonl", "csv", "txt", "vbench"])
def test_export(wanbench: Wanbench, form: str) -> None:
    assert wanbench("prompts", "export", "--suite", "mini", "--format", form, "--out", f"mini.{form}").code == 0
    content = (wanbench.cwd / f"mini.{form}").read_bytes()
    assert wanbench("prompts", "export", "--suite", "mini", "--format", form).out.encode() == content
    if form == "jsonl":
        assert hashlib.sha256(content).hexdigest() == load_suite("mini").hash
    if form == "vbench":
        assert json.loads(content)[0]["video_list"][0].endswith("-0.mp4")
    elif form != "txt":
        assert load_suite(str(wanbench.cwd / f"mini.{form}")).prompts == load_suite("mini").prompts
    else:
        assert content.decode().count("\n") == 140


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["list", "--suite", "gone.jsonl"], "the suite gone.jsonl cannot be read"),
        (["list", "--dimensions", "beauty"], "unknown dimension 'beauty'"),
        (["show", "camera_control-999"], "has no prompt 'camera_control-999'"),
        (["validate", "gone.jsonl"], "the suite gone.jsonl cannot be read"),
        (["export", "--format", "vbench", "--seeds", "0,0"], "--seeds takes different whole numbers"),
        (["export", "--out", "gone/x.jsonl"], "cannot write gone/x.jsonl"),
        (["rewrite", "--server", "nowhere", "--llm", "m", "--out", "x.jsonl"], "'nowhere' is no address of a server"),
    ],
)
def test_wrong_use_is_one_line(wanbench: Wanbench, arguments: list[str], complaint: str) -> None:
    ended = wanbench("prompts", *arguments)
    assert ended.code == (74 if "cannot write" in complaint else 2)
    assert complaint in ended.complaint


def test_videos_of_a_shipped_suite_are_scored_under_its_name_and_hash(wanbench: Wanbench) -> None:
    """Named by id, or as VBench names them by the Chinese text; the smoke suite measures everything that applies."""
    folder = write_clips(wanbench.cwd / "model", 2)
    suite = load_suite("smoke")
    pan = next(p for p in suite.prompts.values() if p.dimension == "camera_control")
    other = next(p for p in suite.prompts.values() if p.dimension == "pixel_level_stability")
    first, second = sorted(folder.iterdir())
    first.rename(folder / f"{pan.id}-4.mp4")
    second.rename(folder / f"{other.given['zh'][:70]}-0.mp4")
    ended = wanbench("score", folder, "--suite", "smoke", "--profile", "lite", "--out", "r", "--language", "zh")
    assert ended.code == 0, ended
    facts = info(wanbench.cwd / "r")["suite"]
    assert facts == {"name": "smoke", "version": "1.0", "hash": suite.hash, "track": "raw", "language": "zh"}
    rows = lines(wanbench.cwd / "r")
    assert {r["dimension"] for r in rows if r["prompt_id"] == pan.id} == set(FOURTEEN)
    assert [r["dimension"] for r in rows if r["prompt_id"] == pan.id and not r["exploratory"]] == ["camera_control"]
    check_run(wanbench.cwd / "r")
