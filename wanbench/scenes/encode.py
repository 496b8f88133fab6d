"""Writes frames as a video file: same frames and options, same bytes; a half-written file never has the final name.

Ours. One encoder thread, "bitexact" muxing (no random identifiers, no creation time) and a temporary name in the same folder.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from wanbench.errors import OutputError, UsageError
from wanbench.scenes.priority import ordinary_priority

Frame = npt.NDArray[np.uint8]
Matrix = Literal["bt601", "bt709"]

CONTAINERS: Mapping[str, str] = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi", ".gif": "gif",
}  # fmt: skip
"""Extension -> FFmpeg's muxer."""

SINGLE_THREAD: Mapping[str, Mapping[str, str]] = {
    "libx264": {"threads": "1", "preset": "veryfast", "mbtree": "0"},
    "libx265": {"preset": "ultrafast", "x265-params": "pools=none:frame-threads=1:log-level=none:bframes=0"},
    "libvpx-vp9": {"threads": "1", "row-mt": "0", "deadline": "realtime", "cpu-used": "8", "b": "0"},
    "libsvtav1": {"preset": "10", "svtav1-params": "lp=1"},
    "mpeg4": {"threads": "1"},
    "mjpeg": {"threads": "1"},
    "gif": {},
}
"""Codec -> the options that make it deterministic, and a preset quick enough for tests; `codec_options` replaces single ones.

x264's macroblock tree is off: its assembler made five different files of the same frames in 35 tries (PyAV 18.1, AVX-512).
x265 has no B-frames: with fewer frames than it reorders it leaves decoding times unset, and the muxer gets whatever lay there.
"""

VARIABLE_RATE_TIME_BASE = Fraction(1, 60_000)
"""Holds milliseconds and 24, 25, 30, 60 and 30000/1001 fps exactly, and is below MPEG-4's limit of 65,535 ticks a second."""
GIF_TIME_BASE = Fraction(1, 100)
"""A GIF counts in centiseconds."""
BITEXACT_FLAG, FRAME_DURATION_FLAG = 1 << 23, 1 << 8
"""AV_CODEC_FLAG_BITEXACT; AV_CODEC_FLAG_FRAME_DURATION: without it the last frame of a variable-rate MP4 lasts one tick."""
REPEATABLE_CONVERSION = 2 | 0x40000 | 0x80000
"""swscale: bilinear, accurate rounding, bit-exact: RGB becomes the same YUV whatever the processor's instruction set."""
COLOUR_TAGS: Mapping[Matrix, tuple[int, int, int]] = {"bt601": (6, 6, 6), "bt709": (1, 1, 1)}
"""Primaries, transfer and matrix as ITU-T H.273 numbers them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """How frames become a file; the defaults give a small H.264 file that every player shows."""

    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    """Ignored for `gif`, which has a palette made from its own frames."""
    crf: int | None = None
    """Constant rate factor (x264, x265, VP9, AV1); the codec's own default when neither this nor `qp` is given."""
    qp: int | None = None
    """Constant quantiser, where the codec has one (MPEG-4 and MJPEG: 1 is best, 31 worst)."""
    matrix: Matrix | None = None
    """Converted by this matrix and tagged so; None: BT.601 and no tag, which is what most generators write."""
    full_range: bool = False
    """Luma fills 0-255 and the stream is tagged so; otherwise 16-235."""
    rotation_degrees: int = 0
    """Display rotation written into the header, counter-clockwise; a player (and a decoder) turns the frames by it."""
    codec_options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)
    """Options of FFmpeg's muxer, such as `{"live": "1"}` for a Matroska file that does not know its duration."""


def write_video(
    path: Path,
    frames: Iterable[Frame],
    *,
    times_seconds: Sequence[float] | None = None,
    fps: Fraction | float | None = None,
    encoding: Encoding = Encoding(),
) -> int:
    """Write `frames` (H, W, 3) uint8 RGB to `path` (mp4, m4v, mov, mkv, webm, avi, gif by extension) and return their number.

    Either `fps` (constant rate) or `times_seconds` (presentation times, strictly increasing, one per frame; not for AVI, whose
    rate is constant). Raises UsageError for what cannot be encoded so, OutputError when the file cannot be written.
    """
    container_name = _container_name(path, encoding, variable=times_seconds is not None)
    if (times_seconds is None) == (fps is None):
        raise UsageError(f"{path}: give either fps or times_seconds")
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise UsageError(f"{path}: no frame to write")
    _check_size(path, first, encoding)
    with _final_name_last(path) as temporary:
        writer = _Writer(path, temporary, container_name, (first.shape[0], first.shape[1]), fps, times_seconds, encoding)
        try:
            written = writer.write(chain([first], iterator))
        finally:
            writer.close()
    return written


