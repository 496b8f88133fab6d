"""The store of checkpoints: what lies in it, fetching what does not, and loading it strictly.

What lies in the store is hashed into the fingerprint of every number made with it. Loading never executes a pickle.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wanbench.checkpoint_table import TABLE as TABLE
from wanbench.checkpoint_table import Checkpoint as Checkpoint
from wanbench.checkpoint_table import CheckpointFile as CheckpointFile
from wanbench.download import Progress, arriving, fetch
from wanbench.errors import MissingCheckpoints, MissingDependency, UsageError

if TYPE_CHECKING:
    import torch

DIGESTS_FILE = ".digests.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class FileState:
    """What lies in the store of one file."""

    checkpoint: str
    path: Path
    """Where it lies, or would."""
    state: Literal["ok", "unpinned", "wrong", "absent"]
    """`ok`: the published checksum; `unpinned`: there, none is published; `wrong`: there, with another checksum."""
    digest: str | None
    """SHA-256 of what is there, 64 hexadecimal digits."""


def home() -> Path:
    """The store: `WANBENCH_HOME`, else `~/.cache/wanbench`. Raises `UsageError` where it cannot be read."""
    store = Path(os.environ.get("WANBENCH_HOME") or "~/.cache/wanbench").expanduser()
    if store.is_dir() and not os.access(store, os.R_OK | os.X_OK):
        raise UsageError(f"the store {store} cannot be read: make it readable, or name another with WANBENCH_HOME")
    return store


def folder(name: str) -> Path:
    """Where the files of checkpoint `name` lie; files put there by hand are as good as pulled ones."""
    return home() / "checkpoints" / checkpoint(name).name


def checkpoint(name: str) -> Checkpoint:
    """The entry of the table; raises `UsageError` for a name that is not in it."""
    if name not in TABLE:
        raise UsageError(f"no checkpoint is called {name!r}: there are {', '.join(TABLE)}")
    return TABLE[name]


def find(name: str, path: str, where: Path) -> Path | None:
    """The required file `path` of checkpoint `name` in folder `where`, or the one that lies there instead; None without."""
    paths = [path, *(f.path for f in checkpoint(name).files if f.instead_of == path)]
    return next((where / p for p in paths if (where / p).is_file()), None)


def locate(name: str, path: str, where: Path) -> Path:
    """As `find`; raises `MissingCheckpoints` where there is none."""
    found = find(name, path, where)
    if found is None:
        raise MissingCheckpoints(f"{where / path} is missing: run `wanbench checkpoints pull {name}`")
    return found


def required_files(name: str) -> tuple[CheckpointFile, ...]:
    """The required files of a checkpoint, with the shards that its index names once it lies in the store."""
    entry, shards = checkpoint(name), list[CheckpointFile]()
    for index in (f for f in entry.required if f.index):
        try:
            named = json.loads((folder(name) / index.path).read_bytes())["weight_map"].values()
            shards_named = sorted({Path(shard) for shard in named})
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{folder(name) / index.path} is not an index of shards: remove it and pull {name} again") from error
        if outside := [shard for shard in shards_named if shard.name != str(shard)]:
            raise UsageError(f"{folder(name) / index.path} names {outside[0]}, outside its folder: pull {name} again")
        folder_named = Path(index.path).parent
        shards += [CheckpointFile(path=(folder_named / s).as_posix(), sha256=None, bytes=None) for s in shards_named]
    return (*entry.required, *shards)


def missing(names: Iterable[str]) -> list[str]:
    """Those of the named checkpoints of which a required file is not in the store."""
    return [n for n in dict.fromkeys(names) if any(find(n, f.path, folder(n)) is None for f in required_files(n))]


def require(names: Iterable[str]) -> dict[str, Path]:
    """Checkpoint name -> its folder, once every file is there with the checksum that is published for it.

    Raises `MissingCheckpoints`, or `UsageError` for a file with another checksum. `WANBENCH_ANY_CHECKPOINT=1` lets one's own
    parameters through: the fingerprint holds the checksum of what lies there, so their numbers never mix with others.
    """
    names = list(dict.fromkeys(names))
    absent = missing(names)
    if absent:
        raise MissingCheckpoints(_missing_line(absent))
    wrong = [s for n in names for s in verify(n) if s.state == "wrong"]
    if wrong and os.environ.get("WANBENCH_ANY_CHECKPOINT") != "1":
        raise UsageError(
            f"{wrong[0].path} is not the published file (SHA-256 {wrong[0].digest}): run `wanbench checkpoints pull "
            f"{wrong[0].checkpoint}`, or set WANBENCH_ANY_CHECKPOINT=1 to measure with your own parameters"
        )
    return {n: folder(n) for n in names}


def _missing_line(names: list[str]) -> str:
    files = [
        f"{name}/{f.path} ({size_text(f.bytes)})"
        for name in names
        for f in required_files(name)
        if find(name, f.path, folder(name)) is None
    ]
    pulled = [n for n in names if not checkpoint(n).made_by]
    steps = [f"run `wanbench checkpoints pull {' '.join(pulled)}`"] if pulled else []
    steps += [f"make {n} with `{checkpoint(n).made_by}`" for n in names if checkpoint(n).made_by]
    return f"missing checkpoints: {', '.join(files)}: {', '.join(steps)}, or measure without networks: --profile lite"


def size_text(size: int | None) -> str:
    """`21 MB`; `size unknown` for None."""
    if size is None:
        return "size unknown"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def verify(name: str) -> list[FileState]:
    """State of every file of a checkpoint: the required ones, and the others that lie in the store."""
    where = folder(name)
    states = []
    optional = [f for f in checkpoint(name).files if f not in checkpoint(name).required]
    for file in (*required_files(name), *optional):
        path = where / file.path
        if path.is_file():
            digest = digest_of(path)
            state: Literal["ok", "unpinned", "wrong"] = (
                "wrong" if not file.accepts(digest) else "ok" if file.sha256 else "unpinned"
            )
            states.append(FileState(checkpoint=name, path=path, state=state, digest=digest))
        elif file in required_files(name) and find(name, file.path, where) is None:
            states.append(FileState(checkpoint=name, path=path, state="absent", digest=None))
    return states


def checksums(names: Iterable[str]) -> dict[str, str]:
    """Checkpoint name -> SHA-256 of what lies in the store (of several files: of their names and digests), for fingerprints."""
    names = list(dict.fromkeys(names))
    absent = missing(names)
    if absent:
        raise MissingCheckpoints(_missing_line(absent))
    return {name: _combined(name) for name in names}


def checksum_of_folder(where: Path) -> str:
    """Over every file of a model's folder that can move its answers: parameters, configuration, tokenizer, templates."""
    kinds = (".safetensors", ".bin", ".json", ".jinja", ".txt", ".model")
    paths = [p for p in where.iterdir() if p.suffix in kinds and p.name != DIGESTS_FILE]
    return hashlib.sha256("".join(f"{p.name} {digest_of(p)}\n" for p in sorted(paths)).encode()).hexdigest()


