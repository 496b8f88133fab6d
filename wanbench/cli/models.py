"""`wanbench models list|show`"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wanbench.cli import options
from wanbench.cli.guard import guarded

if TYPE_CHECKING:
    from wanbench.generator.catalogue import Entry

app = typer.Typer(help="The generators that --model knows: tasks, sizes, memory needs.", rich_markup_mode=None)


@app.command(name="list")
@guarded
def list_(json: options.Json = False, verbose: options.Verbose = False) -> None:
    """Every model: what it makes, its size, and the memory that its parameters take in bfloat16."""
    entries = [entry.to_json() for entry in _known().values()]
    if json:
        _json(entries)
        return
    from rich.table import Table

    from wanbench.cli.output import TABLE_COLUMNS, Output

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("Model", "Here", "Makes", "Size", "Frames", "Parameters", "Memory"):
        table.add_column(column, no_wrap=True)
    for entry in entries:
        size, frames = _size(entry["size"]), f"{entry['frames']} at {entry['fps']}/s"
        here = "yes" if entry["present"] else "no"
        count, memory = _billions(entry["parameters"]["transformer"], entry["experts"]), _gigabytes(entry["memory_bytes"]["all"])
        table.add_row(entry["name"], here, entry["makes"], size, frames, count, memory)
    Output(at_least=TABLE_COLUMNS).print(table)
    print("memory: all parameters at once, bfloat16, the autoencoder float32; `models show NAME` gives the parts")


def _known() -> dict[str, Entry]:
    """Every model by name; its parameters are counted on networks without memory, which needs torch all the same."""
    from wanbench.errors import MissingDependency

    try:
        from wanbench.generator.catalogue import catalogue
    except ImportError as error:
        raise MissingDependency("counting the models' parameters", "generate") from error
    return catalogue()


@app.command()
@guarded
def show(
    name: Annotated[str, typer.Argument(help="A name from `models list`.")],
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """One model: defaults of its sampling, the sizes it was made for, memory part by part, where it comes from."""
    from wanbench.errors import UsageError

    known = _known()
    if name not in known:
        raise UsageError(f"no model is called {name!r}: there are {', '.join(known)}")
    entry = known[name].to_json()
    if json:
        _json(entry)
        return
    print(f"{name}: {entry['makes']}")
    print(f"  source      {entry['repository'] or 'made from a seed, nothing is fetched'}")
    print(f"  files       {entry['folder'] or 'none'}{'' if entry['present'] else ' (not there)'}")
    print(f"  size        {_size(entry['size'])}, made for {', '.join(_size(size) for size in entry['sizes'])}")
    print(f"  length      {entry['frames']} frames at {entry['fps']} a second")
    guidance = " and ".join(f"{scale:g}" for scale in dict.fromkeys(entry["guidance"]))
    print(f"  sampling    {entry['steps']} steps, shift {entry['shift']:g}, guidance {guidance}")
    print(f"  transformer {_billions(entry['parameters']['transformer'], entry['experts'])}")
    for part, size in entry["memory_bytes"].items():
        print(f"  memory      {_gigabytes(size)} {part.replace('_', ' ')}")


def _size(size_HW: list[int]) -> str:
    return f"{size_HW[1]}x{size_HW[0]}"


def _billions(count: int, experts: int) -> str:
    each = f"{count / 1e9:.2f} B" if count >= 1e8 else f"{count / 1e6:.2f} M"
    return f"{experts} x {each}" if experts > 1 else each


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _json(value: Any) -> None:
    import json

    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
