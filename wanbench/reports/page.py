"""The HTML report of one run: one self-contained file that asks nothing of any network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wanbench import record
from wanbench.reports import circumstances, clips, controls, document, reasons, scores, transcripts
from wanbench.reports.view import RunView, read_run
from wanbench.reports.wording import command_line, date, duration


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What the top of the page says."""

    project: str
    run_name: str
    status: str
    planned: int
    """Measurements expected by the summary."""
    date: str
    duration: str | None
    profile: str
    suite: str
    candidates: tuple[str, ...]
    clips: int
    counts: Mapping[str, int]
    """Rows of the record by status."""
    missing: int
    """Planned measurements that the record does not hold."""

    @property
    def complete(self) -> bool:
        return self.status == "complete"


def write_page(run_directory: Path) -> Path:
    """Write `report.html` into a run directory and return its path.

    Raises `UsageError` when the directory holds no run, `OutputError` when the file cannot be written.
    """
    page = run_directory / record.REPORT
    # Names that are not UTF-8 reach us as lone surrogates, which no encoder takes.
    record.write_atomically(page, render(read_run(run_directory)).encode("utf-8", "replace"))
    return page


def render(view: RunView) -> str:
    """The page as text. The same view, and the same controls in the store, give the same text."""
    checked, no_controls = controls.known(view.run)
    style, script = document.asset("page.css"), document.asset("page.js")
    headlines = scores.headlines(view.summary)
    why = reasons.why_unmeasured(view.run, view.summary, view.measurements)
    template = document.templates().get_template("page.html.jinja")
    return template.render(
        policy=document.policy(style, script),
        style=style,
        script=script,
        header=_header(view),
        gate=view.run.get("sequential"),
        headlines=headlines,
        headline_axis=scores.headline_axis(headlines),
        groups=scores.groups(view.run, view.summary),
        unmeasured=reasons.by_reason(why),
        galleries=clips.galleries(view),
        measured_count=len(reasons.counted_dimensions(view.summary)),
        failures=reasons.failures(view.measurements),
        # Dimensions that nobody was measured in are explained once, under the scores.
        skips=reasons.skips(row for row in view.measurements if row.dimension not in why),
        table=clips.table_json(view),
        candidates=circumstances.candidates(view.run),
        methods=circumstances.methods(view.run),
        environment=circumstances.environment(view.run),
        judge=transcripts.judge(view.run),
        controls=checked,
        no_controls=no_controls,
        command=command_line(view.run.get("command")),
        warnings=[str(w) for w in view.run.get("warnings") or ()],
        terms=circumstances.TERMS,
        video_link=view.video_link,
    )


def _header(view: RunView) -> Header:
    run = view.run
    names = view.summary.get("candidates") or run.get("candidates") or {}
    counted = Counter[str](row.status for row in view.measurements)
    held = sum(not row.exploratory for row in view.measurements)
    planned = _planned(view.summary)
    return Header(
        project=f"wanbench {run.get('project_version') or ''}".strip(),
        run_name=view.directory.absolute().name,
        status=str(run.get("status") or "of unknown status"),
        planned=planned,
        date=date(run.get("start")),
        duration=duration(run.get("start"), run.get("end")),
        profile=str(run.get("profile") or "–"),
        suite=circumstances.suite_text(run),
        candidates=tuple(names),
        clips=len(clips.samples(view.measurements)),
        counts={status: counted[status] for status in ("ok", "skipped", "error")},
        missing=max(0, planned - held),
    )


def _planned(summary: Mapping[str, Any]) -> int:
    entries = (d for c in summary.get("candidates", {}).values() for d in c.get("dimensions", {}).values())
    return sum(entry.get("expected") or 0 for entry in entries)
