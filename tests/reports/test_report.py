"""The comparative report: all formats say what the summaries say, hostile text stays text, and what cannot be compared is not."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wanbench import record, scoring
from wanbench.comparison.conditions import Incomparable
from wanbench.controls.record import remember
from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN
from wanbench.published import TABLE_2, TABLE_2_WEIGHTED
from wanbench.reports.board import Board, read_board
from wanbench.reports.board_page import render_board
from wanbench.reports.board_tables import PUBLISHED, grids
from wanbench.reports.board_text import FORMATS, csv_text, json_text, latex, markdown, tex
from wanbench.reports.wording import inert
from wanbench.weights import weighting

from ..synthetic import SUITE, row, rows, simulated, write_run
from .test_page import Outline

HOSTILE = "<script>alert(1)</script> \"q\" 'a' & \\input{x} $^_~#%{}|`*[b](javascript:x)\n\n# h\r\u2028"
PROMPTS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `a`, `b` (0.03 lower), `ab` of both, `thin` (three dimensions), `other` (another suite), `odd` (another method)."""
    made = tmp_path_factory.mktemp("runs")
    a, b = (rows(n, simulated(-0.03 * k, seed=k, prompts=PROMPTS)) for k, n in enumerate("ab"))
    thin = simulated(0.02, seed=5, prompts=PROMPTS, dimensions=["smoothness", "camera_control", "human_artifacts"])
    write_run(made / "a", a, prompts={"smoothness-000": "a cat jumps"})
    write_run(made / "b", b)
    write_run(made / "ab", a + b)
    write_run(made / "thin", rows("thin", thin))
    write_run(made / "other", rows("o", simulated(seed=2, prompts=PROMPTS)), suite=SUITE | {"name": "mini", "hash": "1" * 64})
    odd = rows("odd", {"smoothness": thin["smoothness"]}, fingerprint="f-else")
    write_run(made / "odd", odd)
    return made


@pytest.fixture(scope="module")
def board(folder: Path) -> Board:
    return read_board([folder / "a", folder / "b"])


def summary(run: Path) -> Any:
    return json.loads((run / "summary.json").read_bytes())["candidates"]


def page(board: Board, folder: Path = Path("/srv")) -> str:
    return render_board(board, folder)


# ---- the numbers ----


def test_json_holds_the_summaries_to_the_last_digit(folder: Path, board: Board) -> None:
    told = json.loads(json_text(board))
    assert [c["name"] for c in told["candidates"]] == ["a", "b"]
    for entry in told["candidates"]:
        known = summary(folder / entry["name"])[entry["name"]]
        assert entry["dimensions"] == known["dimensions"]
        assert entry["pillars"] == known["pillars"]
        assert entry["score"] == {k: known["weighted"][k] for k in ("score", "low", "high")}
        assert entry["uniform"] == known["uniform"]
    assert told["complete"] is True
    assert told["over"] == list(FOURTEEN)


def test_csv_holds_the_summaries_to_the_last_digit(folder: Path, board: Board) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_text(board))))
    for name in "ab":
        known = summary(folder / name)[name]
        own = [line for line in lines if line["candidate"] == name]
        for kind, expected in (("dimension", known["dimensions"]), ("pillar", known["pillars"])):
            found = {line["name"]: line for line in own if line["kind"] == kind}
            assert found.keys() == expected.keys()
            for key, numbers in expected.items():
                assert [float(found[key][k]) for k in ("score", "low", "high")] == [numbers[k] for k in ("score", "low", "high")]
        totals = {line["weights"]: float(line["score"]) for line in own if line["kind"] == "total"}
        assert totals == {"table2": known["weighted"]["score"], "uniform": known["uniform"]["score"]}


