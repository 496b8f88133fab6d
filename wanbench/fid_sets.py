"""From a folder of pictures or videos to the statistics that FID compares.

Of a video the frames of the 8-per-second grid count, as every dimension sees them: the first five seconds, without repeats, bars
cropped. Every frame and every picture is shrunk to a short side of 299 first, and then brought to 299 x 299 by the network.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from wanbench import checkpoints
from wanbench.clip import Frames
from wanbench.decoding.prepare import SETTINGS as PREPARED
from wanbench.decoding.prepare import shrink
from wanbench.decoding.process import Decoder, Limits
from wanbench.errors import MissingCheckpoints, UndecodableVideo, UsageError
from wanbench.evaluation.samples import EXTENSIONS
from wanbench.evaluation.worker import limit_threads, resolve_device
from wanbench.fid import Moments, Statistics, load_statistics, refuse_unlike
from wanbench.metrics.nets.inception import CHECKPOINT, FEATURES, INCEPTION, PIXELS, SETTINGS, Inception
from wanbench.networks import NetworkPool, Placement

if TYPE_CHECKING:
    import torch

PICTURE_EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
SAVED = ".npz"
DTYPE = "float32"
"""FID is defined in it."""
Tick = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Set:
    """One side of an FID."""

    statistics: Statistics
    files: int
    """Pictures and videos that went in; 0 for saved statistics."""
    errors: Mapping[Path, str] = field(default_factory=dict)
    """Files that could not be read, and why."""


def circumstances() -> dict[str, Any]:
    """All that can move the features. Raises `MissingCheckpoints`, `UsageError` for a file with another checksum."""
    if checkpoints.missing([CHECKPOINT]):
        size = checkpoints.size_text(checkpoints.checkpoint(CHECKPOINT).bytes)
        raise MissingCheckpoints(f"FID needs the checkpoint {CHECKPOINT} ({size}): run `wanbench checkpoints pull {CHECKPOINT}`")
    checkpoints.require([CHECKPOINT])
    return {
        **PREPARED,
        **SETTINGS,
        "checkpoint": checkpoints.checksums([CHECKPOINT])[CHECKPOINT],
        "dtype": DTYPE,
    }


def find_files(root: Path) -> list[Path]:
    """Pictures and videos under a folder, in order. Raises `UsageError` when there are none."""
    if not root.is_dir():
        raise UsageError(f"{root} is no folder of pictures or videos, and no {SAVED} file of saved statistics")
    wanted = EXTENSIONS | PICTURE_EXTENSIONS
    files = sorted(
        Path(folder, name)
        for folder, _, names in os.walk(root)
        for name in names
        if Path(name).suffix.lower() in wanted and not name.startswith(".")
    )
    if not files:
        raise UsageError(f"{root} holds no picture or video (looked for {', '.join(sorted(wanted))})")
    return files


def is_saved(path: Path) -> bool:
    return path.suffix.lower() == SAVED and path.is_file()


def load_sets(
    real: Path,
    generated: Path,
    *,
    device: str = "auto",
    batch_size: int = 16,
    threads: int = 1,
    tick: Tick = lambda done, total: None,
) -> tuple[Set, Set]:
    """Both sides: measured, or read from saved statistics, which must have been made as they would be here.

    `tick(done, total)` is called as files are measured. Raises `UsageError`, `MissingCheckpoints`, `MissingDependency`.
    """
    paths = (real, generated)
    files = {path: find_files(path) for path in paths if not is_saved(path)}
    if not files:
        one, other = (Set(statistics=load_statistics(path), files=0) for path in paths)
        return one, other
    due = circumstances()
    saved = {path: load_statistics(path) for path in paths if path not in files}
    for statistics in saved.values():
        refuse_unlike(statistics.circumstances, due)
    limit_threads(threads, networks=True)
    placement = Placement(device=resolve_device(device), dtype=DTYPE, batch_size=batch_size)
    inception = NetworkPool({CHECKPOINT: checkpoints.folder(CHECKPOINT)}, placement).get(INCEPTION)
    sets = {path: Set(statistics=statistics, files=0) for path, statistics in saved.items()}
    total, done = sum(len(f) for f in files.values()), 0
    for path, inside in files.items():
        before = done
        sets[path] = _measured(inside, inception, due, lambda n, before=before: tick(before + n, total))  # type: ignore[misc]
        done += len(inside)
    return sets[real], sets[generated]


def _measured(files: Sequence[Path], inception: Inception, due: Mapping[str, Any], tick: Callable[[int], None]) -> Set:
    moments, errors = Moments(FEATURES), dict[Path, str]()
    for batch in _batches(_resized(files, inception, errors, tick), inception.batch_size):
        moments.add(inception.features(batch))
    if errors and moments.count < 2:
        path, reason = next(iter(errors.items()))
        raise UsageError(f"{path}: {reason} (and so for {len(errors)} of {len(files)} files)")
    return Set(statistics=moments.statistics(due), files=len(files) - len(errors), errors=errors)


def _resized(
    files: Sequence[Path], inception: Inception, errors: dict[Path, str], tick: Callable[[int], None]
) -> Iterator[torch.Tensor]:
    """(T, 3, 299, 299) of every file, in order; files that cannot be read go into `errors`."""
    decoder = Decoder((PIXELS,), Limits())
    try:
        for number, file in enumerate(files, 1):
            try:
                yield inception.resized(_frames(file, decoder))
            except UndecodableVideo as error:
                errors[file] = str(error)
            tick(number)
    finally:
        decoder.close()


def _frames(file: Path, decoder: Decoder) -> Frames:
    """(T, H, W, 3) RGB with a short side of 299 at most. Raises `UndecodableVideo`."""
    if file.suffix.lower() in EXTENSIONS:
        return decoder.take(file).grid_frames(PIXELS)
    try:
        content = np.frombuffer(file.read_bytes(), np.uint8)
        picture = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB) if content.size else None
    except (OSError, cv2.error) as error:
        raise UndecodableVideo(f"cannot be read: {error}") from error
    if picture is None:
        raise UndecodableVideo("not a picture in a known format, or damaged")
    height, width = picture.shape[:2]
    scale = min(1.0, PIXELS / min(height, width))
    return shrink(np.asarray(picture, np.uint8), (round(height * scale), round(width * scale)))[None]


def _batches(pictures: Iterator[torch.Tensor], size: int) -> Iterator[torch.Tensor]:
    """The same pictures, `size` at a time: a batch may hold several files' pictures, and a file's may fill several."""
    import torch

    held: list[torch.Tensor] = []
    for several in pictures:
        held += several
        while len(held) >= size:
            yield torch.stack(held[:size])
            held = held[size:]
    if held:
        yield torch.stack(held)
