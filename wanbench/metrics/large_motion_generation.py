"""Large motion generation: how fast the fastest parts of the picture move, in movement that goes somewhere.

Wan report (arXiv 2503.20314, section 4.6): the upper limit of motion, from the magnitude of the normalised optical flow (RAFT)
on prompts that ask for large motion. Ours: R = mean over frames of the mean of the top 5 % of the coherent speed
(`wanbench/metrics/_flow.py`), in frame diagonals per second; score = 1 - exp(-R / 0.4). Plain flow magnitude rewards shaking,
flicker and noise; coherent speed does not. Known cost: fast small limbs lose. A frozen clip of half a second or more has
R = 0: skipping it would let a model that freezes escape.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from wanbench.clip import Clip
from wanbench.decoding import prepare
from wanbench.dimension import Tools, dimension
from wanbench.expectations import Keeps, Lowers, NotAbove, unmoved_by_encoding, unmoved_by_prompts, unmoved_by_timing
from wanbench.metrics import _camera, _dis, _flow
from wanbench.types import Prompt, Reading, Skipped

TOP_SHARE = 0.05
"""Ours: the fastest twentieth of the pixels is a subject's worth of picture."""
SCALE_DIAGONALS_PER_SECOND = 0.4
"""Ours: large-motion clips (median R 0.21) score 0.41, where the report's models lie at 0.28-0.48."""
SHORTEST_GRID = 2 * _flow.REACH + 1
SHORTEST_FROZEN_SECONDS = 2 * _flow.REACH / prepare.GRID_PER_SECOND
LOW_COHERENCE = 0.3
SPLIT_STRIDE = 2
"""Every other pair tells the camera's share: it explains a score and decides none."""

_SETTINGS = {
    "reach": _flow.REACH,
    "stride": _flow.STRIDE,
    "top_share": TOP_SHARE,
    "scale": SCALE_DIAGONALS_PER_SECOND,
}

MOVES = 0.05
"""Ours: clips that score less hardly move, and have no motion to lose in a control."""
CONTROLS = (
    *unmoved_by_encoding(crf18=0.01, crf28=0.02),
    *unmoved_by_prompts(),
    *unmoved_by_timing(repeats=0.01, fewer=0.05),
    Lowers("frozen", "a still does not move", to_share=0.01, where_at_least=MOVES),
    Lowers("shuffled", "motion that goes nowhere is not coherent", to_share=0.25, where_at_least=MOVES),
    Lowers("noisy_still", "a still does not move", to_share=0.25, where_at_least=MOVES),
    Lowers("jittered_still", "a still does not move", to_share=0.25, where_at_least=MOVES),
    Lowers("shaken_still", "a still does not move", to_share=0.25, where_at_least=MOVES),
    NotAbove("noise", "noise is no motion", within=0.02),
    NotAbove("flicker", "flicker is no motion", within=0.02),
    NotAbove("jitter", "jitter is no motion", within=0.02),
    NotAbove("shake", "shaking is no motion", within=0.05),
    Keeps("reversed", "motion has no direction here", within=0.03),
    Keeps("blur", "a softer picture moves as fast", within=0.05),
    Keeps("pillars", "bars are cropped", within=0.02),
    Keeps("cut_turned", "no flow crosses a cut; turned upside down, the same motion goes on", within=0.05),
)
"""Written before any result was seen."""


@dimension(
    id="large_motion_generation",
    pillar="dynamic",
    version=1,
    methods=_flow.methods(_SETTINGS),
    raw={
        "flow_top5_diag_per_s": "R: mean over frames of the fastest 5 % of coherent speed, in frame diagonals per second",
        "plain_top5_diag_per_s": "the same of the plain flow magnitude",
        "coherence_ratio": "R / plain: under 0.3 the motion is mostly shaking, flicker or noise",
        "low_coherence": "true when the ratio is under 0.3",
        "camera_diag_per_s": "mean speed that the camera's movement alone gives the picture",
        "residual_top5_diag_per_s": "plain_top5 of what the camera's movement leaves",
        "frames_measured_count": "grid frames with two unbroken steps to each side",
        "cuts_count": "cuts found",
        "evidence": "time of the frame with the fastest motion",
    },
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    if clip.frozen and clip.facts.measured_seconds >= SHORTEST_FROZEN_SECONDS:
        return Reading(score=0.0, raw={"flow_top5_diag_per_s": 0.0})
    if len(clip.grid) < SHORTEST_GRID:
        return Skipped(reason=f"too short: {len(clip.grid)} distinct frames on the grid, {SHORTEST_GRID} needed")
    if reason := _flow.too_small(clip):
        return Skipped(reason=reason)
    flow = tools.share(_flow.FLOWS[tools.method.name])
    coherence = tools.share(_flow.COHERENCES[tools.method.name])
    if not coherence.frames:
        short = f"too short: no {SHORTEST_GRID} grid frames in a row without a cut"
        return Skipped(reason=short, raw={"cuts_count": len(flow.cut_times)})
    fastest = [top_mean(speed) for speed in coherence.checked]
    plain = [top_mean(_dis.norm(_flow.sparse(flow.forward[i]))) / flow.diagonal / flow.seconds[i] for i in coherence.frames]
    r, plain_r = float(np.mean(fastest)), float(np.mean(plain))
    camera = tools.share(_camera.CAMERAS[tools.method.name])
    camera_speed, residual = _split(flow, camera)
    ratio = r / plain_r if plain_r > 0 else 0.0
    return Reading(
        score=score(r),
        raw={
            "flow_top5_diag_per_s": round(r, 6),
            "plain_top5_diag_per_s": round(plain_r, 6),
            "coherence_ratio": round(ratio, 6),
            "low_coherence": ratio < LOW_COHERENCE,
            "camera_diag_per_s": round(camera_speed, 6),
            "residual_top5_diag_per_s": round(residual, 6),
            "frames_measured_count": len(fastest),
            "cuts_count": len(flow.cut_times),
            "evidence": {"fastest_time_seconds": round(float(clip.grid_times[coherence.frames[int(np.argmax(fastest))]]), 3)},
        },
    )


def score(r: float) -> float:
    """1 - exp(-R / 0.4), R in frame diagonals per second."""
    return 1 - math.exp(-r / SCALE_DIAGONALS_PER_SECOND)


def top_mean(values: npt.NDArray[np.floating]) -> float:
    """Mean of the largest 5 % of the values, at least one of them."""
    flat = values.ravel()
    count = max(1, round(TOP_SHARE * flat.size))
    return float(np.partition(flat, flat.size - count)[flat.size - count :].mean(dtype=np.float64))


def _split(flow: _flow.Flow, camera: _camera.Camera) -> tuple[float, float]:
    """(camera's speed, top-5 % mean of the rest), both in diagonals per second, means over every other fitted pair."""
    speeds, rests = [], []
    for i, pair in enumerate(camera.pairs):
        if pair is not None and i % SPLIT_STRIDE == 0:
            flow_field, camera_field = _flow.sparse(flow.forward[i]), _camera.field(pair, *flow.size_HW)
            unit = flow.diagonal * pair.seconds
            speeds.append(float(_dis.norm(camera_field).mean()) / unit)
            rests.append(top_mean(_dis.norm(flow_field - camera_field)) / unit)
    return (float(np.mean(speeds)), float(np.mean(rests))) if speeds else (0.0, 0.0)
