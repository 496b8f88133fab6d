"""Dense optical flow by Dense Inverse Search (arXiv 1603.03590) in OpenCV, and the round trip that tells what to believe."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
"""Displacements (H, W, 2), x then y, in pixels of the frame."""

ROUND_TRIP_PIXELS = 0.5
"""At a short side of 240; grows with it."""
ROUND_TRIP_SHARE = 0.1
ROUND_TRIP_REFERENCE_LINES = 240
IN_ONE_MAP: Field = np.empty(0, np.float32)
"""For `cv2.remap`: x and y both stand in the first map."""
OUTSIDE = 1e9
"""Flow beyond the frame, in pixels: returns to nothing. Not infinite, for a weight of 0 times it must be 0 on the last row."""
SMALLEST_SIDE = 32
"""Ours: under this DIS has no coarse scale to start from and OpenCV refuses."""

SETTINGS: dict[str, str | int | float] = {
    "flow": "opencv DIS medium, grey",
    "round_trip": f"{ROUND_TRIP_PIXELS} px at {ROUND_TRIP_REFERENCE_LINES} lines + {ROUND_TRIP_SHARE} |f|",
}


@functools.cache
def _estimator() -> cv2.DISOpticalFlow:
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


def grey(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W) of an RGB frame (H, W, 3): what DIS sees."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def flow_both_ways(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> tuple[Field, Field]:
    """(forward, backward) flow between two grey frames (H, W)."""
    estimator, nothing = _estimator(), np.empty(0, np.float32)
    return (
        np.asarray(estimator.calc(first, second, nothing), np.float32),
        np.asarray(estimator.calc(second, first, nothing), np.float32),
    )


def round_trip(there: Field, back: Field) -> npt.NDArray[np.bool_]:
    """(H, W): |f + b(x + f)| < 0.5 px * (short side / 240) + 0.1 |f|; False where x + f leaves the frame."""
    return returns(there, positions(*there.shape[:2]) + there, back)


def returns(step: Field, place: Field, back: Field) -> npt.NDArray[np.bool_]:
    """(h, w) whether the steps that led to `place`, both (h, w, 2), are undone by the opposite flow `back` (H, W, 2) there."""
    returned = cv2.remap(back, place, IN_ONE_MAP, cv2.INTER_LINEAR, borderValue=(OUTSIDE, OUTSIDE))
    allowed = ROUND_TRIP_PIXELS * min(back.shape[:2]) / ROUND_TRIP_REFERENCE_LINES + ROUND_TRIP_SHARE * norm(step)
    return np.asarray(norm(step + returned) < allowed)


def sample(field: Field, place: Field) -> Field:
    """(h, w, 2): `field` (H, W, 2) at the positions `place` (h, w, 2), bilinearly; beyond the edge, the edge."""
    return np.asarray(cv2.remap(field, place, IN_ONE_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def norm(field: Field) -> npt.NDArray[np.float32]:
    """(H, W) lengths of the displacements."""
    return np.asarray(cv2.magnitude(field[..., 0], field[..., 1]), np.float32)


@functools.lru_cache(maxsize=8)
def positions(height: int, width: int) -> Field:
    """(H, W, 2) x and y of every pixel."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([x, y], axis=2)
