"""The values that travel between modules: prompts, samples, readings and measurements. Imports nothing of ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["ok", "skipped", "error"]
Pillar = Literal["dynamic", "image", "instruction"]
Profile = Literal["reference", "lite"]
Track = Literal["raw", "rewritten"]
LANGUAGES = ("en", "zh")
"""Languages of the suite's texts."""
JSONObject = dict[str, Any]

SCORE_DECIMALS = 6
"""Scores are rounded to six decimals once, where a measurement is made, so that record and summary agree exactly."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One line of a suite, or of a `--prompts` file."""

    id: str | None
    """`DIMENSION-NNN` in the shipped suites; None where a file gives only a text."""
    text: str | None
    """The raw English prompt, about which judge and CLIP are asked; None where only an id is known."""
    dimension: str | None = None
    """The dimension this prompt was written for."""
    subset: str | None = None
    """Such as `human` or `pan`; scores are also given per subset."""
    track: Track = "raw"
    """`rewritten`: the candidate was given a text that a language model extended."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Language -> the text that a candidate is given."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The line as it came: camera, objects, questions, ... (the suite's schema)."""

    @property
    def content(self) -> JSONObject:
        """All of it that can move a measurement."""
        return {"id": self.id, "text": self.text, "dimension": self.dimension, "track": self.track, "fields": self.fields}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One video file of one candidate for one prompt and one seed."""

    candidate: str
    path: Path
    """Absolute path of the file."""
    sha256: str
    """Of the file's bytes, 64 hexadecimal digits; empty when the file could not be read."""
    prompt: Prompt | None = None
    seed: int | None = None

    @property
    def prompt_id(self) -> str | None:
        return self.prompt.id if self.prompt else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a dimension measured on one clip."""

    score: float
    """In [0, 1], higher is better."""
    raw: Mapping[str, Any]
    """Documented keys that end in their unit; evidence under `evidence`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A dimension that does not apply to this clip, and why."""

    reason: str
    raw: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """How a dimension is measured in a run."""

    method: str
    """Name of the method."""
    label: str
    """What the record calls it: a judge's help is named."""
    fingerprint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One line of the record: one dimension on one sample (see `docs/record.md`)."""

    candidate: str
    video: str
    """Relative to the run directory, else absolute."""
    sha256: str
    prompt_id: str | None
    seed: int | None
    dimension: str
    status: Status
    score: float | None
    """In [0, 1], six decimals; None exactly when status is not `ok`."""
    reason: str | None
    """Why there is no score; None exactly when status is `ok`."""
    exploratory: bool
    method: str | None
    fingerprint: str | None
    seconds: float | None
    """Wall time of this dimension alone, shared features excluded."""
    raw: Mapping[str, Any] | None

    def __post_init__(self) -> None:
        if (self.status == "ok") != (self.score is not None) or (self.status == "ok") != (self.reason is None):
            raise ValueError(f"status {self.status} with score {self.score} and reason {self.reason!r}")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(f"{self.dimension}: score {self.score} is outside [0, 1]")

    @property
    def key(self) -> tuple[str, str, str | None, int | None, str, str]:
        """What is measured once: the sample and the dimension."""
        return (self.candidate, self.sha256, self.prompt_id, self.seed, self.video, self.dimension)

    def to_json(self) -> JSONObject:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Measurement:
        return cls(**{f.name: line[f.name] for f in dataclasses.fields(cls)})
