"""`wanbench run`: a suite's videos are made with a model and scored as they come; cut at any moment, it goes on where it was.

Videos are made in processes of their own, one a device (`making.crew`), and measured in others (`evaluation.runner`); what is
made and what is measured is kept, each by its own rule, and neither waits for the other to end.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from queue import Empty

from wanbench.errors import OutputError
from wanbench.evaluation.commission import Commission
from wanbench.evaluation.measuring import LOCAL, Journal, conclude, is_same_plan, note_seed, run_info, videos
from wanbench.evaluation.outcome import Listener, Making, Run
from wanbench.evaluation.plan import Job, Plan
from wanbench.evaluation.runner import Progress, execute
from wanbench.evaluation.stopping import Contest
from wanbench.hooks.hook import Hook, log_run
from wanbench.making.crew import VIDEO_SECONDS, Crew, Finished, GivenUp, Noted, Stopped, Underway
from wanbench.making.forecast import note_rate
from wanbench.making.makers import MakerSpec
from wanbench.making.producing import locked
from wanbench.making.shelf import Request
from wanbench.record import RUN, RunDirectory, as_text, read_json, write_json
from wanbench.types import JSONObject, Measurement


def run(
    asked: Commission, *, hooks: Sequence[Hook] = (), command: Sequence[str] | None = None, listener: Listener | None = None
) -> Run:
    """Make what is not made yet, measure what is not measured yet, summarise, report.

    Raises `UsageError` before any work and when the model cannot be started, `OutputError`; a video that cannot be made is an
    `error` row in each of its dimensions.
    """
    listener = listener or Listener()
    with RunDirectory(asked.where) as directory:
        if is_same_plan(directory, asked.plan) and read_json(asked.where / RUN)["status"] == "complete":
            text = "is finished: nothing is made or measured again, only the report is written anew"
            listener.warning(f"{as_text(asked.where)} {text}")
            note_seed(directory, asked.seed)
            _note_policy(asked)
        else:
            with locked(asked.shelf):  # `wanbench generate` holds this lock alone
                listener.started(asked.where)
                candidates = {asked.candidate: facts_of(asked.spec)}
                info = run_info(asked.plan, candidates, command, asked.ways.worker_count, asked.seed)
                _work(asked, directory, Journal(directory, info, listener), listener)
        done = conclude(directory, asked.plan, asked.seed, asked.weights)
    return log_run(done, hooks, listener.warning)


def _note_policy(asked: Commission) -> None:
    """A verdict stays; what a policy makes of it may have changed."""
    info = read_json(asked.where / RUN)
    if asked.contest is not None and (gated := info.get("sequential")):
        gated["exit_code"] = asked.contest.asked.exit_code(gated["verdict"])
        write_json(asked.where / RUN, info)


def facts_of(spec: MakerSpec) -> JSONObject:
    """A candidate that is made here, as `run.json` names it: in full, with all its settings."""
    return {
        "name": spec.name,
        "kind": spec.kind,
        "settings": dict(spec.settings),
        "fingerprint": spec.fingerprint,
        "circumstances": dict(spec.circumstances),
    }


class _Settled(Exception):
    """The verdict is there: what is still to come is not needed."""


def _work(asked: Commission, directory: RunDirectory, journal: Journal, listener: Listener) -> None:
    plan, contest = asked.plan, asked.contest
    asked.shelf.open(asked.suite, asked.requests)
    setup = asked.ways.setup(plan.choices, directory.evidence)
    executor = asked.ways.place(directory, setup, ())
    journal.environment({"executor": asked.ways.executor_name})
    crew = Crew(asked.spec, asked.shelf, asked.devices, asked.video_seconds or VIDEO_SECONDS, executor)
    source = _Videos(plan, asked.requests, crew, listener)
    names = videos(plan, directory.path)
    referee = _Referee(contest, source, directory, names) if contest else None

    def on_progress(progress: Progress) -> None:
        listener.progress(progress)
        if referee is not None and referee.settled():
            raise _Settled

    listener.making(Making(done=0, total=len(asked.requests), failed=0))
    crew.start(asked.requests)
    try:
        execute(
            source,
            plan.choices,
            directory,
            setup,
            asked.ways.worker_count,
            video=names.__getitem__,
            on_progress=on_progress,
            on_environment=journal.environment,
            on_warning=journal.warn,
            executor=executor,
        )
    except _Settled:
        pass
    finally:
        crew.end()
    final = replace(plan, jobs=source.jobs(contest.told if contest else None))
    order = final.order(names)
    for key in [key for key in directory.measurements if key not in order]:
        del directory.measurements[key]  # of a video that failed then and is there now, was made anew, or is not needed
    journal.info["plan"] = {**final.to_json(), "hash": plan.hash()}
    if contest is not None:
        journal.info["sequential"] = contest.to_json()
    journal.end(directory.finish(order))
    if source.seconds_a_video is not None and asked.ways.executor == LOCAL:
        try:
            note_rate(asked.spec, asked.devices[0], source.seconds_a_video)
        except OutputError as error:
            journal.warn(f"how long a video took could not be kept for the next forecast: {error}")


class _Referee:
    """Tells a contest what is measured, prompt by prompt in drawn order."""

    def __init__(
        self, contest: Contest, source: _Videos, directory: RunDirectory, names: Mapping[Path, str]
    ) -> None:  # fmt: skip
        self._contest, self._source, self._directory, self._names = contest, source, directory, names
        self._tried_again = {key: m for key, m in directory.measurements.items() if m.status == "error"}

    def settled(self) -> bool:
        """Take in all that is known by now; whether there is a verdict."""
        while (prompt := self._contest.waiting()) is not None:
            rows = self._rows(prompt)
            if rows is None:
                break
            self._contest.tell(prompt, rows)
        return self._contest.gate.verdict is not None

    def _rows(self, prompt: str) -> list[Measurement] | None:
        """Of all the prompt's videos in its own dimension; None while one is missing."""
        jobs = self._source.known(prompt)
        found = []
        for job in jobs or ():
            sample, dimension = job.sample, str(job.sample.prompt and job.sample.prompt.dimension)
            key = (sample.candidate, sample.sha256, prompt, sample.seed, self._names[sample.path], dimension)
            row = self._directory.measurements.get(key)
            if row is None or (self._tried_again.get(key) is row and job.unreadable is None):
                return None
            found.append(row)
        return found if jobs else None


