"""The camera's movement from flow (ours): a similarity per grid pair, its rates per second, and their name.

Camera words name the way the camera turns or moves: under `pan-left` the picture's content moves right, under `tilt-up` down.

Only points that can be followed take part: an empty wall, a clear sky or a black stage has flow of about zero, or that of the
subject beside it, whatever the camera does; and what is about to be covered has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from wanbench.clip import Clip
from wanbench.dimension import Tools
from wanbench.metrics import _dis, _flow
from wanbench.metrics._flow import Flow

Movement = Literal["static", "pan-left", "pan-right", "tilt-up", "tilt-down", "zoom-in", "zoom-out", "mixed", "unknown"]
MOVEMENTS: tuple[Movement, ...] = get_args(Movement)

LATTICE_PIXELS = 6
"""Points of the fit, at a short side of 240."""
BORDER_SHARE = 0.2
"""All points of the outer border count, a sixteenth of the inner ones: subjects stand in the middle."""
INNER_STRIDE = 4
STRUCTURE_BLOCK = 5
STRUCTURE_QUANTILE = 0.9
STRUCTURE_SHARE = 0.003
"""A point is followed where the smaller eigenvalue of the structure tensor (5x5, at half size) is this share of the 90th
percentile over the points, or more: a twentieth of its contrast. Relative, so that a dark or faded picture keeps its points."""
FEWEST_POINTS_SHARE = 0.05
"""With fewer points than this left, all of them are used: their disagreement then says that nothing can be told."""
RANSAC_PIXELS = 1.0
RANSAC_SHARE = 0.15
"""Inlier distance: pixels at a short side of 240, plus this share of the median displacement, for parallax grows with speed."""
TYPICAL_STRIDE = 4
"""Every fourth point gives the median displacement as well as all."""
RANSAC_ITERATIONS = 500
STATIC_PER_SECOND = 0.02
"""Under this rate (of width, of height, half log scale) nothing moves."""
MIXED_SHARE = 2 / 3
"""A second component over this share of the first, and over STATIC_PER_SECOND, makes the movement mixed."""
INLIER_SHARE = 0.25
"""A window with fewer inliers has no name."""
WINDOW_SECONDS = 0.5
SHORTEST_WINDOW_SECONDS = 0.0625
"""Half a grid step: what is left of a shorter window at the end of a shot has no name of its own."""

SETTINGS: dict[str, str | int | float] = {
    "camera_fit": f"opencv RANSAC similarity, lattice {LATTICE_PIXELS}, border {BORDER_SHARE}, inner 1/{INNER_STRIDE**2}, "
    f"structure {STRUCTURE_BLOCK}x{STRUCTURE_BLOCK} at half size {STRUCTURE_SHARE} of q{STRUCTURE_QUANTILE}, round trip, "
    f"at least {FEWEST_POINTS_SHARE}, "
    f"{RANSAC_PIXELS} px at 240 lines + {RANSAC_SHARE} median, {RANSAC_ITERATIONS} iterations",
    "camera_names": f"static {STATIC_PER_SECOND}/s, mixed {MIXED_SHARE:.3f}, inliers {INLIER_SHARE}, "
    f"window {WINDOW_SECONDS} s, {SHORTEST_WINDOW_SECONDS} s at least, within a shot, last picture held from {WINDOW_SECONDS} s",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Movement of the picture's content per second."""

    pan: float
    """dx / W at the centre, positive to the right."""
    tilt: float
    """dy / H at the centre, positive downwards."""
    zoom: float
    """Half the logarithm of the scale, positive when content grows."""

    def name(self) -> Movement:
        """The movement by name; ties go to pan, then tilt."""
        ways: list[tuple[float, Movement]] = [
            (abs(self.pan), "pan-left" if self.pan > 0 else "pan-right"),
            (abs(self.tilt), "tilt-up" if self.tilt > 0 else "tilt-down"),
            (abs(self.zoom), "zoom-in" if self.zoom > 0 else "zoom-out"),
        ]
        (first, movement), (second, _), _ = sorted(ways, key=lambda way: -way[0])
        if first < STATIC_PER_SECOND:
            return "static"
        return "mixed" if second > STATIC_PER_SECOND and second > MIXED_SHARE * first else movement


