"""The page of the comparative report: nothing leaves it, hostile text stays text, and it works in a real browser."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from wanbench import record
from wanbench.fourteen import FOURTEEN, PILLARS, title
from wanbench.reports.board import Board, read_board
from wanbench.reports.board_page import render_board, write_board
from wanbench.reports.board_prompts import prompts_data
from wanbench.reports.radar import radar
from wanbench.scenes.encode import write_video
from wanbench.scenes.render import Scene, render

from ..synthetic import rows, simulated, write_run
from .test_page import Outline, opened
from .test_report import HOSTILE

PROMPTS = 30
WAIT_SECONDS = 20.0
"""A quarter of that is usual for ten candidates; the limit only has to catch a page that draws all prompts, on a busy machine."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `a` and `b` with a few real videos and posters; `report.html` beside them."""
    made = tmp_path_factory.mktemp("runs")
    clip = made / "clip.mp4"
    scene = Scene(size_HW=(64, 96), movement="pan-left", speed=0.2)
    write_video(clip, (frame for _, frame in render(scene, fps=8, seconds=1.0, seed=0)), fps=8)
    for k, name in enumerate("ab"):
        scores = simulated(-0.03 * k, seed=k, prompts=PROMPTS)
        measured = [record.Measurement(**{**m.to_json(), "video": f"videos/{m.prompt_id}-0.mp4"}) for m in rows(name, scores)]
        run = write_run(made / name, measured, prompts={"smoothness-000": "a cat jumps"})
        (run / "videos").mkdir()
        for prompt in scores["smoothness"]:
            (run / "videos" / f"{prompt}-0.mp4").hardlink_to(clip)
        (run / "evidence").mkdir()
        for m in measured:
            (run / "evidence" / f"{m.sha256[:16]}-poster.jpg").write_bytes(b"\xff\xd8\xff")
    write_board(read_board([made / "a", made / "b"]), made / "report.html")
    return made


@pytest.fixture(scope="module")
def board(folder: Path) -> Board:
    return read_board([folder / "a", folder / "b"])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hostile")
    runs = []
    for name, shift in (("x", 0.0), ("y", 0.2)):
        found = {f"{HOSTILE}{k}": 0.4 + 0.1 * k - shift for k in range(4)}
        runs.append(
            write_run(made / name, rows(f"{HOSTILE}{name}", {"smoothness": found}), prompts=dict.fromkeys(found, HOSTILE))
        )
    return write_board(read_board(runs), made / "report.html")


def page(board: Board, folder: Path = Path("/srv")) -> str:
    return render_board(board, folder)


def test_hostile_text_stays_text_on_the_page(hostile: Path) -> None:
    html = hostile.read_text("utf-8")
    outline = Outline(html)
    assert [tag for tag, _ in outline.elements].count("script") == 3
    assert "alert(1)</script>" not in html
    assert not [a for _, attributes in outline.elements for a in attributes if a.startswith("on")]
    links = [attributes["href"] or "" for tag, attributes in outline.elements if tag == "a"]
    assert all(link.startswith(("#", "./", "file:///")) for link in links)


def test_the_page_reaches_out_to_nothing(board: Board) -> None:
    outline = Outline(page(board))
    policy = next(a["content"] for tag, a in outline.elements if tag == "meta" and a.get("http-equiv"))
    assert (policy or "").startswith("default-src 'none'; img-src data:;")
    assert not [tag for tag, a in outline.elements if "src" in a], (
        "nothing is loaded, pictures and videos not before they are asked for"
    )
    assert not [a for tag, a in outline.elements if tag == "link" and a["href"] != "data:,"]
    assert "http://" not in page(board)
    assert "https://" not in page(board)


def test_prompts_and_videos_of_the_page(folder: Path, board: Board) -> None:
    data = prompts_data(board, folder)
    assert data["candidates"] == ["a", "b"]
    assert data["dimensions"] == [title(d) for d in FOURTEEN]
    assert len(data["lines"]) == 14 * PROMPTS
    d, place, scores = next(line for line in data["lines"] if data["prompts"][line[1]][0] == "smoothness-000")
    assert d == list(FOURTEEN).index("smoothness")
    assert scores == [e.side.dimensions["smoothness"].means["smoothness-000"] for e in board.entries]
    assert data["prompts"][place] == ["smoothness-000", "a cat jumps"]
    told = [(v[0], v[1], data["folders"][v[2]], v[3]) for v in data["videos"][place]]
    assert told == [(0, 0, "./a/videos", 0), (1, 0, "./b/videos", 0)]