class _Writer:
    """One open output file. Errors of the library become ours; errors of the caller's frame iterator pass untouched."""

    def __init__(
        self,
        path: Path,
        temporary: Path,
        container: str,
        size_HW: tuple[int, int],
        fps: Fraction | float | None,
        times_seconds: Sequence[float] | None,
        encoding: Encoding,
    ) -> None:
        import av

        self.path, self.size_HW, self.encoding, self.times_seconds = path, size_HW, encoding, times_seconds
        self.rate = Fraction(fps).limit_denominator(1_000_000) if fps is not None else _mean_rate(times_seconds or ())
        self.gif = encoding.codec == "gif"
        self.time_base = GIF_TIME_BASE if self.gif else VARIABLE_RATE_TIME_BASE if times_seconds is not None else 1 / self.rate
        with self._translated():
            options = {"fflags": "+bitexact", **encoding.container_options}
            self.output = av.open(str(temporary), "w", format=container, options=options)
            self.stream = self._add_stream()
        self.palette = _gif_palette(self.size_HW, self.time_base) if self.gif else None

    def _add_stream(self) -> Any:
        encoding = self.encoding
        quality = {"crf": encoding.crf, "qp": encoding.qp}
        options = {**SINGLE_THREAD.get(encoding.codec, {}), **{k: str(v) for k, v in quality.items() if v is not None}}
        if encoding.qp is not None and encoding.codec in ("mpeg4", "mjpeg"):
            options |= {"qmin": str(encoding.qp), "qmax": str(encoding.qp)}
        stream: Any = self.output.add_stream(encoding.codec, rate=self.rate, options={**options, **encoding.codec_options})
        context = stream.codec_context
        stream.height, stream.width = self.size_HW
        stream.pix_fmt = "pal8" if self.gif else encoding.pixel_format
        context.time_base = self.time_base
        stream.time_base = self.time_base
        context.thread_count = 1
        if encoding.rotation_degrees:
            stream.set_display_rotation(encoding.rotation_degrees)
        context.flags |= BITEXACT_FLAG | FRAME_DURATION_FLAG
        if self.output.format.name == "avi":
            context.max_b_frames = 0  # AVI stores no presentation times, so reordered frames would come out in coding order
        if encoding.matrix:
            context.color_primaries, context.color_trc, context.colorspace = COLOUR_TAGS[encoding.matrix]
        if encoding.full_range or encoding.matrix:
            context.color_range = 2 if encoding.full_range else 1
        return stream

    def write(self, frames: Iterable[Frame]) -> int:
        count = 0
        for count, frame in enumerate(frames, start=1):
            tick, following = self._tick(count - 1), self._tick(count)
            if following <= tick:
                raise UsageError(f"{self.path}: the time of frame {count} does not come after that of frame {count - 1}")
            self._write_one(frame, tick, following - tick)
        if self.times_seconds is not None and count != len(self.times_seconds):
            raise UsageError(f"{self.path}: {len(self.times_seconds)} times for {count} frames")
        with self._translated():
            self._drain()
        return count

    def _tick(self, index: int) -> int:
        """Presentation time of a frame in ticks; one past the last is the mean interval later."""
        if self.times_seconds is None:
            return round(index / self.rate / self.time_base)
        if index > len(self.times_seconds):
            raise UsageError(f"{self.path}: {len(self.times_seconds)} times for more frames than that")
        last = index == len(self.times_seconds)
        seconds = self.times_seconds[-1] + float(1 / self.rate) if last else self.times_seconds[index]
        return round(seconds / self.time_base)

    def _write_one(self, frame: Frame, tick: int, duration: int) -> None:
        import av

        if frame.dtype != np.uint8 or frame.shape != (*self.size_HW, 3):
            want = (*self.size_HW, 3)
            raise UsageError(f"{self.path}: a frame is {frame.dtype} {frame.shape}; all must be uint8 {want}")
        with self._translated():
            picture: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.duration, picture.time_base = tick, duration, self.time_base
            if self.palette is not None:
                self.palette.push(picture)
                return
            self.output.mux(self.stream.encode(self._converted(picture)))

    def _converted(self, picture: Any) -> Any:
        """RGB to the stream's format; a full-range "yuvj" format is full range whatever was asked."""
        full = self.encoding.full_range or self.encoding.pixel_format.startswith("yuvj")
        converted = picture.reformat(
            format=self.encoding.pixel_format,
            src_color_range=2,
            dst_color_range=2 if full else 1,
            dst_colorspace=1 if self.encoding.matrix == "bt709" else 5,
            interpolation=REPEATABLE_CONVERSION,
            threads=1,
        )
        converted.pts, converted.duration, converted.time_base = picture.pts, picture.duration, picture.time_base
        if self.encoding.matrix is None:
            converted.colorspace = 2  # unspecified: the frame's own tag would otherwise end in the stream
        return converted

    def _drain(self) -> None:
        if self.palette is not None:
            for picture in _drained(self.palette):
                self.output.mux(self.stream.encode(picture))
        self.output.mux(self.stream.encode(None))

    def close(self) -> None:
        with self._translated():
            self.output.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        import av

        try:
            with ordinary_priority():
                yield
        except av.error.FFmpegError as error:  # before OSError: FFmpeg's errors are both
            if isinstance(error, (FileNotFoundError, PermissionError)) or error.errno in _DISK_ERRORS:
                raise OutputError(f"{self.path}: cannot be written: {os.strerror(error.errno)}") from error
            raise UsageError(
                f"{self.path}: {self.encoding.codec} in {self.encoding.pixel_format} failed: {error.strerror}"
            ) from error
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error
        except ValueError as error:
            raise UsageError(f"{self.path}: {self.encoding.codec} with {self.encoding.pixel_format}: {error}") from error