@dataclass(frozen=True, kw_only=True, slots=True)
class PairFit:
    """The similarity between two neighbouring grid frames."""

    seconds: float
    rates: Rates
    inlier_share: float
    matrix: npt.NDArray[np.float64]
    """(2, 3) similarity in pixels: where a point of the first frame is in the second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """What the camera does over a clip."""

    pairs: tuple[PairFit | None, ...]
    """One per grid pair; None across a cut."""
    movement: Movement
    """Of the whole clip: by the mean rates; `unknown` when too few pixels agree."""
    rates: Rates | None
    inlier_share: float
    windows: tuple[Movement, ...]
    """Name of each window of 0.5 s; the last one of a shot is shorter."""


def dis_camera(clip: Clip, tools: Tools) -> Camera:
    """A shared feature."""
    return camera(tools.share(_flow.dis_flow), [clip.frames[i] for i in clip.grid], _held(clip))


def raft_camera(clip: Clip, tools: Tools) -> Camera:
    """A shared feature."""
    return camera(tools.share(_flow.raft_flow), list(clip.grid_frames(_flow.RAFT_LINES)), _held(clip))


CAMERAS: dict[str, Callable[[Clip, Tools], Camera]] = {"dis": dis_camera, "raft": raft_camera}
"""Method name -> the shared feature that names the movement in its flow."""


def _held(clip: Clip) -> float:
    """Seconds for which the last picture stands at the end, where that is more than the wait for a next one."""
    seconds = clip.facts.measured_seconds - float(clip.grid_times[-1])
    return seconds if seconds >= WINDOW_SECONDS else 0.0


def camera(flow: Flow, frames: Sequence[npt.NDArray[np.uint8]], held_seconds: float = 0.0) -> Camera:
    """Fit every pair, then name the clip and its windows.

    `frames`: the grid frames (H, W, 3) that the flow is between; the last one stands for `held_seconds`, during which nothing
    moves. A picture that is held in the middle needs no such word: its pair is as slow as it is long.
    """
    points = lattice(*flow.size_HW)
    pairs = tuple(
        _fit(flow, i, followed(flow, i, points, structure(frames[i])[points[:, 1] // 2, points[:, 0] // 2])) if ok else None
        for i, ok in enumerate(flow.unbroken)
    )
    held = [(_standing(held_seconds), held_seconds)] if held_seconds else []
    movement, rates, inliers = name([(pair, pair.seconds) for pair in pairs if pair is not None] + held)
    steps = [(p, float(s), bool(ok)) for p, s, ok in zip(pairs, flow.seconds, flow.unbroken, strict=True)]
    windows = _windows([*steps, *((pair, seconds, True) for pair, seconds in held)])
    return Camera(pairs=pairs, movement=movement, rates=rates, inlier_share=inliers, windows=windows)


def _standing(seconds: float) -> PairFit:
    return PairFit(seconds=seconds, rates=Rates(pan=0.0, tilt=0.0, zoom=0.0), inlier_share=1.0, matrix=np.eye(2, 3))


def name(pairs: Sequence[tuple[PairFit, float]]) -> tuple[Movement, Rates | None, float]:
    """(movement, mean rates, mean inlier share) over pairs, each for so many seconds."""
    if not pairs:
        return "unknown", None, 0.0
    seconds = np.array([s for _, s in pairs])
    table = np.array([(p.rates.pan, p.rates.tilt, p.rates.zoom, p.inlier_share) for p, _ in pairs])
    pan, tilt, zoom, inliers = (float(v) for v in np.average(table, axis=0, weights=seconds))
    rates = Rates(pan=pan, tilt=tilt, zoom=zoom)
    return (rates.name() if inliers >= INLIER_SHARE else "unknown"), rates, inliers


def _windows(steps: Sequence[tuple[PairFit | None, float, bool]]) -> tuple[Movement, ...]:
    """Names of windows in the order of time, of steps (pair, seconds, unbroken).

    A pair counts in each window for as long as it lies in it; a window ends at a cut, and what a cut lies in is in none.
    """
    groups: dict[tuple[int, int], list[tuple[PairFit | None, float]]] = {}
    start, shot = 0.0, 0
    for pair, seconds, unbroken in steps:
        end = start + seconds
        for window in range(int((start + 1e-6) // WINDOW_SECONDS), math.ceil((end - 1e-6) / WINDOW_SECONDS)):
            inside = min(end, (window + 1) * WINDOW_SECONDS) - max(start, window * WINDOW_SECONDS)
            if unbroken:
                groups.setdefault((window, shot), []).append((pair, inside))
        start, shot = end, shot + (not unbroken)
    long = [group for _, group in sorted(groups.items()) if sum(s for _, s in group) >= SHORTEST_WINDOW_SECONDS]
    return tuple(name([(pair, s) for pair, s in group if pair])[0] for group in long) or ("unknown",)


def lattice(height: int, width: int) -> npt.NDArray[np.int64]:
    """(N, 2) pixel positions x, y: all lattice points of the outer border, a sixteenth of the inner ones."""
    spacing = max(1, round(LATTICE_PIXELS * min(height, width) / 240))
    rows, columns = np.arange(spacing // 2, height, spacing), np.arange(spacing // 2, width, spacing)
    row, column = (a.ravel() for a in np.meshgrid(np.arange(len(rows)), np.arange(len(columns)), indexing="ij"))
    y, x = rows[row], columns[column]
    inner = (np.abs(y / height - 0.5) < 0.5 - BORDER_SHARE) & (np.abs(x / width - 0.5) < 0.5 - BORDER_SHARE)
    kept = ~inner | ((row % INNER_STRIDE == 0) & (column % INNER_STRIDE == 0))
    return np.stack([x[kept], y[kept]], axis=1)


def structure(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Half the size of a frame (H, W, 3), rounded up: how much the picture varies in the direction in which it varies least."""
    return np.asarray(cv2.cornerMinEigenVal(cv2.pyrDown(_dis.grey(rgb)), STRUCTURE_BLOCK), np.float32)


