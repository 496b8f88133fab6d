"""`wanbench gate --baseline RUN_OR_FILE --candidate RUN`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from wanbench.cli import options
from wanbench.cli.guard import guarded, may_go_unread


@guarded
def gate(
    baseline: Annotated[str, typer.Option(help="A run, one candidate of it as RUN:CANDIDATE, or a file of `baseline save`.")],
    candidate: Annotated[str, typer.Option(help="The run to judge, or one candidate of it.")],
    policy: Annotated[Path | None, typer.Option(help="A TOML file.", metavar="FILE", show_default="the default policy")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a pull-request comment.", metavar="FILE")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.", metavar="FILE")] = None,
    controls: Annotated[
        Path | None, typer.Option(help="controls.json: no noise floor is lower than the one measured there.", metavar="FILE")
    ] = None,
    allow_mismatch: options.AllowMismatch = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Has the candidate regressed? PASS, REGRESSION or INCONCLUSIVE, never PASS for want of data.

    Exit codes: 0 passed; 1 regression; 4 cannot decide (too few shared prompts, different suites or methods); 2 wrong use.
    """
    from dataclasses import replace

    from wanbench.comparison.baseline import read_side
    from wanbench.comparison.gating import gate as judge
    from wanbench.comparison.policy import Policy, read_policy
    from wanbench.controls.record import noise_floors
    from wanbench.record import write_atomically
    from wanbench.reports.verdict import junit as as_junit
    from wanbench.reports.verdict import markdown as as_markdown
    from wanbench.reports.verdict import render, to_json

    asked = read_policy(policy) if policy else Policy()
    side = read_side(candidate)
    if controls:
        floors = noise_floors(controls, {d: measured.fingerprint for d, measured in side.dimensions.items()})
        asked = replace(asked, measured_floors=floors)
    found = judge(read_side(baseline), side, asked, seed=seed, allow_mismatch=allow_mismatch)
    with may_go_unread():  # before the files: a disk that is full must not keep the verdict
        if json:
            import json as json_library

            sys.stdout.write(json_library.dumps(to_json(found), indent=2) + "\n")
        else:
            from wanbench.cli.output import Output

            render(found, Output())
    for path, written in ((markdown, as_markdown), (junit, as_junit)):
        if path:
            write_atomically(path, written(found).encode())
    if found.exit_code:
        raise typer.Exit(found.exit_code)
