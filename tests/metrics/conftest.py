"""A clip without a file, for measuring given features."""

from __future__ import annotations

import numpy as np
import pytest

from wanbench.clip import Clip, StreamFacts


@pytest.fixture
def blank_clip():
    """A black clip whose distinct frames all stand on the grid, eight a second."""

    def make(grid_frames: int, seconds: float | None = None, frozen: bool = False) -> Clip:
        frames = np.zeros((grid_frames, 8, 8, 3), np.uint8)
        seconds = (grid_frames - 1) / 8 if seconds is None else seconds
        facts = StreamFacts(
            container="mp4",
            codec="h264",
            pixel_format="yuv420p",
            size_HW=(8, 8),
            rotation_degrees=0,
            sample_aspect_ratio=1.0,
            nominal_fps=8.0,
            frames_decoded=grid_frames,
            frames_promised=grid_frames,
            duration_seconds=seconds,
            measured_seconds=seconds,
        )
        return Clip(
            facts=facts,
            frames=frames,
            thumbnails=np.zeros((grid_frames, 36, 64, 3), np.uint8),
            times=np.arange(grid_frames) / 8,
            grid=np.arange(grid_frames),
            views={480: frames},
            repeated_share=0.0,
            effective_fps=8.0,
            frozen=frozen,
            bars_TBLR=(0.0, 0.0, 0.0, 0.0),
        )

    return make
