"""A suite's raw texts out of its rewritten track."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wanbench.errors import UsageError
from wanbench.prompts.suite import Suite, load_suite
from wanbench.prompts.tracks import on_track
from wanbench.prompts.writing import line

SMOKE = load_suite("smoke")


@pytest.fixture
def rewritten(tmp_path: Path) -> Suite:
    """As `prompts rewrite` writes it."""
    path = tmp_path / "long.jsonl"
    rows = [
        {
            **p.fields,
            "text": {language: text + " In detail." for language, text in p.given.items()},
            "track": "rewritten",
            "raw_text": p.fields["text"],
            "rewriter": {"model": "m", "template": "t"},
        }
        for p in SMOKE.prompts.values()
    ]
    path.write_text("".join(line(row) + "\n" for row in rows), "utf-8")
    return load_suite(str(path))


def test_the_raw_texts_come_back_with_the_raw_suites_hash(rewritten: Suite) -> None:
    assert rewritten.track == "rewritten"
    raw = on_track(rewritten, "raw")
    assert (raw.track, raw.hash) == ("raw", SMOKE.hash)
    assert [p.given for p in raw.prompts.values()] == [p.given for p in SMOKE.prompts.values()]
    assert [dict(p.fields) for p in raw.prompts.values()] == [dict(p.fields) for p in SMOKE.prompts.values()]


def test_a_suite_on_its_own_track_stays_what_it_is(rewritten: Suite) -> None:
    assert on_track(rewritten, "rewritten") is rewritten
    assert on_track(SMOKE, "raw") is SMOKE
    assert on_track(SMOKE, None) is SMOKE


def test_nobody_rewrites_by_the_way(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the suite smoke is raw: `wanbench prompts rewrite` writes its rewritten track"):
        on_track(SMOKE, "rewritten")
    path = tmp_path / "bare.jsonl"
    path.write_text(json.dumps({"text": "a fox in detail", "track": "rewritten", "raw_text": "a fox"}) + "\n")
    assert next(iter(on_track(load_suite(str(path)), "raw").prompts.values())).given == {"en": "a fox"}
