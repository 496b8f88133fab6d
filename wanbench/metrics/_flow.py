"""Flow between neighbours of the grid, and the coherent speed that motion and stability are measured by (all ours).

Coherent speed c of a pixel: follow it two grid steps back and two forth along the flow; with its velocities v1..v4 in frame
diagonals per second, c = sqrt(max(0, mean(v1.v2, v2.v3, v3.v4))), and 0 where a step fails the round trip. What shakes,
flickers or is shuffled has speed without coherence.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wanbench.clip import Clip, Floats
from wanbench.decoding import prepare
from wanbench.dimension import Method, Tools
from wanbench.metrics import _dis, _shots
from wanbench.metrics._dis import Field
from wanbench.metrics.nets.raft import RAFT
from wanbench.metrics.nets.raft import SETTINGS as RAFT_SETTINGS

REACH = 2
"""Grid steps that a pixel is followed to each side."""
STRIDE = 3
"""Every third row and column is followed: flow is smooth, ten thousand pixels are plenty, and it costs a ninth."""
RAFT_LINES = 480
"""Short side of the frames that RAFT sees, at most; DIS sees the working size."""
Plane = npt.NDArray[np.float32]
"""(H, W) values of the pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """Flow between the P = G - 1 neighbouring pairs of grid frames."""

    forward: list[Field]
    """P fields (H, W, 2) in pixels from grid frame i to i + 1; zeros across a cut."""
    backward: list[Field]
    """P fields from grid frame i + 1 to i."""
    seconds: Floats
    """(P,) actual time between the two frames."""
    unbroken: npt.NDArray[np.bool_]
    """(P,) no cut lies between the two frames."""
    cut_times: tuple[float, ...]
    """Times in seconds of the first frame after each cut."""

    @property
    def size_HW(self) -> tuple[int, int]:
        height, width = self.forward[0].shape[:2]
        return height, width

    @property
    def diagonal(self) -> float:
        """Of the flow's frame, in pixels."""
        return float(np.hypot(*self.size_HW))

    def centres(self) -> list[int]:
        """Grid frames with two unbroken steps to each side."""
        return [i for i in range(REACH, len(self.seconds) + 1 - REACH) if self.unbroken[i - REACH : i + REACH].all()]


def too_small(clip: Clip) -> str | None:
    """Why no flow can be computed on this clip, or None."""
    height, width = clip.frames.shape[1:3]
    if min(height, width) < _dis.SMALLEST_SIDE:
        return f"too small: {height}x{width} pixels, flow needs {_dis.SMALLEST_SIDE}"
    return None


def dis_flow(clip: Clip, tools: Tools) -> Flow:
    """DIS flow at working size. A shared feature."""
    grid = [_dis.grey(clip.frames[i]) for i in clip.grid]
    return _flow(clip, tools, lambda i: _dis.flow_both_ways(grid[i], grid[i + 1]), clip.frames.shape[1:3])


def raft_flow(clip: Clip, tools: Tools) -> Flow:
    """RAFT-large flow at 480 lines, all pairs of the clip batched. A shared feature."""
    grid = clip.grid_frames(RAFT_LINES)
    kept = np.flatnonzero(_unbroken(clip, tools))
    raft = tools.network(RAFT)
    first, second = np.concatenate([grid[kept], grid[kept + 1]]), np.concatenate([grid[kept + 1], grid[kept]])
    fields = dict(zip(kept, zip(*np.split(raft(first, second), 2), strict=True), strict=True)) if len(kept) else {}
    return _flow(clip, tools, lambda i: fields[i], grid.shape[1:3])


def methods(settings: Mapping[str, str | int | float]) -> tuple[Method, Method]:
    """RAFT for `reference` and DIS for `lite`, for a dimension that measures flow; `settings` are its own constants."""
    common = {**prepare.SETTINGS, **_shots.SETTINGS, "round_trip": _dis.SETTINGS["round_trip"], **settings}
    return (
        Method(
            name="raft",
            profile="reference",
            networks=(RAFT,),
            grid_lines=(RAFT_LINES,),
            settings={**common, **RAFT_SETTINGS, "flow_lines": RAFT_LINES},
            extra="score",
        ),
        Method(name="dis", profile="lite", settings={**common, **_dis.SETTINGS, "flow_lines": prepare.WORKING_LINES}),
    )


FLOWS: dict[str, Callable[[Clip, Tools], Flow]] = {"dis": dis_flow, "raft": raft_flow}
"""Method name -> the shared feature that computes its flow."""


