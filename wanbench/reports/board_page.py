"""The comparative report as one self-contained HTML file: leaderboard, profiles, differences, videos side by side."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from wanbench import __version__, record
from wanbench.comparison.comparing import Changed, Difference, Wins, name_of
from wanbench.fourteen import FOURTEEN, PILLARS, title
from wanbench.published import TABLE_2, TABLE_2_MODELS, TABLE_2_WEIGHTED
from wanbench.reports import board_tables as tables
from wanbench.reports import circumstances, clips, document, reasons, scores, transcripts
from wanbench.reports.board import Board, Contrast, Entry
from wanbench.reports.board_prompts import prompts_data, video_links
from wanbench.reports.comparison import p_text, signed
from wanbench.reports.radar import SHORT, radar
from wanbench.reports.scores import COLOURS, Axis, Estimate
from wanbench.reports.view import RunView
from wanbench.reports.wording import command_line, date, duration, plural

DIFFERENCE_STEP = 0.05
"""The axis of differences ends at a multiple of this, the same on both sides of nothing (ours)."""
SIGNIFICANT = 0.05
OPEN_CONTRASTS = 2
"""Comparisons shown open: beyond that a reader looks for one (ours)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A candidate on the leaderboard."""

    entry: Entry
    slot: int
    total: Estimate | None
    uniform: Estimate | None
    difference: str
    p: str
    other_dimensions: int | None
    """How many the difference is taken over, where they are not those of the score."""
    is_baseline: bool
    span: Estimate | None
    """The score with the range it has over the admissible weightings in place of an interval."""
    places: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One difference: of a total or a dimension."""

    title: str
    total: bool
    value: float
    low: float
    high: float
    text: str
    interval: str
    p: str
    p_holm: str
    clear: bool
    """Whether the corrected p is under 5 %; of a total, which is not one of the family, its own."""
    wins: str
    shows: str
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """A prompt that changed."""

    prompt: str
    text: str
    dimension: str
    before: str
    after: str
    change: str
    before_link: str
    after_link: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """A candidate against the baseline."""

    name: str
    slot: int
    reason: str | None
    steps: tuple[Step, ...]
    refused: tuple[str, ...]
    lost: tuple[Clip, ...]
    gained: tuple[Clip, ...]
    wins: str


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """How a run came about."""

    name: str
    page: str | None
    """Link to its own report, where there is one."""
    facts: tuple[tuple[str, str], ...]
    command: str
    environment: tuple[tuple[str, str], ...]
    candidates: tuple[tuple[str, list[tuple[str, str]]], ...]
    warnings: tuple[str, ...]


def write_board(board: Board, path: Path) -> Path:
    """Write the page. Raises `OutputError`."""
    record.write_atomically(path, render_board(board, path.absolute().parent).encode("utf-8", "replace"))
    return path


def render_board(board: Board, folder: Path) -> str:
    """The page as text; it is to lie in `folder`. The same board gives the same text."""
    style, script = document.asset("page.css", "board.css"), document.asset("board.js")
    summary, run = board.summary, {"declarations": board.declarations}
    lines = _lines(board)
    panels = _panels(board, folder)
    data = prompts_data(board, folder)
    drawn = [d for d in FOURTEEN if d in board.dimensions]
    return (
        document.templates()
        .get_template("board.html.jinja")
        .render(
            policy=document.policy(style, script, document.VIDEOS),
            style=style,
            script=script,
            board=board,
            version=__version__,
            heading=tables.heading(board),
            scale=tables.scale(board),
            warnings=tables.warnings(board)[len(board.mismatches) :],
            counts=Counter[str](row.status for e in board.entries for row in e.rows),
            clips=sum(len(clips.samples(e.rows)) for e in board.entries),
            suites=list(dict.fromkeys(circumstances.suite_text(view.run) for view in board.runs)),
            lines=lines,
            axis=Axis.over(line.total for line in lines if line.total),
            published_totals=list(zip(TABLE_2_MODELS, TABLE_2_WEIGHTED, strict=True)) if board.complete else [],
            published=tables.PUBLISHED,
            published_source=tables.PUBLISHED_SOURCE,
            radar=radar(summary, drawn),
            groups=scores.groups(run, summary),
            whole=_whole_table(board, drawn),
            panels=panels,
            steps_axis=_difference_axis(panels),
            open_contrasts=OPEN_CONTRASTS,
            span_axis=Axis.over(line.span for line in lines if line.span),
            orders=tables.orders(board),
            sensitivity=list(tables.sensitivity(board)),
            tables=[g for g in (tables.coverage(board), *tables.controls(board)) if g.rows],
            unmeasured=reasons.by_reason(_unmeasured(board)),
            methods=[g for g in (tables.methods(board), *tables.judges(board)) if g.rows],
            about=[_about(view, board, folder) for view in board.runs],
            terms=circumstances.TERMS,
            prompts=len(data["lines"]),
            data=clips.script_safe({k: v for k, v in data.items() if k != "posters"}),
            posters=clips.script_safe(data["posters"]),
        )
    )


