"""`wanbench baseline save RUN FILE`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wanbench.cli import options
from wanbench.cli.guard import guarded

app = typer.Typer(help="What later runs are held against.", rich_markup_mode=None)


@app.callback()
def group() -> None:
    """What later runs are held against."""


@app.command()
@guarded
def save(
    run: Annotated[str, typer.Argument(help="A run, or one candidate of it as RUN:CANDIDATE.")],
    file: Annotated[Path, typer.Argument(help="The file to write, such as wanbench-baseline.json; commit it.")],
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Write the scores of a run, prompt by prompt, with suite and fingerprints and nothing else, to a small JSON file."""
    from wanbench.comparison.baseline import read_side
    from wanbench.comparison.baseline import save as write

    side = read_side(run)
    write(side, file)
    if not quiet:
        prompts = len({p for measured in side.dimensions.values() for p in measured.scores})
        print(
            f"{file}: {side.candidate}, {len(side.dimensions)} dimensions, {prompts} prompts, {file.stat().st_size / 1000:.0f} kB"
        )
