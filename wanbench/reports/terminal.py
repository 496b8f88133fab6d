"""What a run says in the terminal when it ends: the table of scores, and each failed file with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wanbench.errors import printable
from wanbench.fourteen import title
from wanbench.reports.reasons import by_reason, counted_dimensions, failures
from wanbench.reports.scores import Estimate, headlines
from wanbench.reports.wording import enumerate_words
from wanbench.types import JSONObject, Measurement

INTERVAL_COLUMN_FROM = 72
"""Columns a terminal needs for the interval to stand beside the score; narrower ones show the score alone."""


def render_table(summary: JSONObject, console: Console, why: Mapping[str, str] | None = None) -> None:
    """Print the scores of `summary`; `why` (dimension -> reason) explains in one line what nobody was measured in."""
    counted = counted_dimensions(summary)
    candidates: Mapping[str, Any] = summary.get("candidates", {})
    if counted:
        console.print(_table(candidates, counted, wide=console.width >= INTERVAL_COLUMN_FROM))
    else:
        console.print("No clip was measured.", style="bold")
    for line in overall_lines(summary):
        console.print(plain(line))
    if why:
        told = "; ".join(f"{enumerate_words([title(d) for d in names])} ({reason})" for reason, names in by_reason(why))
        console.print(plain(f"Not measured: {told}"), style="dim")


def _table(candidates: Mapping[str, Any], counted: list[str], *, wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    several = len(candidates) > 1
    table.add_column("Dimension")
    if several:
        table.add_column("Candidate", overflow="fold")
    table.add_column("Score", justify="right")
    if wide:
        table.add_column("95 % interval", justify="right")
    for heading in ("n", "skipped", "errors"):
        table.add_column(heading, justify="right")
    for dimension in counted:
        label = title(dimension)
        for name, entry in candidates.items():
            found = (entry.get("dimensions") or {}).get(dimension)
            if found is None:
                continue
            cells = [Text(label)] + ([plain(name)] if several else []) + _numbers(found, wide=wide)
            table.add_row(*cells)
            label = ""
    return table


def _numbers(found: Mapping[str, Any], *, wide: bool) -> list[Text]:
    estimate, errors, skipped = Estimate.of(found), found.get("errors") or 0, found.get("skipped") or 0
    n, expected = found.get("n") or 0, found.get("expected") or 0
    return [
        Text(estimate.value if estimate else "–", style="bold" if estimate else "dim"),
        *([Text(estimate.interval if estimate else "", style="dim")] if wide else []),
        Text(str(n) if n == expected else f"{n} of {expected}"),
        Text(str(skipped), style="" if skipped else "dim"),
        Text(str(errors), style="bold red" if errors else "dim"),
    ]


def overall_lines(summary: JSONObject) -> list[str]:
    """The weighted score of each candidate, else its partial one, and once what partial scores are made of."""
    told = [h for h in headlines(summary) if h.estimate]
    several = len(summary.get("candidates", {})) > 1
    lines = []
    for headline in told:
        assert headline.estimate is not None
        kind = "partial score" if headline.partial_over else "weighted score"
        weights = f", weights {headline.weights}" if headline.weights else ""
        interval = f" [{headline.estimate.interval}]" if headline.estimate.interval else ""
        beside = f" (uniform {headline.uniform.value})" if headline.uniform and headline.weights != "uniform" else ""
        lines.append(
            (f"{headline.candidate}: " if several else "") + f"{kind} {headline.estimate.value}{interval}{weights}{beside}"
        )
    parts = dict.fromkeys(h.partial_over for h in told if h.partial_over)
    return lines + [f"Partial: over {enumerate_words(over)} alone" for over in parts]


def error_lines(measurements: Iterable[Measurement]) -> list[str]:
    """`FILE: reason (dimensions)` for each failed file and reason; the dimensions are left out when all failed alike."""
    rows = list(measurements)
    measured = {row.dimension for row in rows if row.status != "skipped"}
    return [
        printable(f"{f.video}: {f.reason}" + ("" if set(f.dimensions) == measured else f" ({', '.join(f.dimensions)})"))
        for f in failures(rows)
    ]


def plain(text: str) -> Text:
    """Names come from files: neither rich's markup nor a terminal's escape codes in them may act."""
    return Text(printable(text))
