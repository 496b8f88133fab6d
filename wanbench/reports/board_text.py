"""A comparative report as Markdown, LaTeX, JSON and CSV: the numbers of the page, for other readers. Light half."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from wanbench import __version__
from wanbench.comparison.as_json import numbers, to_json
from wanbench.exporting import inert_cell
from wanbench.fourteen import PILLARS
from wanbench.published import TABLE_2, TABLE_2_MODELS, TABLE_2_WEIGHTED
from wanbench.reports.board import Board, Entry
from wanbench.reports.board_tables import PUBLISHED, PUBLISHED_SOURCE, Grid, grids, heading
from wanbench.reports.wording import inert
from wanbench.types import JSONObject

SCHEMA_VERSION = 1


def markdown(board: Board) -> str:
    """Names and prompts come from files: none of them acts as Markdown or HTML."""
    lines = [f"# {inert(heading(board))}", ""]
    for grid in grids(board):
        lines += [f"## {inert(grid.title)}", "", *(line for note in grid.notes for line in (inert(note), "")), *_rows(grid), ""]
    return "\n".join(lines)


def _rows(grid: Grid) -> Iterator[str]:
    yield f"| {' | '.join(map(inert, grid.headings))} |"
    yield f"|{'|'.join('---' if k == 0 or k in grid.words else '--:' for k in range(len(grid.headings)))}|"
    for row in grid.rows:
        yield f"| {' | '.join(map(inert, row))} |"


LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "−": "$-$",
    "–": "--",
    "…": r"\ldots{}",
}
"""A character of a name or number -> what prints it; brackets stand in braces, for after a line's end they would be an option."""


def latex(board: Board) -> str:
    """`table` environments for a document that loads `booktabs`, `textcomp` and, for wide ones, `graphicx`."""
    head = [
        f"% wanbench {__version__}: {_one_line(heading(board))}",
        r"% \usepackage[T1]{fontenc} \usepackage{booktabs,graphicx,textcomp}; XeLaTeX or LuaLaTeX where names are not Latin.",
    ]
    return "\n".join([*head, *(line for grid in grids(board) for line in ("", *_latex_table(grid)))]) + "\n"


def _latex_table(grid: Grid) -> Iterator[str]:
    columns = "".join("l" if k == 0 or k in grid.words else "r" for k in range(len(grid.headings)))
    caption = tex(" ".join([grid.title.rstrip(".") + ".", *grid.notes]))
    yield from (
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{caption}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
    )
    yield from (rf"\begin{{tabular}}{{{columns}}}", r"\toprule", f"{' & '.join(map(tex, grid.headings))} \\\\", r"\midrule")
    for row in grid.rows:
        yield f"{' & '.join(map(tex, row))} \\\\"
    yield from (r"\bottomrule", r"\end{tabular}}", r"\end{table}")


def tex(text: str) -> str:
    """Text that LaTeX prints as it is, in one line."""
    escaped = "".join(LATEX.get(c, c) for c in _one_line(text))
    return re.sub(r"\[", "{[}", escaped).replace("]", "{]}")


