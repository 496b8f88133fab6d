"""`wanbench generate --model NAME`"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wanbench.cli import completing, options
from wanbench.cli.guard import ERRORS, guarded
from wanbench.cli.model_options import ModelOptions, with_model_options

if TYPE_CHECKING:
    from wanbench.cli.making import Making
    from wanbench.generator.team import Team
    from wanbench.making.makers import Maker, MakerSpec
    from wanbench.making.shelf import Request
    from wanbench.prompts.suite import Suite


@guarded
@with_model_options
def generate(
    *,
    model: Annotated[
        str,
        typer.Option(
            help="A name of `models list`, or a folder; or diffusers:ORG/NAME.",
            metavar="NAME_OR_FOLDER",
            autocompletion=completing.models,
        ),
    ],
    prompt: Annotated[str | None, typer.Option(help="One text, instead of a suite.", metavar="TEXT")] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            help="smoke, mini, full, or a file.", metavar="NAME_OR_FILE", show_default="full", autocompletion=completing.suites
        ),
    ] = None,
    dimensions: options.Dimensions = None,
    language: options.Language = options.LanguageName.EN,
    limit: Annotated[int | None, typer.Option(help="At most so many prompts.", min=1)] = None,
    seeds: options.Seeds = "0",
    seed: Annotated[int | None, typer.Option(help="The same as --seeds with one number.", min=0, show_default=False)] = None,
    asked: ModelOptions,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda[:N].")] = "auto",
    dtype: Annotated[
        options.DtypeName | None,
        typer.Option("--dtype", "--model-dtype", help="Of the parameters.", show_default="on a GPU bfloat16, else float32"),
    ] = None,
    shard: Annotated[
        bool, typer.Option("--shard", help="Under torchrun: each process keeps a piece of every parameter.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the candidate.", show_default="the model's")] = None,
    out: options.Out = None,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Make videos with a model, for a suite or one prompt, into OUT/videos/CANDIDATE, ready for `wanbench score`.

    The same command given again goes on where it was cut. Same seed, same bytes. Several GPUs make one video together when
    torchrun starts the command: torchrun --nproc-per-node N -m wanbench generate ...

    Exit codes: 0 done; 2 wrong use, found before any long work; 3 done, but some videos could not be made (each is named, with
    the reason; the same command tries them again); 74 output could not be written; 130 interrupted, finished
    videos are kept.
    """
    from wanbench.errors import UsageError, printable
    from wanbench.making.choice import choose_maker

    if prompt is not None and suite is not None:
        raise UsageError("give either --prompt or --suite")
    loaded, wanted = _wanted(prompt, suite, dimensions, language.value, limit, _seeds(seeds, seed))
    spec = choose_maker(model, asked.for_maker(dtype=dtype, device=device, shard=shard, offline=offline, pictures=True))
    from wanbench.cli.making import Making

    with _joined(spec, device, shard=shard) as team:
        if team is not None and not team.leader:
            return
        with Making(shown=not (no_progress or quiet), quiet=quiet, videos=len(wanted)) as making:
            result = _produce(spec, loaded, wanted, name, out, device, making, team)
    if json:
        import json as json_library

        sys.stdout.write(json_library.dumps(result, indent=2, ensure_ascii=False) + "\n")
    elif not quiet:
        sys.stdout.write(f"{result['folder']}: {result['made']} made, {result['kept']} were there\n")
    for video, reason in result["failed"].items():
        print(printable(f"error: {video}: {reason}"), file=sys.stderr)
    if result["failed"]:
        raise typer.Exit(ERRORS)


@contextlib.contextmanager
def _joined(spec: MakerSpec, device: str, *, shard: bool) -> Iterator[Team | None]:
    """The processes that torchrun started, if it did: all but the first do their part here, and then find all done."""
    from wanbench.errors import UsageError, WanbenchError

    if "TORCHELASTIC_RUN_ID" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield None
        return
    if spec.kind != "wan":
        raise UsageError("torchrun is for the Wan models, whose parts work in several processes")
    from wanbench.generator.team import join
    from wanbench.making.wan import follow

    team = join(device, shard=shard)
    if not team.leader:
        follow(spec, team)
        yield team
        team.part()
        return
    try:
        yield team
    except WanbenchError:
        team.dismiss()
        raise
    team.dismiss()
    team.part()


def _produce(
    spec: MakerSpec,
    suite: Suite | None,
    wanted: list[Request],
    name: str | None,
    out: Path | None,
    device: str,
    making: Making,
    team: Team | None,
) -> dict[str, Any]:
    from wanbench.evaluation.plan import slug
    from wanbench.making import producing
    from wanbench.making.shelf import EXTENSION, Shelf
    from wanbench.making.wan import PICTURE
    from wanbench.record import as_text

    candidate = slug(name or spec.name)
    root = out or producing.default_folder(candidate, spec, wanted, suite.hash if suite else None)
    picture = spec.kind == "wan" and spec.settings["frames"] == 1
    shelf = Shelf(root / "videos" / candidate, spec.fingerprint, PICTURE if picture else EXTENSION)
    with producing.locked(shelf):
        kept = sum(shelf.finished(request) is not None for request in wanted)
        making.start(root, kept)
        if suite is not None:
            shelf.open(suite, wanted)
        else:
            producing.list_texts(shelf, wanted)
        failures = producing.produce(
            lambda texts: _open(spec, device, texts, team), wanted, shelf, producing.about(spec), listener=making.listener
        )
    failed = {request.name: reason for request, reason in failures}
    return {
        "folder": as_text(shelf.folder),
        "candidate": candidate,
        "made": len(wanted) - kept - len(failures),
        "kept": kept,
        "videos": [as_text(shelf.path(request)) for request in wanted if request.name not in failed],
        "failed": failed,
        "fingerprint": spec.fingerprint,
        "model": spec.name,
        "settings": dict(spec.settings),
    }


def _open(spec: MakerSpec, device: str, texts: Sequence[str], team: Team | None) -> Maker:
    from wanbench.making.worker import open_maker

    if team is not None:
        team.tell(list(texts))
    return open_maker(spec, device, texts, team)


def _wanted(
    prompt: str | None, suite: str | None, dimensions: str | None, language: str, limit: int | None, seeds: list[int]
) -> tuple[Suite | None, list[Request]]:
    from wanbench.errors import UsageError
    from wanbench.fourteen import FOURTEEN
    from wanbench.making.producing import requests_for_text
    from wanbench.making.shelf import requests_for
    from wanbench.prompts.suite import load_suite

    if prompt is not None:
        if dimensions is not None or limit is not None:
            raise UsageError("--dimensions and --limit choose prompts of a suite, and --prompt gives one text")
        return None, requests_for_text(prompt, seeds)
    chosen = options.names(dimensions)
    if unknown := [d for d in chosen or () if d not in FOURTEEN]:
        raise UsageError(f"unknown dimension {unknown[0]!r}; known are {', '.join(FOURTEEN)}")
    loaded = load_suite(suite or "full")
    return loaded, requests_for(loaded, seeds, language, chosen, limit)


def _seeds(seeds: str, seed: int | None) -> list[int]:
    from wanbench.errors import UsageError

    if seed is not None and seeds != "0":
        raise UsageError("give either --seed or --seeds")
    return [seed] if seed is not None else options.numbers(seeds, "--seeds")
