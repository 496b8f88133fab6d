"""People's yes and no to questions about clips, read from a CSV file.

Columns, in any order: `video` (a path, or as much of its end as tells it apart), `question`, `label` (yes or no, true or false,
1 or 0), and if wanted `contrary`, which lets a question be asked that the clip's prompt does not carry. Several people may
answer the same question: the majority counts, and a tie is left out and counted.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from wanbench.errors import UsageError
from wanbench.judge.protocol import Question

NEEDED = ("video", "question", "label")
WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """One line."""

    video: str
    question: str
    contrary: str
    yes: bool
    line: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """The labels of a file."""

    lines: Sequence[Label]
    path: Path
    sha256: str

    def of(self, video: Path, question: str) -> bool | None:
        """What most people say; None where nobody was asked, or they are divided."""
        votes = [label.yes for label in self.lines if label.question == question and _is(video, label.video)]
        yes = sum(votes)
        return None if 2 * yes == len(votes) else 2 * yes > len(votes)

    @property
    def undecided(self) -> int:
        """Questions about clips on which people are divided evenly."""
        votes: dict[tuple[str, str], list[bool]] = {}
        for label in self.lines:
            votes.setdefault((label.video, label.question), []).append(label.yes)
        return sum(2 * sum(v) == len(v) for v in votes.values())

    def questions(self, video: Path) -> list[Question]:
        """Questions about a video that come with a contrary."""
        found = {label.question: label for label in self.lines if label.contrary and _is(video, label.video)}
        return [Question(text=text, contrary=label.contrary, expect="yes", about="label") for text, label in found.items()]

    def all_belong_to(self, asked: Mapping[Path, Iterable[Question]]) -> None:
        """Raises `UsageError` for a label of a video that is not here, or of a question that is not asked about it."""
        for label in self.lines:
            videos = [path for path in asked if _is(path, label.video)]
            where = f"{self.path} line {label.line}"
            if not videos:
                raise UsageError(f"{where}: there is no video {label.video!r} among the clips")
            if len(videos) > 1:
                raise UsageError(f"{where}: {label.video!r} may be {videos[0]} or {videos[1]}; give more of its path")
            if all(q.text != label.question for q in asked[videos[0]]):
                lacks = f"the question is not asked about {label.video}"
                raise UsageError(f"{where}: {lacks}: give its contrary in a column `contrary`")


def read(path: Path) -> Labels:
    """Raises `UsageError` that names the line."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"the labels {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the labels {path} are not UTF-8 text") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        heads = {head: head.strip().lower() for head in reader.fieldnames or () if head}
        if lacking := [name for name in NEEDED if name not in heads.values()]:
            raise UsageError(f"the labels {path} lack the column {lacking[0]!r}; they need {', '.join(NEEDED)}")
        rows = [{name: (row[head] or "").strip() for head, name in heads.items()} | {"": str(reader.line_num)} for row in reader]
    except csv.Error as error:
        raise UsageError(f"{path} line {reader.line_num + 1} is not valid CSV: {error}") from error
    if not rows:
        raise UsageError(f"the labels {path} hold no line")
    return Labels(lines=[_label(path, row) for row in rows], path=path, sha256=hashlib.sha256(content).hexdigest())


def _label(path: Path, row: Mapping[str, str]) -> Label:
    if row["label"].lower() not in WORDS:
        raise UsageError(f"{path} line {row['']}: a label is yes or no, not {row['label']!r}")
    return Label(
        video=row["video"],
        question=row["question"],
        contrary=row.get("contrary", ""),
        yes=WORDS[row["label"].lower()],
        line=int(row[""]),
    )


def _is(video: Path, named: str) -> bool:
    """Whether a path ends with what a label calls its video; a name without its extension will do."""
    parts = PurePath(named).parts
    if not parts:
        return False
    ends = video.parts[-len(parts) :] == parts
    return ends or (len(parts) == 1 and video.stem == named)
