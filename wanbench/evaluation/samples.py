"""From paths to samples: which files are videos, of which candidate, for which prompt and seed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from wanbench.errors import UsageError
from wanbench.prompts.suite import Suite, VideoLine, load_sidecar, load_video_lines, name_of_text, named_suite
from wanbench.record import as_text
from wanbench.types import Prompt, Sample

EXTENSIONS = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif"})
"""Searched for in folders, in any case; a file named on the command line is taken whatever it is called."""
PROMPTS_FILE = "prompts.jsonl"
HASHING_THREADS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A video model under test, here just its paths."""

    name: str
    paths: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The samples of a command, and what the user should know about them."""

    samples: tuple[Sample, ...]
    """In the order of candidate, prompt, seed and path, whatever the order of the arguments."""
    unreadable: dict[Path, str] = field(default_factory=dict)
    """Files that could not even be read, and why; their samples have an empty sha256."""
    warnings: tuple[str, ...] = ()


def candidates(arguments: Sequence[str], name: str | None) -> list[Candidate]:
    """Plain paths are one candidate, `NAME=PATH` makes several. Raises `UsageError`."""
    plain, paths = [Path(a) for a in arguments if "=" not in a], dict[str, list[Path]]()
    for argument in arguments:
        given, equals, path = argument.partition("=")
        if not equals:
            continue
        if not given or not path:
            raise UsageError(f"{argument!r} is not NAME=PATH")
        if not _exists(path) and _exists(argument):
            raise UsageError(f"a path that contains '=' needs a name of its own: NAME={argument}")
        paths.setdefault(as_text(given), []).append(Path(path))
    for searched in (p for group in (plain, *paths.values()) for p in group):
        if not _exists(searched):
            raise UsageError(f"{searched} does not exist")
    if plain:
        folders = [p.resolve() for p in plain if p.is_dir()] or sorted(p.resolve().parent for p in plain)
        own = name or as_text(folders[0].name) or "candidate"
        paths[own] = plain + paths.get(own, [])
    elif name is not None:
        raise UsageError(f"--name {name} names plain paths, and every path here has a name of its own")
    return [Candidate(name=n, paths=tuple(group)) for n, group in paths.items()]


def _exists(path: str | Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 -- Path.exists() fails on an overlong name


def find(
    chosen: Sequence[Candidate],
    *,
    suite: Suite | None,
    prompts_file: Path | None,
    limit: int | None,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Found:
    """All samples of the candidates. `tick(done, total)` is called as files are hashed. Raises `UsageError`."""
    matcher = _Matcher(suite, prompts_file)
    samples: list[Sample] = []
    for candidate in chosen:
        files = sorted({file for root in candidate.paths for file in _videos(root)})
        for file in files[:limit]:
            prompt, seed = matcher.match(file, candidate.paths)
            samples.append(Sample(candidate=candidate.name, path=file, sha256="", prompt=prompt, seed=seed))
    if not samples:
        where = ", ".join(str(p) for c in chosen for p in c.paths)
        raise UsageError(f"no video in {where} (looked for {', '.join(sorted(EXTENSIONS))})")
    hashed, unreadable = _hash(samples, tick)
    unique, warnings = _without_duplicates(hashed)
    return Found(samples=tuple(unique), unreadable=unreadable, warnings=tuple(matcher.warnings() + warnings))


def suite_named_by(chosen: Sequence[Candidate]) -> str | None:
    """The suite that the candidates' `prompts.jsonl` files name, or None. Raises `UsageError` when they disagree."""
    files = {_folder(root) / PROMPTS_FILE for c in chosen for root in c.paths}
    try:
        files = {file for file in files if file.is_file()}
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from error
    names = {name for file in files if (name := named_suite(file))}
    if len(names) > 1:
        raise UsageError(f"the folders name different suites: {', '.join(sorted(names))}; choose one with --suite")
    return next(iter(names), None)


def _folder(root: Path) -> Path:
    """The given folder, or the given file's."""
    absolute = Path(os.path.abspath(root))  # noqa: PTH100 -- resolve() would follow a link and rename the sample
    return absolute if absolute.is_dir() else absolute.parent


def _videos(root: Path) -> Iterable[Path]:
    absolute = Path(os.path.abspath(root))  # noqa: PTH100 -- resolve() would follow a link and rename the sample
    if not absolute.is_dir():
        return [absolute]
    return [
        Path(folder, file)
        for folder, _, files in os.walk(absolute, onerror=_unreadable)
        for file in files
        if Path(file).suffix.lower() in EXTENSIONS and not file.startswith(".")
    ]


def _unreadable(error: OSError) -> None:
    raise UsageError(f"the folder {error.filename} cannot be read: {error.strerror}") from error


