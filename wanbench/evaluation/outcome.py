"""What comes out of a run, and what is heard while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wanbench import record
from wanbench.evaluation.runner import Progress
from wanbench.types import Measurement

if TYPE_CHECKING:
    import pandas as pd

PRINTED_WIDTH = 120
"""Columns of a printed table: a printed text does not know its terminal, and this is what a wide one has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Making:
    """How far the videos of a run are."""

    done: float
    """Videos made, those under way by their share of steps."""
    total: int
    failed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """What a caller hears while a run goes on."""

    hashing: Callable[[int, int], None] = lambda done, total: None
    progress: Callable[[Progress], None] = lambda progress: None
    warning: Callable[[str], None] = lambda text: None
    note: Callable[[str], None] = lambda text: None
    """What is worth knowing, and nothing wrong."""
    started: Callable[[Path], None] = lambda run: None
    making: Callable[[Making], None] = lambda making: None


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run directory that has been written."""

    path: Path
    info: Mapping[str, Any] = field(repr=False)
    """`run.json`."""
    summary: Mapping[str, Any] = field(repr=False)
    """`summary.json`."""

    def records(self) -> list[Measurement]:
        """The record, line by line."""
        return list(record.read_measurements(self.path / record.RECORD))

    def measurements(self) -> pd.DataFrame:
        """One row a line of the record."""
        import pandas as pd

        return pd.DataFrame([m.to_json() for m in self.records()])

    def scores(self) -> pd.DataFrame:
        """One row a candidate and dimension: score, low, high, n, skipped, errors, ..."""
        import pandas as pd

        rows = [
            {"candidate": name, "dimension": dimension, **{k: v for k, v in entry.items() if k != "subsets"}}
            for name, candidate in self.summary["candidates"].items()
            for dimension, entry in candidate["dimensions"].items()
        ]
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        """The table that the command prints, and where the report lies."""
        from rich.console import Console

        from wanbench.errors import printable
        from wanbench.reports.terminal import render_table

        text = StringIO()
        render_table(dict(self.summary), Console(file=text, width=PRINTED_WIDTH, color_system=None))
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        return "\n".join([*lines, printable(f"report: {self.path / record.REPORT}")])

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        from wanbench.reports.notebook import table

        return table(self.summary, self.info["status"], self.path / record.REPORT)

    @property
    def errors(self) -> list[Measurement]:
        """The rows that should have been measured and could not be."""
        return [m for m in self.records() if m.status == "error"]


def load(run: str | Path) -> Run:
    """A finished run. Raises `UsageError`."""
    path = Path(run)
    return Run(path=path, info=record.read_json(path / record.RUN), summary=record.read_json(path / record.SUMMARY))
