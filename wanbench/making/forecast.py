"""What a run will take: videos, time and disk, told before any long work."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import psutil

from wanbench import checkpoints
from wanbench.errors import OutputError, UsageError
from wanbench.evaluation.commission import Commission
from wanbench.evaluation.measuring import LOCAL
from wanbench.making.makers import MakerSpec
from wanbench.making.probe import Probe, host_bytes, probe
from wanbench.record import make_folder, write_atomically
from wanbench.types import JSONObject

RATES = "rates.json"
"""In the store: seconds a video took on this machine, by model and settings."""
BYTES_A_VIDEO = 3_000_000
"""[ours] H.264 at 720p and 5 s is 1-3 MB; an upper guess, so that a disk never fills unforeseen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What is to come."""

    prompts: int
    videos: int
    """All of the run; with a sequential gate at most so many."""
    finished: int
    """Of them, there already."""
    dimensions_measured: int
    devices: tuple[str, ...]
    seconds_a_video: float | None
    """On one of these devices: as it was last time here, else by a probe; None: nobody knows yet."""
    probed: Probe | None
    """Where no video was made on this machine yet."""
    may_end_early: bool
    """By a sequential gate."""
    disk_bytes: int
    disk_free_bytes: int

    @property
    def device_hours(self) -> float | None:
        """Of the videos that are not there yet."""
        return None if self.seconds_a_video is None else (self.videos - self.finished) * self.seconds_a_video / 3600

    def lines(self) -> Iterator[str]:
        """For a reader."""
        where = ", ".join(self.devices)
        most = "at most " if self.may_end_early else ""
        there = f" ({self.finished} are there)" if self.finished else ""
        measured = f"{self.dimensions_measured} dimensions measured"
        yield f"{most}{self.videos} videos of {self.prompts} prompts{there} on {where}; {measured}"
        if self.finished == self.videos:
            return
        if self.seconds_a_video is None:
            yield "time: not known yet on this machine; the first videos will tell"
        else:
            hours = (self.device_hours or 0) / len(self.devices)
            how = "as last time"
            if self.probed:
                tera = self.probed.operations_per_s / 1e12
                how = f"{self.probed.operations / 1e12:.3g} TFLOP at {tera:.3g} TFLOP/s, as probed; text and decoding come on top"
            about = "at least" if self.probed else "about"
            busy = f", {self.device_hours:.1f} device hours" if len(self.devices) > 1 or hours >= 1 else ""
            yield f"time: {about} {_duration(3600 * hours)}{busy} ({self.seconds_a_video:.3g} s a video, {how})"
        yield f"disk: up to {_size(self.disk_bytes)} of {_size(self.disk_free_bytes)} free"

    def to_json(self) -> JSONObject:
        return {**asdict(self), "device_hours": self.device_hours}

    def show(self, as_json: bool) -> None:
        """To standard output."""
        if as_json:
            sys.stdout.write(json.dumps(self.to_json(), indent=2) + "\n")
        else:
            sys.stdout.write("\n".join(self.lines()) + "\n")


def forecast(asked: Commission) -> Forecast:
    """Raises `UsageError` when it cannot be done at all, `OutputError` when the disk cannot hold it."""
    home = _existing(asked.where)
    if not home.is_dir():
        raise UsageError(f"{home} is not a folder; choose another place with --out")
    if not os.access(home, os.W_OK):
        raise UsageError(f"{home} cannot be written to; choose another place with --out")
    shelf, free = asked.shelf, shutil.disk_usage(home).free
    finished = sum(shelf.described(request) for request in asked.requests)
    missing = len(asked.requests) - finished
    needed = missing * BYTES_A_VIDEO
    if needed > free:
        raise OutputError(f"{missing} videos may need {_size(needed)}, and {home} has {_size(free)} free")
    known = probed = None
    if missing and asked.ways.executor == LOCAL:  # what this machine can do says nothing of a cluster's
        _fits(asked)
        known = _rates().get(_key(asked.spec, asked.devices[0]))
        probed = probe(asked.spec, asked.devices[0]) if known is None else None
    return Forecast(
        prompts=len({r.prompt.id for r in asked.requests}),
        videos=len(asked.requests),
        finished=finished,
        dimensions_measured=sum(c.skip is None for c in asked.plan.choices.values()),
        devices=tuple(asked.devices),
        seconds_a_video=known if probed is None else probed.seconds,
        probed=probed,
        may_end_early=asked.contest is not None,
        disk_bytes=needed,
        disk_free_bytes=free,
    )


def _fits(asked: Commission) -> None:
    """Raises `UsageError` for a model that this machine's memory cannot hold."""
    each = [host_bytes(asked.spec, device) for device in asked.devices]
    needed, free = sum(number or 0 for number in each), psutil.virtual_memory().available
    if needed > free:
        raise UsageError(
            f"{asked.spec.name} needs about {_size(needed)} of memory on {', '.join(asked.devices)}, and "
            f"{_size(free)} are free: choose a smaller model or --size, --model-dtype bfloat16, or a GPU"
        )


def note_rate(spec: MakerSpec, device: str, seconds: float) -> None:
    """Remember how long a video took here. Raises `OutputError`."""
    path = checkpoints.home() / RATES
    make_folder(path.parent)
    write_atomically(path, json.dumps({**_rates(), _key(spec, device): round(seconds, 3)}, indent=1).encode() + b"\n")


def _rates() -> dict[str, float]:
    try:
        return dict(msgspec.json.decode((checkpoints.home() / RATES).read_bytes(), type=dict[str, float]))
    except (OSError, ValueError):
        return {}  # what was never noted, or cannot be read, is not known


def _key(spec: MakerSpec, device: str) -> str:
    return f"{spec.fingerprint} {device.partition(':')[0]}"


def _existing(path: Path) -> Path:
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