def test_the_texts_and_the_page_hold_the_summaries_to_three_digits(folder: Path, board: Board) -> None:
    texts = {"markdown": markdown(board).replace("\\", ""), "latex": latex(board).replace("{[}", "[").replace("{]}", "]")}
    seen = Outline(page(board)).text
    for name in "ab":
        known = summary(folder / name)[name]
        told = [known["weighted"], known["uniform"], *known["pillars"].values(), *known["dimensions"].values()]
        for numbers in told:
            for kind, text in texts.items():
                assert f"{numbers['score']:.3f} [{numbers['low']:.3f}, {numbers['high']:.3f}]" in text, kind
            assert f"{numbers['score']:.3f} {numbers['low']:.3f}–{numbers['high']:.3f}" in seen


def test_differences_are_those_of_the_comparison_of_one_run(folder: Path) -> None:
    """A run of both candidates compares them in its summary, a - b; the report tells b less its baseline a."""
    known = {line["dimension"]: line for line in json.loads((folder / "ab" / "summary.json").read_bytes())["comparisons"]}
    for runs in (["ab"], ["a", "b"]):
        told = json.loads(json_text(read_board([folder / r for r in runs])))["comparisons"]["b"]["dimensions"]
        for dimension, line in known.items():
            assert told[dimension]["difference"] == -line["difference"]
            assert [told[dimension][k] for k in ("low", "high")] == [-line["high"], -line["low"]]
            assert [told[dimension][k] for k in ("p_holm", "n")] == [line["p_holm"], line["n"]]


def test_the_baseline_can_be_chosen(folder: Path) -> None:
    found = read_board([folder / "a", folder / "b"], baseline="b")
    assert (found.baseline.name, [c.name for c in found.contrasts]) == ("b", ["a"])
    assert [e.name for e in found.entries] == ["a", "b"], "places do not depend on the baseline"
    with pytest.raises(UsageError, match="the baseline 'c' is no candidate here; known are a, b"):
        read_board([folder / "a", folder / "b"], baseline="c")


def test_two_runs_of_one_name_are_told_apart_and_a_run_given_twice_is_one(folder: Path) -> None:
    found = read_board([folder / "a", folder / "ab", folder / "a"])
    assert sorted(e.name for e in found.entries) == sorted([f"a ({folder / 'a'})", f"a ({folder / 'ab'})", "b"])
    assert [e.place for e in found.entries] == [1, 1, 3], "equal totals share a place"
    assert found.baseline.name == f"a ({folder / 'a'})"
    with pytest.raises(UsageError, match="more than one candidate"):
        read_board([folder / "a", folder / "ab"], baseline="a")


def test_one_candidate_has_no_comparison(folder: Path) -> None:
    alone = read_board([folder / "a"])
    assert (alone.contrasts, alone.entries[0].place) == ((), None)
    text = Outline(page(alone)).text
    assert "Differences from" not in text
    assert "lowest score" in text
    for write in FORMATS.values():
        assert "0.5" in write(alone)


# ---- what is missing, and what never stands together ----


def test_a_partial_score_is_over_what_all_share_and_never_beside_a_full_one(folder: Path) -> None:
    found = read_board([folder / "a", folder / "thin"])
    shared = ("human_artifacts", "smoothness", "camera_control")
    assert found.over == shared
    by_name = {e.name: e for e in found.entries}
    assert by_name["thin"].total == {k: summary(folder / "thin")["thin"]["partial"][k] for k in ("score", "low", "high")}
    # By hand: the means of a in these dimensions, weights of table2 brought to 1 among the three.
    means, weights = summary(folder / "a")["a"]["dimensions"], weighting.load("table2").weights
    hand = sum(weights[d] * means[d]["score"] for d in shared) / sum(weights[d] for d in shared)
    assert by_name["a"].total
    assert by_name["a"].total["score"] == pytest.approx(hand, abs=1e-6)
    full = f"{summary(folder / 'a')['a']['weighted']['score']:.3f}"
    shown = Outline(page(found)).text
    leaderboard = shown[shown.index("Leaderboard Partial") : shown.index("Every axis runs")]
    assert full not in leaderboard
    assert f"{TABLE_2_WEIGHTED[-1]:.3f}" not in leaderboard, "a published full score stands beside no partial one either"
    assert "Partial score: over Human artifacts, Smoothness and Camera control" in leaderboard
    assert found.sensitivity is None
    assert "needs all fourteen dimensions in every candidate" in shown
    assert grids(found)[0].rows[0][2].startswith(f"{max(e.total['score'] for e in found.entries if e.total):.3f}")


