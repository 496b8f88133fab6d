"""Opening and decoding a video file, once: the only reader that touches the decoding library (PyAV, FFmpeg inside).

A file is untrusted: it is handed to FFmpeg as an open descriptor, only the container formats below are tried, and no other
protocol is allowed, so that a playlist in disguise can open nothing else.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from wanbench.clip import StreamFacts
from wanbench.decoding.structure import missing_bytes
from wanbench.errors import UndecodableVideo

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif"
MAX_PIXELS = 8192 * 8192
"""Ours: one RGB frame stays under 200 MB; nothing that is shown to people is larger."""
MAX_FRAMES_IN_WINDOW = 6000
"""Ours: five seconds at 1,200 frames per second; more is a file that swells without end."""
DURATION_SLACK_SECONDS = 0.25
DURATION_SLACK_SHARE = 0.03
"""Ours: a container's duration is rounded and may count the longest stream's last packet; a file that ends earlier than
promised by more than both is truncated."""
AVI_UNKNOWN_FRAMES = 0x40000000
"""What FFmpeg leaves as the number of frames in an AVI that it could not come back to."""
NOT_A_VIDEO = "not a video in a known container (MP4, MOV, MKV, WebM, AVI, GIF), or its header is damaged"

RGB = npt.NDArray[np.uint8]


@dataclass(slots=True)
class Video:
    """An open video file. Use as a context manager; iterate `frames` once, then ask for `facts`."""

    path: Path
    heartbeat: Callable[[], None] = lambda: None
    """Called for every packet: the decoder is alive."""
    _container: Any = field(default=None, repr=False)
    _stream: Any = field(default=None, repr=False)
    _reformatter: Any = field(default=None, repr=False)
    _descriptor: int = -1
    _frames_decoded: int = 0
    _packets: int = 0
    _promised_packets: int = 0
    _incomplete_packet: int | None = None
    _places: deque[float] = field(default_factory=deque)
    _end_seconds: float = 0.0
    _longest_end_seconds: float = 0.0
    _last_time: float = 0.0
    _nominal_seconds: float = 0.0
    _container_name: str = ""
    _size_HW: tuple[int, int] = (0, 0)
    _rotation: int = 0
    _pixel_format: str = ""

    def __enter__(self) -> Video:
        try:
            self._open()
            self._choose_stream()
        except BaseException:
            self.close()
            raise
        return self

    def _open(self) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # one for all frames: each would set up its own conversion
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise UndecodableVideo(f"cannot be read: {error.strerror}") from error
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UndecodableVideo("not a regular file")
        if status.st_size == 0:
            raise UndecodableVideo("the file is empty")
        options = {"fd": str(self._descriptor), "format_whitelist": CONTAINERS, "protocol_whitelist": "fd"}
        try:
            self._container = av.open("fd:", options=options, metadata_errors="replace")
        except MemoryError as error:
            raise UndecodableVideo(_reason(error)) from error
        except av.FFmpegError as error:
            missing = self._missing_bytes()
            early = f"truncated: at least {missing} bytes are missing at its end, and no frame can be reached"
            raise UndecodableVideo(early if missing else NOT_A_VIDEO) from error
        self._container_name = self._container.format.name

    def _choose_stream(self) -> None:
        """The first one that is no cover picture."""
        import av

        cover = av.stream.Disposition.attached_pic
        self._stream = next((s for s in self._container.streams.video if not s.disposition & cover), None)
        if self._stream is None:
            kinds = {"a cover picture" if s.type == "video" else s.type for s in self._container.streams}
            raise UndecodableVideo(f"no video stream in it (it holds {', '.join(sorted(kinds)) or 'nothing'})")
        context = self._stream.codec_context
        if context is None:
            raise UndecodableVideo("its codec is unknown to this FFmpeg, or its header is damaged")
        if context.width * context.height > MAX_PIXELS:
            size = f"{context.height}x{context.width}"
            raise UndecodableVideo(f"a frame of {size} pixels is over the limit of {MAX_PIXELS // 1_000_000} megapixels")
        context.thread_count = 1  # one worker, one core; frames are the same with more
        context.options = {"max_pixels": str(MAX_PIXELS)}
        rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        self._nominal_seconds = float(1 / rate)
        if "mp4" in self._container_name:
            # A file cut by stream copy keeps samples that its edit list leaves out: the demuxer's index is without them.
            self._promised_packets = min(self._stream.frames, len(self._stream.index_entries))

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def frames(self, *, window_seconds: float, min_interval_seconds: float = 0.0) -> Iterator[tuple[float, RGB]]:
        """(seconds since the first frame, RGB uint8 (H, W, 3)) up to `window_seconds`; then the rest is demuxed, not decoded.

        Frames that follow the last one given by less than `min_interval_seconds` are decoded and dropped.
        Raises `UndecodableVideo` when the file breaks off, saying how far it went.
        """
        import av

        first_seconds: float | None = None
        given_seconds = -1.0
        inside = True
        try:
            for packet in self._demux():
                if not inside or packet.stream is not self._stream:
                    continue
                if self._container_name == "avi" and packet.size and packet.dts is not None:
                    self._places.append(float(packet.dts * packet.time_base))
                for frame in packet.decode():
                    seconds = self._time_of(frame, first_seconds)
                    first_seconds = seconds if first_seconds is None else first_seconds
                    seconds -= first_seconds
                    if seconds > window_seconds + 1e-6:
                        inside = False
                        break
                    self._count(frame)
                    self._last_time = seconds
                    if given_seconds >= 0 and seconds - given_seconds < min_interval_seconds - 1e-6:
                        continue
                    given_seconds = seconds
                    yield seconds, self._to_rgb(frame)
        except (av.FFmpegError, ValueError, MemoryError) as error:
            raise UndecodableVideo(f"{self._how_far()}, then: {_reason(error)}") from error
        if self._frames_decoded == 0:
            raise UndecodableVideo("no frame could be decoded")
        self._refuse_truncated()

    def facts(self) -> StreamFacts:
        """What was seen; complete once `frames` has ended."""
        stream = self._stream
        aspect = float(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)
        rate = stream.average_rate
        return StreamFacts(
            container=self._container_name,
            codec=stream.codec_context.name,
            pixel_format=self._pixel_format,
            size_HW=self._size_HW,
            rotation_degrees=self._rotation,
            sample_aspect_ratio=1 / aspect if self._rotation in (90, 270) else aspect,
            nominal_fps=float(rate) if rate else None,
            frames_decoded=self._frames_decoded,
            frames_promised=self._promised_frames(),
            duration_seconds=round(self._end_seconds, 6) or None,
            measured_seconds=self._last_time,
        )

    def _demux(self) -> Iterator[Any]:
        # Matroska promises one duration for all streams together, from zero on, so the others' ends are needed there.
        wanted = [] if self._promises_one_duration() else [self._stream]
        start = self._container.start_time or 0
        for packet in self._container.demux(*wanted):
            self.heartbeat()
            when = packet.dts if packet.pts is None or self._container_name == "avi" else packet.pts
            if when is not None and packet.time_base is not None:
                end = float((when + (packet.duration or 0)) * packet.time_base)
                self._longest_end_seconds = max(self._longest_end_seconds, end)
                if packet.stream is self._stream:
                    self._end_seconds = max(self._end_seconds, end - start / 1e6)
            if packet.stream is self._stream and packet.size:
                self._packets += 1
                if packet.is_corrupt and self._incomplete_packet is None:
                    self._incomplete_packet = self._packets
            yield packet

    def _promises_one_duration(self) -> bool:
        return "matroska" in self._container_name

    def _time_of(self, frame: Any, first_seconds: float | None) -> float:
        """Presentation time in seconds; where a stamp is missing or repeats, the nominal rate counts on.

        AVI has no stamps but places, some left empty: the n-th frame shown belongs in the n-th place that is filled.
        """
        seconds = float(frame.pts * frame.time_base) if frame.pts is not None else None
        if self._container_name == "avi":
            seconds = self._places.popleft() if self._places else None
        if first_seconds is None:
            return seconds or 0.0
        if seconds is None or seconds - first_seconds <= self._last_time:
            return first_seconds + self._last_time + self._nominal_seconds
        return seconds

    def _count(self, frame: Any) -> None:
        self._frames_decoded += 1
        if self._frames_decoded > MAX_FRAMES_IN_WINDOW:
            raise ValueError(f"more than {MAX_FRAMES_IN_WINDOW} frames within {self._last_time:.3f} s")
        self._rotation = round(frame.rotation / 90) * 90 % 360
        height, width = frame.height, frame.width
        shown = (width, height) if self._rotation in (90, 270) else (height, width)
        if self._frames_decoded == 1:
            self._size_HW, self._pixel_format = shown, frame.format.name
        elif shown != self._size_HW:
            raise ValueError(f"the frame size changes from {self._size_HW} to {shown} (height, width)")

    def _to_rgb(self, frame: Any) -> RGB:
        # swscale reads matrix and range from the frame's tags; untagged means BT.601, limited, as in every player of FFmpeg.
        rgb: RGB = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return np.rot90(rgb, self._rotation // 90) if self._rotation else rgb

    def _promised_frames(self) -> int | None:
        """As the header says for the whole file, empty places of an AVI included."""
        frames: int = self._stream.frames
        return frames if 0 < frames < AVI_UNKNOWN_FRAMES else None

    def _how_far(self) -> str:
        promised = self._promised_packets or self._promised_frames()
        share = f" of {promised} promised" if promised else ""
        return f"broke off after {self._frames_decoded} decoded frames{share} ({self._last_time:.2f} s)"

    def _missing_bytes(self) -> int:
        with open(self._descriptor, "rb", closefd=False) as file:
            return missing_bytes(file) or 0

    def _refuse_truncated(self) -> None:
        held = f"{self._packets} frames ({self._end_seconds:.2f} s)"
        if self._packets < self._promised_packets:
            held = f"{self._packets} of {self._promised_packets} promised frames ({self._end_seconds:.2f} s)"
            raise UndecodableVideo(f"truncated: holds {held}")
        if self._incomplete_packet is not None:
            raise UndecodableVideo(f"truncated: frame {self._incomplete_packet} is incomplete; holds {held}")
        if missing := self._missing_bytes():
            raise UndecodableVideo(f"truncated: at least {missing} bytes are missing at its end; holds {held}")
        promised = float(self._container.duration or 0) / 1e6 if self._promises_one_duration() else 0.0
        slack = max(DURATION_SLACK_SECONDS, DURATION_SLACK_SHARE * promised)
        if promised - self._longest_end_seconds > slack:
            went = f"{self._longest_end_seconds:.2f} of {promised:.2f} promised seconds ({self._packets} frames)"
            raise UndecodableVideo(f"truncated: holds {went}")


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "decoding it needs more memory than the decoder's budget"
    return str(getattr(error, "strerror", None) or error)