def _combined(name: str) -> str:
    """Over the files that a network would load: not over one that another lies instead of."""
    entry, where = checkpoint(name), folder(name)
    paths = [found for f in required_files(name) if (found := find(name, f.path, where))]
    paths += [where / f.path for f in entry.files if f.optional and (where / f.path).is_file()]
    digests = {path.relative_to(where).as_posix(): digest_of(path) for path in paths}
    if len(digests) == 1:
        return next(iter(digests.values()))
    return hashlib.sha256("".join(f"{p} {d}\n" for p, d in sorted(digests.items())).encode()).hexdigest()


def digest_of(path: Path) -> str:
    """SHA-256 of a file, remembered beside it for as long as size and time of change stay the same."""
    stat = path.stat()
    key = [stat.st_size, stat.st_mtime_ns]
    known = _remembered(path.parent)
    if known.get(path.name, [])[:2] == key:
        return str(known[path.name][2])
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    # A store that may only be read is hashed anew each time.
    with contextlib.suppress(OSError), arriving(path.parent / DIGESTS_FILE) as stream:
        stream.write(json.dumps({**_remembered(path.parent), path.name: [*key, digest]}).encode())
    return digest


def _remembered(where: Path) -> dict[str, list[Any]]:
    try:
        known = json.loads((where / DIGESTS_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def pull(name: str, offline: bool = False, progress: Progress | None = None) -> list[Path]:
    """Fetch what is absent or has another checksum; the files fetched.

    Raises `UsageError` without a network, with `offline` when something is to be fetched, for a file that arrives with another
    checksum or size, and for one that only the user can make; `OutputError` when it cannot be written.
    """
    entry, where = checkpoint(name), folder(name)
    fetched: list[Path] = []
    while True:  # an index that arrives names more
        state = {s.path: s.state for s in verify(name)}
        wanted = [f for f in required_files(name) if state.get(where / f.path) in ("absent", "wrong")]
        if not wanted:
            return fetched
        for file in wanted:
            path, url = where / file.path, entry.url(file)
            if url is None:
                raise UsageError(f"{name} is not published: make it with `{entry.made_by}`, which writes {path}")
            if offline:
                raise UsageError(
                    f"{path} is not in the store, and --offline forbids fetching it: put it there by hand from {url}"
                )
            fetch(url, path, sha256=file.sha256, size=file.bytes, progress=progress)
            fetched.append(path)


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Name -> tensor, on the CPU, from a safetensors file or from one that `torch.save` wrote; no pickled code is ever run.

    A state dict wrapped in a dict of its own (`{"params": {...}}`) is unwrapped. Raises `UsageError` for a file that is damaged,
    that needs code to be read, or that holds anything but tensors.
    """
    try:
        import safetensors.torch
        import torch
    except ImportError as error:
        raise MissingDependency("loading network parameters", "score") from error
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes the readers raise, the file is the cause
        raise UsageError(
            f"{path} cannot be read as network parameters ({type(error).__name__}: it is damaged, or needs code to be read, "
            "which is never done): fetch it again"
        ) from error
    if isinstance(tensors, dict) and len(tensors) == 1 and isinstance(inner := next(iter(tensors.values())), dict):
        tensors = inner
    if not isinstance(tensors, dict) or not all(isinstance(t, torch.Tensor) for t in tensors.values()):
        raise UsageError(f"{path} holds something else than named tensors: fetch it again")
    return {str(name): tensor for name, tensor in tensors.items()}


def load_strictly(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Copy `tensors` into `module`; raises `UsageError`, naming `path`, where names or shapes differ in any way."""
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if fault := misfit(wanted, {name: tuple(tensor.shape) for name, tensor in tensors.items()}):
        raise UsageError(f"{path} does not fit {type(module).__name__}: {fault}: fetch it again")
    module.load_state_dict(dict(tensors), strict=True)


def misfit(wanted: Mapping[str, tuple[int, ...]], came: Mapping[str, tuple[int, ...]]) -> str | None:
    """Which tensors (name -> shape) are missing, unexpected or misshaped, in a few words; None where all fit."""
    faults = {
        "missing": [n for n in wanted if n not in came],
        "unexpected": [n for n in came if n not in wanted],
        "misshaped": [f"{n} {came[n]} for {wanted[n]}" for n in wanted if n in came and came[n] != wanted[n]],
    }
    texts = [f"{len(f)} {kind} ({', '.join(f[:3])}{', ...' if len(f) > 3 else ''})" for kind, f in faults.items() if f]
    return f"tensors {'; '.join(texts)}" if texts else None
