"""What scoring and running share: how to measure, the journal of a run, and its end."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wanbench import __version__, record
from wanbench.comparison.as_json import in_one_run
from wanbench.decoding.process import Limits
from wanbench.dimension import Dimension, digest, load_all
from wanbench.errors import UsageError
from wanbench.evaluation.outcome import Listener, Run, load
from wanbench.evaluation.plan import Choice, Plan, choose
from wanbench.evaluation.worker import Setup
from wanbench.execution.cluster import Cluster, connect
from wanbench.execution.executor import Executor, Local
from wanbench.judge.audit import last as last_audit
from wanbench.judge.choice import JudgeChoice
from wanbench.networks import require_device
from wanbench.prompts.suite import Suite
from wanbench.record import RunDirectory, as_text
from wanbench.scoring import summarise
from wanbench.types import JSONObject, Measurement, Profile
from wanbench.weights import weighting

DTYPES = ("float32", "bfloat16", "float16")
SMOKE = "smoke"
LOCAL, RAY = "local", "ray"
"""Executors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ways:
    """How to measure: what commands that score have in common. Raises `UsageError` for what cannot be."""

    profile: Profile = "reference"
    dimensions: Sequence[str] | None = None
    all_dimensions: bool = False
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 16
    workers: int | None = None
    judge: JudgeChoice | None = None
    executor: str = LOCAL
    address: str | None = None
    """Of the cluster; None: RAY_ADDRESS, else the one that this machine belongs to."""
    making: bool = False
    """Whether videos are made meanwhile, with which workers share the GPUs."""
    _joined: list[Cluster] = field(default_factory=list, init=False, repr=False, compare=False)
    """The cluster, once it is joined: its nodes are asked once, so that all that is counted by them agrees."""

    def __post_init__(self) -> None:
        if self.profile not in ("reference", "lite"):
            raise UsageError(f"unknown profile {self.profile!r}; known are reference and lite")
        if self.dtype not in DTYPES:
            raise UsageError(f"unknown dtype {self.dtype!r}; known are {', '.join(DTYPES)}")
        at_least_one(batch_size=self.batch_size, workers=self.workers)
        require_device(self.device)
        if self.executor not in (LOCAL, RAY):
            raise UsageError(f"unknown executor {self.executor!r}; known are {LOCAL} and {RAY}")
        if self.address is not None and self.executor != RAY:
            raise UsageError("--address names a cluster: give --executor ray with it")

    def choices(self) -> dict[str, Choice]:
        """How each dimension is measured. Raises as `choose` does."""
        return choose(self.dimensions, self.profile, self.dtype, self.judge.circumstances() if self.judge else None)

    def every_dimension(self, suite: Suite | None) -> bool:
        """Whether a video is measured outside its prompt's dimension too: the shipped smoke suite has one prompt in each."""
        return self.all_dimensions or (suite is not None and suite.version is not None and suite.name == SMOKE)

    @property
    def worker_count(self) -> int:
        """`lite` keeps every core busy; networks share one device, and a server has its own limit, so one worker feeds them."""
        if self.workers:
            return self.workers
        if cluster := self.cluster():
            return cluster.workers(self.networks, self.making)
        return 1 if self.networks else cores()

    @property
    def networks(self) -> bool:
        """Whether workers hold networks, or wait for a judge's server."""
        return self.profile != "lite" or self.judge is not None

    def cluster(self) -> Cluster | None:
        """The cluster that workers run on; None: this machine. Raises `UsageError`, `MissingDependency`."""
        if self.executor == LOCAL:
            return None
        if not self._joined:
            cluster = connect(self.address)
            cluster.require(self.device)
            self._joined.append(cluster)
        return self._joined[0]

    @property
    def executor_name(self) -> str:
        """For the record's reader: where workers ran."""
        return str(self.cluster() or LOCAL)

    def devices(self, asked: str) -> Sequence[str]:
        """The devices that videos are made on; `asked` is `--device`. Raises as `cluster`."""
        cluster = self.cluster()
        from wanbench.making.choice import devices_of

        return cluster.makers(asked) if cluster else devices_of(asked)

    def place(self, run: RunDirectory, setup: Setup, paths: Iterable[Path]) -> Executor:
        """Where workers run, once it is certain that they see the run, what `setup` names, and `paths`. Raises as `cluster`."""
        cluster = self.cluster()
        if cluster is None:
            return Local()
        judge = [setup.judge.folder] if setup.judge and setup.judge.folder else []
        cluster.look(run.path, [*setup.folders.values(), *judge, *sorted({path.parent for path in paths})])
        return cluster

    @property
    def threads(self) -> int:
        """Cores that one worker has."""
        cluster = self.cluster()
        if cluster:
            return cluster.threads(self.worker_count) if self.networks else 1
        return max(1, cores() // self.worker_count)

    def setup(self, choices: Mapping[str, Choice], evidence: Path | None) -> Setup:
        """What workers are told; pictures go to `evidence`."""
        from wanbench import checkpoints

        used = {n for c in choices.values() if c.method for net in c.method.networks for n in net.checkpoints}
        return Setup(
            measured={d: c.measured for d, c in choices.items() if c.measured},
            folders={name: checkpoints.folder(name) for name in sorted(used)},
            device=self.device,
            dtype=self.dtype,
            batch_size=self.batch_size,
            threads=self.threads,
            limits=Limits(),
            evidence=evidence,
            judge=self.judge,
        )


def at_least_one(**numbers: int | None) -> None:
    """Raises `UsageError` for an option that is given and less than 1."""
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {number}")


def require_statistics_seed(seed: object) -> None:
    """Raises `UsageError` before any work, where numpy would after it."""
    if not isinstance(seed, int) or seed < 0:
        raise UsageError(f"a seed is a whole number from 0 up, not {seed!r}")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Journal:
    """`run.json` of a run that goes on: written at its start, when something is learnt, and at its end."""

    def __init__(self, run: RunDirectory, info: JSONObject, listener: Listener) -> None:
        self._path = run.path / record.RUN
        self._listener = listener
        self.info = info
        if self._path.exists():
            before = record.read_json(self._path)
            info["start"] = before["start"]
            # What was learnt of the machine stays when nothing is left to measure.
            info["environment"] = {**before["environment"], "workers": info["environment"]["workers"]}
        record.write_json(self._path, info)
        run.open_record()

    def environment(self, environment: Mapping[str, Any]) -> None:
        """A worker is up and says where."""
        if not environment.items() <= self.info["environment"].items():
            self.info["environment"] |= environment
            record.write_json(self._path, self.info)

    def warn(self, text: str) -> None:
        if text not in self.info["warnings"]:
            self.info["warnings"].append(text)
            self._listener.warning(text)

    def end(self, rows: Sequence[Measurement]) -> None:
        """Everything that could be measured is on record."""
        self.info["status"] = "partial" if any(m.status == "error" for m in rows) else "complete"
        self.info["end"] = now()
        record.write_json(self._path, self.info)


def is_same_plan(run: RunDirectory, plan: Plan) -> bool:
    """Whether a run of this plan is there; False when none is. Raises `UsageError` when it is another run."""
    path = run.path / record.RUN
    if not path.exists():
        return False
    info = record.read_json(path)
    if info.get("schema_version") != record.SCHEMA_VERSION:
        raise UsageError(f"{run.path} was made by another version of wanbench; choose another --out")
    if info.get("plan", {}).get("hash") != plan.hash():
        raise UsageError(f"{run.path} holds a run with another plan (other inputs, suite or methods); choose another --out")
    run.read_record()
    return True


def is_finished(run: RunDirectory, plan: Plan) -> bool:
    """Whether the run that is there needs nothing measured. Raises `UsageError` when it is another run."""
    if not is_same_plan(run, plan):
        return False
    planned = plan.order(videos(plan, run.path)).keys()
    if foreign := next((m for key, m in run.measurements.items() if key not in planned), None):
        raise UsageError(f"{run.path / record.RECORD} holds {foreign.video} {foreign.dimension}, which is not of this run's plan")
    info = record.read_json(run.path / record.RUN)
    return info.get("status") == "complete" and len(run.measurements) == len(planned)  # else lines were taken out of the record


def note_seed(run: RunDirectory, seed: int) -> None:
    """The summary is about to be made with this seed."""
    info = record.read_json(run.path / record.RUN)
    if info.get("statistics_seed") != seed:
        record.write_json(run.path / record.RUN, {**info, "statistics_seed": seed})


def videos(plan: Plan, run: Path) -> dict[Path, str]:
    """Path -> as the record names it: relative to the run when it lies inside, else absolute."""
    base = run.resolve()
    return {
        j.sample.path: as_text(j.sample.path.relative_to(base) if j.sample.path.is_relative_to(base) else j.sample.path)
        for j in plan.jobs
    }


def conclude(run: RunDirectory, plan: Plan, seed: int, weighted_by: str = weighting.HEADLINE) -> Run:
    from wanbench.reports.page import write_page

    rows = record.read_all(run.path / record.RECORD)
    prompts = {j.sample.prompt.id: j.sample.prompt for j in plan.jobs if j.sample.prompt and j.sample.prompt.id}
    subsets = {i: p.subset for i, p in prompts.items() if p.subset}
    weights = weighting.load(weighted_by)
    with record.uncollected():
        summary = {**summarise(rows, subsets, weights, seed, plan.asked), **in_one_run(rows, weights, seed)}
    record.write_json(run.path / record.SUMMARY, summary)
    write_page(run.path)
    return load(run.path)


def run_info(
    plan: Plan, candidates: Mapping[str, JSONObject], command: Sequence[str] | None, workers: int, seed: int
) -> JSONObject:
    """What `run.json` holds from the start."""
    declared = load_all()
    return {
        "schema_version": record.SCHEMA_VERSION,
        "project_version": __version__,
        "command": [as_text(word) for word in command or [Path(sys.argv[0]).name, *sys.argv[1:]]],
        "plan": plan.to_json(),
        "profile": plan.profile,
        "candidates": dict(candidates),
        "suite": _suite_facts(plan),
        "prompts": {j.sample.prompt.id: j.sample.prompt.text for j in plan.jobs if j.sample.prompt and j.sample.prompt.id},
        "seeds": sorted({j.sample.seed for j in plan.jobs if j.sample.seed is not None}),
        "statistics_seed": seed,
        "declarations": {d: _declaration(declared[d]) for d in plan.choices if d in declared},
        "methods": {
            d: {**c.circumstances, "fingerprint": c.fingerprint} if c.circumstances else {"skipped": c.skip}
            for d, c in plan.choices.items()
        },
        "judge": _judge_facts(plan),
        "environment": {"workers": workers, "device": None},
        "warnings": list(plan.warnings),
        "start": now(),
        "end": None,
        "status": "interrupted",
    }


def _judge_facts(plan: Plan) -> JSONObject | None:
    """The judge of the plan, and what its last audit says of it; None without one."""
    judges = (c.circumstances["judge"] for c in plan.choices.values() if c.circumstances and "judge" in c.circumstances)
    judge = next(judges, None)
    return {**judge, "fingerprint": digest(judge), "audit": last_audit(judge)} if judge else None


def _suite_facts(plan: Plan) -> JSONObject | None:
    suite = plan.suite
    if suite is None:
        return None
    facts = {"name": suite.name, "version": suite.version, "hash": suite.hash}
    return {**facts, "track": suite.track, "language": plan.language}


def _declaration(dimension: Dimension) -> JSONObject:
    """What a record needs to explain itself years later."""
    return {
        "id": dimension.id,
        "pillar": dimension.pillar,
        "version": dimension.version,
        "summary": dimension.summary,
        "raw": dict(dimension.raw),
    }


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
