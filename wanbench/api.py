"""The public calls, the same power as the commands: `wanbench.score`, `wanbench.run`, `wanbench.forecast`, `wanbench.load`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wanbench.errors import OutputError, UsageError
from wanbench.evaluation.measuring import (
    Journal,
    Ways,
    at_least_one,
    conclude,
    is_finished,
    note_seed,
    require_statistics_seed,
    run_info,
    videos,
)
from wanbench.evaluation.outcome import Listener, Run, load
from wanbench.evaluation.plan import Plan, make_plan, slug
from wanbench.evaluation.runner import Fixed, execute
from wanbench.evaluation.samples import Candidate, candidates, find, suite_named_by
from wanbench.hooks.hook import log_run, open_hooks
from wanbench.judge.choice import choose_judge
from wanbench.judge.server import CONCURRENCY
from wanbench.making.keywords import listed
from wanbench.prompts.suite import Suite, load_suite
from wanbench.record import RunDirectory, as_text
from wanbench.types import Profile, Track
from wanbench.weights import weighting

if TYPE_CHECKING:
    from wanbench.making.forecast import Forecast


def score(
    *paths: str | Path,
    name: str | None = None,
    out: str | Path | None = None,
    profile: Profile = "reference",
    dimensions: Sequence[str] | None = None,
    all_dimensions: bool = False,
    suite: str | None = None,
    prompts: str | Path | None = None,
    language: str = "en",
    limit: int | None = None,
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int = 16,
    workers: int | None = None,
    executor: str = "local",
    address: str | None = None,
    judge: str | None = None,
    judge_model: str | None = None,
    judge_samples: int = 0,
    judge_concurrency: int = CONCURRENCY,
    weights: str = weighting.HEADLINE,
    seed: int = 0,
    log_to: Sequence[str] = (),
    offline: bool = False,
    command: Sequence[str] | None = None,
    listener: Listener | None = None,
) -> Run:
    """Score existing videos: measure what is not on record yet, summarise, report.

    `paths` are files, folders or `NAME=PATH`; see `wanbench score --help` for the rest. Raises `UsageError` before any work,
    `OutputError` when something could not be written; a video that cannot be measured is an `error` row, and a place of
    `log_to` that fails at the end a warning.
    """
    listener = listener or Listener()
    at_least_one(limit=limit)
    require_statistics_seed(seed)
    if name is not None and not isinstance(name, str):
        raise UsageError(f"a candidate's name is a text, not {name!r}")
    weighting.load(weights)  # now, so that a wrong name ends the command before any work
    if not paths:
        raise UsageError("nothing to score: give files, folders or NAME=PATH")
    chosen = candidates([str(p) for p in paths], name)
    loaded = _suite(suite, chosen)
    if loaded:
        loaded.require(language)
    ways = Ways(
        profile=profile,
        dimensions=listed(dimensions),
        all_dimensions=all_dimensions,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        workers=workers,
        executor=executor,
        address=address,
        judge=choose_judge(
            judge, model=judge_model, samples=judge_samples, concurrency=judge_concurrency, dtype=dtype
        ),
    )  # fmt: skip
    choices = ways.choices()
    hooks = open_hooks(listed(log_to), offline=offline)
    found = find(
        chosen, suite=loaded, prompts_file=Path(prompts) if prompts else None, limit=limit, tick=listener.hashing
    )  # fmt: skip
    plan = make_plan(
        found, choices, profile, loaded, language, all_dimensions=ways.every_dimension(loaded), limited=limit is not None
    )  # fmt: skip
    for warning in plan.warnings:
        listener.warning(warning)
    where = Path(out) if out else Path("runs") / f"{slug(chosen[0].name)}-{plan.hash()}"
    with RunDirectory(where) as run:
        if is_finished(run, plan):
            listener.warning(f"{as_text(where)} is finished: nothing is measured again, only the report is written anew")
            note_seed(run, seed)
        else:
            ways.cluster()  # if it is not there, that is said before anything else
            listener.started(where)
            _measure(plan, run, chosen, ways, command, seed, listener)
        done = conclude(run, plan, seed, weights)
    return log_run(done, hooks, listener.warning)


def run(
    model: str,
    *,
    suite: str = "full",
    name: str | None = None,
    out: str | Path | None = None,
    seeds: Sequence[int] = (0,),
    language: str = "en",
    track: Track | None = None,
    limit: int | None = None,
    profile: Profile = "reference",
    dimensions: Sequence[str] | None = None,
    all_dimensions: bool = False,
    size: tuple[int, int] | None = None,
    model_dtype: str | None = None,
    video_timeout: float | None = None,
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int = 16,
    workers: int | None = None,
    executor: str = "local",
    address: str | None = None,
    judge: str | None = None,
    judge_model: str | None = None,
    judge_samples: int = 0,
    judge_concurrency: int = CONCURRENCY,
    weights: str = weighting.HEADLINE,
    seed: int = 0,
    sequential: bool = False,
    baseline: str | Path | None = None,
    policy: str | Path | None = None,
    log_to: Sequence[str] = (),
    offline: bool = False,
    command: Sequence[str] | None = None,
    listener: Listener | None = None,
    **of_model: Any,
) -> Run:
    """Make a suite's videos with a model, score them, report; cut at any moment, the same call goes on where it was.

    `model` is a name of `wanbench models list`, a folder, `diffusers:ORG/NAME` or `command:'./make.sh {prompt_file} ...'`;
    `size` is (height, width) in pixels; `of_model` are the model's other options under the names that `wanbench run --help`
    gives them (`steps=30, guidance=5.0, lora=["style.safetensors:0.8"]`). Raises `UsageError` before any work, `OutputError`;
    a video that cannot be made or measured is an `error` row, and a place of `log_to` that fails at the end a warning.
    """
    from wanbench.evaluation.ordering import order
    from wanbench.evaluation.running import run as make_and_score

    ordered = order(
        model,
        size=size,
        suite=suite,
        name=name,
        out=out,
        seeds=seeds,
        language=language,
        track=track,
        limit=limit,
        profile=profile,
        dimensions=dimensions,
        all_dimensions=all_dimensions,
        model_dtype=model_dtype,
        video_timeout=video_timeout,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        workers=workers,
        executor=executor,
        address=address,
        judge=judge,
        judge_model=judge_model,
        judge_samples=judge_samples,
        judge_concurrency=judge_concurrency,
        weights=weights,
        seed=seed,
        sequential=sequential,
        baseline=baseline,
        policy=policy,
        log_to=log_to,
        offline=offline,
        **of_model,
    )
    return make_and_score(ordered.commission, hooks=ordered.hooks, command=command, listener=listener)


def forecast(model: str, **options: Any) -> Forecast:
    """What `run` with the same options would take, after all its checks: as `--dry-run`. Raises as `run` does before any work."""
    from wanbench.evaluation.ordering import order

    return order(model, **options).forecast


def _measure(
    plan: Plan,
    run: RunDirectory,
    chosen: Sequence[Candidate],
    ways: Ways,
    command: Sequence[str] | None,
    seed: int,
    listener: Listener,
) -> None:
    facts = {c.name: {"name": c.name, "paths": [as_text(p) for p in c.paths], "kind": "videos"} for c in chosen}
    journal = Journal(run, run_info(plan, facts, command, ways.worker_count, seed), listener)
    names = videos(plan, run.path)
    setup = ways.setup(plan.choices, run.evidence)
    journal.environment({"executor": ways.executor_name})
    execute(
        Fixed(plan.jobs),
        plan.choices,
        run,
        setup,
        ways.worker_count,
        video=names.__getitem__,
        on_progress=listener.progress,
        on_environment=journal.environment,
        on_warning=journal.warn,
        executor=ways.place(run, setup, names),
    )
    journal.end(run.finish(plan.order(names)))


def _suite(name: str | None, chosen: Sequence[Candidate]) -> Suite | None:
    name = name or suite_named_by(chosen)
    return load_suite(name) if name else None


__all__ = ["Listener", "OutputError", "Run", "forecast", "load", "run", "score"]