def test_videos_beside_their_runs_are_linked_relatively(tmp_path: Path) -> None:
    made = [
        write_run(tmp_path / "runs" / n, rows(n, {"smoothness": {"p1": 0.5, "p2": 0.6}}, video=f"videos/{n}/x y.mp4"))
        for n in "ab"
    ]
    data = prompts_data(read_board(made), tmp_path / "reports")
    assert data["folders"] == ["./../runs/a/videos/a", "./../runs/b/videos/b"]
    assert {v[3] for videos in data["videos"] for v in videos} == {"x%20y.mp4"}


def test_posters_are_those_of_what_changed_most_as_far_as_they_may_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for name, shift in (("a", 0.0), ("b", 0.3)):
        scores = {f"p{k}": 0.9 - (shift if k == 7 else 0.01 * k) for k in range(12)}
        run = write_run(tmp_path / name, rows(name, {"smoothness": scores}))
        (run / "evidence").mkdir()
        for m in record.read_all(run / record.RECORD):
            (run / "evidence" / f"{m.sha256[:16]}-poster.jpg").write_bytes(b"\xff" * 1000)
        made.append(run)
    monkeypatch.setattr("wanbench.reports.board_prompts.POSTER_BYTES", 2500)
    data = prompts_data(read_board(made), tmp_path)
    assert len(data["posters"]) == 2
    with_poster = {data["prompts"][k][0] for k, videos in enumerate(data["videos"]) for v in videos if v[4] >= 0}
    assert with_poster == {"p7"}, "the prompt that fell most"


def test_radar_by_hand() -> None:
    def entry(*scores: float | None) -> dict[str, Any]:
        names = ("smoothness", "camera_control", "stylization_ability", "human_artifacts")
        return {"dimensions": {d: {"score": s, "low": s, "high": s} for d, s in zip(names, scores, strict=True)}}

    four = ["smoothness", "camera_control", "stylization_ability", "human_artifacts"]
    drawn = radar({"candidates": {"x": entry(1.0, 0.5, 0.25, 0.0), "y": entry(1.0, None, 0.5, 0.5)}}, four)
    assert drawn
    assert drawn.outlines["x"].line == "M0.0,-100.0L50.0,0.0L0.0,25.0L0.0,0.0Z"
    assert drawn.outlines["y"].line == "M0.0,50.0L-50.0,0.0M-50.0,0.0L0.0,-100.0"
    assert (drawn.outlines["y"].band, drawn.outlines["y"].closed) == ("", False)
    assert drawn.outlines["y"].reaches[1] == (("0.0", "50.0"), ("0.0", "50.0"))
    assert [label.text for label in drawn.labels] == ["smoothness", "camera", "style", "humans"]
    assert radar({"candidates": {"x": entry(1.0, 0.5, 0.25, 0.0)}}, four[:2]) is None


def test_every_pillar_and_dimension_has_its_panel(board: Board) -> None:
    html = page(board)
    for dimension in FOURTEEN:
        assert f"<h4>{title(dimension)}</h4>" in html
    assert html.count("<h4>Mean of the pillar</h4>") == len(PILLARS)


# ---- in a browser ----


def until(tab: Page, condition: str) -> None:
    """Wait for it. Playwright's own way to wait evaluates text inside the page, which the page's policy rightly forbids."""
    end = time.monotonic() + WAIT_SECONDS
    while not tab.evaluate(condition):
        assert time.monotonic() < end, condition
        tab.wait_for_timeout(50)


def test_a_video_has_no_address_before_its_prompt_is_opened(browser: Browser, folder: Path) -> None:
    tab, complaints = opened(browser, folder / "report.html")
    assert tab.locator("video").count() == 0
    tab.locator("#filters [name=dimension]").select_option(label="Smoothness")
    row = tab.locator("#pairs details").first
    row.locator("summary").click()
    videos = row.locator("video")
    videos.nth(1).wait_for(state="attached")
    assert videos.count() == 2
    videos.first.scroll_into_view_if_needed()
    until(tab, "[...document.querySelectorAll('video')].every(v => v.readyState >= 1)")
    prompt = row.locator("summary bdi").first.inner_text()
    sources = videos.evaluate_all("all => all.map(v => v.src)")
    assert sources == [(folder / n / "videos" / f"{prompt}-0.mp4").as_uri() for n in "ab"], "the baseline first"
    assert tab.locator("video:not([src])").count() == 0
    row.get_by_role("button", name="Play all").click()
    until(tab, "[...document.querySelectorAll('video')].every(v => v.currentTime > 0)")
    row.locator("summary").click()
    until(tab, "[...document.querySelectorAll('video')].every(v => v.paused)")  # a browser tells of the fold a moment later
    assert [c for c in complaints if c not in sources] == []


