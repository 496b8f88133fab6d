"""Options that mean the same in every command."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wanbench.cli import completing


class ProfileName(StrEnum):
    """Which methods measure."""

    REFERENCE = "reference"
    LITE = "lite"


class DtypeName(StrEnum):
    """Arithmetic of the networks."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class TrackName(StrEnum):
    """Which texts of a suite a candidate is given: as written, or after rewriting."""

    RAW = "raw"
    REWRITTEN = "rewritten"


class ExecutorName(StrEnum):
    """Where workers run."""

    LOCAL = "local"
    RAY = "ray"


class LanguageName(StrEnum):
    """Which of a prompt's texts a candidate is given."""

    EN = "en"
    ZH = "zh"


Out = Annotated[Path | None, typer.Option(help="Run directory.", show_default="runs/CANDIDATE-XXXXXXXX")]
Profile = Annotated[ProfileName, typer.Option(help="reference: the report's networks; lite: optical flow on any CPU.")]
Dimensions = Annotated[
    str | None, typer.Option(help="Only these, separated by commas.", metavar="A,B", autocompletion=completing.dimensions)
]
AllDimensions = Annotated[
    bool, typer.Option("--all-dimensions", help="With a suite: measure every dimension that applies, as exploratory rows.")
]
SuiteName = Annotated[
    str | None,
    typer.Option(
        help="smoke, mini, full, or a JSONL, CSV or text file.", metavar="NAME_OR_FILE", autocompletion=completing.suites
    ),
]
Language = Annotated[LanguageName, typer.Option(help="Which of a prompt's texts a candidate is given.")]
Track = Annotated[
    TrackName | None,
    typer.Option(help="The texts as written, or after `prompts rewrite`.", show_default="the suite's own"),
]
Seeds = Annotated[str, typer.Option(help="Seeds of the videos: each prompt is made once with each.", metavar="0,1")]
ModelDtype = Annotated[DtypeName | None, typer.Option(help="Arithmetic of the generator.", show_default="the model's")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda[:N] or mps.")]
Dtype = Annotated[DtypeName, typer.Option(help="Arithmetic of the networks; part of the fingerprint.")]
BatchSize = Annotated[int, typer.Option(help="Frames or pairs a network takes at once; moves no score.", min=1)]
Workers = Annotated[
    int | None,
    typer.Option(help="Worker processes, each with its decoder.", min=1, show_default="lite: one a core; reference: 1"),
]
Executor = Annotated[
    ExecutorName, typer.Option(help="local: this machine; ray: a Ray cluster, whose nodes share this file system.")
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Of the Ray cluster's head.", metavar="HOST:PORT", show_default="RAY_ADDRESS, else the one this machine is in"
    ),
]
Judge = Annotated[
    str | None,
    typer.Option(
        help="Vision-language model: none, a name, a folder, or a server's URL.",
        show_default="WANBENCH_JUDGE, else none",
        metavar="NAME_OR_URL",
        autocompletion=completing.judges,
    ),
]
JudgeModel = Annotated[str | None, typer.Option(help="The judge's name on its server.", show_default="the only one it has")]
JudgeSamples = Annotated[
    int, typer.Option(help="Answers sampled a question, for a server without log-probabilities; 0: none.", min=0)
]
JudgeConcurrency = Annotated[int, typer.Option(help="Questions under way at once on a judge's server.", min=1)]
Limit = Annotated[int | None, typer.Option(help="At most so many videos of each candidate.", min=1)]
Seed = Annotated[int, typer.Option(help="Of the statistics (bootstrap).", min=0)]
Weights = Annotated[
    str,
    typer.Option(
        help="Of the weighted score: table2, uniform or a weight file.", metavar="NAME_OR_FILE", autocompletion=completing.weights
    ),
]
LogTo = Annotated[
    list[str] | None,
    typer.Option(
        help="Log scores and samples to wandb[:PROJECT], mlflow[:EXPERIMENT] or tensorboard[:FOLDER]; may be given again.",
        metavar="WHERE",
        autocompletion=completing.places,
    ),
]
AllowMismatch = Annotated[
    bool, typer.Option("--allow-mismatch", help="Compare other suites, methods, tracks or languages all the same, and say so.")
]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON to standard output, everything else to standard error.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only the result, and errors.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show the traceback of a failure.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress bar.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]


def names(text: str | None) -> list[str] | None:
    """`a, b` -> ["a", "b"]; None stays None."""
    return [part.strip() for part in text.split(",") if part.strip()] if text is not None else None


def numbers(text: str, option: str) -> list[int]:
    """`0, 1` -> [0, 1]. Raises `UsageError`."""
    from wanbench.errors import UsageError
    from wanbench.making.keywords import LARGEST_SEED

    try:
        found = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = []
    if not found or min(found) < 0 or max(found) > LARGEST_SEED or len(set(found)) < len(found):
        raise UsageError(f"{option} takes different whole numbers from 0 to 2^63 - 1, separated by commas, not {text!r}")
    return found


def size_of(text: str | None) -> tuple[int, int] | None:
    """`832x480` -> (480, 832): (height, width). Raises `UsageError`."""
    from wanbench.errors import UsageError

    if text is None:
        return None
    width, _, height = text.lower().replace("*", "x").partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UsageError(f"--size takes WIDTHxHEIGHT in pixels, such as 832x480, not {text!r}")
    return int(height), int(width)
