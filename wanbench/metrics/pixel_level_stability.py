"""Pixel-level stability: does noise or flicker appear where nothing moves?

Wan report (arXiv 2503.20314, section 4.6): static regions by optical flow, frame differences inside them. Ours: a pixel moves
where its coherent speed without the round trip, smoothed, reaches 0.005 frame diagonals per second; what is left after dilating
the moving part and eroding the rest is static. D = mean absolute RGB difference between adjacent distinct native frames over
static pixels at working size; score = 1 - min(1, 3 D / 255). Frames with under 2 % static do not count. Known: compression
that smooths is rewarded; a frozen clip scores 1.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from wanbench.clip import Clip
from wanbench.dimension import Tools, dimension
from wanbench.expectations import Keeps, Lowers, NotAbove, unmoved_by_encoding, unmoved_by_prompts, unmoved_by_timing
from wanbench.metrics import _flow, _shots
from wanbench.types import Prompt, Reading, Skipped

MOVING_DIAGONALS_PER_SECOND = 0.005
SMOOTHING_SHARE = 1 / 60
"""Standard deviation of the Gaussian that smooths the speed, as a share of the short side."""
DILATION_SHARE = 1 / 24
"""Radius by which the moving part grows, as a share of the short side: edges of subjects are not static."""
EROSION_SHARE = 1 / 120
"""The definition's 2 pixels at a short side of 240. On the speed's own plane, every third pixel of the flow, both radii are whole
samples: 9 and 3 pixels of 240 for DIS, 10.5 and 1.5 for RAFT."""
SMALLEST_STATIC_SHARE = 0.02
DIFFERENCE_FACTOR = 3.0
"""Ours: puts usual clips at 0.95-0.98, where the report's models lie."""

_SETTINGS = {
    "reach": _flow.REACH,
    "stride": _flow.STRIDE,
    "moving": MOVING_DIAGONALS_PER_SECOND,
    "smoothing_share": round(SMOOTHING_SHARE, 6),
    "dilation_share": round(DILATION_SHARE, 6),
    "erosion_share": round(EROSION_SHARE, 6),
    "smallest_static_share": SMALLEST_STATIC_SHARE,
    "difference_factor": DIFFERENCE_FACTOR,
}

CONTROLS = (
    *unmoved_by_encoding(crf18=0.005, crf28=0.01),
    *unmoved_by_prompts(),
    *unmoved_by_timing(repeats=0.005, fewer=0.02),
    Lowers("noise", "noise is what this looks for", by=0.05),
    Lowers("flicker", "flicker is what this looks for", by=0.05),
    Lowers("jitter", "what stands still is torn", by=0.02),
    Lowers("shake", "what stands still is shaken, and goes nowhere", by=0.02),
    NotAbove(
        "frozen",
        "a still must not beat the video by more than lies between published models; by definition it scores 1",
        within=0.02,
    ),
    NotAbove("blur", "smoothing must not pay by more than twice the known gain at CRF 38", within=0.01),
    NotAbove("shuffled", "disorder is not stable", within=0.005),
    Keeps("reversed", "differences have no direction", within=0.005),
    Keeps("pillars", "bars are cropped", within=0.01),
    Keeps("cut_turned", "no difference crosses a cut; a negative turned upside down is as noisy", within=0.01),
)
"""Written before any result was seen."""


