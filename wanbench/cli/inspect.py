"""`wanbench inspect VIDEO`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from wanbench.cli import options
from wanbench.cli.guard import guarded


@guarded
def inspect(
    video: Annotated[Path, typer.Argument(help="A video file.")],
    prompt: Annotated[str | None, typer.Option(help="The text that the video was made from.")] = None,
    camera: Annotated[str | None, typer.Option(help="The camera movement asked for, such as pan-left.")] = None,
    profile: Annotated[
        options.ProfileName | None,
        typer.Option(help="Which methods measure.", show_default="reference if its checkpoints are there, else lite"),
    ] = None,
    dimensions: options.Dimensions = None,
    device: options.Device = "auto",
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """All that can be said of one clip: stream facts, frames on the grid, the camera's movement, every dimension."""
    from wanbench.inspection import inspect as look

    result = look(
        video,
        prompt=prompt,
        camera=camera,
        profile=profile.value if profile else None,
        dimensions=options.names(dimensions),
        device=device,
    )
    if json:
        import json as json_library

        sys.stdout.write(json_library.dumps(result, indent=2) + "\n")
        return
    _print(result)


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from wanbench.cli.output import Output

    console = Output()
    for heading in ("stream", "clip", "camera"):
        console.print(Text(heading, style="bold"))
        for key, value in result[heading].items():
            console.print(Text(f"  {key}: {_short(value)}"))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("Dimension", "Status", "Score", "What it says"):
        table.add_column(column)
    for name, row in result["dimensions"].items():
        score = f"{row['score']:.3f}" if row["score"] is not None else ""
        raw = {k: v for k, v in (row["raw"] or {}).items() if not isinstance(v, dict | list)}
        says = row["reason"] or ", ".join(f"{k} {_short(v)}" for k, v in list(raw.items())[:4])
        table.add_row(name, row["status"], score, Text(says))
    console.print(table)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_short(v) for v in value)
    return str(value)