def test_nothing_shared_is_no_score(folder: Path, tmp_path: Path) -> None:
    first = write_run(tmp_path / "one", rows("one", {"smoothness": simulated()["smoothness"]}))
    second = write_run(tmp_path / "two", rows("two", {"camera_control": simulated()["camera_control"]}))
    found = read_board([first, second])
    assert [e.total for e in found.entries] == [None, None]
    assert "No score: no dimension is measured well enough in every candidate" in Outline(page(found)).text
    assert found.contrasts[0].comparison is None
    assert "measured only in" in (found.contrasts[0].reason or "")
    for write in FORMATS.values():
        write(found)


def test_total_over_is_what_a_summary_holds(folder: Path) -> None:
    measured = record.read_all(folder / "thin" / record.RECORD)
    known = summary(folder / "thin")["thin"]["partial"]
    weights = weighting.load("table2").weights
    assert scoring.total_over(measured, known["dimensions"], weights, 0) == {k: known[k] for k in ("score", "low", "high")}
    with pytest.raises(ValueError, match="no weight"):
        scoring.total_over(measured, ["smoothness"], dict.fromkeys(FOURTEEN, 0.0), 0)


@pytest.mark.parametrize(("run", "reason"), [("other", "different suites: full 1.0"), ("odd", "fingerprints differ.*smoothness")])
def test_what_was_measured_otherwise_is_refused_or_shown_with_the_reason(folder: Path, run: str, reason: str) -> None:
    with pytest.raises(Incomparable, match=rf"cannot stand in one report: .*{reason}.*--allow-mismatch") as refusal:
        read_board([folder / "a", folder / run])
    assert refusal.value.exit_code == 2
    found = read_board([folder / "a", folder / run], allow_mismatch=True)
    html = page(found)
    assert re.search(reason, Outline(html).text)
    assert 'role="alert"' in html
    assert re.search(f"Compared all the same, as asked: .*{reason}", markdown(found).replace("\\", ""))
    assert re.search(f"Compared all the same, as asked: .*{reason}", latex(found).replace("\\", ""))
    assert re.search(reason, json.loads(json_text(found))["mismatches"][0]["reason"])


def test_runs_without_prompts_stand_side_by_side_without_differences(tmp_path: Path) -> None:
    made = []
    for k, name in enumerate("xy"):
        clips = [row(name, "smoothness", None, 0.5 + 0.1 * k + 0.01 * i, seed=i) for i in range(6)]
        made.append(write_run(tmp_path / name, clips, suite=None))
    found = read_board(made)
    assert [e.name for e in found.entries] == ["y", "x"]
    assert found.contrasts[0].comparison is None
    html = page(found)
    assert "No suite: nothing says that the candidates were given the same prompts." in Outline(html).text
    assert 'id="pairs"' not in html


def test_skips_that_differ_by_more_than_five_points_are_told(tmp_path: Path) -> None:
    full = simulated(prompts=20)
    often = {
        **full,
        "human_artifacts": {p: "skipped" if k < 3 else s for k, (p, s) in enumerate(full["human_artifacts"].items())},
    }
    made = [write_run(tmp_path / "full", rows("full", full)), write_run(tmp_path / "often", rows("often", often))]
    found = read_board(made)
    assert found.skip_gaps == {"human_artifacts": (("full", 0.0), ("often", 0.15))}
    assert "does not apply to 15% of the clips of often, 0% of those of full" in markdown(found)
    assert "17 of 20, 15.0% skipped" in markdown(found)
    leaderboard = grids(found)[0]
    assert any(cell.endswith(" *") for row in leaderboard.rows for cell in row), "its difference is over thirteen dimensions"
    assert "over 13 dimensions only" in Outline(page(found)).text


