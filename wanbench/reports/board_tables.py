"""A comparative report as plain tables of text: what Markdown and LaTeX print, and the page too where a table is all it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wanbench.comparison.comparing import Difference, TotalComparison, Wins, name_of
from wanbench.fourteen import FOURTEEN, PILLAR_TITLES, PILLARS, title
from wanbench.published import TABLE_2, TABLE_2_MODELS, TABLE_2_WEIGHTED
from wanbench.reports import circumstances
from wanbench.reports.board import Board, Contrast, Entry, skip_rate
from wanbench.reports.comparison import p_text, signed
from wanbench.reports.scores import Estimate
from wanbench.reports.wording import date, enumerate_words, facts, number, plural
from wanbench.weights import admissible, weighting

PUBLISHED = "published; other prompts and judge: not measured here"
"""Stands with every number that comes from the report's tables."""
PUBLISHED_SOURCE = "Wan technical report, arXiv 2503.20314v2, Table 2"
OTHERS = " *"
OTHERS_MEAN = "* Taken over the dimensions that these two can be compared in, which are not those of the scores."
CLIPS_SHOWN = 10
RANKINGS_SHOWN = 12
"""More than a dozen are counted, not listed (ours)."""
NONE = "–"


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """A table: the first column names, the others tell."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: frozenset[int] = frozenset()
    """Columns of words; the others but the first hold numbers."""
    notes: tuple[str, ...] = ()


def grids(board: Board) -> list[Grid]:
    """All tables that have anything to tell, in the order of a report."""
    found = [leaderboard(board), dimensions(board), published(board), *comparisons(board)]
    found += [*sensitivity(board), coverage(board), methods(board), *controls(board), *judges(board), runs(board)]
    return [grid for grid in found if grid.rows]


def heading(board: Board) -> str:
    if len(board.entries) == 1:
        return board.entries[0].name
    return f"{len(board.entries)} candidates compared"


def scale(board: Board) -> str:
    """What the leaderboard's score is."""
    if board.complete:
        return f"Weighted score over all fourteen dimensions, weights {board.weights.name}"
    if board.over:
        return f"Partial score over {plural(len(board.over), 'shared dimension')}, weights {board.weights.name} renormalised"
    return "No score: no dimension is measured well enough in every candidate"


def warnings(board: Board) -> list[str]:
    """What a reader must know before the numbers."""
    lines = [f"Compared all the same, as asked: {m.reason} ({enumerate_words(m.candidates)})" for m in board.mismatches]
    if not board.complete and board.over:
        over = enumerate_words([title(d) for d in board.over])
        lines.append(f"Partial score: over {over}; comparable only with one over the same dimensions.")
    if len(board.entries) > 1 and all(v.run.get("suite") is None for v in board.runs):
        lines.append("No suite: nothing says that the candidates were given the same prompts.")
    for dimension, (least, most) in board.skip_gaps.items():
        rates = f"{most[1]:.0%} of the clips of {most[0]}, {least[1]:.0%} of those of {least[0]}"
        lines.append(f"{title(dimension)} is not comparable between all candidates: it does not apply to {rates}.")
    for found in board.controls.checked.values() if board.controls else ():
        if found.failed:
            names = enumerate_words([f.control for f in found.failed])
            lines.append(f"{found.title} fails {plural(len(found.failed), 'control')}: {names}.")
    return lines


def estimate(found: Any) -> str:
    """`0.512 [0.480, 0.544]`."""
    told = Estimate.of(found)
    if told is None:
        return NONE
    return f"{told.value} [{told.low:.3f}, {told.high:.3f}]" if told.low is not None and told.high is not None else told.value


def difference(found: Difference | None) -> str:
    """`−0.012 [−0.030, +0.006]`."""
    return NONE if found is None else f"{signed(found.value)} [{signed(found.low)}, {signed(found.high)}]"


