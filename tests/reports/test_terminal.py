"""The final table and the lines about failed files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from wanbench.reports.reasons import by_reason, why_unmeasured
from wanbench.reports.terminal import error_lines, render_table
from wanbench.reports.view import read_run
from wanbench.types import JSONObject, Measurement

from .fake_run import LITE, Recipe, build


def printed(summary: JSONObject, why: dict[str, str] | None = None, width: int = 100) -> str:
    out = io.StringIO()
    render_table(summary, Console(file=out, width=width, no_color=True), why)
    return out.getvalue()


def entry(score: float | None, **counts: int) -> JSONObject:
    ends = {"low": None, "high": None} if score is None else {"low": score - 0.05, "high": score + 0.05}
    return {"score": score, "n": 0, "skipped": 0, "errors": 0, "expected": 0} | ends | counts


SUMMARY: JSONObject = {
    "candidates": {
        "demo": {
            "dimensions": {
                "large_motion_generation": entry(0.41, n=9, skipped=2, errors=1, expected=12),
                "human_artifacts": entry(None, skipped=12, expected=12),
                "camera_control": entry(0.7, n=12, expected=12),
            }
        }
    }
}


def test_table_by_hand() -> None:
    lines = [line.split() for line in printed(SUMMARY).splitlines()]
    assert lines == [
        ["Dimension", "Score", "95", "%", "interval", "n", "skipped", "errors"],
        ["Large", "motion", "generation", "0.410", "0.360–0.460", "9", "of", "12", "2", "1"],
        ["Camera", "control", "0.700", "0.650–0.750", "12", "0", "0"],
    ]


def test_what_nobody_was_measured_in_is_one_line() -> None:
    text = " ".join(
        printed(SUMMARY, {"human_artifacts": "no person", "smoothness": "no judge", "stylization_ability": "no judge"}).split()
    )
    assert text.endswith("Not measured: Smoothness and Stylization ability (no judge); Human artifacts (no person)")


def test_candidates_get_a_column_when_several(tmp_path: Path) -> None:
    view = read_run(
        build(tmp_path / "run", Recipe(candidates=("[red]a[/red]", "b\x1b[31m"), clips=12, dimensions=LITE, pictures=False))
    )
    text = printed(view.summary)
    assert "Candidate" in text
    assert text.count("[red]a[/red]") == 4
    assert "\x1b" not in text
    assert "partial score" in text


def test_narrow_terminals_lose_the_interval_not_the_score() -> None:
    text = printed(SUMMARY, width=60)
    assert "0.410" in text
    assert "0.360" not in text
    assert max(map(len, text.splitlines())) <= 60


def test_nothing_measured() -> None:
    assert "No clip was measured." in printed(
        {"candidates": {"demo": {"dimensions": {"camera_control": entry(None, skipped=3)}}}}
    )


def test_complete_score_names_its_weights() -> None:
    weighted = {"score": 0.7, "low": 0.6, "high": 0.8, "weights": "table2", "complete": True}
    text = printed({"candidates": {"demo": SUMMARY["candidates"]["demo"] | {"weighted": weighted, "partial": None}}})
    assert "weighted score 0.700 [0.600–0.800], weights table2" in text
    assert "partial" not in text


def row(video: str, dimension: str, reason: str | None, status: str = "error") -> Measurement:
    return Measurement(
        candidate="demo",
        video=video,
        sha256="",
        prompt_id=None,
        seed=None,
        dimension=dimension,
        status=status,  # type: ignore[arg-type]
        score=0.5 if status == "ok" else None,
        reason=reason,
        exploratory=False,
        method=None,
        fingerprint=None,
        seconds=None,
        raw=None,
    )


def test_each_failed_file_is_named_once() -> None:
    rows = [
        row("good.mp4", "camera_control", None, status="ok"),
        row("cut.mp4", "camera_control", "truncated: 3 of 9 frames"),
        row("cut.mp4", "large_motion_generation", "truncated: 3 of 9 frames"),
        row("odd\n\x1b[2J.mp4", "camera_control", "no flow"),
        row("short.mp4", "camera_control", "too short", status="skipped"),
    ]
    assert error_lines(rows) == ["cut.mp4: truncated: 3 of 9 frames", "odd\\n\\x1b[2J.mp4: no flow (camera_control)"]


def test_reasons_come_from_the_methods_else_from_the_record() -> None:
    rows = [
        row("a.mp4", "human_artifacts", "no person", status="skipped"),
        row("b.mp4", "human_artifacts", "no person", status="skipped"),
        row("c.mp4", "human_artifacts", "too short", status="skipped"),
        row("a.mp4", "camera_control", None, status="ok"),
    ]
    run = {"methods": {"smoothness": {"skipped": "no judge"}, "camera_control": {"method": "dis"}}}
    summary: JSONObject = {"candidates": {"demo": {"dimensions": {"camera_control": entry(0.5, n=1, expected=1)}}}}
    why = why_unmeasured(run, summary, rows)
    assert why["human_artifacts"] == "no person (and 1 other reason)"
    assert why["smoothness"] == "no judge"
    assert why["stylization_ability"] == "not part of this run"
    assert "camera_control" not in why
    assert by_reason(why)[0][0] == "not part of this run"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_any_width(width: int) -> None:
    assert max(map(len, printed(SUMMARY, {"smoothness": "no judge"}, width=width).splitlines())) <= width
