"""`wanbench compare RUN_A RUN_B`"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from wanbench.cli import options
from wanbench.cli.guard import guarded

if TYPE_CHECKING:
    from wanbench.comparison.sides import Side


@guarded
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A run, one candidate of it as RUN:CANDIDATE, or a baseline file.")],
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="Likewise.", show_default="of a run with two candidates, the other")
    ] = None,
    dimensions: options.Dimensions = None,
    weights: options.Weights = "table2",
    allow_mismatch: options.AllowMismatch = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare two candidates prompt by prompt: differences a - b with intervals, tests, and what could have been shown.

    Exit codes: 0 done; 2 wrong use, or what must not be compared: other suites, methods, tracks or languages.
    """
    from wanbench.comparison.comparing import compare as contrast
    from wanbench.weights import weighting

    first, second = _both(a, b)
    compared = contrast(
        first,
        second,
        weights=weighting.load(weights),
        seed=seed,
        dimensions=options.names(dimensions),
        allow_mismatch=allow_mismatch,
    )
    if json:
        import json as json_library

        from wanbench.comparison.as_json import to_json

        sys.stdout.write(json_library.dumps(to_json(compared), indent=2) + "\n")
        return
    from wanbench.cli.output import Output
    from wanbench.reports.comparison import render_comparison

    render_comparison(compared, Output())


def _both(a: str, b: str | None) -> tuple[Side, Side]:
    from pathlib import Path

    from wanbench.comparison.baseline import read_run, read_side
    from wanbench.errors import UsageError

    if b is not None:
        return read_side(a), read_side(b)
    if not Path(a).is_dir():
        raise UsageError(f"{a} is one side; name the other: wanbench compare {a} B")
    found = read_run(Path(a))
    if len(found) != 2:
        raise UsageError(f"{a} has {len(found)} candidates; name two: wanbench compare A B, each RUN or RUN:CANDIDATE")
    first, second = found.values()
    return first, second
