"""Pictures and small files for tests: written by the package's own writer, or by PyAV where it cannot write so strangely."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from wanbench.clip import StreamFacts
from wanbench.decoding.video import Video
from wanbench.scenes.encode import SINGLE_THREAD, Encoding, Frame, write_video
from wanbench.scenes.priority import ordinary_priority

FORMATS = [
    ("mp4", "libx264", "yuv420p"),
    ("mp4", "libx265", "yuv420p"),
    ("mov", "libx264", "yuv420p"),
    ("mov", "mjpeg", "yuvj420p"),
    ("mp4", "mpeg4", "yuv420p"),
    ("mkv", "libx265", "yuv420p"),
    ("mkv", "libx264", "yuv444p"),
    ("webm", "libvpx-vp9", "yuv420p"),
    ("webm", "libsvtav1", "yuv420p"),
    ("mp4", "libsvtav1", "yuv420p"),
    ("avi", "libx264", "yuv420p"),
    ("avi", "mpeg4", "yuv420p"),
    ("avi", "mjpeg", "yuvj420p"),
    ("gif", "gif", "pal8"),
]


def picture(size_HW: tuple[int, int], seed: int = 0, finest: int = 8) -> Frame:
    """A soft picture in muted colours with detail down to `finest` pixels; its left and right edges meet."""
    rng, (height, width) = np.random.default_rng(seed), size_HW
    total, side = np.zeros((height, width, 3), np.float32), finest
    while side <= max(size_HW):
        coarse = rng.uniform(-1, 1, (height // side + 3, width // side + 3, 3)).astype(np.float32)
        coarse[:, -1] = coarse[:, 0]
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * side**0.5
        side *= 2
    total *= 45 / total.std()
    return np.clip(total + 128, 48, 208).astype(np.uint8)


def moving(count: int = 12, size_HW: tuple[int, int] = (96, 160), seed: int = 0) -> list[Frame]:
    """The picture, four pixels further left in every frame."""
    still = picture(size_HW, seed, finest=max(8, size_HW[0] // 6))
    return [np.roll(still, -4 * k, axis=1) for k in range(count)]


def file(
    path: Path,
    frames: Iterable[Frame] | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    fps: float = 10,
    **options: Any,
) -> Path:
    """A file of `frames` (`moving()` if none are given); key frames every six frames, HEVC with B-frames where there is room."""
    frames = list(moving() if frames is None else frames)
    often = {} if codec == "gif" else {"g": "6"}
    if codec == "libx265" and len(frames) > 3:
        often["x265-params"] = SINGLE_THREAD["libx265"]["x265-params"].replace("bframes=0", "bframes=3")
    encoding = Encoding(
        codec=codec, pixel_format=pixel_format, codec_options={**often, **options.pop("codec_options", {})}, **options
    )
    write_video(path, frames, fps=fps, encoding=encoding)
    return path


def read(path: Path, window_seconds: float = 1e6) -> tuple[list[float], list[Frame], StreamFacts]:
    with Video(path) as video:
        timed = list(video.frames(window_seconds=window_seconds))
        return [t for t, _ in timed], [f for _, f in timed], video.facts()


def difference(a: Sequence[Frame], b: Sequence[Frame]) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.mean([np.abs(x.astype(np.int16) - y).mean() for x, y in zip(a, b, strict=True)]))


class Pipe:
    """A file that can only be written on, as a pipe or a socket: nothing is filled in later."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()


def mux(
    path: Path,
    videos: Sequence[Sequence[Frame]],
    *,
    codec: str = "libx264",
    places: Sequence[int] | None = None,
    fps: int = 10,
    audio_seconds: float = 0,
    piped_as: str | None = None,
    options: dict[str, str] | None = None,
    prepare: Callable[[int, Any], None] = lambda number, stream: None,
) -> Path:
    """What `write_video` does not: several streams, sound, frames at chosen `places` of 1/fps, unseekable output.

    `prepare(number, stream)` is called for each video stream before anything is written.
    """
    target = Pipe(path) if piped_as else str(path)
    with ordinary_priority(), av.open(target, "w", format=piped_as, options=options or {}) as output:
        streams = []
        for number, frames in enumerate(videos):
            stream: Any = output.add_stream(codec, rate=fps, options={"threads": "1"})
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            if path.suffix == ".avi":
                stream.codec_context.max_b_frames = 0
            prepare(number, stream)
            streams.append(stream)
        sound: Any = (
            output.add_stream("pcm_s16le" if path.suffix in (".mkv", ".avi") else "aac", rate=16_000) if audio_seconds else None
        )
        for stream, frames in zip(streams, videos, strict=True):
            for place, frame in zip(places or range(len(frames)), frames, strict=True):
                shown: Any = av.VideoFrame.from_ndarray(frame, format="rgb24")
                shown.pts, shown.time_base = place, Fraction(1, fps)
                output.mux(stream.encode(shown))
            output.mux(stream.encode(None))
        if sound:
            samples: Any = av.AudioFrame.from_ndarray(
                np.zeros((1, int(16_000 * audio_seconds)), np.int16), format="s16", layout="mono"
            )
            samples.rate = 16_000
            output.mux(sound.encode(samples))
            output.mux(sound.encode(None))
    if isinstance(target, Pipe):
        target.close()
    return path


def repeat_packets(source: Path, target: Path, times: int) -> Path:
    """The stream of `source` played `times` times in one file: a long video at the price of a short one."""
    with av.open(str(source)) as given, av.open(str(target), "w") as output:
        stream: Any = given.streams.video[0]
        packets = [p for p in given.demux(stream) if p.size]
        length = round(stream.frames / stream.average_rate / stream.time_base)
        copy: Any = output.add_stream_from_template(stream)
        for turn in range(times):
            for packet in packets:
                again: Any = av.Packet(bytes(packet))
                again.pts, again.dts = packet.pts + turn * length, packet.dts + turn * length
                again.duration, again.time_base, again.is_keyframe = packet.duration, packet.time_base, packet.is_keyframe
                again.stream = copy
                output.mux(again)
    return target
