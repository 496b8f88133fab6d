"""`wanbench train artifacts DATA`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from wanbench.cli import options
from wanbench.cli.guard import guarded

app = typer.Typer(help="Train what nobody published.", rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Train what nobody published."""


@app.command()
@guarded
def artifacts(
    data: Annotated[Path, typer.Argument(help="A YOLO-format data set: data.yaml, its folder, or folders images and labels.")],
    out: Annotated[Path | None, typer.Option(help="Where the detector goes.", show_default="the store")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 100,
    size: Annotated[int, typer.Option(help="Longer side of the pictures in pixels, a multiple of 32.")] = 640,
    batch: Annotated[int, typer.Option(help="Pictures a step.", min=1)] = 16,
    seed: Annotated[int, typer.Option(help="Of the first parameters and the order of the pictures.")] = 0,
    architecture: Annotated[str, typer.Option(help="A YOLOv3 of ultralytics: yolov3u, yolov3-sppu, yolov3-tinyu.")] = "yolov3u",
    device: options.Device = "auto",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Train the human-artifact detector and export it as safetensors with a description, the only thing ever loaded."""
    from collections.abc import Mapping

    from rich.console import Console
    from rich.progress import Progress

    from wanbench.cli import interrupts
    from wanbench.evaluation.worker import resolve_device
    from wanbench.training.artifacts import train_artifacts

    console = Console(stderr=True)
    hidden = quiet or no_progress or not console.is_terminal
    with interrupts.raised(), Progress(console=console, disable=hidden, transient=True) as bar:
        task = bar.add_task("training", total=epochs)

        def tick(done: int, total: int, measures: Mapping[str, float]) -> None:
            bar.update(task, completed=done, total=total)

        folder = train_artifacts(
            data,
            out,
            epochs=epochs,
            size=size,
            batch=batch,
            seed=seed,
            device=resolve_device(device),
            architecture=architecture,
            on_epoch=tick,
        )
    sys.stdout.write(f"{folder}\n")