def total_difference(board: Board, entry: Entry) -> TotalComparison | None:
    """Of the headline score, to the baseline; over the dimensions that the two share and that can be compared."""
    for contrast in board.contrasts:
        if contrast.name == entry.name and contrast.comparison:
            return next((t for t in contrast.comparison.totals if t.name == "weighted" and t.difference), None)
    return None


def is_over_others(board: Board, total: TotalComparison | None) -> bool:
    """Whether a difference is taken over other dimensions than the scores beside it."""
    return total is not None and set(total.dimensions) != {d for d in board.over if board.weights.weights[d] > 0}


def leaderboard(board: Board) -> Grid:
    several, told = len(board.entries) > 1, board.sensitivity
    headings = ["", "Candidate", f"Score, {board.weights.name}", "Score, uniform"]
    headings += [f"Difference from {board.baseline.name}", "p"] if several else []
    headings += ["Range over admissible weights", "Places"] if told else []
    rows = []
    for e in board.entries:
        row = [str(e.place or NONE), e.name, estimate(e.total), estimate(e.uniform)]
        if several:
            found = total_difference(board, e)
            other = OTHERS if is_over_others(board, found) else ""
            row += ["baseline" if e is board.baseline else difference(found.difference if found else None) + other]
            row += [p_text(found.difference.p) if found and found.difference else NONE]
        if told:
            row += [f"{told['scores'][e.name]['low']:.3f} to {told['scores'][e.name]['high']:.3f}", places(told, e)]
        rows.append(tuple(row))
    others = [OTHERS_MEAN] if any(OTHERS in cell for row in rows for cell in row[4:5]) else []
    return Grid(
        title="Leaderboard",
        headings=tuple(headings),
        rows=tuple(rows),
        words=frozenset({1}),
        notes=(f"{scale(board)}; in brackets 95 % intervals.", *others, *warnings(board)),
    )


def places(told: Any, entry: Entry) -> str:
    best, worst = told["scores"][entry.name]["places"]
    return str(best) if best == worst else f"{best} to {worst}"


def dimensions(board: Board) -> Grid:
    rows = []
    for pillar in PILLARS:
        mean = tuple(estimate(e.summary["pillars"].get(pillar)) for e in board.entries)
        if any(cell != NONE for cell in mean):
            rows.append((f"{PILLAR_TITLES[pillar]} (mean)", *mean))
        rows += [_dimension_row(board, d) for d in board.dimensions if FOURTEEN.get(d) == pillar]
    rows += [_dimension_row(board, d) for d in board.dimensions if d not in FOURTEEN]
    return Grid(title="Dimensions", headings=("", *(e.name for e in board.entries)), rows=tuple(rows))


def _dimension_row(board: Board, dimension: str) -> tuple[str, ...]:
    return title(dimension), *(estimate(e.summary["dimensions"].get(dimension)) for e in board.entries)


def published(board: Board) -> Grid:
    """The report's own numbers in the dimensions that were measured; its weighted score only beside weighted scores."""
    rows = [(title(d), *(f"{score:.3f}" for score in TABLE_2[d])) for d in board.dimensions if d in TABLE_2]
    if board.complete:
        rows.append(("Weighted score", *(f"{score:.3f}" for score in TABLE_2_WEIGHTED)))
    return Grid(
        title=f"For reference: {PUBLISHED}",
        headings=("", *TABLE_2_MODELS),
        rows=tuple(rows),
        notes=(f"{PUBLISHED_SOURCE}.",),
    )


def comparisons(board: Board) -> Iterator[Grid]:
    for contrast in board.contrasts:
        yield contrast_grid(board, contrast)
        if contrast.comparison:
            yield changed_grid(board, contrast)


