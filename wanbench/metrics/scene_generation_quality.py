"""Scene generation quality: is the asked scene there, and is it one scene throughout?

Wan report (arXiv 2503.20314, section 4.6): weighted mean of frame-to-frame and frame-to-text CLIP similarity (arXiv 2103.00020).
Ours: with unit CLIP ViT-L/14 embeddings i_t of the grid frames and x of the raw English prompt,
score = 0.16 * mean cos(i_t, i_{t-1}) + 0.84 * mean cos(i_t, x), cut to [0, 1]; plain cosines, without the usual factor of 2.5.
0.16 lands usual cosines (0.98 between frames, 0.27 with the text) on the report's 0.37-0.39. Frames are compared across cuts:
a change of scene is what this looks for. A frozen clip has a consistency of 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wanbench.clip import Clip, Floats
from wanbench.decoding import prepare
from wanbench.dimension import Method, Tools, dimension
from wanbench.expectations import Keeps, Lowers, NotAbove, Skips, unmoved_by_encoding, unmoved_by_timing
from wanbench.metrics.nets.clip import CLIP, LINES, SETTINGS, clip_image_embeddings
from wanbench.types import Prompt, Reading, Skipped

CONSISTENCY_SHARE = 0.16
ALIGNMENT_SHARE = 1.0 - CONSISTENCY_SHARE
"""Ours: see above; the report gives no numbers."""
SHORTEST_GRID = 2
SHORTEST_FROZEN_SECONDS = 1 / prepare.GRID_PER_SECOND

CONTROLS = (
    *unmoved_by_encoding(again=1e-5, crf18=0.005, crf28=0.01),
    *unmoved_by_timing(repeats=0.005, fewer=0.01),
    Lowers("other_prompt", "it is not the scene that was asked for", by=0.05),
    Skips("empty_prompt", "nothing was asked for"),
    Lowers("cut", "the second half shows another scene", by=0.02),
    NotAbove("frozen", "a still must not beat the video", within=0.02),
    NotAbove("noise", "noise shows no scene better", within=0.02),
    NotAbove("blur", "blur shows no scene better", within=0.02),
    NotAbove("jitter", "jitter shows no scene better", within=0.02),
    Keeps("flicker", "the scene is the same", within=0.02),
    Keeps("reversed", "cosines have no direction", within=0.005),
    Keeps("shuffled", "the scene is the same", within=0.02),
    Keeps("pillars", "bars are cropped", within=0.02),
)
"""Written before any result was seen."""


@dimension(
    id="scene_generation_quality",
    pillar="image",
    version=1,
    methods=(
        Method(
            name="clip-vit-l14",
            profile="reference",
            networks=(CLIP,),
            grid_lines=(LINES,),
            settings={**prepare.SETTINGS, **SETTINGS, "consistency_share": CONSISTENCY_SHARE, "text": "raw English prompt"},
            extra="score",
            prompt_needs="a text",
        ),
    ),
    raw={
        "consistency_cosine": "mean CLIP cosine of neighbouring grid frames, -1 to 1",
        "alignment_cosine": "mean CLIP cosine of the grid frames with the prompt, -1 to 1",
        "frames_count": "grid frames compared",
        "evidence": "least_aligned_time_seconds: frame farthest from the prompt; least_alike_time_seconds: from the frame before",
    },
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    if prompt is None or not prompt.text or not prompt.text.strip():
        return Skipped(reason="no prompt")
    stands_still = clip.frozen and clip.facts.measured_seconds >= SHORTEST_FROZEN_SECONDS
    if len(clip.grid) < SHORTEST_GRID and not stands_still:
        return Skipped(reason=f"too short: {len(clip.grid)} distinct frame on the grid, {SHORTEST_GRID} needed")
    images = tools.share(clip_image_embeddings)
    consistency, alignment = cosines(images, tools.network(CLIP).text(prompt.text))
    evidence = {"least_aligned_time_seconds": round(float(clip.grid_times[alignment.argmin()]), 3)}
    if len(consistency):
        evidence["least_alike_time_seconds"] = round(float(clip.grid_times[1 + consistency.argmin()]), 3)
    alike, aligned = float(consistency.mean()) if len(consistency) else 1.0, float(alignment.mean())
    return Reading(
        score=combined(alike, aligned),
        raw={
            "consistency_cosine": round(alike, 6),
            "alignment_cosine": round(aligned, 6),
            "frames_count": len(clip.grid),
            "evidence": evidence,
        },
    )


def cosines(images_TD: npt.NDArray[np.floating], text_D: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Of unit vectors: cosines of neighbouring images (T - 1,), and of the images with the text (T,)."""
    images = images_TD.astype(np.float64)
    return np.einsum("td,td->t", images[1:], images[:-1]), images @ text_D.astype(np.float64)


def combined(consistency: float, alignment: float) -> float:
    """The score in [0, 1] of two mean cosines in [-1, 1]."""
    return float(np.clip(CONSISTENCY_SHARE * consistency + ALIGNMENT_SHARE * alignment, 0.0, 1.0))