def _unbroken(clip: Clip, tools: Tools) -> npt.NDArray[np.bool_]:
    cuts = tools.share(_shots.cuts)
    return np.equal(np.searchsorted(cuts, clip.grid[:-1], "right"), np.searchsorted(cuts, clip.grid[1:], "right"))


def _flow(clip: Clip, tools: Tools, pair: Callable[[int], tuple[Field, Field]], size_HW: tuple[int, ...]) -> Flow:
    unbroken = _unbroken(clip, tools)
    nothing = np.zeros((*size_HW, 2), np.float32)
    fields = [pair(i) if ok else (nothing, nothing) for i, ok in enumerate(unbroken)]
    return Flow(
        forward=[f for f, _ in fields],
        backward=[b for _, b in fields],
        seconds=np.diff(clip.grid_times),
        unbroken=unbroken,
        cut_times=tuple(float(t) for t in clip.times[tools.share(_shots.cuts)]),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Coherence:
    """Speeds of the pixels of grid frames, in frame diagonals per second, on every STRIDE-th row and column."""

    frames: list[int]
    """Grid indices that the planes belong to."""
    checked: list[Plane]
    """Coherent speed, 0 where a step fails the round trip."""
    unchecked: list[Plane]
    """Coherent speed without the round trip."""


def coherence(flow: Flow) -> Coherence:
    """Coherent speed at every grid frame that has two unbroken steps to each side."""
    frames, checked, unchecked = flow.centres(), [], []
    for i in frames:
        back, back_ok = _follow(flow, i, -1)
        forth, forth_ok = _follow(flow, i, +1)
        speed = coherent_speed([-back[1], -back[0], *forth]) / np.float32(flow.diagonal)
        unchecked.append(speed)
        checked.append(np.where(back_ok & forth_ok, speed, np.float32(0)))
    return Coherence(frames=frames, checked=checked, unchecked=unchecked)


def short_coherence(flow: Flow) -> dict[int, Plane]:
    """Grid index -> coherent speed as in `Coherence.unchecked`, from the steps there are: for clips too short to follow."""
    speeds = {}
    for i in range(len(flow.seconds) + 1):
        back = [-flow.backward[i - 1] / np.float32(flow.seconds[i - 1])] if i > 0 and flow.unbroken[i - 1] else []
        forth = [flow.forward[i] / np.float32(flow.seconds[i])] if i < len(flow.seconds) and flow.unbroken[i] else []
        if back or forth:
            speeds[i] = coherent_speed(back + forth)[::STRIDE, ::STRIDE] / np.float32(flow.diagonal)
    return speeds


def dis_coherence(clip: Clip, tools: Tools) -> Coherence:
    """A shared feature."""
    return coherence(tools.share(dis_flow))


def raft_coherence(clip: Clip, tools: Tools) -> Coherence:
    """A shared feature."""
    return coherence(tools.share(raft_flow))


COHERENCES: dict[str, Callable[[Clip, Tools], Coherence]] = {"dis": dis_coherence, "raft": raft_coherence}
"""Method name -> the shared feature that follows its flow."""


def coherent_speed(velocities: list[Field]) -> Plane:
    """sqrt(max(0, mean of the products of consecutive velocities)); of a single velocity, its length. Unit as given."""
    if len(velocities) == 1:
        return _dis.norm(velocities[0])
    products = velocities[0] * velocities[1]
    for a, b in itertools.pairwise(velocities[1:]):
        products += a * b
    mean = (products[..., 0] + products[..., 1]) * np.float32(1 / (len(velocities) - 1))
    return np.sqrt(np.maximum(mean, 0, out=mean), out=mean)


def sparse(field: Field) -> Field:
    """Every STRIDE-th row and column of a field (H, W, 2)."""
    pairs = field.view(np.float64)[::STRIDE, ::STRIDE]  # both floats of a pixel copied as one number: five times as fast
    return np.ascontiguousarray(pairs).view(np.float32)


def _follow(flow: Flow, frame: int, direction: int) -> tuple[list[Field], npt.NDArray[np.bool_]]:
    """Velocities in pixels per second of the REACH steps away from `frame`, nearest first, and which pixels pass each step."""
    there, back = (flow.forward, flow.backward) if direction > 0 else (flow.backward, flow.forward)
    first = frame if direction > 0 else frame - 1
    place, step = sparse(_dis.positions(*flow.size_HW)), sparse(there[first])
    velocities, ok = [], np.ones(step.shape[:2], np.bool_)
    for n in range(REACH):
        pair = first + n * direction
        if n:
            step = _dis.sample(there[pair], place)
        place = place + step
        ok &= _dis.returns(step, place, back[pair])
        velocities.append(step * np.float32(1 / flow.seconds[pair]))
    return velocities, ok
