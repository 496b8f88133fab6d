"""`wanbench fid --real DIR --generated DIR`"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from wanbench.cli import options
from wanbench.cli.guard import ERRORS, guarded, may_go_unread

BAR_AFTER_SECONDS = 2.0
Source = Annotated[Path, typer.Option(help="Folder of pictures or videos, or an .npz file of saved statistics.", metavar="DIR")]


@guarded
def fid(
    real: Source,
    generated: Source,
    save_real: Annotated[
        Path | None, typer.Option(help="Keep the real set's statistics in this .npz file.", metavar="FILE")
    ] = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = 16,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Fréchet Inception distance between two sets of pictures or videos; of videos, the frames of the 8-per-second grid count.

    Exit codes: 0 done; 2 wrong use, or the checkpoint is missing; 3 done, but some files could not be read (each is named);
    74 output could not be written.
    """
    from wanbench.errors import UsageError
    from wanbench.evaluation.measuring import cores
    from wanbench.fid import frechet_distance, save_statistics
    from wanbench.fid_sets import SAVED, load_sets

    if save_real is not None and save_real.suffix.lower() != SAVED:
        raise UsageError(f"--save-real writes an {SAVED} file, not {save_real.name}")
    if save_real is not None and not save_real.absolute().parent.is_dir():
        raise UsageError(f"--save-real: there is no folder {save_real.parent}; make it first")
    with _bar(shown=not (no_progress or quiet)) as tick:
        one, other = load_sets(real, generated, device=device, batch_size=batch_size, threads=cores(), tick=tick)
    if save_real is not None:
        save_statistics(save_real, one.statistics)
    distance = frechet_distance(one.statistics, other.statistics)
    errors = {str(path): reason for side in (one, other) for path, reason in side.errors.items()}
    result: dict[str, Any] = {
        "fid": distance.fid,
        "mean_part": distance.mean_part,
        "covariance_part": distance.covariance_part,
        "real": {"source": str(real), "files": one.files, "pictures": one.statistics.count},
        "generated": {"source": str(generated), "files": other.files, "pictures": other.statistics.count},
        "warnings": list(distance.warnings),
        "errors": errors,
        "circumstances": dict(one.statistics.circumstances),
    }
    with may_go_unread():
        _print(result, json)
    if errors:
        raise typer.Exit(ERRORS)


def _print(result: dict[str, Any], json: bool) -> None:
    if json:
        import json as json_library

        sys.stdout.write(json_library.dumps(result, indent=2) + "\n")
    else:
        pictures = " and ".join(f"{result[side]['pictures']} {side}" for side in ("real", "generated"))
        sys.stdout.write(
            f"FID {result['fid']:.4f} (means {result['mean_part']:.4f}, covariances {result['covariance_part']:.4f}; "
        )
        sys.stdout.write(f"{pictures} pictures)\n")
    for warning in result["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    for path, reason in result["errors"].items():
        print(f"error: {path}: {reason}", file=sys.stderr)


@contextmanager
def _bar(*, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error that appears when the work takes over two seconds and somebody watches."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield lambda done, total: None
        return
    begun, bar = time.monotonic(), Progress(console=console, transient=True)
    task = bar.add_task("measuring", total=None)

    def tick(done: int, total: int) -> None:
        if time.monotonic() - begun > BAR_AFTER_SECONDS:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield tick
    finally:
        bar.stop()
