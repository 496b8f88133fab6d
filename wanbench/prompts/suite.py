"""Prompts by suite, by `--prompts` file, by a folder's `prompts.jsonl` or a sidecar. Wrong lines are named by file and number."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN
from wanbench.prompts import rules
from wanbench.prompts.lines import read_lines
from wanbench.types import LANGUAGES, Prompt, Track

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SHIPPED = ("smoke", "mini", "full")
"""Names of the suites that the interface promises; a `--suite` that is none of them is a file."""
NAME_CHARACTERS = 180
"""VBench cuts a prompt here where it makes a file's name of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """A hashed set of prompts."""

    name: str
    hash: str
    """SHA-256 of the file; of a shipped suite, of the file that `wanbench prompts export --format jsonl` writes."""
    prompts: Mapping[str, Prompt]
    """By id, in the suite's order."""
    version: str | None = None
    """Of a shipped suite."""

    @property
    def track(self) -> Track:
        """Whether the texts are raw or were rewritten; a suite holds one kind."""
        return next(iter(self.prompts.values())).track

    def require(self, language: str) -> None:
        """Raises `UsageError` unless every prompt has a text in `language`."""
        for prompt in self.prompts.values():
            given(prompt, language)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoLine:
    """A line of a prompts file: which video, which prompt."""

    video: str
    prompt_id: str | None
    prompt: Prompt | None
    """None when the line gives only an id."""
    seed: int | None


