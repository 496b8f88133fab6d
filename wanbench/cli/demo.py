"""`wanbench demo`"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from wanbench.cli import options
from wanbench.cli.guard import guarded


@guarded
def demo(
    out: Annotated[Path, typer.Option(help="Where videos and report go.")] = Path("runs/demo"),
    workers: options.Workers = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Render a few small candidates with known faults, score them and write a report: no download, any CPU."""
    from wanbench import api
    from wanbench.cli.live import Live
    from wanbench.cli.score import show
    from wanbench.demo import demo as render_and

    with Live(shown=not (no_progress or quiet), quiet=quiet) as live:

        def score(folders: Mapping[str, Path], suite: Path) -> api.Run:
            return api.score(
                *(f"{name}={folder}" for name, folder in folders.items()),
                suite=str(suite),
                out=out,
                profile="lite",
                dimensions=["large_motion_generation", "pixel_level_stability", "camera_control"],
                workers=workers,
                command=["wanbench", *sys.argv[1:]],
                listener=live.listener,
            )

        run = render_and(out, score=score, progress=live.rendering)
    show(run, json=json, quiet=quiet)
