"""`wanbench export RUN`"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wanbench.cli import options
from wanbench.cli.guard import guarded


class Format(StrEnum):
    """What the numbers are written as."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    VBENCH = "vbench"


@guarded
def export(
    run: Annotated[Path, typer.Argument(help="A run directory, or VBench's results: a *_eval_results.json or their folder.")],
    format: Annotated[Format, typer.Option(help="csv, jsonl and parquet: a row a measurement; vbench: its results file.")],
    out: Annotated[Path | None, typer.Option(help="The file to write.", show_default="standard output")] = None,
    verbose: options.Verbose = False,
) -> None:
    """Write the numbers of a run for other tools; of VBench's results, with Quality, Semantic and Total (csv, jsonl)."""
    from wanbench.errors import UsageError
    from wanbench.exporting import export as write

    if out is None and format is Format.PARQUET:
        raise UsageError("parquet is not text: give --out FILE")
    content = write(run, format.value)
    if out is None:
        sys.stdout.buffer.write(content)
        return
    from wanbench.record import write_atomically

    write_atomically(out, content)
