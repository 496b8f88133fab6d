"""`wanbench generate`: videos in this process, one after the other, onto a candidate's shelf; none is made twice.

Whoever writes onto a shelf holds its lock (`locked`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from wanbench.errors import OutputError, RunLocked, UndecodableVideo, UsageError
from wanbench.making.makers import CannotMake, Maker, MakerSpec, Tick, notes_of
from wanbench.making.shelf import LISTING, Request, Shelf
from wanbench.making.wan import PICTURE
from wanbench.making.worker import look
from wanbench.record import as_text, write_atomically
from wanbench.types import JSONObject, Prompt

LOCK = ".lock"
LIBRARIES = ("wanbench", "torch", "transformers", "av")
"""Their versions are told beside each video."""


@dataclass(kw_only=True, slots=True)
class Listener:
    """What a production talks to."""

    started: Callable[[Request], None] = lambda request: None
    step: Tick = lambda done, total: None
    finished: Callable[[Request], None] = lambda request: None
    note: Callable[[str], None] = lambda text: None
    """A line for the user."""


def requests_for_text(text: str, seeds: Sequence[int]) -> list[Request]:
    """One text with every seed; the file is called by its first words. Raises `UsageError` for an empty one."""
    if not text.strip():
        raise UsageError("the prompt is empty: say what the video shows")
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()[:40]).strip("-")
    prompt = Prompt(id=f"{words or 'prompt'}-{hashlib.sha256(text.encode()).hexdigest()[:6]}", text=text, given={"en": text})
    return [Request(prompt=prompt, text=text, seed=seed) for seed in seeds]


def list_texts(shelf: Shelf, requests: Sequence[Request]) -> None:
    """Tell `wanbench score` what videos show that belong to no suite; lines that are there stay.

    Raises `UsageError` for a listing that cannot be kept, `OutputError`.
    """
    path = shelf.folder / LISTING
    lines = _listed(path)
    for request in requests:
        name = shelf.path(request).name
        lines[name] = {"video": name, "prompt": request.text, "seed": request.seed}
    write_atomically(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines.values()).encode())


def _listed(path: Path) -> dict[str, JSONObject]:
    """Lines of a listing by their video; none without one. Raises `UsageError` that names the line."""
    advice = "mend the line, or choose another --out"
    try:
        rows = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({type(error).__name__}): remove it, or choose another --out") from error
    found: dict[str, JSONObject] = {}
    for number, row in enumerate(rows, 1):
        try:
            line = json.loads(row)
        except ValueError as error:
            raise UsageError(f"{path}, line {number} is not JSON: {advice}") from error
        if isinstance(line, dict) and "suite" in line:
            raise UsageError(f"{path} lists the videos of a suite: choose another --out or --name for a text of your own")
        if not isinstance(line, dict) or not isinstance(line.get("video"), str):
            raise UsageError(f"{path}, line {number} names no video: {advice}")
        found[line["video"]] = line
    return found


@contextlib.contextmanager
def locked(shelf: Shelf) -> Iterator[None]:
    """The shelf's folder, made if need be and swept, for one production at a time.

    Raises `RunLocked`, `UsageError`, `OutputError`.
    """
    folder = shelf.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        kind = OutputError if error.errno in (errno.ENOSPC, errno.EDQUOT) else UsageError
        raise kind(f"cannot write to {folder}: {error.strerror}; choose another place with --out") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise RunLocked(f"another process is writing {folder}; wait for it or choose another --out") from error
    try:
        shelf.sweep()
        yield
    finally:
        os.close(lock)


def produce(
    open_maker: Callable[[Sequence[str]], Maker],
    requests: Sequence[Request],
    shelf: Shelf,
    about: Mapping[str, Any],
    listener: Listener | None = None,
) -> list[tuple[Request, str]]:
    """Make what is not finished; which videos could not be made, and why.

    `open_maker(texts)` is asked only when something is missing; `about` goes into each sidecar. Raises `OutputError`, and what
    the maker raises of which no video is to blame; what was finished before stays.
    """
    listener = listener or Listener()
    missing = [request for request in requests if shelf.finished(request) is None]
    maker = open_maker(list(dict.fromkeys(request.text for request in missing))) if missing else None
    told: set[str] = set()

    def tell(lines: Iterable[str]) -> None:
        for line in lines:
            if line not in told:
                told.add(line)
                listener.note(line)

    tell(maker.notes if maker is not None else ())
    failures = []
    for request in requests:
        if maker is not None and request in missing:
            listener.started(request)
            try:
                tell(notes_of(make(maker, request, shelf, about, listener.step)))
            except (CannotMake, UndecodableVideo) as error:
                failures.append((request, str(error)))
                continue
        listener.finished(request)
    return failures


def make(maker: Maker, request: Request, shelf: Shelf, about: Mapping[str, Any], tick: Tick) -> Mapping[str, Any]:
    """Make one video and its sidecar, whatever lies there; what the maker noted of it."""
    begun, part = time.monotonic(), shelf.unfinished(request)
    try:
        facts = maker.make(request, part, tick)
        if part.suffix != PICTURE:
            look(part)
        shelf.finish(request, {**facts, **about, "seconds": round(time.monotonic() - begun, 3)})
    finally:
        part.unlink(missing_ok=True)
    return facts


def about(spec: MakerSpec) -> dict[str, Any]:
    """What every sidecar tells of the model and its circumstances."""
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(ModuleNotFoundError):
            versions[name] = version(name)
    return {"model": spec.name, "settings": dict(spec.settings), "versions": versions}


def default_folder(candidate: str, spec: MakerSpec, requests: Sequence[Request], suite: str | None) -> Path:
    """`runs/CANDIDATE-XXXXXXXX`, eight digits from model, settings and prompts: the same command finds its videos again."""
    plan = [spec.fingerprint, suite, [[request.name, request.text] for request in requests]]
    digest = hashlib.sha256(json.dumps(plan).encode()).hexdigest()[:8]
    return Path("runs") / f"{as_text(candidate)}-{digest}"
