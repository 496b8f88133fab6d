"""The public call behind `wanbench judge audit`: clips and questions found, the judge opened, the audit kept in the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wanbench.errors import UsageError
from wanbench.evaluation.samples import candidates, find, suite_named_by
from wanbench.evaluation.worker import limit_threads, resolve_device
from wanbench.judge import audit as auditing
from wanbench.judge.choice import VARIABLE, choose_judge, open_judge
from wanbench.judge.server import CONCURRENCY
from wanbench.networks import Placement
from wanbench.prompts.suite import load_suite
from wanbench.types import JSONObject


def audit(
    *clips: str | Path,
    judge: str | None = None,
    judge_model: str | None = None,
    judge_samples: int = 0,
    judge_concurrency: int = CONCURRENCY,
    suite: str | None = None,
    prompts: str | Path | None = None,
    labels: str | Path | None = None,
    calibration: str | None = None,
    limit: int | None = None,
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int = 16,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
    warning: Callable[[str], None] = lambda text: None,
) -> JSONObject:
    """How far a judge can be trusted on some clips: `docs/judge.md` tells what the keys mean.

    Raises `UsageError` for what cannot be asked, `JudgeFailed`, `ServerError`; what was answered until then is remembered.
    """
    from wanbench.evaluation.measuring import cores

    chosen = candidates([str(path) for path in clips], None)
    name = suite or suite_named_by(chosen)
    found = find(chosen, suite=load_suite(name) if name else None, prompts_file=Path(prompts) if prompts else None, limit=limit)
    for text in found.warnings:
        warning(text)
    for path, reason in found.unreadable.items():
        raise UsageError(f"{path} {reason}: leave it out")
    choice = choose_judge(judge, model=judge_model, samples=judge_samples, concurrency=judge_concurrency, dtype=dtype)
    if choice is None:
        raise UsageError(f"no judge is named: give --judge NAME or URL, or set {VARIABLE}")
    in_process = choice.folder is not None
    limit_threads(cores(), networks=in_process)
    placement = Placement(device=resolve_device(device) if in_process else "cpu", dtype=dtype, batch_size=batch_size)
    return auditing.conduct(
        choice,
        open_judge(choice, placement),
        found.samples,
        labels_file=Path(labels) if labels else None,
        calibration=calibration,
        seed=seed,
        tick=tick,
    )