class _Matcher:
    """Which prompt a file belongs to; the first source that knows it wins."""

    def __init__(self, suite: Suite | None, prompts_file: Path | None) -> None:
        self._suite = suite
        self._file = prompts_file
        self._given = _by_path(prompts_file) if prompts_file else {}
        self._given_ends = {os.path.normpath(line.video): line for line in self._given.values()}
        self._folders: dict[Path, dict[str, VideoLine]] = {}
        self._matched = False
        self._unmatched: list[Path] = []
        self._texts = {name_of_text(t): p for p in suite.prompts.values() for t in p.given.values()} if suite else {}
        self._ids = sorted(suite.prompts, key=len, reverse=True) if suite else []

    def match(self, file: Path, roots: Sequence[Path]) -> tuple[Prompt | None, int | None]:
        line = self._from_given(file) or self._from_folder(file, roots) or _sidecar(file)
        prompt, seed = self._by_stem(file.stem)
        if line is not None:
            prompt = self._known(line) or line.prompt or Prompt(id=line.prompt_id, text=None)
            seed = line.seed if line.seed is not None else seed
        if self._counts(prompt):
            self._matched = True
        else:
            self._unmatched.append(file)
        return prompt, seed

    def warnings(self) -> list[str]:
        if not self._unmatched or not (self._suite or self._file or self._matched):
            return []  # without a suite and without any prompt there is nothing to be surprised at
        what = f"match no prompt of the suite {self._suite.name} and are not scored" if self._suite else "have no prompt"
        names = ", ".join(as_text(f.name) for f in self._unmatched[:3]) + (", ..." if len(self._unmatched) > 3 else "")
        return [f"{len(self._unmatched)} videos {what}: {names}"]

    def _counts(self, prompt: Prompt | None) -> bool:
        return prompt is not None and (self._suite is None or prompt.id in self._suite.prompts)

    def _known(self, line: VideoLine) -> Prompt | None:
        """The suite's prompt that a line means, by id or, without one, by text."""
        if self._suite is None:
            return None
        if line.prompt_id is not None:
            return self._suite.prompts.get(line.prompt_id)
        return self._texts.get(name_of_text(line.prompt.text or "")) if line.prompt else None

    def _from_given(self, file: Path) -> VideoLine | None:
        """By the path that the `--prompts` file gives, taken from where it lies, or as the longest end of the video's path."""
        if line := self._given.get(str(file)):
            return line
        ends = (str(Path(*file.parts[start:])) for start in range(1, len(file.parts)))
        return next((self._given_ends[end] for end in ends if end in self._given_ends), None)

    def _from_folder(self, file: Path, roots: Sequence[Path]) -> VideoLine | None:
        tops = {_folder(root) for root in roots}
        for folder in file.parents:
            if folder not in self._folders:
                listing = folder / PROMPTS_FILE
                self._folders[folder] = _by_path(listing) if listing.is_file() else {}
            if line := self._folders[folder].get(str(file)):
                return line
            if folder in tops:
                return None
        return None

    def _by_stem(self, stem: str) -> tuple[Prompt | None, int | None]:
        """A prompt id, the longest known id followed by -SEED, or VBench's PROMPT TEXT-INDEX."""
        if self._suite is None:
            return None, None
        if stem in self._suite.prompts:
            return self._suite.prompts[stem], None
        for identity in self._ids:
            rest = stem.removeprefix(identity + "-")
            if rest != stem and rest.isdecimal():
                return self._suite.prompts[identity], int(rest)
        if (vbench := re.fullmatch(r"(.*)-(\d+)", stem)) and (prompt := self._texts.get(name_of_text(vbench[1]))):
            return prompt, int(vbench[2])
        return None, None


def _by_path(listing: Path) -> dict[str, VideoLine]:
    """Absolute path -> line; a relative `video` is relative to the listing."""
    base = Path(os.path.abspath(listing)).parent  # noqa: PTH100 -- as in `_videos`
    return {os.path.normpath(base / line.video): line for line in load_video_lines(listing)}


def _sidecar(file: Path) -> VideoLine | None:
    """`NAME.json` with `prompt_id`, `prompt` or `text`, or `NAME.txt` that holds the prompt."""
    described, text = file.with_suffix(".json"), file.with_suffix(".txt")
    if described.is_file() and (line := load_sidecar(described, file.name)):
        return line
    if text.is_file():
        try:
            words = text.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the prompt file {text} cannot be read as UTF-8 text") from error
        if words:
            return VideoLine(video=file.name, prompt_id=None, prompt=Prompt(id=None, text=words), seed=None)
    return None


def _hash(samples: list[Sample], tick: Callable[[int, int], None]) -> tuple[list[Sample], dict[Path, str]]:
    hashed, unreadable = [], {}
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        for sample, digest in zip(samples, pool.map(lambda s: _digest(s.path), samples), strict=True):
            if isinstance(digest, OSError):
                unreadable[sample.path] = f"cannot be read: {digest.strerror}"
            hashed.append(replace(sample, sha256="" if isinstance(digest, OSError) else digest))
            tick(len(hashed), len(samples))
    return hashed, unreadable


def _digest(path: Path) -> str | OSError:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return OSError(0, "not a regular file")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return error


def _without_duplicates(samples: list[Sample]) -> tuple[list[Sample], list[str]]:
    unique: dict[tuple[object, ...], Sample] = {}
    warnings = []
    for sample in sorted(samples, key=_order):
        asked = json.dumps(sample.prompt.content, sort_keys=True) if sample.prompt else None
        key = (sample.candidate, sample.sha256 or str(sample.path), asked, sample.seed)
        if key in unique:
            warnings.append(f"{as_text(sample.path)} holds the same bytes as {as_text(unique[key].path)}: one sample")
        else:
            unique[key] = sample
    return list(unique.values()), warnings


def _order(sample: Sample) -> tuple[str, str, int, str]:
    return (sample.candidate, sample.prompt_id or "", sample.seed if sample.seed is not None else -1, str(sample.path))
