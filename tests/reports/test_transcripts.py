"""What a judge was asked: readable on a clip's card, escaped, closed at first, and robust against what a record may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wanbench.reports import transcripts
from wanbench.reports.page import write_page

from .fake_run import HOSTILE_TEXT, Recipe, build

ENTRY: dict[str, Any] = {
    "question": "Does the ball fall?", "contrary": "Does the ball hang in the air?", "about": "event", "expect": "yes",
    "probability": 0.8, "log_odds": 2.0, "contrary_log_odds": -0.77, "plain_average": 0.8, "inconsistency": 0.2, "mass": 0.97,
    "blind_probability": 0.55, "frames_seconds": [0.0, 0.5, 4.875],
}  # fmt: skip


def of(**changed: Any) -> transcripts.Asked:
    (found,) = transcripts.asked({"evidence": {"transcript": [{**ENTRY, **changed}]}})
    return found


def test_a_question_and_its_answer() -> None:
    found = of()
    assert (found.question, found.contrary, found.says, found.wanted) == (ENTRY["question"], ENTRY["contrary"], "yes 0.80", True)
    assert found.frames == "3 frames, 0.00 s to 4.88 s"
    assert found.detail == (
        "expected yes, log-odds 2.00, of the contrary -0.77, inconsistency 0.20, blind 0.55, mass 0.97"
    )  # fmt: skip


def test_a_no_is_worded_with_its_own_probability() -> None:
    found = of(probability=0.1, expect="no", frames_seconds=[1.5], blind_probability=None)
    assert (found.says, found.wanted, found.frames) == ("no 0.90", True, "1.50 s")
    assert "blind –" in found.detail
    assert not of(probability=0.1).wanted


def test_counts_and_relations() -> None:
    raw = {"evidence": {"frames": [
        {"seconds": 0.0, "counts": {"cat": 2, "dog": 0}},
        {"seconds": 1.0, "subject_seen": True, "object_seen": False, "relation": "left of"},
    ]}}  # fmt: skip
    assert transcripts.looked(raw) == (
        transcripts.Looked(time="0.00 s", found="cat 2, dog 0"),
        transcripts.Looked(time="1.00 s", found="subject seen yes, object seen no, relation left of"),
    )


@pytest.mark.parametrize("evidence", [None, 3, [], {"transcript": "x"}, {"transcript": [3, None]}, {"frames": {"a": 1}}, {}])
def test_a_record_may_hold_anything(evidence: Any) -> None:
    assert transcripts.asked({"evidence": evidence}) == ()
    assert transcripts.looked({"evidence": evidence}) == ()


def test_broken_entries_are_shown_as_far_as_they_go() -> None:
    (found,) = transcripts.asked(
        {"evidence": {"transcript": [{"question": 3, "probability": "high", "frames_seconds": ["x", None]}]}}
    )
    assert (found.question, found.says) == ("3", "–")
    assert len(transcripts.asked({"evidence": {"transcript": [{}] * 1000}})) == transcripts.LONGEST
    assert transcripts.looked({"evidence": {"frames": [{"counts": "many"}]}})[0].time == "–"


def test_the_judge_of_a_run() -> None:
    judge = {"kind": "server", "model": "m", "fingerprint": "abc"}
    assert transcripts.judge({}) == transcripts.judge({"judge": None}) == []
    never = dict(transcripts.judge({"judge": {**judge, "audit": None}}))
    assert never["model"] == "m"
    assert "never audited" in never["audit"]
    audited = dict(transcripts.judge({"judge": {**judge, "audit": {"date": "2026-11-20T14:00:00+00:00", "kappa": 0.61234}}}))
    assert audited["audit.date"] == "2026-11-20 14:00 UTC"
    assert audited["audit.kappa"] == "0.6123"


def test_on_the_page_it_is_escaped_and_closed(tmp_path: Path) -> None:
    run = build(tmp_path / "run", Recipe(clips=4, dimensions=("large_motion_generation",), pictures=False, errors=False))
    lines = [json.loads(line) for line in (run / "measurements.jsonl").read_text().splitlines()]
    hostile = {**ENTRY, "question": HOSTILE_TEXT, "contrary": f'"{HOSTILE_TEXT}'}
    frames = [{"seconds": 0.0, "counts": {HOSTILE_TEXT: 1}}]
    for line in lines:
        if line["raw"] is not None:
            line["raw"]["evidence"] = {"transcript": [hostile], "frames": frames}
    (run / "measurements.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = write_page(run).read_text()
    assert '<details class="asked"><summary>Asked of the judge</summary>' in page
    assert "<script>window.hacked" not in page
    assert "<b onmouseover" not in page
    assert "yes 0.80" in page
    assert "evidence.transcript" not in page, "said once"