def test_a_video_that_is_gone_says_so(browser: Browser, folder: Path) -> None:
    tab, _ = opened(browser, folder / "report.html")
    tab.locator("#filters [name=dimension]").select_option(label="Camera control")
    row = tab.locator("#pairs details").first
    row.locator("summary").click()
    row.get_by_text("cannot be shown; is it still there?").first.wait_for()
    assert row.get_by_role("link", name="open the file").first.get_attribute("href", timeout=5000)


def test_order_filters_and_pages(browser: Browser, folder: Path, board: Board) -> None:
    tab, complaints = opened(browser, folder / "report.html")
    shown = tab.locator("#shown")
    assert shown.inner_text() == "1–12 of 420"

    def changes() -> list[float]:
        texts = tab.locator("#pairs .change b").all_inner_texts()
        return [float(text.replace("−", "-")) for text in texts]

    worst = board.contrasts[0].comparison
    assert worst
    gained, lost = worst.changed(12)
    assert changes() == [round(c.a - c.b, 3) for c in lost]
    tab.locator("#filters [name=order]").select_option("rose most")
    assert changes() == [round(c.a - c.b, 3) for c in gained]
    tab.get_by_role("button", name="Next").click()
    assert shown.inner_text() == "13–24 of 420"
    tab.locator("#filters [name=text]").fill("CAT jumps")
    assert shown.inner_text() == "1–1 of 1"
    tab.locator("#filters [name=text]").fill("no such prompt")
    assert shown.inner_text() == "No prompt matches"
    assert complaints == []


def test_everything_by_keyboard(browser: Browser, folder: Path) -> None:
    tab, complaints = opened(browser, folder / "report.html")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    tab.keyboard.press("Enter")
    assert tab.url.endswith("#leaderboard")
    reached: list[str] = []
    for _ in range(200):
        tab.keyboard.press("Tab")
        reached.append(
            tab.evaluate("(e => e.name || e.className || e.tagName + ':' + e.textContent.slice(0, 20))(document.activeElement)")
        )
        if reached[-1] == "watch":
            break
    assert "radars" in reached, "what scrolls sideways can be reached"
    assert reached[-1] == "watch"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.closest('#pairs details').open")
    tab.locator("#pairs figure").nth(1).wait_for(state="attached")
    # Order of focus is order of reading: the form of the prompts comes before the list.
    places = tab.evaluate(
        "[...document.querySelectorAll('#filters select, #filters input, #pairs summary')].map(e => e.tabIndex)"
    )
    assert set(places) == {0}
    unnamed = tab.evaluate("[...document.querySelectorAll('select, input')].filter(e => !e.labels.length).length")
    assert unnamed == 0
    assert [c for c in complaints if not c.endswith(".mp4") and "ERR_FILE_NOT_FOUND" not in c] == []


def test_hostile_names_do_nothing_in_a_browser(browser: Browser, hostile: Path) -> None:
    tab, complaints = opened(browser, hostile)
    tab.locator("details:not([open]) > summary").evaluate_all("all => all.forEach(s => s.parentElement.open = true)")
    assert tab.locator("#pairs li").count() == 4
    assert tab.locator("#pairs").inner_text().count("<script>alert(1)</script>") >= 8
    assert [c for c in complaints if "mp4" not in c and "ERR_FILE_NOT_FOUND" not in c] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_sideways_scrolling_on_a_phone(browser: Browser, folder: Path, hostile: Path, scheme: str) -> None:
    for report in (folder / "report.html", hostile):
        tab, complaints = opened(browser, report, viewport={"width": 390, "height": 844}, color_scheme=scheme)
        tab.locator("main details").evaluate_all("all => all.forEach(d => d.id || d.closest('#pairs') || (d.open = true))")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        assert complaints == []


def test_print_opens_what_is_folded_and_leaves_out_what_only_works_on_a_screen(browser: Browser, folder: Path) -> None:
    tab, complaints = opened(browser, folder / "report.html")
    tab.emulate_media(media="print")
    assert tab.locator("nav").is_hidden()
    assert tab.locator("#prompts").is_hidden()
    assert tab.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert len(tab.pdf()) > 20_000
    assert complaints == []


def test_ten_candidates_are_not_drawn_at_once(browser: Browser, tmp_path: Path) -> None:
    made = []
    for k in range(10):
        made.append(write_run(tmp_path / f"m{k}", rows(f"m{k}", simulated(-0.01 * k, seed=k, prompts=74))))
    tab, complaints = opened(browser, write_board(read_board(made), tmp_path / "report.html"))
    assert tab.locator("#pairs li").count() == 12
    tab.locator("#filters [name=order]").select_option("rose most")
    assert tab.locator("#shown").inner_text() == "1–12 of 1,036"
    assert tab.locator("#pairs li").count() == 12
    assert complaints == []
