"""What a command will measure, settled before any work: every sample x dimension, by which method, and why not where not."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wanbench import checkpoints
from wanbench.dimension import Dimension, Method, digest, load_all
from wanbench.errors import MissingDependency, UsageError
from wanbench.evaluation.samples import Found
from wanbench.fourteen import FOURTEEN
from wanbench.prompts.suite import Suite
from wanbench.record import as_text
from wanbench.scoring import SMALLEST_MEASURED_SHARE
from wanbench.types import JSONObject, Measured, Profile, Sample

LIBRARIES: dict[str, tuple[str, ...]] = {
    "score": ("torch", "torchvision", "transformers", "open_clip"),
    "quality": ("torch", "pyiqa"),
    "artifacts": ("torch", "ultralytics"),
    "judge": (),  # a judge on a server needs none of it; one in process is opened before any work
}
"""Install extra -> what it must bring."""
LEAVE_OUT = ("quality", "artifacts")
"""Extras under restrictive licences: who cannot install them still measures the rest, and is told."""
NEEDS_JUDGE = "needs a judge, and none was given: --judge NAME or URL"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """How one dimension is measured in this plan, or why not."""

    dimension: str
    method: Method | None
    fingerprint: str | None
    circumstances: Mapping[str, Any] | None
    """What the fingerprint is the digest of."""
    skip: str | None
    """Why nothing is measured in it, for every sample alike."""
    label: str | None = None
    """What the record calls the method."""

    @property
    def measured(self) -> Measured | None:
        """What a worker is told."""
        if self.method is None or self.fingerprint is None or self.label is None:
            return None
        return Measured(method=self.method.name, label=self.label, fingerprint=self.fingerprint)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One sample and what is expected of it."""

    sample: Sample
    expected: Mapping[str, bool]
    """Dimension -> whether it is exploratory (measured, but outside the scores)."""
    unreadable: str | None
    """Why the file cannot even be read, or None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All of a run."""

    jobs: tuple[Job, ...]
    choices: Mapping[str, Choice]
    """Dimension -> how; in the order of the fourteen."""
    profile: Profile
    suite: Suite | None
    language: str
    """Which of the suite's texts the candidates were given; its own track, like `raw` and `rewritten`."""
    warnings: tuple[str, ...]
    asked: Mapping[str, int] = field(default_factory=dict)
    """Dimension -> prompts of the suite that are to be measured in it, whether or not there is a video for each; empty where the
    samples are all that was asked for."""
    identity: str | None = None
    """Of videos that are yet to be made: a digest of the model and its settings, which stands for the files."""

    def hash(self) -> str:
        """Eight hexadecimal digits of inputs, suite and methods: the same command finds its run again."""
        return digest(
            {
                "profile": self.profile,
                "suite": [self.suite.hash, self.suite.track, self.language] if self.suite else None,
                "methods": {d: c.fingerprint or c.skip for d, c in self.choices.items()},
                "asked": dict(self.asked),
                "samples": [
                    [
                        j.sample.candidate,
                        self.identity or os.fsencode(j.sample.path).hex(),
                        None if self.identity else j.sample.sha256,
                        j.sample.prompt.content if j.sample.prompt else None,
                        j.sample.seed,
                        dict(j.expected),
                    ]
                    for j in self.jobs
                ],
            }
        )[:8]

    def order(self, video: Mapping[Path, str]) -> dict[tuple[Any, ...], int]:
        """Measurement key -> place in the finished record."""
        keys = (
            (j.sample.candidate, j.sample.sha256, j.sample.prompt_id, j.sample.seed, video[j.sample.path], dimension)
            for j in self.jobs
            for dimension in j.expected
        )
        return {key: place for place, key in enumerate(keys)}

    def to_json(self) -> JSONObject:
        """As `run.json` holds it."""
        return {
            "hash": self.hash(),
            "dimensions": list(self.choices),
            "samples": [
                {
                    "candidate": j.sample.candidate,
                    "video": as_text(j.sample.path),
                    "sha256": j.sample.sha256,
                    "prompt_id": j.sample.prompt_id,
                    "prompt": j.sample.prompt.text if j.sample.prompt else None,
                    "seed": j.sample.seed,
                    "dimensions": [d for d, exploratory in j.expected.items() if not exploratory],
                    "exploratory": [d for d, exploratory in j.expected.items() if exploratory],
                }
                for j in self.jobs
            ],
        }


def known_dimensions() -> list[str]:
    """The fourteen in their order, then others that are declared."""
    return [*FOURTEEN, *sorted(d for d in load_all() if d not in FOURTEEN)]


