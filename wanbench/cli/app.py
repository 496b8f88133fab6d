"""The application and its commands. Importing this costs the command-line library and nothing else."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated, TextIO

import typer

from wanbench import __version__
from wanbench.cli import (
    baseline,
    checkpoints,
    compare,
    controls,
    demo,
    doctor,
    export,
    fid,
    gate,
    generate,
    inspect,
    interrupts,
    judge,
    models,
    prompts,
    report,
    run,
    score,
    train,
    weights,
)
from wanbench.cli.guard import CANNOT_WRITE

app = typer.Typer(
    name="wanbench",
    help="The open Wan-Bench: fourteen dimensions of video generation, every number with its uncertainty and circumstances.",
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command(name="run")(run.run)
app.command(name="generate")(generate.generate)
app.command(name="score")(score.score)
app.command(name="inspect")(inspect.inspect)
app.command(name="report")(report.report)
app.command(name="compare")(compare.compare)
app.command(name="gate")(gate.gate)
app.command(name="export")(export.export)
app.command(name="doctor")(doctor.doctor)
app.command(name="demo")(demo.demo)
app.command(name="fid")(fid.fid)
app.command(name="controls")(controls.controls)
app.add_typer(baseline.app, name="baseline")
app.add_typer(checkpoints.app, name="checkpoints")
app.add_typer(judge.app, name="judge")
app.add_typer(models.app, name="models")
app.add_typer(prompts.app, name="prompts")
app.add_typer(train.app, name="train")
app.add_typer(weights.app, name="weights")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"wanbench {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """The open Wan-Bench: fourteen dimensions of video generation, every number with its uncertainty and circumstances."""


def main() -> None:
    sys.stdout, sys.stderr = (_open(stream) for stream in (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):  # a file name may hold what the terminal's encoding does not
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except SystemExit as ending:
        interrupts.too_late()
        if ending.code != interrupts.INTERRUPTED:
            raise
        sys.stdout.flush()
        # An ordinary exit would wait for threads, and Python ends some interrupted programs by the signal, without a code.
        os._exit(interrupts.INTERRUPTED)
    except OSError:  # a help text or a usage error that cannot be written; commands see to their own output
        os._exit(CANNOT_WRITE)


def _open(stream: TextIO | None) -> TextIO:
    """The stream, or nowhere where the caller closed it: what was meant for one must not end up in the other."""
    return stream or Path(os.devnull).open("w")