def load_suite(name: str) -> Suite:
    """A suite by name or file. A file called like a shipped suite comes first. Raises `UsageError`."""
    path = Path(name)
    if name in SHIPPED and not path.is_file():
        return _shipped(name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the suite {name} cannot be read: {error.strerror}; known names are {', '.join(SHIPPED)}") from error
    return parse_suite(path, content)


def parse_suite(path: Path, content: bytes) -> Suite:
    """The suite that a file of this name and content is. Raises `UsageError`."""
    return _suite(path, content, path.stem)


def _suite(path: Path, content: bytes, name: str, version: str | None = None) -> Suite:
    prompts: dict[str, Prompt] = {}
    for number, (where, fields) in enumerate(read_lines(path, content), 1):
        unnamed = f"{fields.get('dimension') or path.stem}-{number:03d}"
        prompt = parse_prompt({**fields, "id": _identity(fields, where) or unnamed}, where, checked=version is not None)
        if prompt is None or prompt.id is None:
            raise UsageError(f"{where}: a line of a suite needs `text`")
        if prompt.id in prompts:
            raise UsageError(f"{where}: the id {prompt.id!r} is there twice")
        prompts[prompt.id] = prompt
    if not prompts:
        raise UsageError(f"the suite {path} is empty")
    if other := next((p for p in prompts.values() if p.track != next(iter(prompts.values())).track), None):
        raise UsageError(f"the suite {path} mixes raw and rewritten prompts ({other.id}): keep them in two files")
    return Suite(name=name, hash=hashlib.sha256(content).hexdigest(), prompts=prompts, version=version)


@cache
def shipped_suites() -> dict[str, Any]:
    """`data/suites.json`: the version, and for each shipped suite its prompts' ids and its hash."""
    loaded: dict[str, Any] = msgspec.json.decode(files("wanbench.prompts").joinpath("data/suites.json").read_bytes())
    return loaded


def shipped_lines() -> dict[str, bytes]:
    """Id -> line, as it lies in the package, of all shipped prompts, in the order of the fourteen dimensions."""
    data = files("wanbench.prompts").joinpath("data")
    lines = [line for d in FOURTEEN for line in data.joinpath(f"{d}.jsonl").read_bytes().splitlines() if line]
    return {msgspec.json.decode(line)["id"]: line for line in lines}


@cache
def _shipped(name: str) -> Suite:
    named, lines = shipped_suites(), shipped_lines()
    content = b"".join(lines[identity] + b"\n" for identity in named["suites"][name]["prompts"])
    suite = _suite(Path(f"{name}.jsonl"), content, name, named["version"])
    if suite.hash != named["suites"][name]["sha256"]:
        raise UsageError(
            f"the prompts of the shipped suite {name} were changed: install wanbench anew, or give your own file to --suite"
        )
    return suite


def load_video_lines(path: Path) -> list[VideoLine]:
    """The lines of a `--prompts` file (JSONL or CSV). Raises `UsageError`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the prompts file {path} cannot be read: {error.strerror}") from error
    lines = []
    for where, fields in read_lines(path, content):
        video = fields.get("video")
        if video is None and isinstance(fields.get("suite"), str):
            continue
        if not isinstance(video, str) or not video:
            raise UsageError(f"{where}: a line needs `video`, and `prompt_id` or `prompt`")
        line = _video_line(video, fields, where)
        if line is None:
            raise UsageError(f"{where}: a line needs `prompt_id` or `prompt` beside `video`")
        lines.append(line)
    return lines


def load_sidecar(path: Path, video: str) -> VideoLine | None:
    """The prompt that `NAME.json` gives its video; None when it gives neither id nor text. Raises `UsageError`."""
    try:
        fields = msgspec.json.decode(path.read_bytes().removeprefix(BYTE_ORDER_MARK))
    except OSError as error:
        raise UsageError(f"the prompt file {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the prompt file {path} is not valid JSON: {error}") from error
    if not isinstance(fields, dict):
        raise UsageError(f"the prompt file {path} is not a JSON object")
    return _video_line(video, fields, str(path))


def _video_line(video: str, fields: Mapping[str, Any], where: str) -> VideoLine | None:
    text, identity = fields.get("prompt", fields.get("text")), _identity(fields, where)
    if identity is None and text is None:
        return None
    prompt = parse_prompt({**fields, "id": identity, "text": text}, where) if text is not None else None
    return VideoLine(video=video, prompt_id=identity, prompt=prompt, seed=_seed(fields.get("seed"), where))


def _identity(fields: Mapping[str, Any], where: str) -> str | None:
    identity = fields.get("prompt_id", fields.get("id"))
    if identity is not None and (not isinstance(identity, str) or not identity):
        raise UsageError(f"{where}: a prompt's id must be a string, not {identity!r}")
    return identity


def named_suite(path: Path) -> str | None:
    """The suite that a folder's `prompts.jsonl` names in a `suite` field of any line, or None; a file is looked for beside it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the prompts file {path} cannot be read: {error.strerror}") from error
    names = {fields["suite"] for _, fields in read_lines(path, content) if isinstance(fields.get("suite"), str)}
    if len(names) > 1:
        raise UsageError(f"{path} names several suites: {', '.join(sorted(names))}; choose one with --suite")
    name = next(iter(names), None)
    return str(path.parent / name) if name and (path.parent / name).is_file() else name


def parse_prompt(fields: Mapping[str, Any], where: str, *, checked: bool = False) -> Prompt | None:
    """A prompt from a suite line's fields; None without a text. `checked` fields are known to keep the schema.

    Raises `UsageError` that names `where`.
    """
    if fields.get("text") is None:
        return None
    kept = {k: v for k, v in fields.items() if k not in ("video", "prompt", "prompt_id", "seed") and v not in (None, "")}
    if not checked and (broken := next(rules.breaches(kept), None)):
        raise UsageError(f"{where}: {broken}")
    if questions := kept.get("questions"):
        kept["questions"] = rules.labelled(questions, kept)
    given = texts(kept["text"])
    raw = texts(kept.get("raw_text", given))
    return Prompt(
        id=kept.get("id"),
        text=raw["en"],
        dimension=kept.get("dimension"),
        subset=kept.get("subset"),
        track=kept.get("track", "raw"),
        given=given,
        fields=kept,
    )


def texts(text: str | Mapping[str, str]) -> dict[str, str]:
    """Language -> text; a plain string is English."""
    return {"en": text} if isinstance(text, str) else {language: text[language] for language in LANGUAGES if language in text}


def given(prompt: Prompt, language: str) -> str:
    """The text that a candidate is given. Raises `UsageError` when the prompt has none in this language."""
    try:
        return prompt.given[language]
    except KeyError:
        raise UsageError(f"the prompt {prompt.id} has no text in {language!r}; it has {', '.join(prompt.given)}") from None


def name_of_text(text: str) -> str:
    """A prompt's text as VBench's file names hold it: without slashes, and not too long."""
    return text.replace("/", " ").strip()[:NAME_CHARACTERS]


def _seed(value: object, where: str) -> int | None:
    if value in (None, ""):
        return None
    try:
        return int(str(value))
    except ValueError as error:
        raise UsageError(f"{where}: `seed` must be a whole number, not {value!r}") from error
