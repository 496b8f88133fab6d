"""Which frames are looked at where looking at all would cost too much (ours): evenly spread, first and last among them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def spread(count: int, at_most: int) -> npt.NDArray[np.intp]:
    """Indices of at most `at_most` of `count` frames, evenly spread, strictly increasing: (5, 3) -> 0, 2, 4."""
    return np.unique(np.linspace(0, count - 1, min(count, at_most)).round().astype(np.intp))