def _lines(board: Board) -> list[Line]:
    return [_line(board, entry, k % COLOURS) for k, entry in enumerate(board.entries)]


def _line(board: Board, entry: Entry, slot: int) -> Line:
    total, told = tables.total_difference(board, entry), board.sensitivity
    span = {**entry.total, **{k: told["scores"][entry.name][k] for k in ("low", "high")}} if told and entry.total else None
    return Line(
        entry=entry,
        slot=slot,
        total=Estimate.of(entry.total),
        uniform=Estimate.of(entry.uniform),
        difference=tables.difference(total.difference) if total else tables.NONE,
        p=p_text(total.difference.p) if total and total.difference else "",
        other_dimensions=len(total.dimensions) if total and tables.is_over_others(board, total) else None,
        is_baseline=entry is board.baseline,
        span=Estimate.of(span),
        places=tables.places(told, entry) if told else "",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """Pillars and dimensions in one table, candidates and published models as rows."""

    headings: tuple[tuple[str, str], ...]
    """(short, in full)."""
    measured: tuple[tuple[Estimate | None, ...], ...]
    published: tuple[tuple[str, tuple[str, ...]], ...]
    pillars: int


def _whole_table(board: Board, drawn: list[str]) -> Whole:
    means = [p for p in PILLARS if any(e.summary["pillars"].get(p, {}).get("score") is not None for e in board.entries)]
    others = [d for d in board.dimensions if d not in FOURTEEN]
    return Whole(
        headings=(
            *((p, f"Mean of the pillar {p}") for p in means),
            *((SHORT[d], title(d)) for d in drawn),
            *((title(d), title(d)) for d in others),
        ),
        measured=tuple(
            tuple(
                Estimate.of(found)
                for found in [
                    *(e.summary["pillars"].get(p) for p in means),
                    *(e.summary["dimensions"].get(d) for d in (*drawn, *others)),
                ]
            )
            for e in board.entries
        ),
        published=tuple((model, tuple(f"{TABLE_2[d][k]:.3f}" for d in drawn)) for k, model in enumerate(TABLE_2_MODELS)),
        pillars=len(means),
    )


Told = Callable[[Contrast, Iterable[Changed]], tuple[Clip, ...]]


def _panels(board: Board, folder: Path) -> list[Panel]:
    links = video_links(board, folder)
    texts = {p: text for view in board.runs for p, text in clips.prompt_texts(view.run).items()}

    def told(contrast: Contrast, changed: Iterable[Changed]) -> tuple[Clip, ...]:
        return tuple(_clip(c, contrast.name, board.baseline.name, links, texts) for c in changed)

    return [_panel(board, contrast, told) for contrast in board.contrasts]


def _panel(board: Board, contrast: Contrast, told: Told) -> Panel:
    slot = next(k for k, e in enumerate(board.entries) if e.name == contrast.name) % COLOURS
    found = contrast.comparison
    if found is None:
        return Panel(name=contrast.name, slot=slot, reason=contrast.reason, steps=(), refused=(), lost=(), gained=(), wins="")
    totals = [_step(name_of(t), t.difference, None, None, t.n) for t in found.totals if t.difference]
    parts = [
        _step(title(d.dimension), d.difference, d.p_holm, Wins.of(d.differences.values()), d.n)
        for d in found.comparable
        if d.difference
    ]
    gained, lost = found.changed(tables.CLIPS_SHOWN)
    wins = ""
    if w := found.wins:
        both = plural(w.wins + w.ties + w.losses, "shared prompt")
        counts = f"Higher on {w.wins:,}, lower on {w.losses:,} and alike on {w.ties:,} of {both}"
        wins = f"{counts}: wins {w.rate:.0%} [{w.low:.0%}, {w.high:.0%}]"
    refused = [f"{title(d.dimension)}: {d.reason}" for d in found.dimensions if d.reason and (d.n or any(d.skip_rates))]
    return Panel(
        name=contrast.name,
        slot=slot,
        reason=None,
        steps=(*totals, *parts),
        refused=tuple(refused),
        lost=told(contrast, lost),
        gained=told(contrast, gained),
        wins=wins,
    )


def _step(name: str, found: Difference, p_holm: float | None, wins: Wins | None, n: int) -> Step:
    return Step(
        title=name,
        total=p_holm is None,
        value=found.value,
        low=found.low,
        high=found.high,
        text=signed(found.value),
        interval=f"{signed(found.low)} to {signed(found.high)}",
        p=p_text(found.p),
        p_holm="" if p_holm is None else p_text(p_holm),
        clear=(found.p if p_holm is None else p_holm) < SIGNIFICANT,
        wins=f"{wins.rate:.0%}" if wins else "",
        shows=tables.NONE if found.minimum_detectable is None else f"{found.minimum_detectable:.3f}",
        n=n,
    )


def _clip(found: Changed, name: str, baseline: str, links: dict[tuple[str, str], str], texts: dict[str, str]) -> Clip:
    return Clip(
        prompt=found.prompt,
        text=texts.get(found.prompt, ""),
        dimension=title(found.dimension),
        before=f"{found.b:.3f}",
        after=f"{found.a:.3f}",
        change=signed(found.a - found.b),
        before_link=links[baseline, found.prompt],
        after_link=links[name, found.prompt],
    )


def _difference_axis(panels: Iterable[Panel]) -> Axis:
    ends = [abs(end) for panel in panels for s in panel.steps for end in (s.value, s.low, s.high)]
    reach = max(1, math.ceil(round(max(ends, default=0) / DIFFERENCE_STEP, 6))) * DIFFERENCE_STEP
    return Axis(low=-reach, high=reach)


def _unmeasured(board: Board) -> dict[str, str]:
    """Dimensions that nobody has a score in, explained by the first run."""
    view = board.runs[0]
    rows = [row for e in board.entries for row in e.rows]
    return reasons.why_unmeasured(view.run, board.summary, rows)


def _about(view: RunView, board: Board, folder: Path) -> About:
    run = view.run
    name = next(e.run for e in board.entries if e.view is view)
    took = duration(run.get("start"), run.get("end"))
    facts = {
        "suite": circumstances.suite_text(run),
        "profile": str(run.get("profile") or tables.NONE),
        "status": str(run.get("status") or tables.NONE),
        "began": date(run.get("start")) + (f", took {took}" if took else ""),
        "wanbench": str(run.get("project_version") or tables.NONE),
    }
    own = view.directory / record.REPORT
    return About(
        name=name,
        page=view.video_link(str(own.absolute()), folder) if own.is_file() else None,
        facts=tuple(facts.items()),
        command=command_line(run.get("command")),
        environment=(*circumstances.environment(run), *((f"judge.{k}", text) for k, text in transcripts.judge(run))),
        candidates=tuple(circumstances.candidates(run)),
        warnings=tuple(str(w) for w in run.get("warnings") or ()),
    )