def contrast_grid(board: Board, contrast: Contrast) -> Grid:
    notes: list[str] = []
    rows: list[tuple[str, ...]] = []
    if contrast.comparison is None:
        rows, notes = [("Not compared", *[NONE] * 6)], [contrast.reason or ""]
    else:
        found = contrast.comparison
        for t in found.totals:
            if t.difference:
                rows.append((name_of(t), *_told(t.difference, None, None, t.n)))
        for d in found.comparable:
            rows.append((title(d.dimension), *_told(d.difference, d.p_holm, Wins.of(d.differences.values()), d.n)))
        notes += [f"{title(d.dimension)}: {d.reason}." for d in found.dimensions if d.reason and d.skip_rates != (0.0, 0.0)]
    return Grid(
        title=f"{contrast.name} − {board.baseline.name}",
        headings=("", "Difference", "p", "p (Holm)", "Wins", "Shows from", "Prompts"),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _told(found: Difference | None, p_holm: float | None, wins: Wins | None, n: int) -> tuple[str, ...]:
    assert found is not None
    shows = NONE if found.minimum_detectable is None else f"{found.minimum_detectable:.3f}"
    holm = NONE if p_holm is None else p_text(p_holm)
    return difference(found), p_text(found.p), holm, f"{wins.rate:.0%}" if wins else NONE, shows, f"{n:,}"


def changed_grid(board: Board, contrast: Contrast) -> Grid:
    assert contrast.comparison
    gained, lost = contrast.comparison.changed(CLIPS_SHOWN)
    rows = [(c.prompt, title(c.dimension), f"{c.b:.3f}", f"{c.a:.3f}", signed(c.a - c.b)) for c in (*lost, *reversed(gained))]
    return Grid(
        title=f"Prompts that changed most, worst first: {contrast.name} − {board.baseline.name}",
        headings=("Prompt", "Dimension", board.baseline.name, contrast.name, "Difference"),
        rows=tuple(rows),
        words=frozenset({1}),
    )


def sensitivity(board: Board) -> Iterator[Grid]:
    spans = admissible.describe_weights()["weights"]
    own = [] if board.weights.name in weighting.WEIGHTINGS else [board.weights]
    sets = [*own, *weighting.WEIGHTINGS.values()]
    yield Grid(
        title="Weights",
        headings=("", *(w.name for w in sets), "Admissible"),
        rows=tuple(
            (title(d), *(f"{w.weights[d]:.4f}" for w in sets), f"{spans[d]['low']:.3f} to {spans[d]['high']:.3f}")
            for d in FOURTEEN
        ),
        notes=tuple(orders(board)),
    )


def orders(board: Board) -> list[str]:
    """What holds whatever the weights, of those that agree with the report's Table 2."""
    if board.sensitivity is None:
        return ["The range over admissible weights needs all fourteen dimensions in every candidate."]
    if len(board.entries) < 2:
        return []
    held = [d["order"] for d in board.sensitivity["differences"] if d["order"]]
    pairs = len(board.sensitivity["differences"])
    lines = [f"Of {plural(pairs, 'pair')}, {len(held)} stand in the same order under every admissible weighting."]
    if held:
        lines.append(f"Under every admissible weighting: {'; '.join(held)}.")
    found = board.sensitivity["rankings"]
    if not board.sensitivity["rankings_complete"]:
        lines.append(f"More than {len(found)} rankings are possible.")
    elif len(found) == 1:
        lines.append("One ranking is possible.")
    else:
        shown = "; ".join(" > ".join(r) for r in found[:RANKINGS_SHOWN])
        more = f"; and {len(found) - RANKINGS_SHOWN} more" if len(found) > RANKINGS_SHOWN else ""
        lines.append(f"{len(found)} rankings are possible: {shown}{more}.")
    return lines


def coverage(board: Board) -> Grid:
    names = dict.fromkeys(d for e in board.entries for d in e.summary["dimensions"])
    return Grid(
        title="Clips measured, of those expected",
        headings=("", *(e.name for e in board.entries)),
        rows=tuple((title(d), *(covered(e, d) for e in board.entries)) for d in names),
        notes=("A dimension counts from 80 % of its prompts on.",),
    )


def covered(entry: Entry, dimension: str) -> str:
    found = entry.summary["dimensions"].get(dimension)
    if found is None:
        return NONE
    parts = [f"{found['n']:,} of {found['expected']:,}"]
    if found["skipped"]:
        parts.append(f"{skip_rate(entry, dimension) or 0:.1%} skipped")
    if found["errors"]:
        parts.append(plural(found["errors"], "error"))
    return ", ".join(parts)


def methods(board: Board) -> Grid:
    """How each dimension was measured, and by whom where runs differ."""
    found: dict[circumstances.MethodLine, list[str]] = {}
    for view in board.runs:
        for line in circumstances.methods(view.run):
            found.setdefault(line, []).extend(e.name for e in board.entries if e.view is view)
    everybody = len(board.entries)
    order = [title(d) for d in FOURTEEN]
    lines = sorted(found.items(), key=lambda item: order.index(item[0].title) if item[0].title in order else len(order))
    return Grid(
        title="Methods",
        headings=("", "Method", "Version", "Fingerprint", "Checkpoints", "Candidates"),
        rows=tuple(
            (
                m.title,
                f"{m.method} ({m.dtype})",
                m.version,
                m.fingerprint,
                _checkpoints(m),
                "all" if len(who) == everybody else enumerate_words(who),
            )
            for m, who in lines
        ),
        words=frozenset(range(1, 6)),
    )


def _checkpoints(line: circumstances.MethodLine) -> str:
    return ", ".join(f"{name} ({sha[:12] if sha else circumstances.UNPINNED})" for name, sha in line.checkpoints) or "none"


def controls(board: Board) -> Iterator[Grid]:
    if board.controls is None:
        return
    rows = []
    for d in board.dimensions:
        found = board.controls.checked.get(d)
        if found is None:
            rows.append((title(d), "not checked by this method", NONE, NONE, NONE, NONE))
            continue
        verdict = f"fails {len(found.failed)} of {found.controls}" if found.failed else "passes"
        rows.append((title(d), verdict, "; ".join(found.lines) or NONE, found.floor_text, found.clips, found.date))
    yield Grid(
        title="Controls",
        headings=("", "Verdict", "Failed controls", "Noise floor of means", "Clips", "Checked"),
        rows=tuple(rows),
        words=frozenset({1, 2, 5}),
        notes=(f"From {board.controls.source}. Differences under the noise floor can come from the encoder alone.",),
    )


def judges(board: Board) -> Iterator[Grid]:
    """The judges that answered, and what their last audit found where a run names one."""
    rows: dict[tuple[str, str, str], None] = {}
    for view in board.runs:
        run = view.run
        used = [m["judge"] for m in (run.get("methods") or {}).values() if isinstance(m, dict) and m.get("judge")]
        audit = (run.get("judge") or {}).get("audit") if isinstance(run.get("judge"), dict) else None
        for judge in used:
            rows[_pairs(judge, ("kind", "model")), _pairs(judge, ()), _pairs(audit, ()) if audit else "none on record"] = None
    yield Grid(title="Judge", headings=("Judge", "Settings", "Last audit"), rows=tuple(rows), words=frozenset({1, 2}))


def _pairs(value: Any, only: Sequence[str]) -> str:
    if not isinstance(value, dict):
        return number(value)
    return ", ".join(f"{k} {v}" if not only else v for k, v in facts(value) if not only or k in only)


def runs(board: Board) -> Grid:
    return Grid(
        title="Runs",
        headings=("Run", "Candidates", "Suite", "Profile", "Status", "Began", "wanbench"),
        rows=tuple(
            (
                next(e.run for e in board.entries if e.view is view),
                enumerate_words([e.candidate for e in board.entries if e.view is view]),
                circumstances.suite_text(view.run),
                str(view.run.get("profile") or NONE),
                str(view.run.get("status") or NONE),
                date(view.run.get("start")),
                str(view.run.get("project_version") or NONE),
            )
            for view in board.runs
        ),
        words=frozenset(range(1, 7)),
    )
