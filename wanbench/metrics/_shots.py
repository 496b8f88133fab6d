"""Cuts (ours): where one shot ends and the next begins, so that no flow, window or difference crosses it.

A pair of neighbouring distinct frames is a cut when all of these hold (both profiles find the same cuts, by DIS flow):
mean absolute difference at 36x64 over 0.06 of full scale; HSV-histogram distance over 0.10; a difference over twice the
local median (8 frames to each side); and under 15 % of the pixels pass the flow's round trip.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import numpy.typing as npt

from wanbench.clip import Clip
from wanbench.dimension import Tools
from wanbench.metrics import _dis

DIFFERENCE = 0.06
HISTOGRAM_DISTANCE = 0.10
"""Low, for the shots of a scene share their colours: 0.30 misses most cuts between two pictures of one kind, and is not needed
against false ones. What remains is to tell a cut from a jerk of the camera within one picture."""
HISTOGRAM_BINS_HSV = (16, 4, 4)
"""Ours: hue fine, saturation and value coarse; the distance is half the L1 distance of the shares, in [0, 1]."""
LOCAL_MEDIAN_FACTOR = 2.0
"""At 8 frames a second a moving camera changes the picture by a third of what a cut does."""
LOCAL_MEDIAN_FRAMES = 8
ROUND_TRIP_SHARE = 0.15
"""Half of all planted cuts stay under 0.02; the hastiest swing of a hand-held camera that we have reaches down to 0.19."""

SETTINGS: dict[str, str | int | float] = {
    "cuts": f"diff {DIFFERENCE}, hsv {HISTOGRAM_BINS_HSV} {HISTOGRAM_DISTANCE}, median x{LOCAL_MEDIAN_FACTOR} "
    f"+-{LOCAL_MEDIAN_FRAMES}, round trip {ROUND_TRIP_SHARE}"
}


def cuts(clip: Clip, tools: Tools | None = None) -> npt.NDArray[np.intp]:
    """Indices n into `clip.frames` such that a cut lies between frames n - 1 and n. A shared feature."""
    small = clip.thumbnails
    scale = 255 * small[0].size
    difference = np.array([cv2.norm(b, a, cv2.NORM_L1) / scale for a, b in itertools.pairwise(small)])
    candidates = [
        n
        for n in np.flatnonzero(difference > DIFFERENCE)
        if difference[n] > LOCAL_MEDIAN_FACTOR * _local_median(difference, int(n))
        and histogram_distance(small[n], small[n + 1]) > HISTOGRAM_DISTANCE
        and _round_trip_share(clip.frames[n], clip.frames[n + 1]) < ROUND_TRIP_SHARE
    ]
    return np.array([n + 1 for n in candidates], dtype=np.intp)


def _local_median(difference: npt.NDArray[np.float64], n: int) -> float:
    around = difference[max(0, n - LOCAL_MEDIAN_FRAMES) : n + LOCAL_MEDIAN_FRAMES + 1]
    others = np.delete(around, min(n, LOCAL_MEDIAN_FRAMES))
    return float(np.median(others)) if others.size else 0.0


def histogram_distance(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Half the L1 distance between the HSV histograms of two RGB pictures (H, W, 3): 0 alike, 1 nothing in common."""
    histograms = []
    for rgb in (a, b):
        hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
        counts = cv2.calcHist([hsv], [0, 1, 2], None, list(HISTOGRAM_BINS_HSV), [0, 180, 0, 256, 0, 256])
        histograms.append(counts / counts.sum())
    return float(np.abs(histograms[0] - histograms[1]).sum() / 2)


def _round_trip_share(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> float:
    forward, backward = _dis.flow_both_ways(_dis.grey(first), _dis.grey(second))
    return float(_dis.round_trip(forward, backward).mean())