@pytest.mark.parametrize("broken", ["interrupted", "summary", "record", "empty"])
def test_runs_that_cannot_be_told_of_say_why(folder: Path, tmp_path: Path, broken: str) -> None:
    run = tmp_path / "run"
    status = {"status": "interrupted"} if broken == "interrupted" else {}
    write_run(run, [] if broken == "empty" else rows("a", simulated(prompts=3)), **status)
    if broken == "summary":
        record.write_json(run / record.SUMMARY, {"candidates": {"a": {"dimensions": {"smoothness": {}}}}})
    if broken == "record":
        (run / record.RECORD).write_text("")
    complaints = {
        "interrupted": "was interrupted: give its command again",
        "summary": r"summary\.json is damaged \(KeyError",
        "record": "no measurement of a",
        "empty": "no candidate was measured",
    }
    with pytest.raises(UsageError, match=complaints[broken]):
        read_board([run])


# ---- published numbers, weights, controls ----


def test_published_rows_are_marked_and_never_placed(board: Board) -> None:
    assert PUBLISHED == "published; other prompts and judge: not measured here"
    assert PUBLISHED in markdown(board)
    assert PUBLISHED in latex(board)
    html = page(board)
    assert html.count(PUBLISHED) == 2
    for table in re.findall(r'<tbody class="published">.*?</tbody>', html, re.DOTALL):
        assert 'class="place"' not in table
        assert "<circle" not in table
    told = json.loads(json_text(board))
    assert told["published"]["note"] == PUBLISHED
    assert told["published"]["models"]["Wan 14B"]["weighted"] == 0.724
    assert all(c["name"] not in told["published"]["models"] for c in told["candidates"])
    lines = [line for line in csv.DictReader(io.StringIO(csv_text(board))) if line["kind"] == "published"]
    assert len(lines) == 7 * (len(TABLE_2) + 1)
    assert {line["note"] for line in lines} == {PUBLISHED}
    assert {line["place"] for line in lines} == {""}


def test_the_range_over_admissible_weights(board: Board) -> None:
    told = json.loads(json_text(board))["sensitivity"]
    scores = {e.name: e.total["score"] for e in board.entries if e.total}
    for name, span in told["scores"].items():
        assert span["low"] <= scores[name] <= span["high"]
    # a is higher than b in every dimension of this simulation, so it is first whatever the weights.
    higher = [e.summary["dimensions"] for e in board.entries]
    assert all(higher[0][d]["score"] > higher[1][d]["score"] for d in FOURTEEN)
    assert told["rankings"] == [["a", "b"]]
    assert "Under every admissible weighting: a > b." in Outline(page(board)).text
    assert "0.077 to 0.355" in markdown(board), "camera control's weight, as the definition has it"


def test_other_weights_are_used_and_named(folder: Path) -> None:
    found = read_board([folder / "a", folder / "b"], weights=weighting.load("uniform"))
    for e in found.entries:
        assert e.total == e.uniform == summary(folder / e.name)[e.name]["uniform"]
    only = weighting.Weighting(name="mine", provenance="test", weights={d: float(d == "smoothness") for d in FOURTEEN})
    found = read_board([folder / "a", folder / "b"], weights=only)
    for e in found.entries:
        assert e.total
        assert e.total["score"] == e.summary["dimensions"]["smoothness"]["score"]
    assert "| mine |" in markdown(found)
    with pytest.raises(UsageError, match="the weights mine cannot be used here"):
        read_board([folder / "a", write_run(folder / "cam", rows("c", {"camera_control": simulated()["camera_control"]}))],
                   weights=only)  # fmt: skip


