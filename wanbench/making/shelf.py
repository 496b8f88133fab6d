"""The folder of a candidate's videos: what is asked for, where each video lies, and which are finished.

A video is written under a temporary name, renamed, and then described by a sidecar `PROMPT_ID-SEED.json`. The sidecar holds the
video's SHA-256: a file that is there without it, or with another checksum, is not finished and is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from wanbench.errors import OutputError, UsageError
from wanbench.prompts.suite import SHIPPED, Suite, given
from wanbench.prompts.writing import line, write
from wanbench.record import write_atomically
from wanbench.types import JSONObject, Prompt

EXTENSION = ".mp4"
LISTING = "prompts.jsonl"
OWN_SUITE = "suite.jsonl"
"""A suite that is not shipped lies beside its videos, so that they can be scored anywhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One video that is asked for."""

    prompt: Prompt
    text: str
    """What the model is given, in the run's language and track."""
    seed: int

    @property
    def name(self) -> str:
        """File name without extension."""
        return f"{self.prompt.id}-{self.seed}"


def requests_for(
    suite: Suite, seeds: Sequence[int], language: str, dimensions: Sequence[str] | None = None, limit: int | None = None
) -> list[Request]:
    """Every prompt of the suite (of the named dimensions; at most `limit` prompts) with every seed, in the suite's order.

    Raises `UsageError` when that is nothing, or when a prompt has no text in the language.
    """
    prompts = [p for p in suite.prompts.values() if dimensions is None or p.dimension in (*dimensions, None)][:limit]
    if not prompts:
        raise UsageError(f"the suite {suite.name} has no prompt of the chosen dimensions")
    return [Request(prompt=prompt, text=given(prompt, language), seed=seed) for prompt in prompts for seed in seeds]


class Shelf:
    """One candidate's folder of videos."""

    def __init__(self, folder: Path, fingerprint: str, extension: str = EXTENSION) -> None:
        self.folder = folder
        self._extension = extension
        self._fingerprint = fingerprint

    def path(self, request: Request) -> Path:
        return self.folder / f"{request.name}{self._extension}"

    def unfinished(self, request: Request) -> Path:
        """Where the video is written until it is whole."""
        return self.folder / f".{request.name}.part{self._extension}"

    def finished(self, request: Request) -> str | None:
        """SHA-256 of the finished video, or None when it must be made. Raises `UsageError` for another model's video."""
        described = self._described(request)
        if described is None or described.get("prompt") != request.text:
            return None
        if described.get("fingerprint") != self._fingerprint:
            raise UsageError(
                f"{self.path(request)} was made with another model or other settings; choose another --out, or remove the folder"
            )
        digest = checksum(self.path(request))
        return digest if digest == described.get("sha256") else None

    def described(self, request: Request) -> bool:
        """Whether a video and its sidecar are there; not whether they are whole, which `finished` reads the video for."""
        path = self.path(request)
        return path.is_file() and path.with_suffix(".json").is_file()

    def finish(self, request: Request, facts: Mapping[str, Any]) -> str:
        """Put a video that is whole in its place and describe it; its SHA-256. Raises `OutputError`."""
        part, path = self.unfinished(request), self.path(request)
        digest = checksum(part)
        if digest is None:
            raise OutputError(f"{part} is not there: the maker wrote no video")
        try:
            part.replace(path)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error
        sidecar: JSONObject = {
            "prompt_id": request.prompt.id,
            "prompt": request.text,
            "seed": request.seed,
            "sha256": digest,
            "fingerprint": self._fingerprint,
            **facts,
        }
        write_atomically(path.with_suffix(".json"), json.dumps(sidecar, indent=1, ensure_ascii=False).encode() + b"\n")
        return digest

    def open(self, suite: Suite, requests: Iterable[Request]) -> None:
        """Make the folder, with the listing that lets `wanbench score` find each video's prompt. Raises `OutputError`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write {self.folder}: {error.strerror}") from error
        self.sweep()
        shipped = suite.version is not None and suite.name in SHIPPED
        if not shipped:
            write_atomically(self.folder / OWN_SUITE, write(suite, "jsonl", "en", ()))
        rows: list[JSONObject] = [{"suite": suite.name if shipped else OWN_SUITE}]
        rows += [{"video": self.path(r).name, "prompt_id": r.prompt.id, "seed": r.seed} for r in requests]
        write_atomically(self.folder / LISTING, "".join(line(row) + "\n" for row in rows).encode())

    def sweep(self) -> None:
        """Remove what processes that were killed left unfinished; nobody else may be writing here."""
        for pattern in (".*.part*", "..*", ".*.tmp"):  # the second: an encoder's own, which shortens a long name
            for left_over in self.folder.glob(pattern):
                left_over.unlink(missing_ok=True)

    def _described(self, request: Request) -> Mapping[str, Any] | None:
        try:
            found = msgspec.json.decode(self.path(request).with_suffix(".json").read_bytes())
        except (OSError, ValueError):
            return None  # a cut left it out, or half written: made again
        return found if isinstance(found, dict) else None


def checksum(path: Path) -> str | None:
    """SHA-256 of a file, or None when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
