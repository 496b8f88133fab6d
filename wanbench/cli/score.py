"""`wanbench score PATH...`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wanbench.cli import options
from wanbench.cli.guard import ERRORS, guarded, may_go_unread

if TYPE_CHECKING:
    from wanbench.api import Run

ERROR_LINES_SHOWN = 20


@guarded
def score(
    paths: Annotated[list[str], typer.Argument(help="Videos, or folders searched for them; NAME=PATH makes several candidates.")],
    name: Annotated[str | None, typer.Option(help="Name of the candidate.", show_default="the first folder's")] = None,
    out: options.Out = None,
    profile: options.Profile = options.ProfileName.REFERENCE,
    dimensions: options.Dimensions = None,
    all_dimensions: options.AllDimensions = False,
    suite: options.SuiteName = None,
    prompts: Annotated[
        Path | None, typer.Option(help="JSONL or CSV with `video` and `prompt_id` or `prompt`.", metavar="FILE")
    ] = None,
    language: options.Language = options.LanguageName.EN,
    limit: options.Limit = None,
    workers: options.Workers = None,
    executor: options.Executor = options.ExecutorName.LOCAL,
    address: options.Address = None,
    device: options.Device = "auto",
    dtype: options.Dtype = options.DtypeName.FLOAT32,
    batch_size: options.BatchSize = 16,
    judge: options.Judge = None,
    judge_model: options.JudgeModel = None,
    judge_samples: options.JudgeSamples = 0,
    judge_concurrency: options.JudgeConcurrency = 8,
    weights: options.Weights = "table2",
    seed: options.Seed = 0,
    log_to: options.LogTo = None,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Score existing videos and write a report.

    The same command given again resumes a run that was cut, and repeats nothing that was measured.

    Exit codes: 0 done; 2 wrong use, found before any work; 3 done, but some videos could not be measured (each is named);
    74 output could not be written; 130 interrupted, what was measured is kept.
    """
    from wanbench import api
    from wanbench.cli.events import watching

    with watching(json=json, progress=not no_progress, quiet=quiet) as live:
        run = api.score(
            *paths,
            name=name,
            out=out,
            profile=profile.value,
            dimensions=options.names(dimensions),
            all_dimensions=all_dimensions,
            suite=suite,
            prompts=prompts,
            language=language.value,
            limit=limit,
            device=device,
            dtype=dtype.value,
            batch_size=batch_size,
            workers=workers,
            executor=executor.value,
            address=address,
            judge=judge,
            judge_model=judge_model,
            judge_samples=judge_samples,
            judge_concurrency=judge_concurrency,
            weights=weights,
            seed=seed,
            log_to=log_to or (),
            offline=offline,
            command=["wanbench", *sys.argv[1:]],
            listener=live.listener,
        )
    show(run, json=json, quiet=quiet)
    if run.errors:
        raise typer.Exit(ERRORS)


def show(run: Run, *, json: bool, quiet: bool) -> None:
    """The result to standard output; errors, each named, to standard error."""
    import json as json_library

    from wanbench.record import REPORT, as_text
    from wanbench.reports.reasons import why_unmeasured
    from wanbench.reports.terminal import error_lines, render_table

    report, gate = run.path / REPORT, run.info.get("sequential")
    with may_go_unread():
        if json:
            result = {"run": as_text(run.path), "report": as_text(report), "status": run.info["status"], "summary": run.summary}
            sys.stdout.write(json_library.dumps({**result, **({"sequential": gate} if gate else {})}, indent=2) + "\n")
        else:
            from wanbench.cli.output import Output

            records = run.records()
            render_table(dict(run.summary), Output(), why_unmeasured(dict(run.info), dict(run.summary), records))
            if not quiet:
                sys.stdout.write(f"report: {report}\n")
            if gate:
                sys.stdout.write(f"{gate['verdict']}: {gate['reason']}\n")
    lines = error_lines(run.errors)
    with may_go_unread():
        for line in lines if json else lines[:ERROR_LINES_SHOWN]:
            print(json_library.dumps({"event": "error", "text": line}) if json else line, file=sys.stderr)
        if len(lines) > ERROR_LINES_SHOWN and not json:
            print(f"... and {len(lines) - ERROR_LINES_SHOWN} more: see {report}", file=sys.stderr)
