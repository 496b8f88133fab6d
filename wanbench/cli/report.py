"""`wanbench report RUN...`"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wanbench.cli import options
from wanbench.cli.guard import guarded

if TYPE_CHECKING:
    from wanbench.reports.board import Board


class Format(StrEnum):
    """What the report is written as."""

    HTML = "html"
    MARKDOWN = "markdown"
    JSON = "json"
    LATEX = "latex"
    CSV = "csv"


FILES = {
    Format.HTML: "report.html",
    Format.MARKDOWN: "report.md",
    Format.JSON: "report.json",
    Format.LATEX: "report.tex",
    Format.CSV: "report.csv",
}
"""What the file is called in a folder given as --out."""


@guarded
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.", metavar="RUN...")],
    format: Annotated[
        Format, typer.Option(help="html is one self-contained page; the others hold the same numbers.")
    ] = Format.HTML,
    out: Annotated[
        Path | None,
        typer.Option(help="File or folder to write.", show_default="html: report.html here; else standard output"),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Candidate that the others are compared with.", show_default="the first run's first")
    ] = None,
    weights: options.Weights = "table2",
    controls: Annotated[
        Path | None,
        typer.Option(
            help="controls.json, or its folder: failed controls are told.", metavar="FILE", show_default="the last ones here"
        ),
    ] = None,
    allow_mismatch: options.AllowMismatch = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Write one report over all candidates of one or many runs.

    Exit codes: 0 done; 2 wrong use, or runs that must not stand beside each other: other suites, methods, tracks or languages;
    74 the report could not be written.
    """
    from wanbench.reports.board import read_board
    from wanbench.weights import weighting

    format = Format.JSON if json else format
    board = read_board(
        runs,
        baseline=baseline,
        weights=weighting.load(weights),
        controls=controls,
        allow_mismatch=allow_mismatch,
        seed=seed,
    )
    if format is Format.HTML:
        sys.stdout.write(f"report: {_page(board, out)}\n")
        return
    from wanbench.record import write_atomically
    from wanbench.reports.board_text import FORMATS

    # Names that are not UTF-8 reach us as lone surrogates, which no encoder takes.
    content = FORMATS[format.value](board).encode("utf-8", "replace")
    if out is None:
        sys.stdout.buffer.write(content)
    else:
        write_atomically(_file(out, format), content)


def _page(board: Board, out: Path | None) -> Path:
    from wanbench.errors import UsageError
    from wanbench.record import REPORT, RUN, as_text
    from wanbench.reports.board_page import write_board

    path = _file(out or Path(), Format.HTML)
    if path.name == REPORT and (path.parent / RUN).is_file():
        raise UsageError(f"{as_text(path)} is the run's own page: write this one somewhere else with --out FILE")
    return write_board(board, path)


def _file(out: Path, format: Format) -> Path:
    """`out` itself, or in it where it is a folder: one that is there, or a name without an ending. Raises `OutputError`."""
    from wanbench.errors import OutputError

    path = out / FILES[format] if out.is_dir() or not out.suffix else out
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    return path
