"""`wanbench run --model NAME`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from wanbench.cli import completing, options
from wanbench.cli.guard import ERRORS, guarded
from wanbench.cli.model_options import ModelOptions, with_model_options
from wanbench.cli.score import show

Model = Annotated[
    str,
    typer.Option(
        help="A name of `models list`, a folder, diffusers:ORG/NAME, or command:'./make.sh {prompt_file} {out} {seed}'.",
        autocompletion=completing.models,
    ),
]


@guarded
@with_model_options
def run(
    *,
    model: Model,
    suite: Annotated[
        str,
        typer.Option(
            help="smoke, mini, full, or a JSONL, CSV or text file.", metavar="NAME_OR_FILE", autocompletion=completing.suites
        ),
    ] = "full",
    name: Annotated[str | None, typer.Option(help="Name of the candidate.", show_default="the model's")] = None,
    out: options.Out = None,
    seeds: options.Seeds = "0",
    language: options.Language = options.LanguageName.EN,
    track: options.Track = None,
    limit: Annotated[int | None, typer.Option(help="At most so many prompts.", min=1)] = None,
    profile: options.Profile = options.ProfileName.REFERENCE,
    dimensions: options.Dimensions = None,
    all_dimensions: options.AllDimensions = False,
    asked: ModelOptions,
    model_dtype: options.ModelDtype = None,
    video_timeout: Annotated[
        float | None, typer.Option(help="Seconds after which a video counts as hung.", min=1, show_default="4 hours")
    ] = None,
    device: Annotated[str, typer.Option(help="auto (every GPU), cpu, mps, or cuda:0,cuda:1 for several.")] = "auto",
    dtype: options.Dtype = options.DtypeName.FLOAT32,
    batch_size: options.BatchSize = 16,
    workers: options.Workers = None,
    executor: options.Executor = options.ExecutorName.LOCAL,
    address: options.Address = None,
    judge: options.Judge = None,
    judge_model: options.JudgeModel = None,
    judge_samples: options.JudgeSamples = 0,
    judge_concurrency: options.JudgeConcurrency = 8,
    weights: options.Weights = "table2",
    seed: Annotated[
        int, typer.Option(help="Of the statistics (bootstrap), and of the order that --sequential draws.", min=0)
    ] = 0,
    log_to: options.LogTo = None,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Draw prompts until it is settled whether the model regressed; wants --baseline.")
    ] = False,
    baseline: Annotated[str | None, typer.Option(help="A run, or a file of `baseline save`.", metavar="RUN_OR_FILE")] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Of the gate: a TOML file.", metavar="FILE", show_default="the default policy")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, print the forecast, and stop.")] = False,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Make a suite's videos with a model, score them, and write a report.

    The same command given again goes on where it was cut: no finished video is made again, and nothing is measured twice.

    Exit codes: 0 done; 2 wrong use, found before any work; 3 done, but some videos could not be made or measured (each is named);
    74 output could not be written; 130 interrupted, what was made and measured is kept. With --sequential also those of `gate`:
    1 regression; 4 cannot decide.
    """
    from wanbench.evaluation.ordering import order
    from wanbench.evaluation.running import run as make_and_score

    ordered = order(
        model,
        suite=suite,
        name=name,
        out=out,
        seeds=options.numbers(seeds, "--seeds"),
        language=language.value,
        track=track.value if track else None,
        limit=limit,
        profile=profile.value,
        dimensions=options.names(dimensions),
        all_dimensions=all_dimensions,
        model_dtype=model_dtype.value if model_dtype else None,
        video_timeout=video_timeout,
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
        sequential=sequential,
        baseline=baseline,
        policy=policy,
        log_to=log_to or (),
        offline=offline,
        **asked.keywords(),
    )
    if dry_run:
        ordered.forecast.show(json)
        return
    from wanbench.cli.events import watching

    with watching(json=json, progress=not no_progress, quiet=quiet) as live:
        live.forecast(ordered.forecast)
        command = ["wanbench", *sys.argv[1:]]
        done = make_and_score(ordered.commission, hooks=ordered.hooks, command=command, listener=live.listener)
    show(done, json=json, quiet=quiet)
    gate = done.info.get("sequential")
    if gate and gate["exit_code"]:
        raise typer.Exit(gate["exit_code"])
    if done.errors:
        raise typer.Exit(ERRORS)
