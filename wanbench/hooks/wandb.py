"""Weights & Biases: one of its runs a candidate, with configuration, scores and sample videos.

`WANDB_MODE=offline` writes to a folder that `wandb sync` uploads; `WANDB_DIR`, `WANDB_BASE_URL` and the rest hold as always.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wanbench.errors import MissingDependency, UsageError
from wanbench.hooks.entry import Entry

PROJECT = "wanbench"
SECONDS_TO_ANSWER = 30
"""Ours: after which a server counts as not there."""
JOB_TYPE = "evaluation"
PLAYED = (".mp4", ".webm", ".gif", ".ogg")
"""What it takes as a video; others are left out."""
OURS = ("weighted/", "uniform/", "partial/", "pillars/", "dimensions/")


class _WandB:
    def __init__(self, target: str, offline: bool) -> None:
        try:
            import wandb
        except ImportError as error:
            raise MissingDependency("--log-to wandb", "wandb") from error

        self.name = f"wandb:{target}" if target else "wandb"
        self._wandb: Any = wandb
        entity, _, project = target.rpartition("/")
        mode: dict[str, Any] = {"mode": "offline"} if offline else {}
        try:
            self._settings = wandb.Settings(
                project=project or PROJECT,
                entity=entity or None,
                silent=True,
                console="off",
                disable_git=True,
                x_disable_stats=True,  # the machine's load while a finished run is logged says nothing
                init_timeout=SECONDS_TO_ANSWER,
                **mode,
            )
            if not offline and wandb.setup().settings.mode in ("online", "shared"):
                wandb.login(verify=True, timeout=SECONDS_TO_ANSWER)
        except (wandb.Error, ValueError) as error:
            raise UsageError(f"--log-to {self.name}: {error} (or set WANDB_MODE=offline, and upload later)") from error

    def log(self, entry: Entry) -> None:
        wandb, mark = self._wandb, f"wanbench-{entry.digest}"
        if any(Path(wandb.setup().settings.wandb_dir).glob(f"offline-run-*-{entry.id}*/{mark}")):
            return  # lies there, to be uploaded
        # create_new: a run that the calling program has open stays as it is.
        run = wandb.init(
            id=entry.id,
            name=entry.candidate,
            group=entry.plan,
            job_type=JOB_TYPE,
            resume="allow",
            reinit="create_new",
            settings=self._settings,
        )
        try:
            run.config.update({**entry.config, **entry.notes}, allow_val_change=True)
            played = [s for s in entry.samples if s.path.suffix.lower() in PLAYED]
            videos = {f"samples/{s.name}": wandb.Video(str(s.path), caption=s.caption) for s in played}
            # A step that is there already is not logged again; the summary is what tables and charts of bars show.
            run.log({**entry.scores, **videos}, step=0)
            settle(run.summary, entry)
        finally:
            run.finish()
        if run.offline:
            (Path(run.dir).parent / mark).touch()


def settle(summary: Any, entry: Entry) -> None:
    """A W&B run's summary holds the entry's scores, and none of an outcome before it."""
    for key in [key for key in summary.keys() if key.startswith(OURS) and key not in entry.scores]:  # noqa: SIM118 -- no mapping
        del summary[key]
    summary.update(dict(entry.scores))


def opened(target: str, offline: bool) -> _WandB:
    """`PROJECT` or `ENTITY/PROJECT`; empty: `wanbench`. Raises `UsageError`, `MissingDependency`."""
    return _WandB(target, offline)
