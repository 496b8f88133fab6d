"""What a notebook shows of a run: one table, styled inline, for a notebook's page gives nothing to link to."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from wanbench.fourteen import title
from wanbench.reports.reasons import counted_dimensions
from wanbench.reports.scores import Estimate, headlines
from wanbench.types import JSONObject

LEFT = "text-align:left;padding:2px 12px 2px 0"
RIGHT = "text-align:right;padding:2px 0 2px 12px;font-variant-numeric:tabular-nums"
FAINT = "opacity:.65"
"""Of the notebook's own colour, light or dark."""


def table(summary: Mapping[str, Any], status: str, report: Path) -> str:
    """One column a candidate: its weighted (else partial) score, then every dimension, each with its interval."""
    data: JSONObject = dict(summary)
    candidates: Mapping[str, Any] = data.get("candidates", {})
    told = {h.candidate: h for h in headlines(data)}
    partial = any(h.estimate and h.partial_over for h in told.values())
    rows = [_row("Partial score" if partial else "Weighted score", [told[name].estimate for name in candidates], heavy=True)]
    for dimension in counted_dimensions(data):
        entries = [(entry.get("dimensions") or {}).get(dimension) for entry in candidates.values()]
        rows.append(_row(title(dimension), [Estimate.of(entry) for entry in entries]))
    heads = "".join(f'<th style="{RIGHT}">{escape(name)}</th>' for name in candidates)
    errors = sum(d.get("errors") or 0 for c in candidates.values() for d in (c.get("dimensions") or {}).values())
    last = " · ".join([status, *([f"{errors} errors"] if errors else []), f"95 % intervals · report: {escape(str(report))}"])
    return (
        f'<table style="border-collapse:collapse"><thead><tr><th style="{LEFT}">wanbench</th>{heads}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table><div style="{FAINT}">{last}</div>'
    )


def _row(label: str, estimates: list[Estimate | None], *, heavy: bool = False) -> str:
    cells = "".join(f'<td style="{RIGHT}">{_cell(estimate)}</td>' for estimate in estimates)
    weight = ";font-weight:bold" if heavy else ""
    return f'<tr><th style="{LEFT};font-weight:normal{weight}" scope="row">{escape(label)}</th>{cells}</tr>'


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return f'<span style="{FAINT}">–</span>'
    interval = f' <span style="{FAINT}">[{estimate.interval}]</span>' if estimate.interval else ""
    return f"{estimate.value}{interval}"
