"""`wanbench checkpoints list|pull|verify|path`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from wanbench.cli import options
from wanbench.cli.guard import guarded

if TYPE_CHECKING:
    from wanbench.checkpoints import FileState

app = typer.Typer(help="Files of network parameters: source, size, licence, checksum, present or not.", rich_markup_mode=None)

Names = Annotated[list[str] | None, typer.Argument(help="Names from `checkpoints list`.", show_default="all")]
Wanted = Annotated[
    list[str] | None, typer.Argument(help="Names from `checkpoints list`.", show_default="all that measuring needs")
]
DIGITS = 12


@app.command(name="list")
@guarded
def list_(json: options.Json = False, verbose: options.Verbose = False) -> None:
    """Every checkpoint: what needs it, size, licence, pinned or not, present or not."""
    from wanbench import checkpoints

    users = _users()
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "needed_by": users.get(name, []),
            "purpose": entry.purpose,
            "source": entry.repository or next((f.url for f in entry.files if f.url), None) or entry.made_by,
            "revision": entry.revision,
            "bytes": entry.bytes,
            "licence": entry.licence,
            "files": [{"path": f.path, "sha256": f.sha256, "bytes": f.bytes} for f in entry.files],
            "pinned": entry.pinned,
            "present": not checkpoints.missing([name]),
        }
        for name, entry in checkpoints.TABLE.items()
    ]
    if json:
        _json(rows)
        return
    from rich.table import Table

    from wanbench.cli.output import Output

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("Checkpoint", "Here", "Size", "Checksum", "Licence", "Needed by"):
        table.add_column(column, overflow="fold")
    for row in rows:
        pinned = "pinned" if row["pinned"] else "the user's" if checkpoints.TABLE[row["name"]].made_by else "unpinned"
        size = checkpoints.size_text(row["bytes"])
        table.add_row(row["name"], "yes" if row["present"] else "no", size, pinned, row["licence"], ", ".join(row["needed_by"]))
    Output().print(table)
    print(f"store: {checkpoints.home() / 'checkpoints'} (WANBENCH_HOME chooses another)")


@app.command()
@guarded
def pull(
    names: Wanted = None,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Fetch what is not in the store, checked against the published checksums."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from wanbench import checkpoints
    from wanbench.cli import interrupts

    wanted = names or [n for n, entry in checkpoints.TABLE.items() if not entry.made_by and not entry.on_request]
    console = Console(stderr=True)
    hidden = quiet or no_progress or not console.is_terminal
    with interrupts.raised(), Progress(console=console, disable=hidden, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def tick(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(file, total=total)
            bar.update(tasks[file], completed=done)

        for name in wanted:
            for path in checkpoints.pull(name, offline=offline, progress=tick):
                print(path)


@app.command()
@guarded
def verify(names: Names = None, json: options.Json = False, verbose: options.Verbose = False) -> None:
    """Hash what is in the store: exit code 2 when a file has another checksum than the published one."""
    from wanbench import checkpoints
    from wanbench.errors import UsageError

    states = [state for name in names or checkpoints.TABLE for state in checkpoints.verify(name)]
    if json:
        _json([_state(s) for s in states])
    else:
        for state in states:
            print(f"{state.state:9}{(state.digest or '-')[:DIGITS]:14}{state.path}")
    wrong = [s for s in states if s.state == "wrong"]
    if wrong:
        raise UsageError(f"{len(wrong)} files are not the published ones: run `wanbench checkpoints pull {wrong[0].checkpoint}`")


@app.command()
@guarded
def path(
    name: Annotated[str, typer.Argument(help="A name from `checkpoints list`.")], verbose: options.Verbose = False
) -> None:  # fmt: skip
    """Where the files of a checkpoint lie, or are to be put by hand."""
    from wanbench import checkpoints

    print(checkpoints.folder(name))


def _users() -> dict[str, list[str]]:
    """Checkpoint -> dimensions that need it."""
    from wanbench.checkpoint_table import TABLE
    from wanbench.dimension import load_all
    from wanbench.judge.choice import NAMES

    users: dict[str, list[str]] = {}
    for dimension in load_all().values():
        for name in {n for m in dimension.methods for net in m.networks for n in net.checkpoints}:
            users.setdefault(name, []).append(dimension.id)
    users |= {name: ["judge" if name in NAMES else "generate"] for name, entry in TABLE.items() if entry.on_request}
    return users


def _state(state: FileState) -> dict[str, Any]:
    return {"checkpoint": state.checkpoint, "path": str(state.path), "state": state.state, "sha256": state.digest}


def _json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=2))