def _one_line(text: str) -> str:
    """Without line ends and what cannot be printed, which a comment or a cell would not survive."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def json_text(board: Board) -> str:
    return json.dumps(to_object(board), indent=2, allow_nan=False) + "\n"


def to_object(board: Board) -> JSONObject:
    """As `wanbench report --format json` prints it."""
    return {
        "kind": "wanbench report",
        "schema_version": SCHEMA_VERSION,
        "project_version": __version__,
        "weights": board.weights.to_json(),
        "complete": board.complete,
        "over": list(board.over),
        "baseline": board.baseline.name,
        "seed": board.seed,
        "mismatches": [{"reason": m.reason, "candidates": list(m.candidates)} for m in board.mismatches],
        "candidates": [_entry(e) for e in board.entries],
        "comparisons": {c.name: to_json(c.comparison) if c.comparison else {"reason": c.reason} for c in board.contrasts},
        "skip_rates_differ": {d: {n: round(r, 6) for n, r in pair} for d, pair in board.skip_gaps.items()},
        "sensitivity": _sensitivity(board),
        "published": {
            "note": PUBLISHED,
            "source": PUBLISHED_SOURCE,
            "models": {
                model: {"dimensions": {d: scores[k] for d, scores in TABLE_2.items()}, "weighted": TABLE_2_WEIGHTED[k]}
                for k, model in enumerate(TABLE_2_MODELS)
            },
        },
        "controls": _controls(board),
        "runs": {
            e.run: {
                **{key: e.view.run.get(key) for key in ("status", "profile", "suite", "start", "end", "project_version")},
                **{key: e.view.run.get(key) for key in ("command", "methods", "environment", "warnings")},
            }
            for e in board.entries
        },
    }


def _entry(e: Entry) -> JSONObject:
    totals = {"place": e.place, "score": e.total, "uniform": e.uniform}
    parts: JSONObject = {key: e.summary[key] for key in ("weighted", "partial", "pillars", "dimensions") if key in e.summary}
    return {"name": e.name, "candidate": e.candidate, "run": e.run, **totals, **parts}


def _sensitivity(board: Board) -> Any:
    """Without the scores by shipped weights, which stand with the candidates."""
    if board.sensitivity is None:
        return None
    scores = {n: {k: s[k] for k in ("low", "high", "places", "first_share")} for n, s in board.sensitivity["scores"].items()}
    return {**board.sensitivity, "scores": scores}


def _controls(board: Board) -> Any:
    if board.controls is None:
        return None
    known = board.controls.checked
    keys = ("control", "expected", "clips", "obeying", "median")
    return {
        "source": board.controls.source,
        "failed": {d: [{key: getattr(failure, key) for key in keys} for failure in found.failed] for d, found in known.items()},
        "noise_floors": {d: found.floor for d, found in known.items() if found.floor is not None},
        "clips": {d: found.clips for d, found in known.items()},
        "dates": {d: found.date for d, found in known.items()},
    }


COLUMNS = (
    *("kind", "candidate", "run", "name", "weights", "place", "score", "low", "high", "n", "expected", "skipped", "errors"),
    *("p", "p_holm", "minimum_detectable", "method", "fingerprint", "note"),
)
"""Of the CSV: a row a number. `kind` is `total`, `pillar`, `dimension`, `difference` (from the baseline), `admissible` (the range
of the weighted score) or `published`."""


def csv_text(board: Board) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows({key: inert_cell(value) for key, value in row.items()} for row in _csv_rows(board))
    return text.getvalue()


def _csv_rows(board: Board) -> Iterator[dict[str, Any]]:
    for e in board.entries:
        who = {"candidate": e.candidate, "run": e.run}
        name = "weighted" if board.complete else "partial"
        note = "" if board.complete else f"over {' '.join(board.over)}"
        for weights, found in ((board.weights.name, e.total), ("uniform", e.uniform)):
            if found:
                place = {"place": e.place} if weights == board.weights.name else {}
                yield {"kind": "total", **who, "name": name, "weights": weights, **place, **found, "note": note}
        if board.sensitivity:
            span = board.sensitivity["scores"][e.name]
            yield {"kind": "admissible", **who, "name": name, "low": span["low"], "high": span["high"]}
        for pillar in PILLARS:
            yield {"kind": "pillar", **who, "name": pillar, **_only(e.summary["pillars"].get(pillar) or {})}
        for dimension, found in e.summary["dimensions"].items():
            yield {"kind": "dimension", **who, "name": dimension, **_only(found)}
        yield from _csv_differences(board, e, who)
    for k, model in enumerate(TABLE_2_MODELS):
        scores = {**{d: s[k] for d, s in TABLE_2.items()}, "weighted": TABLE_2_WEIGHTED[k]}
        yield from (
            {"kind": "published", "candidate": model, "name": d, "score": s, "note": PUBLISHED} for d, s in scores.items()
        )


def _csv_differences(board: Board, entry: Entry, who: dict[str, str]) -> Iterator[dict[str, Any]]:
    found = next((c.comparison for c in board.contrasts if c.name == entry.name), None)
    if found is None:
        return
    against = {"kind": "difference", **who, "note": f"from {board.baseline.name}"}
    for t in found.totals:
        if t.difference:
            partial = f" over {' '.join(t.dimensions)}" if t.missing else ""
            told = _difference(numbers(t.difference, None, t.n))
            yield {**against, "name": t.name, "weights": t.weights, **told, "note": against["note"] + partial}
    for d in found.dimensions:
        note = f"{against['note']}: {d.reason}" if d.reason else against["note"]
        yield {**against, "name": d.dimension, **_difference(numbers(d.difference, d.p_holm, d.n)), "note": note}


def _difference(found: JSONObject) -> JSONObject:
    return {"score" if key == "difference" else key: value for key, value in found.items()}


def _only(found: JSONObject) -> JSONObject:
    return {key: value for key, value in found.items() if key in COLUMNS}


FORMATS = {"markdown": markdown, "json": json_text, "latex": latex, "csv": csv_text}
