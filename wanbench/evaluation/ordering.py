"""What `wanbench run` and `wanbench.run` are asked, option by option, settled and checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wanbench.evaluation.commission import Commission, commission
from wanbench.evaluation.measuring import Ways, require_statistics_seed
from wanbench.evaluation.stopping import sequential_of
from wanbench.hooks.hook import Hook, open_hooks
from wanbench.judge.choice import choose_judge
from wanbench.judge.server import CONCURRENCY
from wanbench.making.choice import choose_maker
from wanbench.making.forecast import Forecast, forecast
from wanbench.making.keywords import listed, maker_options, whole_numbers
from wanbench.prompts.suite import load_suite
from wanbench.prompts.tracks import on_track
from wanbench.types import Profile, Track
from wanbench.weights import weighting


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A run that can begin."""

    commission: Commission
    hooks: Sequence[Hook]
    forecast: Forecast


def order(
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
    **of_model: Any,
) -> Order:
    """Settle it. The keywords are the command's options; `of_model` those of the model, as `making.keywords` has them.

    Raises `UsageError`, `MissingDependency`, `MissingCheckpoints`, and `OutputError` when the disk cannot hold it.
    """
    require_statistics_seed(seed)
    options = maker_options(of_model, dtype=model_dtype, device=device, offline=offline, video_seconds=video_timeout)
    spec = choose_maker(model, options)
    ways = Ways(
        profile=profile,
        dimensions=listed(dimensions),
        all_dimensions=all_dimensions,
        device="auto" if "," in device else device,
        dtype=dtype,
        batch_size=batch_size,
        workers=workers,
        executor=executor,
        address=address,
        making=True,
        judge=choose_judge(
            judge, model=judge_model, samples=judge_samples, concurrency=judge_concurrency, dtype=dtype
        ),
    )  # fmt: skip
    hooks = open_hooks(listed(log_to), offline=offline)
    asked = commission(
        spec,
        on_track(load_suite(suite), track),
        ways,
        devices=ways.devices(device),
        candidate=name,
        out=Path(out) if out else None,
        seeds=whole_numbers(seeds, "seeds"),
        language=language,
        limit=limit,
        weights=weights,
        seed=seed,
        video_seconds=video_timeout,
        sequential=sequential_of(sequential, str(baseline) if baseline else None, Path(policy) if policy else None, seed),
    )
    return Order(commission=asked, hooks=hooks, forecast=forecast(asked))