class _Videos:
    """A `runner.Source`: jobs of videos as they are finished."""

    def __init__(self, plan: Plan, requests: Sequence[Request], crew: Crew, listener: Listener) -> None:
        self.total = len(requests)
        self.open = True
        self._jobs = {request.name: job for request, job in zip(requests, plan.jobs, strict=True)}
        self._by_prompt: dict[str, list[str]] = {}
        for request in requests:
            self._by_prompt.setdefault(str(request.prompt.id), []).append(request.name)
        self._known: dict[str, Job] = {}
        self._crew = crew
        self._listener = listener
        self._told = 0.0
        self._seconds: list[float] = []

    def ready(self) -> list[Job]:
        came = []
        while self.open:
            try:
                event = self._crew.events.get_nowait()
            except Empty:
                break
            if isinstance(event, Stopped):
                self.open = False
                if event.error is not None:
                    raise event.error
            elif isinstance(event, Underway):
                self._tell(sum(done / total for done, total in event.steps.values() if total))
            elif isinstance(event, Noted):
                self._listener.note(event.text)
            else:
                job = self._jobs[event.request.name]
                if isinstance(event, Finished):
                    self._seconds += [event.seconds] if event.seconds is not None else []
                    job = replace(job, sample=replace(job.sample, sha256=event.sha256))
                elif isinstance(event, GivenUp):
                    job = replace(job, unreadable=event.reason)
                self._known[event.request.name] = job
                came.append(job)
                self._tell(0.0)
        return came

    def jobs(self, prompts: Sequence[str] | None = None) -> tuple[Job, ...]:
        """All of them, or those of the named prompts, in the plan's order, with their checksums."""
        wanted = None if prompts is None else set(prompts)
        return tuple(self._known[n] for n, job in self._jobs.items() if wanted is None or job.sample.prompt_id in wanted)

    def known(self, prompt: str) -> list[Job] | None:
        """The prompt's videos; None while one is neither made nor given up."""
        found = [self._known.get(name) for name in self._by_prompt[prompt]]
        return None if None in found else [job for job in found if job is not None]

    @property
    def seconds_a_video(self) -> float | None:
        """Median of those made now; None when all were there."""
        return statistics.median(self._seconds) if self._seconds else None

    def _tell(self, underway: float) -> None:
        if underway and time.monotonic() - self._told < 0.1:
            return
        self._told = time.monotonic()
        failed = sum(job.unreadable is not None for job in self._known.values())
        self._listener.making(Making(done=len(self._known) + underway, total=self.total, failed=failed))
