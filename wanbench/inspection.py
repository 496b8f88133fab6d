"""All that can be said of one clip, in this process: what `wanbench inspect` shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from wanbench import checkpoints
from wanbench.decoding.process import Limits
from wanbench.dimension import Method, Tools, load_all
from wanbench.errors import MissingCheckpoints, MissingDependency, UndecodableVideo, UsageError
from wanbench.evaluation.plan import Choice, choose
from wanbench.evaluation.worker import Bench, Setup, Task
from wanbench.metrics import camera_control
from wanbench.networks import require_device
from wanbench.record import as_text
from wanbench.types import Measurement, Profile, Prompt


def inspect(
    video: Path,
    *,
    prompt: str | None = None,
    camera: str | None = None,
    profile: Profile | None = None,
    dimensions: Sequence[str] | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Keys `video`, `profile`, `stream`, `clip`, `camera` (with `movement`), `dimensions`.

    `profile` None: `reference` if what it needs is installed and in the store, else `lite`. Raises `UsageError`,
    `UndecodableVideo`.
    """
    require_device(device)
    if not video.is_file():
        raise UsageError(f"{video} is not a file")
    profile, choices = _choose(dimensions, profile)
    measured = {d: c for d, c in choices.items() if c.fingerprint}
    names = {n for c in measured.values() if c.method for net in c.method.networks for n in net.checkpoints}
    setup = Setup(
        measured={d: c.measured for d, c in choices.items() if c.measured},
        folders={name: checkpoints.folder(name) for name in names},
        device=device,
        dtype="float32",
        batch_size=16,
        threads=1,
        limits=Limits(),
        evidence=None,
    )
    asked = Prompt(id=None, text=prompt, fields={"camera": camera} if camera else {}) if prompt or camera else None
    path = video.resolve()
    bench = Bench(setup)
    try:
        clip = bench.clip(path)
    except UndecodableVideo as error:
        raise UndecodableVideo(f"{video}: {error}") from error
    finally:
        bench.close()
    task = Task(
        number=0,
        path=path,
        candidate="",
        video=str(video),
        sha256="",
        prompt=asked,
        seed=None,
        dimensions=dict.fromkeys(measured, False),
    )
    shared: dict[Any, Any] = {}
    rows = [bench.dimension(task, name, clip, shared) for name in measured]
    found = camera_control.observe(clip, cast(Tools, bench.tools(_camera_method(choices), clip, shared)))
    return {
        "video": as_text(video),
        "profile": profile,
        "stream": dataclasses.asdict(clip.facts),
        "clip": {
            "frames_count": len(clip.times),
            "working_size_HW": clip.frames.shape[1:3],
            "grid_times_seconds": [round(t, 3) for t in clip.grid_times.tolist()],
            "bars_TBLR_shares": [round(share, 4) for share in clip.bars_TBLR],
            **clip.common_raw(),
        },
        "camera": {"movement": None, "reason": found} if isinstance(found, str) else camera_control.describe(found),
        "dimensions": {d: _row(next((r for r in rows if r.dimension == d), None), choices[d].skip) for d in choices},
    }


def _choose(dimensions: Sequence[str] | None, profile: Profile | None) -> tuple[Profile, dict[str, Choice]]:
    if profile is not None:
        return profile, choose(dimensions, profile, "float32")
    try:
        return "reference", choose(dimensions, "reference", "float32")
    except (MissingCheckpoints, MissingDependency):
        return "lite", choose(dimensions, "lite", "float32")


def _camera_method(choices: Mapping[str, Choice]) -> Method:
    """The movement is always told: by the profile's method, or by DIS when camera control is not among the dimensions."""
    chosen = choices.get("camera_control")
    method = (chosen.method if chosen else None) or load_all()["camera_control"].method_for("lite")
    assert method is not None
    return method


def _row(measurement: Measurement | None, skip: str | None) -> dict[str, Any]:
    if measurement is None:
        return {"status": "skipped", "score": None, "reason": skip, "method": None, "fingerprint": None, "raw": None}
    return {key: getattr(measurement, key) for key in ("status", "score", "reason", "method", "fingerprint", "raw")}
