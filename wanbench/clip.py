"""A clip as every dimension sees it: decoded once, bars cropped, repeats dropped, on an 8-per-second grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]
"""RGB frames (T, H, W, 3), 0-255."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamFacts:
    """What the container and the decoder say of the measured video stream."""

    container: str
    codec: str
    pixel_format: str
    size_HW: tuple[int, int]
    """As shown: after rotation, before cropping bars."""
    rotation_degrees: int
    sample_aspect_ratio: float
    nominal_fps: float | None
    frames_decoded: int
    """Frames decoded inside the measured window."""
    frames_promised: int | None
    """What the header promises for the whole file."""
    duration_seconds: float | None
    """Of the whole stream, as demuxed."""
    measured_seconds: float
    """Time from the first to the last measured frame."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """The first five seconds of a video, ready to be measured."""

    facts: StreamFacts
    frames: Frames
    """(N, h, w, 3): the distinct native frames at working size (short side at most 240)."""
    thumbnails: Frames
    """(N, 36, 64, 3): the same frames, bars included, small enough to compare all of them."""
    times: Floats
    """(N,) presentation times of `frames` in seconds, the first frame of the file at 0, strictly increasing."""
    grid: npt.NDArray[np.intp]
    """(G,) indices into `frames`: the frames of the 8-per-second grid, strictly increasing."""
    views: dict[int, Frames]
    """Short side in pixels -> the grid frames (G, H, W, 3) at that size (never upscaled, so it may be smaller)."""
    repeated_share: float
    """Share of decoded frames that repeat the one before."""
    effective_fps: float
    """Distinct frames per second over the measured window; 0 for a single frame."""
    frozen: bool
    """More than one frame was decoded, and all are the same."""
    bars_TBLR: tuple[float, float, float, float]
    """Black borders cropped away at the top, bottom, left and right, as shares of the height and width."""

    @property
    def grid_times(self) -> Floats:
        """(G,) presentation times of the grid frames in seconds."""
        return self.times[self.grid]

    def grid_frames(self, lines: int) -> Frames:
        """(G, H, W, 3) grid frames with a short side of at most `lines`, as the method asked for by `grid_lines`."""
        return self.views[lines]

    def common_raw(self) -> dict[str, Any]:
        """What every measurement says of its clip."""
        return {
            "repeated_share": round(self.repeated_share, 6),
            "effective_fps": round(self.effective_fps, 3),
            "frozen": self.frozen,
        }
