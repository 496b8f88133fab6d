"""Damaged copies of good small files, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..footage import file, moving, mux

SIZE_HW = (64, 96)
SOURCES: list[tuple[str, str, str, dict[str, str]]] = [
    ("mp4", "libx264", "yuv420p", {"movflags": "+faststart"}),
    ("mp4", "libx264", "yuv420p", {}),
    ("mp4", "libx264", "yuv420p", {"movflags": "+frag_keyframe+empty_moov"}),
    ("mp4", "libx265", "yuv420p", {"movflags": "+faststart"}),
    ("mov", "mjpeg", "yuvj420p", {"movflags": "+faststart"}),
    ("mp4", "mpeg4", "yuv420p", {"movflags": "+faststart"}),
    ("mkv", "libx264", "yuv420p", {}),
    ("mkv", "libx265", "yuv420p", {"live": "1"}),
    ("webm", "libvpx-vp9", "yuv420p", {}),
    ("webm", "libsvtav1", "yuv420p", {}),
    ("avi", "mpeg4", "yuv420p", {}),
    ("avi", "mjpeg", "yuvj420p", {}),
    ("avi", "libx264", "yuv420p", {}),
    ("gif", "gif", "pal8", {}),
]
HEADER_SHARE = 0.08
"""Of a file's bytes, at its beginning: where most of what a demuxer believes is written."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A folder of files."""

    good: list[str]
    damaged: list[str]


def truncated(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(1, len(data))) :]


def header_flipped(data: bytearray, rng: np.random.Generator) -> None:
    _flip(data, 0, max(64, int(len(data) * HEADER_SHARE)), rng, most=8)


def payload_flipped(data: bytearray, rng: np.random.Generator) -> None:
    _flip(data, int(len(data) * HEADER_SHARE), len(data), rng, most=64)


def flipped_anywhere(data: bytearray, rng: np.random.Generator) -> None:
    _flip(data, 0, len(data), rng, most=3)


def flipped_and_truncated(data: bytearray, rng: np.random.Generator) -> None:
    payload_flipped(data, rng)
    truncated(data, rng)


def overwritten(data: bytearray, rng: np.random.Generator) -> None:
    length = int(rng.integers(4, 512))
    at = int(rng.integers(0, max(1, len(data) - length)))
    data[at : at + length] = rng.bytes(length) if rng.random() < 0.7 else bytes(length)


def cut_out(data: bytearray, rng: np.random.Generator) -> None:
    at = int(rng.integers(0, len(data)))
    del data[at : at + int(rng.integers(1, 400))]


DAMAGES: list[Callable[[bytearray, np.random.Generator], None]] = [
    truncated,
    header_flipped,
    payload_flipped,
    flipped_anywhere,
    flipped_and_truncated,
    overwritten,
    cut_out,
]


def _flip(data: bytearray, begin: int, end: int, rng: np.random.Generator, most: int) -> None:
    for at in rng.integers(begin, min(end, len(data)), int(rng.integers(1, most + 1))):
        data[at] ^= 1 << int(rng.integers(0, 8))


def make(folder: Path, count: int, seed: int) -> Malformed:
    """`count` damaged files into `folder`, all kinds of all formats in turn, and one good file of each format among them."""
    rng = np.random.default_rng(seed)
    good, damaged = [], []
    for number, (extension, codec, pixel_format, options) in enumerate(SOURCES):
        path = folder / f"good-{number:02d}.{extension}"
        if number == 0:
            mux(path, [moving(18, SIZE_HW, seed=number)], fps=12, audio_seconds=1.5, options=options)
        else:
            file(path, moving(18, SIZE_HW, seed=number), codec, pixel_format, fps=12, container_options=options)
        good.append(path.name)
    sources = [(folder / name).read_bytes() for name in good]
    while len(damaged) < count:
        number, source = len(damaged), sources[len(damaged) % len(sources)]
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
        data = bytearray(source)
        damage(data, rng)
        if bytes(data) == source:
            continue
        name = f"{number:03d}-{damage.__name__}{Path(good[number % len(sources)]).suffix}"
        (folder / name).write_bytes(data)
        damaged.append(name)
    return Malformed(good, damaged)
