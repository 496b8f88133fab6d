"""What `wanbench run` is asked for, settled before any work: which videos, by whom, and how they are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wanbench.errors import UsageError
from wanbench.evaluation.measuring import Ways, at_least_one
from wanbench.evaluation.plan import Choice, Job, Plan, expected_in, slug
from wanbench.evaluation.stopping import Contest, Sequential
from wanbench.making.makers import MakerSpec
from wanbench.making.shelf import EXTENSION, Request, Shelf, requests_for
from wanbench.prompts.suite import Suite
from wanbench.types import Sample
from wanbench.weights import weighting

VIDEOS = "videos"
"""Folder in the run directory, with one folder a candidate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Commission:
    """All of a run that is settled before any work."""

    spec: MakerSpec
    suite: Suite
    ways: Ways
    devices: Sequence[str]
    candidate: str
    where: Path
    requests: Sequence[Request]
    """In the order in which they are made."""
    plan: Plan
    contest: Contest | None
    """The gate that may end the run early."""
    weights: str
    seed: int
    video_seconds: float | None

    @property
    def shelf(self) -> Shelf:
        return _shelf(self.where, self.candidate, self.spec)


def commission(
    spec: MakerSpec,
    suite: Suite,
    ways: Ways,
    *,
    devices: Sequence[str],
    candidate: str | None = None,
    out: Path | None = None,
    seeds: Sequence[int] = (0,),
    language: str = "en",
    limit: int | None = None,
    weights: str = weighting.HEADLINE,
    seed: int = 0,
    video_seconds: float | None = None,
    sequential: Sequential | None = None,
) -> Commission:
    """Settle what is made and how it is measured. Raises `UsageError`, `MissingDependency`, `MissingCheckpoints`."""
    at_least_one(limit=limit)
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"seeds are different whole numbers from 0 up, not {list(seeds)}")
    weighting.load(weights)  # now, so that a wrong name ends the command before any work
    choices = ways.choices()
    requests = requests_for(suite, seeds, language, None if ways.every_dimension(suite) else list(choices), limit)
    contest = Contest.open(sequential, requests, suite, choices, language) if sequential else None
    requests = contest.requests if contest else requests
    name = candidate or slug(spec.name)
    plan = Plan(
        jobs=_jobs(requests, name, suite, ways, choices),
        choices=choices,
        profile=ways.profile,
        suite=suite,
        language=language,
        warnings=(),
        identity=f"{spec.fingerprint} {contest.identity}" if contest else spec.fingerprint,
    )
    where = out or Path("runs") / f"{slug(name)}-{plan.hash()}"
    folder = _shelf(where, name, spec).folder
    placed = [replace(job, sample=replace(job.sample, path=folder / job.sample.path)) for job in plan.jobs]
    return Commission(
        spec=spec,
        suite=suite,
        ways=ways,
        devices=devices,
        candidate=name,
        where=where,
        requests=requests,
        plan=replace(plan, jobs=tuple(placed)),
        contest=contest,
        weights=weights,
        seed=seed,
        video_seconds=video_seconds,
    )


def _shelf(where: Path, candidate: str, spec: MakerSpec) -> Shelf:
    return Shelf(where.absolute() / VIDEOS / slug(candidate), spec.fingerprint)


def _jobs(
    requests: Sequence[Request], candidate: str, suite: Suite, ways: Ways, choices: Mapping[str, Choice]
) -> tuple[Job, ...]:  # fmt: skip
    """Every request in every dimension that it is expected in; the files' checksums are not known yet."""
    jobs = []
    for request in requests:
        path = Path(f"{request.name}{EXTENSION}")
        sample = Sample(candidate=candidate, path=path, sha256="", prompt=request.prompt, seed=request.seed)
        expected = dict(expected_in(sample, choices, suite, ways.every_dimension(suite)))
        jobs.append(Job(sample=sample, expected=expected, unreadable=None))
    if not any(job.expected for job in jobs):
        raise UsageError("no prompt of the suite belongs to the chosen dimensions; give --all-dimensions or other --dimensions")
    return tuple(jobs)
