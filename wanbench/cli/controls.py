"""`wanbench controls CLIPS`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from wanbench.cli import options
from wanbench.cli.guard import ERRORS, guarded, may_go_unread

ERROR_LINES_SHOWN = 10


@guarded
def controls(
    clips: Annotated[list[Path], typer.Argument(help="Video files, or folders of them.", metavar="CLIPS...")],
    out: Annotated[Path | None, typer.Option(help="Folder of controls.json.", show_default="runs/controls-XXXXXXXX")] = None,
    profile: options.Profile = options.ProfileName.REFERENCE,
    dimensions: options.Dimensions = None,
    prompts: Annotated[Path | None, typer.Option(help="JSONL or CSV: which prompt each video was made from.")] = None,
    limit: options.Limit = None,
    workers: options.Workers = None,
    device: options.Device = "auto",
    judge: options.Judge = None,
    judge_model: options.JudgeModel = None,
    judge_samples: options.JudgeSamples = 0,
    judge_concurrency: options.JudgeConcurrency = 8,
    seed: Annotated[int, typer.Option(help="Of the random damage.")] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Check each dimension against damaged clips: does it react as it declares, and what is its noise floor?

    The same command given again goes on where it was cut. A clip whose prompt asks for no camera movement is asked for the
    one that is found in it.

    Exit codes: 0 done, whether dimensions pass or fail; 2 wrong use; 3 done, but something could not be measured; 74 output
    could not be written; 130 interrupted, what was measured is kept.
    """
    from wanbench.cli.live import Live
    from wanbench.controls.conduct import Listener, check_controls
    from wanbench.judge.choice import choose_judge

    with Live(shown=not (no_progress or quiet), quiet=quiet) as live:
        folder, content = check_controls(
            clips,
            out=out,
            profile=profile.value,
            dimensions=options.names(dimensions),
            prompts=prompts,
            limit=limit,
            workers=workers,
            device=device,
            judge=choose_judge(judge, model=judge_model, samples=judge_samples, concurrency=judge_concurrency),
            seed=seed,
            listener=Listener(progress=live.listener.progress, warning=live.listener.warning, started=live.listener.started),
        )
    with may_go_unread():
        if json:
            import json as json_library

            sys.stdout.write(json_library.dumps(content, indent=2) + "\n")
        else:
            _print(content, folder)
    for error in content["errors"][:ERROR_LINES_SHOWN]:
        print(f"error: {error['video']} {error['control']} {error['dimension']}: {error['reason']}", file=sys.stderr)
    if len(content["errors"]) > ERROR_LINES_SHOWN:
        print(f"... and {len(content['errors']) - ERROR_LINES_SHOWN} more", file=sys.stderr)
    if content["errors"]:
        raise typer.Exit(ERRORS)


def _print(content: dict[str, Any], folder: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from wanbench.cli.output import Output
    from wanbench.controls.record import CONTROLS

    console = Output()
    for name, entry in content["dimensions"].items():
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for column in ("Control", "Expected", "Verdict", "Obey", "Median", "Effect [95 %]"):
            table.add_column(column)
        for result in entry["results"]:
            obey = f"{result['obeying']} of {result['clips']}" if result["clips"] else ""
            colour = {"fail": "red", "pass": "green"}.get(result["verdict"], "")
            moved = result["effect"]
            interval = "" if moved["low"] is None else f"{moved['mean']:+.4f} [{moved['low']:+.4f}, {moved['high']:+.4f}]"
            median = "" if moved["median"] is None else f"{moved['median']:+.4f}"
            verdict = Text("FAIL" if result["verdict"] == "fail" else result["verdict"], style=colour)
            table.add_row(result["control"], result["expectation"]["words"], verdict, obey, median, interval)
        counts = [sum(r["verdict"] == v for r in entry["results"]) for v in ("pass", "fail", "not measured")]
        console.print(Text(f"{name}: {counts[0]} pass, {counts[1]} fail, {counts[2]} not measured", style="bold"))
        console.print(table)
        console.print(Text(_floor(entry["noise_floor"])))
        console.print()
    for name, reason in content["not_measured"].items():
        console.print(Text(f"{name}: {reason}", style="dim"))
    console.print(Text(str(folder / CONTROLS)))


def _floor(floor: dict[str, Any]) -> str:
    if floor["mean"] is None:
        return "noise floor: too few clips"
    again, clip = floor["controls"]["again"]["largest"], floor["clip"]
    texts = [f"means {floor['mean']:.4f}"]
    texts += [f"single clips {clip:.4f}"] if clip is not None else []
    texts += [f"the clip itself again {again:.6f} at most"] if again is not None else []
    return f"noise floor: {', '.join(texts)}"
