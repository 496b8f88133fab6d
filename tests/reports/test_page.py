"""The HTML report: what it says, that hostile text stays text, and that it works in a real browser."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from wanbench.controls.record import remember
from wanbench.errors import OutputError, UsageError
from wanbench.fourteen import FOURTEEN
from wanbench.reports.clips import samples, script_safe, table_json
from wanbench.reports.page import render, write_page
from wanbench.reports.scores import Axis, Estimate
from wanbench.reports.view import RunView, evidence_pictures, read_run

from .fake_run import HOSTILE_TEXT, LITE, Recipe, build

SMALL = Recipe(candidates=("left", "right"), clips=30)
LITE_PARTIAL = Recipe(candidates=("solo",), clips=12, dimensions=LITE, profile="lite", status="interrupted", pictures=False)
HOSTILE = Recipe(candidates=("<b>x</b>\"'", "مرشح 🎬"), clips=12, hostile=True)
LARGE = Recipe(candidates=tuple(f"candidate-{i}" for i in range(10)), clips=1035, pictures=False)
MOST_ROWS = 500
"""Drawn at once, whatever the run's size: 10,350 would be slow."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("small") / "runs" / "small-0badcafe", SMALL)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("hostile") / "runs" / "hostile", HOSTILE)


class Outline(HTMLParser):
    """Elements with their attributes, and the text of the page outside of style and script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open[-1:]):
            self.text += " " + " ".join(data.split())


def embedded(page: str) -> Any:
    found = re.search(r'<script id="table-data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_page_is_written_in_place_and_says_the_same_twice(small: Path) -> None:
    first = write_page(small)
    text = first.read_text("utf-8")
    assert first == small / "report.html"
    assert write_page(small).read_text("utf-8") == text
    assert [p.name for p in small.iterdir() if "report" in p.name] == ["report.html"]


def test_scores_counts_and_reasons_stand_on_the_page(small: Path) -> None:
    view = read_run(small)
    text = Outline(render(view)).text
    for candidate in ("left", "right"):
        entry = view.summary["candidates"][candidate]["dimensions"]["camera_control"]
        assert f"{entry['score']:.3f} {entry['low']:.3f}–{entry['high']:.3f}" in text
    # 30 clips: number 11 is truncated, and every third (10, none of them number 11) has nobody in it.
    assert "29 of 30 · 1 error" in text
    assert "19 of 30 · 10 skipped · 1 error" in text
    assert "no judge: give --judge NAME or URL" in text
    assert "truncated: 31 of 81 frames" in text
    assert "Partial score over Large motion generation" in text
    assert "unpinned" in text
    assert "wanbench score left=videos/left right=videos/right --profile reference" in text


def test_every_failed_file_is_named_once_with_its_reason(small: Path) -> None:
    text = Outline(render(read_run(small))).text
    section = text[text.index("Errors, by file and reason") : text.index("Skipped, by reason")]
    assert section.count("-0011.mp4") == 2
    assert section.count("all 7") == 2


def test_a_complete_score_is_never_beside_a_partial_one(small: Path) -> None:
    view = read_run(small)
    summary = json.loads(json.dumps(view.summary))
    for entry in summary["candidates"].values():
        entry["weighted"] = {"score": 0.7, "low": 0.65, "high": 0.75, "weights": "table2", "complete": True}
        entry["uniform"] = {"score": 0.6, "low": 0.55, "high": 0.65}
        entry["dimensions"] = {d: {**next(iter(entry["dimensions"].values())), "score": 0.7} for d in FOURTEEN}
    text = Outline(render(dataclasses.replace(view, summary=summary))).text
    assert "Weighted score" in text
    assert "weighted, table2; uniform 0.600; 0.700–0.700 over all admissible weightings" in text
    assert "Partial score over" not in text


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    view = read_run(build(tmp_path / "run", LITE_PARTIAL))
    page = render(dataclasses.replace(view, measurements=view.measurements[:-3]))
    alarm = Outline(page).text
    assert "This run is interrupted." in alarm
    assert "Of 36 planned measurements," in alarm
    assert "3 are missing" in alarm
    assert "give the same command again" in alarm
    assert 'role="alert"' in page
    complete = render(dataclasses.replace(view, run=view.run | {"status": "complete"}))
    assert 'role="alert"' not in complete


def test_dimensions_without_scores_are_grouped_by_reason(tmp_path: Path) -> None:
    text = Outline(render(read_run(build(tmp_path / "run", LITE_PARTIAL)))).text
    section = text[text.index("Not measured") : text.index("Worst and best clips")]
    assert section.count("not in profile lite: needs networks") == 1
    assert "Human artifacts, ID consistency, Comprehensive image quality and Scene generation quality" in section


def test_a_run_of_nothing_still_makes_a_page(tmp_path: Path) -> None:
    empty = RunView(directory=tmp_path, run={}, summary={"candidates": {}}, measurements=[], pictures=lambda sha, kind: None)
    text = Outline(render(empty)).text
    assert "No clip was measured in any dimension." in text
    assert "not part of this run" in text


def gated(verdict: str, **changed: Any) -> dict[str, Any]:
    told = {"verdict": verdict, "reason": "why", "exact": False, "drawn": 8, "of": 24, "alpha": 0.05, "seed": 3}
    return {"sequential": {**told, "weights": "table2", "baseline": "b.json", **changed}}


@pytest.mark.parametrize(
    ("gate", "says", "says_not"),
    [
        (gated("PASS"), "drawn one by one until this was settled (table2 weights, seed 3): at most 5 % of such", "All 24"),
        (gated("REGRESSION", exact=True, drawn=24), "All 24 prompts were drawn, so that nothing of it is left", "at most 5"),
        (gated("INCONCLUSIVE"), "8 of 24 prompts were drawn, and neither PASS nor REGRESSION is settled", "at most 5"),
        (gated("INCONCLUSIVE", exact=True, drawn=24), "24 of 24 prompts were drawn, and neither", "The scores below"),
    ],
)
def test_a_sequential_verdict_claims_no_more_than_it_may(
    small: Path, gate: dict[str, Any], says: str, says_not: str
) -> None:  # fmt: skip
    view = read_run(small)
    text = Outline(render(dataclasses.replace(view, run={**view.run, **gate}))).text
    assert says in text
    assert says_not not in text
    partial = "The scores below come from the 8 prompts drawn, not from the whole suite."
    assert (partial in text) == (gate["sequential"]["drawn"] < 24)


def test_controls_of_the_very_methods_are_told(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path / "home"))
    view = read_run(small)
    assert "wanbench controls" not in render(view), "nothing is known, nothing is said"
    fails = {"control": "frozen", "verdict": "fail", "clips": 5, "obeying": 1, "effect": {"median": 0.01}}
    expected = {"expectation": {"words": "falls by 0.05", "reason": ""}}
    passes = {**fails, **expected, "control": "blur", "verdict": "pass"}

    def entry(dimension: str, fingerprint: str | None = None) -> dict[str, Any]:
        return {
            "fingerprint": fingerprint or view.run["methods"][dimension]["fingerprint"],
            "results": [{**fails, **expected}, passes],
            "noise_floor": {"mean": 0.0042},
        }

    checked = {"camera_control": entry("camera_control"), "id_consistency": entry("id_consistency", "f" * 16)}
    remember({"dimensions": checked, "end": "2026-11-02T08:00:00+00:00", "clips": ["c"] * 5})
    text = Outline(render(view)).text
    assert "Camera control fails 1 control ( frozen ): to that it does not react as it declares." in text
    assert "fails 1 of 2 controls frozen: expected falls by 0.05, median +0.010, 1 of 5 clips obey" in text
    assert "1 of 5 clips obey 0.0042 5 2026-11-02 08:00 UTC" in text
    assert "ID consistency fails" not in text, "another method was checked"
    for file in (tmp_path / "home" / "controls").iterdir():
        file.write_text('{"schema_version": 1, "entry": {}}')
    damaged = Outline(render(view)).text
    assert "What the store keeps of `wanbench controls` is damaged: run it anew (" in damaged
    assert "Camera control fails" not in damaged


def test_hostile_text_adds_no_element_and_no_attribute(hostile: Path) -> None:
    page = render(read_run(hostile))
    outline = Outline(page)
    tags = [tag for tag, _ in outline.elements]
    assert tags.count("script") == 2
    assert tags.count("img") == page.count("data:image/jpeg")
    assert not [attrs for _, attrs in outline.elements if any(name.startswith("on") for name in attrs)]
    links = [attrs["href"] or "" for tag, attrs in outline.elements if tag == "a"]
    assert all(link.startswith(("#", "./", "file:///")) for link in links)
    assert any("javascript%3Awindow" in link for link in links)
    assert "{{ 7*7 }}" in outline.text
    assert " 49 " not in outline.text


def test_embedded_data_cannot_end_its_script(hostile: Path) -> None:
    text = table_json(read_run(hostile))
    assert not set("<>&\u2028") & set(text)
    assert HOSTILE_TEXT in json.loads(text)["reasons"]
    assert json.loads(script_safe(["</script>", "\udcff", "é"])) == ["</script>", "\udcff", "é"]


def test_page_reaches_out_to_nothing(hostile: Path) -> None:
    elements = Outline(render(read_run(hostile))).elements
    policy = next(a["content"] for tag, a in elements if tag == "meta" and a.get("http-equiv"))
    assert (policy or "").startswith("default-src 'none'; img-src data:;")
    assert all((a["src"] or "").startswith("data:") for _, a in elements if "src" in a)
    assert not [a for tag, a in elements if tag == "link" and a["href"] != "data:,"]


def test_the_table_holds_every_sample_and_every_score(small: Path) -> None:
    view = read_run(small)
    data = embedded(render(view))
    assert len(data["lines"]) == len(samples(view.measurements)) == 60
    cells = [cell for line in data["lines"] for cell in line[-1]]
    told = [cell for cell in cells if isinstance(cell, float | int)]
    assert told == [row.score for row in view.measurements if row.status == "ok"]
    assert sum(cell[0] == 1 for cell in cells if isinstance(cell, list)) == 14
    assert sum(cell[0] == 0 for cell in cells if isinstance(cell, list)) == 22
    assert data["columns"][1] == "Human artifacts"


def test_exploratory_scores_stay_out_of_the_best_and_the_worst(small: Path) -> None:
    view = read_run(small)
    marked = [dataclasses.replace(row, exploratory=row.dimension == "camera_control") for row in view.measurements]
    page = render(dataclasses.replace(view, measurements=marked))
    galleries = page[page.index('id="clips"') : page.index('id="problems"')]
    assert "<h3>Camera control</h3>" not in galleries
    place = embedded(page)["columns"].index("Camera control")
    assert isinstance(embedded(page)["lines"][0][-1][place], list)


@pytest.mark.parametrize(
    ("video", "link"),
    [
        ("videos/a b.mp4", "./videos/a%20b.mp4"),
        ("javascript:alert(1)", "./javascript%3Aalert%281%29"),
        ("/data/100%#?.mp4", "file:///data/100%25%23%3F.mp4"),
        ("/srv/runs/videos/x.mp4", "./../videos/x.mp4"),
        ("/srv/other/x.mp4", "file:///srv/other/x.mp4"),
        ("videos/\udcff.mp4", "./videos/%FF.mp4"),
    ],
)
def test_video_links(video: str, link: str) -> None:
    view = RunView(directory=Path("/srv/runs/one"), run={}, summary={}, measurements=[], pictures=lambda sha, kind: None)
    assert view.video_link(video) == link


def test_pictures_come_only_from_their_folder(tmp_path: Path) -> None:
    sha256 = "ab" * 32
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / f"{sha256[:16]}-poster.jpg").write_bytes(b"inside")
    (tmp_path / "secret-poster.jpg").write_bytes(b"outside")
    picture = evidence_pictures(tmp_path / "evidence")
    assert picture(sha256, "poster") == b"inside"
    assert picture(sha256, "flow") is None
    assert picture("../secret", "poster") is None


@pytest.mark.parametrize(
    ("scores", "ends"),
    [
        ([0.62], (0.0, 1.0)),  # alone, nothing to tell apart
        ([0.1, 0.9], (0.0, 1.0)),
        ([0.971, 0.976], (0.95, 1.0)),
        ([0.15, 0.30], (0.15, 0.30)),
        ([1.0, 1.0], (0.95, 1.0)),
        ([0.0, 0.0], (0.0, 0.05)),
    ],
)
def test_axis(scores: list[float], ends: tuple[float, float]) -> None:
    axis = Axis.over(Estimate(score=score, low=None, high=None) for score in scores)
    assert (axis.low, axis.high) == pytest.approx(ends)
    assert axis.zoomed == (ends != (0.0, 1.0))


def test_axis_places_values_by_hand() -> None:
    axis = Axis(low=0.9, high=1.0)
    assert [axis.percent(v) for v in (0.9, 0.925, 1.0, 0.2)] == ["0.00%", "25.00%", "100.00%", "0.00%"]
    assert axis.labels == ("0.90", "0.95", "1.00")


def test_broken_runs_are_named_in_one_line(tmp_path: Path, small: Path) -> None:
    with pytest.raises(UsageError, match=r"run\.json does not exist"):
        read_run(tmp_path)
    run = tmp_path / "run"
    shutil.copytree(small, run, ignore=shutil.ignore_patterns("evidence"))
    record = run / "measurements.jsonl"
    whole = record.read_bytes()
    record.write_bytes(whole[:-20])
    assert len(read_run(run).measurements) == whole.count(b"\n") - 1
    record.write_bytes(whole.replace(b'"score"', b'"skore"', 1))
    with pytest.raises(UsageError, match="line 1 is damaged"):
        read_run(run)


def test_a_page_that_cannot_be_written_says_so(small: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small, run)
    (run / "report.html").unlink(missing_ok=True)
    (run / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*report\.html"):
        write_page(run)
    assert [p.name for p in run.iterdir() if p.name.startswith(".")] == []


# ---- in a browser ----


def opened(browser: Browser, report: Path, **context: Any) -> tuple[Page, list[str]]:
    """The page, and a list that fills with console messages, exceptions and requests that leave the file."""
    page = browser.new_context(**context).new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda r: None if r.url == report.as_uri() or r.url.startswith("data:") else complaints.append(r.url))
    page.goto(report.as_uri())
    return page, complaints


def column(page: Page, heading: str) -> list[str]:
    place = page.locator("#grid thead th").all_inner_texts().index(heading)
    return [row.split("\t")[place] for row in page.locator("#grid tbody tr").all_inner_texts()]


def test_sorting_by_click_and_by_keyboard(browser: Browser, small: Path) -> None:
    page, complaints = opened(browser, write_page(small))
    header = page.locator("#grid thead th", has_text="Human artifacts")
    assert header.get_attribute("aria-sort") == "none"
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    shown = [float(v) for v in column(page, "Human artifacts") if v not in ("skipped", "error")]
    assert shown == sorted(shown)
    assert len(shown) == 38
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    values = column(page, "Human artifacts")
    assert [float(v) for v in values[:38]] == shown[::-1]
    # What has no score stays last in both directions.
    assert set(values[38:]) == {"skipped", "error"}
    page.get_by_role("button", name="Next").click()
    assert page.locator("#shown").inner_text() == "51–60 of 60"
    assert complaints == []


def test_filters(browser: Browser, small: Path) -> None:
    page, complaints = opened(browser, write_page(small))
    shown = page.locator("#shown")
    page.get_by_label("Find").fill("TRUNCATED")
    assert shown.inner_text() == "1–2 of 2 (60 in all)"
    page.get_by_label("Candidate").select_option(label="right")
    assert shown.inner_text() == "1–1 of 1 (60 in all)"
    page.get_by_label("Find").fill("")
    page.get_by_label("Status").select_option("ok")
    # Of 30: not the truncated one, not the ten without people, nor number 7, too short.
    assert shown.inner_text() == "1–18 of 18 (60 in all)"
    page.get_by_label("Find").fill("no such clip")
    assert shown.inner_text() == "No clip matches (60 in all)"
    assert complaints == []


def test_hostile_names_do_nothing_in_a_browser(browser: Browser, hostile: Path) -> None:
    page, complaints = opened(browser, write_page(hostile))
    assert page.evaluate("window.hacked") is None
    links = page.locator("#grid tbody a").evaluate_all("all => all.map(a => a.href)")
    assert len(links) == 24
    assert all(link.startswith("file:///data/") for link in links)
    assert page.locator("#grid tbody").inner_text().count("<img src=x onerror=") == 4
    for details in page.locator("details:not([open]) > summary").all()[:4]:
        details.click()
    assert page.evaluate("window.hacked") is None
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_sideways_scrolling_on_a_phone(browser: Browser, hostile: Path, small: Path, scheme: str) -> None:
    for run in (hostile, small):
        page, complaints = opened(browser, write_page(run), viewport={"width": 390, "height": 844}, color_scheme=scheme)
        page.locator("details").evaluate_all("all => all.forEach(details => { details.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert complaints == []
    dark = "rgb(19, 21, 24)"
    assert (page.evaluate("getComputedStyle(document.body).backgroundColor") == dark) == (scheme == "dark")


def test_ten_thousand_clips_are_not_drawn_at_once(browser: Browser, tmp_path: Path) -> None:
    page, complaints = opened(browser, write_page(build(tmp_path / "large", LARGE)))
    assert 0 < page.locator("#grid tbody tr").count() <= MOST_ROWS
    page.get_by_role("button", name="Camera control").click()
    page.get_by_label("Find").fill("harbour 1032")
    assert page.locator("#shown").inner_text() == "1–10 of 10 (10,350 in all)"
    assert page.locator("#grid tbody tr").count() == 10
    assert complaints == []