_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG})


def _container_name(path: Path, encoding: Encoding, *, variable: bool) -> str:
    container = CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise UsageError(f"{path}: no video format is known by this extension; use one of {', '.join(CONTAINERS)}")
    if (encoding.codec == "gif") != (container == "gif"):
        raise UsageError(f"{path}: a .gif file holds codec gif and nothing else does, not {encoding.codec}")
    if container == "avi" and variable:
        raise UsageError(f"{path}: an AVI file has one constant frame rate; give fps, or write .mkv or .mp4")
    return container


def _check_size(path: Path, frame: Frame, encoding: Encoding) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise UsageError(f"{path}: a frame must be (H, W, 3), not {frame.shape}")
    height, width = frame.shape[:2]
    wide, high = ("420" in encoding.pixel_format or "422" in encoding.pixel_format, "420" in encoding.pixel_format)
    if encoding.codec in ("libx264", "libx265", "libsvtav1") and ((wide and width % 2) or (high and height % 2)):
        remedy = "an even size" if encoding.codec == "libsvtav1" else "an even size or pixel_format yuv444p"
        raise UsageError(f"{path}: {encoding.codec} cannot write {width}x{height} as {encoding.pixel_format}; use {remedy}")


@contextmanager
def _final_name_last(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, renamed to it when the block ends well and removed when it does not."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}-", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    temporary = Path(name)
    try:
        yield temporary
        try:
            temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
            temporary.replace(path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _mean_rate(times_seconds: Sequence[float]) -> Fraction:
    """What the header calls the frame rate of a variable-rate stream; rate control uses it, presentation does not."""
    if len(times_seconds) < 2 or times_seconds[-1] <= times_seconds[0]:
        return Fraction(25)
    return Fraction((len(times_seconds) - 1) / (times_seconds[-1] - times_seconds[0])).limit_denominator(1000)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _gif_palette(size_HW: tuple[int, int], time_base: Fraction) -> Any:
    """A filter that makes 256 colours from all frames and dithers with them; it holds every frame until the last has come."""
    import av.filter

    graph: Any = av.filter.Graph()
    source = graph.add_buffer(width=size_HW[1], height=size_HW[0], format="rgb24", time_base=time_base)
    split, generate, use = graph.add("split"), graph.add("palettegen"), graph.add("paletteuse")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(generate, 0, 0)
    split.link_to(use, 1, 0)
    generate.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph


def _drained(graph: Any) -> Iterator[Any]:
    import av

    graph.push(None)
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