def followed(flow: Flow, pair: int, points: npt.NDArray[np.int64], structure_N: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Those of the points (N, 2) with structure and a passed round trip; all of them when that leaves too few."""
    place = int(STRUCTURE_QUANTILE * (len(structure_N) - 1))
    enough = structure_N >= STRUCTURE_SHARE * np.partition(structure_N, place)[place]  # np.quantile is ten times as slow
    step = flow.forward[pair][points[:, 1], points[:, 0]][:, None]
    returned = _dis.returns(step, points.astype(np.float32)[:, None] + step, flow.backward[pair])[:, 0]
    kept = enough & returned
    return points[kept] if kept.sum() >= FEWEST_POINTS_SHARE * len(points) else points


def _fit(flow: Flow, pair: int, points: npt.NDArray[np.int64]) -> PairFit | None:
    height, width = flow.size_HW
    field, seconds = flow.forward[pair], float(flow.seconds[pair])
    start = points.astype(np.float32)
    end = start + field[points[:, 1], points[:, 0]]
    typical = float(np.median(np.hypot(*(end - start)[::TYPICAL_STRIDE].T)))
    threshold = RANSAC_PIXELS * min(height, width) / _dis.ROUND_TRIP_REFERENCE_LINES + RANSAC_SHARE * typical
    matrix, inliers = cv2.estimateAffinePartial2D(
        start, end, method=cv2.RANSAC, ransacReprojThreshold=threshold, maxIters=RANSAC_ITERATIONS
    )
    if matrix is None:
        return None
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    dx, dy = matrix[:, :2] @ centre + matrix[:, 2] - centre
    log_scale = float(np.log(np.hypot(matrix[0, 0], matrix[1, 0])))
    rates = Rates(pan=dx / width / seconds, tilt=dy / height / seconds, zoom=0.5 * log_scale / seconds)
    return PairFit(seconds=seconds, rates=rates, inlier_share=float(inliers.mean()), matrix=np.asarray(matrix))


def field(pair: PairFit, height: int, width: int) -> npt.NDArray[np.float32]:
    """Displacement under the pair's similarity, on the same rows and columns of a frame (height, width) as `_flow.sparse`."""
    positions = _flow.sparse(_dis.positions(height, width))
    return np.asarray(cv2.transform(positions, pair.matrix.astype(np.float32)) - positions, np.float32)
