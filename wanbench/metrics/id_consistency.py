"""ID consistency: does the subject stay itself from frame to frame?

Wan report (arXiv 2503.20314, section 4.6): frame-wise similarity of frame-level DINO features (arXiv 2104.14294) on human, animal
and object prompts. Ours: with f_t the DINO ViT-B/16 class token of grid frame t,
score = mean over t >= 1 of (cos(f_t, f_0) + cos(f_t, f_{t-1})) / 2, brought to [0, 1] by cutting. Cuts are seen: a subject that
changes across one has changed. Known limits: a frozen clip scores 1, and so the score says nothing without motion; background
and framing count as well as the subject.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wanbench.clip import Clip, Floats
from wanbench.decoding import prepare
from wanbench.dimension import Method, Tools, dimension
from wanbench.expectations import Keeps, Lowers, NotAbove, unmoved_by_encoding, unmoved_by_prompts, unmoved_by_timing
from wanbench.metrics.nets.dino import DINO, LINES, SETTINGS, dino_tokens
from wanbench.types import Prompt, Reading, Skipped

SHORTEST_GRID = 2
SHORTEST_FROZEN_SECONDS = 1 / prepare.GRID_PER_SECOND
SHARE_OF_FIRST = 0.5
"""Ours: likeness with the first frame sees slow drift, with the one before sudden change; neither is the more important."""

CONTROLS = (
    *unmoved_by_encoding(again=1e-5, crf18=0.01, crf28=0.02),
    *unmoved_by_prompts(),
    *unmoved_by_timing(repeats=0.005, fewer=0.03),
    Lowers("cut", "another subject in the second half", by=0.1),
    Lowers("jitter", "the subject's shape changes in every frame", by=0.02),
    NotAbove("frozen", "a still must not beat the video; by definition it scores 1", within=0.02),
    NotAbove("shuffled", "neighbours are less alike", within=0.005),
    NotAbove("blur", "a blurred subject is not more itself", within=0.02),
    Keeps("reversed", "the first and the last frame change places", within=0.05),
    Keeps("noise", "the subject is the same", within=0.1),
    Keeps("flicker", "the subject is the same", within=0.03),
    Keeps("shake", "the subject is the same", within=0.05),
    Keeps("pillars", "bars are cropped", within=0.03),
)
"""Written before any result was seen."""


@dimension(
    id="id_consistency",
    pillar="dynamic",
    version=1,
    methods=(
        Method(
            name="dino-vitb16",
            profile="reference",
            networks=(DINO,),
            grid_lines=(LINES,),
            settings={**prepare.SETTINGS, **SETTINGS, "share_of_first": SHARE_OF_FIRST},
            extra="score",
        ),
    ),
    raw={
        "first_frame_cosine": "mean cosine of the later grid frames with the first one, -1 to 1",
        "neighbour_cosine": "mean cosine of each later grid frame with the one before, -1 to 1",
        "lowest_cosine": "the least mean of both over the later grid frames, -1 to 1",
        "frames_count": "grid frames compared",
        "evidence": "least_alike_time_seconds: time of the grid frame with the lowest cosine",
    },
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    if clip.frozen and clip.facts.measured_seconds >= SHORTEST_FROZEN_SECONDS:
        raw = {"first_frame_cosine": 1.0, "neighbour_cosine": 1.0, "lowest_cosine": 1.0, "frames_count": 1}
        return Reading(score=1.0, raw={**raw})
    if len(clip.grid) < SHORTEST_GRID:
        return Skipped(reason=f"too short: {len(clip.grid)} distinct frame on the grid, {SHORTEST_GRID} needed")
    with_first, with_previous = likenesses(tools.share(dino_tokens))
    both = SHARE_OF_FIRST * with_first + (1 - SHARE_OF_FIRST) * with_previous
    worst = int(both.argmin())
    return Reading(
        score=float(both.mean().clip(0.0, 1.0)),
        raw={
            "first_frame_cosine": round(float(with_first.mean()), 6),
            "neighbour_cosine": round(float(with_previous.mean()), 6),
            "lowest_cosine": round(float(both[worst]), 6),
            "frames_count": len(clip.grid),
            "evidence": {"least_alike_time_seconds": round(float(clip.grid_times[1 + worst]), 3)},
        },
    )


def likenesses(features_TD: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Cosines of frames 1..T-1 with frame 0, and with the frame before: two arrays (T - 1,) in [-1, 1]."""
    unit = features_TD.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit[1:] @ unit[0], np.einsum("td,td->t", unit[1:], unit[:-1])