@dimension(
    id="pixel_level_stability",
    pillar="dynamic",
    version=1,
    methods=_flow.methods(_SETTINGS),
    raw={
        "static_difference_255": "D: mean absolute RGB difference over static pixels, of 255",
        "static_share": "mean share of the picture that is static",
        "pairs_measured_count": "adjacent frames that counted",
        "worst_pair_difference_255": "largest difference of one pair",
        "cuts_count": "cuts found",
        "evidence": "time of the second frame of the worst pair",
    },
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    if clip.frozen:
        return Reading(score=1.0, raw={"static_difference_255": 0.0, "static_share": 1.0})
    if len(clip.grid) < 2:
        return Skipped(reason="too short: one distinct frame")
    if reason := _flow.too_small(clip):
        return Skipped(reason=reason)
    masks, cuts = tools.share(STATIC_MASKS[tools.method.name]), tools.share(_shots.cuts)
    pairs, differences, shares = pair_differences(clip, masks, cuts)
    if not differences:
        return Skipped(reason="no static region", raw={"cuts_count": len(cuts)})
    difference = float(np.mean(differences))
    worst = int(np.argmax(differences))
    return Reading(
        score=score(difference),
        raw={
            "static_difference_255": round(difference, 6),
            "static_share": round(float(np.mean(shares)), 6),
            "pairs_measured_count": len(differences),
            "worst_pair_difference_255": round(differences[worst], 6),
            "cuts_count": len(cuts),
            "evidence": {"worst_time_seconds": round(float(clip.times[pairs[worst]]), 3)},
        },
    )


def score(difference_255: float) -> float:
    """1 - min(1, 3 D / 255)."""
    return 1 - min(1.0, DIFFERENCE_FACTOR * difference_255 / 255)


def pair_differences(
    clip: Clip, masks: dict[int, npt.NDArray[np.bool_]], cuts: npt.NDArray[np.intp]
) -> tuple[list[int], list[float], list[float]]:
    """(index of the pair's second frame, D of 255, static share) for every adjacent native pair that counts."""
    pairs, differences, shares = [], [], []
    grid_frames = np.array(sorted(masks))
    broken = set(cuts.tolist())
    shots = np.searchsorted(cuts, np.arange(len(clip.times)), "right")
    for n in range(1, len(clip.frames)):
        if n in broken:
            continue
        same_shot = grid_frames[shots[clip.grid[grid_frames]] == shots[n]] if len(grid_frames) else grid_frames
        if not len(same_shot):
            continue
        middle = (clip.times[n - 1] + clip.times[n]) / 2
        nearest = int(same_shot[np.argmin(np.abs(clip.grid_times[same_shot] - middle))])
        share = float(masks[nearest].mean())
        if share < SMALLEST_STATIC_SHARE:
            continue
        total = cv2.norm(clip.frames[n], clip.frames[n - 1], cv2.NORM_L1, masks[nearest].view(np.uint8))
        differences.append(total / (3 * share * masks[nearest].size))
        shares.append(share)
        pairs.append(n)
    return pairs, differences, shares


def _static_masks(clip: Clip, flow: _flow.Flow, coherence: _flow.Coherence) -> dict[int, npt.NDArray[np.bool_]]:
    """Grid index -> (h, w) static pixels at working size, for every grid frame whose pixels can be followed."""
    height, width = clip.frames.shape[1:3]
    speeds = dict(zip(coherence.frames, coherence.unchecked, strict=True)) or _flow.short_coherence(flow)
    masks = {}
    for frame, speed in speeds.items():
        static = static_pixels(speed).view(np.uint8)
        masks[frame] = np.asarray(cv2.resize(static, (width, height), interpolation=cv2.INTER_NEAREST)).view(np.bool_)
    return masks


def dis_static_masks(clip: Clip, tools: Tools) -> dict[int, npt.NDArray[np.bool_]]:
    """A shared feature."""
    return _static_masks(clip, tools.share(_flow.dis_flow), tools.share(_flow.dis_coherence))


def raft_static_masks(clip: Clip, tools: Tools) -> dict[int, npt.NDArray[np.bool_]]:
    """A shared feature."""
    return _static_masks(clip, tools.share(_flow.raft_flow), tools.share(_flow.raft_coherence))


STATIC_MASKS = {"dis": dis_static_masks, "raft": raft_static_masks}
"""Method name -> the shared feature that finds static pixels in its flow."""


def static_pixels(speed: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(h, w) True where nothing moves, from the coherent speed (h, w) in frame diagonals per second."""
    short_side = min(speed.shape)
    smooth = cv2.GaussianBlur(speed, (0, 0), short_side * SMOOTHING_SHARE)
    moving = (smooth >= MOVING_DIAGONALS_PER_SECOND).astype(np.uint8)
    grown = cv2.dilate(moving, _disc(round(short_side * DILATION_SHARE)))
    # Beyond the frame's edge nothing is known to move, so the border neither grows nor erodes anything.
    static = cv2.erode(1 - grown, _disc(round(short_side * EROSION_SHARE)))
    return static.astype(bool)


def _disc(radius: int) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)