def choose(
    asked: Sequence[str] | None, profile: Profile, dtype: str, judge: Mapping[str, Any] | None = None
) -> dict[str, Choice]:
    """How each asked dimension (None: all) is measured; `judge` is what can move a judge's answers, None without one.

    Raises `UsageError`, `MissingDependency`, `MissingCheckpoints`.
    """
    known, declared = known_dimensions(), load_all()
    if asked is not None and not asked:
        raise UsageError(f"no dimension is named; known are {', '.join(known)}")
    for name in asked or ():
        if name not in known:
            raise UsageError(f"unknown dimension {name!r}; known are {', '.join(known)}")
    chosen = [d for d in known if asked is None or d in asked]
    usable = {d: _usable(declared[d], profile, judge is not None) for d in chosen}
    names = [n for method in usable.values() if isinstance(method, Method) for n in _checkpoints(method)]
    checkpoints.require(names)
    sums = checkpoints.checksums(names)
    choices = {}
    for name, method in usable.items():
        if isinstance(method, str):
            choices[name] = Choice(dimension=name, method=None, fingerprint=None, circumstances=None, skip=method)
            continue
        known_as = declared[name].circumstances(method, {n: sums[n] for n in _checkpoints(method)}, dtype, judge)
        choices[name] = Choice(
            dimension=name,
            method=method,
            fingerprint=digest(known_as),
            circumstances=known_as,
            skip=None,
            label=method.label(judge),
        )
    if all(c.skip for c in choices.values()):
        reasons = "; ".join(f"{c.dimension}: {c.skip}" for c in choices.values())
        raise UsageError(f"nothing can be measured with --profile {profile} ({reasons})")
    return choices


def _usable(dimension: Dimension, profile: Profile, judged: bool) -> Method | str:
    """The first method of the profile that can be used here, or why the dimension is not measured."""
    reasons = []
    for method in dimension.methods:
        if method.profile in (profile, None):
            reason = _lack(dimension, method, profile, judged)
            if reason is None:
                return method
            reasons.append(reason)
    return "; or ".join(reasons) or f"not measured in profile {profile}"


def _lack(dimension: Dimension, method: Method, profile: Profile, judged: bool) -> str | None:
    """Why a method cannot be used here, or None."""
    if method.judge == "needed" and not judged:
        return NEEDS_JUDGE
    absent = [library for library in LIBRARIES.get(method.extra or "", ()) if importlib.util.find_spec(library) is None]
    if absent and method.extra in LEAVE_OUT and "torch" not in absent:
        return f"needs {', '.join(absent)}: pip install 'wanbench[{method.extra}]'"
    if absent and method.extra:
        raise MissingDependency(
            f"profile {profile} ({dimension.id}); to measure without networks give --profile lite; it", method.extra
        )
    own = [n for n in _checkpoints(method) if checkpoints.checkpoint(n).made_by]
    if lacking := checkpoints.missing(own):
        return f"no {lacking[0]} file: make one with `{checkpoints.checkpoint(lacking[0]).made_by}`"
    return None


def _checkpoints(method: Method) -> list[str]:
    return list(dict.fromkeys(name for network in method.networks for name in network.checkpoints))


def make_plan(
    found: Found,
    choices: Mapping[str, Choice],
    profile: Profile,
    suite: Suite | None,
    language: str,
    *,
    all_dimensions: bool,
    limited: bool,
) -> Plan:
    """Every sample in every dimension that it is expected in; `limited`: some were left out on purpose.

    Raises `UsageError` when that is nothing.
    """
    jobs = tuple(
        Job(sample=sample, expected=expected, unreadable=found.unreadable.get(sample.path))
        for sample in found.samples
        if (expected := dict(expected_in(sample, choices, suite, all_dimensions)))
    )
    if not jobs and suite is not None and not any(s.prompt_id in suite.prompts for s in found.samples):
        raise UsageError(
            f"no video matches a prompt of the suite {suite.name}; call them PROMPT_ID-SEED.mp4, or give --prompts FILE"
        )
    if not jobs:
        raise UsageError("no video belongs to a prompt of the chosen dimensions; give --all-dimensions or other --dimensions")
    asked = {} if suite is None or limited else _asked(suite, choices)
    return Plan(
        jobs=jobs,
        choices=choices,
        profile=profile,
        suite=suite,
        language=language,
        warnings=(*found.warnings, *_lacking(jobs, asked)),
        asked=asked,
    )


def _asked(suite: Suite, choices: Mapping[str, Choice]) -> dict[str, int]:
    """Dimension -> prompts of the suite, of the dimensions that are measured."""
    return {d: sum(p.dimension in (None, d) for p in suite.prompts.values()) for d, c in choices.items() if c.fingerprint}


def _lacking(jobs: Sequence[Job], asked: Mapping[str, int]) -> Iterator[str]:
    """Of each candidate, the dimensions that will not count for want of videos."""
    there: dict[str, dict[str, set[str | None]]] = {}
    for job in jobs:
        own = there.setdefault(job.sample.candidate, {})
        for dimension, exploratory in job.expected.items():
            if not exploratory:
                own.setdefault(dimension, set()).add(job.sample.prompt_id)
    for candidate, own in there.items():
        few = [f"{d} {len(p)} of {asked[d]}" for d, p in own.items() if len(p) < SMALLEST_MEASURED_SHARE * asked.get(d, 0)]
        if few:
            yield (f"{candidate} has videos for too few prompts of the suite for these dimensions to count in a total, which "
                   f"begins at {SMALLEST_MEASURED_SHARE:.0%}: {', '.join(few)}")  # fmt: skip


def expected_in(
    sample: Sample, choices: Mapping[str, Choice], suite: Suite | None, all_dimensions: bool
) -> Iterator[tuple[str, bool]]:
    """(dimension, exploratory): with a suite a video counts in its prompt's dimension only, or in all if that names none."""
    for name in choices:
        if suite is None:
            yield name, False
        elif sample.prompt is not None and sample.prompt.id in suite.prompts:
            if sample.prompt.dimension in (None, name):
                yield name, False
            elif all_dimensions:
                yield name, True


def slug(name: str) -> str:
    """A candidate's name as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "candidate"