def test_failed_controls_are_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a file, or the last ones of this machine."""
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path / "home"))
    failed = {
        "control": "frozen",
        "verdict": "fail",
        "expectation": {"words": "falls by 0.05", "reason": ""},
        "clips": 5,
        "obeying": 1,
        "effect": {"median": 0.01},
    }
    floor = {"mean": 0.0042}
    dimensions = {
        "smoothness": {"fingerprint": "f-smoothness", "results": [failed], "noise_floor": floor},
        "camera_control": {"fingerprint": "f-camera_control", "results": [], "noise_floor": {"mean": None}},
        "human_artifacts": {"fingerprint": "of another method", "results": [failed], "noise_floor": floor},
    }
    file = tmp_path / "controls.json"
    content = {"dimensions": dimensions, "end": "2026-11-02T08:00:00+00:00", "clips": ["a", "b"]}
    record.write_json(file, {"kind": "controls", "schema_version": 1, **content})
    assert read_board([folder / "a"]).controls is None
    remember(content)
    last = read_board([folder / "a"]).controls
    found = read_board([folder / "a"], controls=file)
    assert last is not None
    assert found.controls is not None
    assert last.checked == found.controls.checked
    assert last.source == "the last `wanbench controls` of each dimension on this machine"
    shown = Outline(page(found)).text
    for text in (shown, markdown(found).replace("\\", "")):
        assert "Smoothness fails 1 control: frozen." in text
        assert "frozen: expected falls by 0.05, median +0.010, 1 of 5 clips obey" in text
        assert "0.0042" in text
        assert "2026-11-02" in text
        assert "not checked by this method" in text
    assert json.loads(json_text(found))["controls"]["failed"].keys() == {"smoothness", "camera_control"}
    with pytest.raises(UsageError, match="no result of `wanbench controls`"):
        read_board([folder / "a"], controls=folder / "a" / "run.json")


# ---- hostile text, and every format parses ----


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Board:
    made = tmp_path_factory.mktemp("hostile")
    prompts = {f"{HOSTILE}{k}": 0.4 + 0.1 * k for k in range(4)}
    worse = {p: s - 0.2 for p, s in prompts.items()}
    runs = [
        write_run(made / name, rows(f"{HOSTILE}{name}", {"smoothness": found}), prompts=dict.fromkeys(found, HOSTILE))
        for name, found in (("x", prompts), ("y", worse))
    ]
    return read_board(runs)


def test_hostile_text_stays_text_in_markdown(hostile: Board) -> None:
    for line in markdown(hostile).splitlines():
        assert not re.search(r"(?<!\\)<|(?<!\\)\[b", line), line
    assert inert("a|b\n<x> [l](u) # `c`") == r"a\|b &lt;x&gt; \[l\](u) \# \`c\`"
    tables = [line for line in markdown(hostile).splitlines() if line.startswith("|")]
    for grid in grids(hostile):
        assert sum(len(re.findall(r"(?<!\\)\|", line)) == len(grid.headings) + 1 for line in tables) >= len(grid.rows) + 2


def test_hostile_text_stays_text_in_latex(hostile: Board) -> None:
    text = latex(hostile)
    bare = re.sub(r"\\[{}%&$#_\\]", "", text.replace("\\textbackslash{}", ""))
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert r"\input" not in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == len(grids(hostile))
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert not re.search(r"(?<!\\)[#_^~]", body)
    assert tex("50 % & a_b {c} \\d\ne") == r"50 \% \& a\_b \{c\} \textbackslash{}d e"


def test_csv_and_json_keep_hostile_names_whole(hostile: Board) -> None:
    names = {e.candidate for e in hostile.entries}
    found = {line["candidate"] for line in csv.DictReader(io.StringIO(csv_text(hostile), newline="")) if line["run"]}
    assert found == names
    assert {c["candidate"] for c in json.loads(json_text(hostile))["candidates"]} == names


@pytest.mark.parametrize("write", FORMATS.values())
def test_every_format_says_the_same_twice(folder: Path, write: Callable[[Board], str]) -> None:
    assert write(read_board([folder / "a", folder / "b"])) == write(read_board([folder / "a", folder / "b"]))
