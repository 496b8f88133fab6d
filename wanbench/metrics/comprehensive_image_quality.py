"""Comprehensive image quality: the mean of MANIQA, the LAION aesthetic predictor and MUSIQ over the frames.

Wan report (arXiv 2503.20314, section 4.6) names the three; sources stand with the networks. Ours: per frame
(MANIQA + LAION/10 + MUSIQ/100)/3, each part cut to [0, 1] before it is averaged (neither network is bounded), over at most 16
grid frames, evenly spread, at a short side of 480 pixels: MANIQA and MUSIQ give other numbers at other resolutions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wanbench.clip import Clip, Floats
from wanbench.decoding import prepare
from wanbench.dimension import Method, Tools, dimension
from wanbench.expectations import Keeps, Lowers, NotAbove, unmoved_by_encoding, unmoved_by_prompts, unmoved_by_timing
from wanbench.metrics._spread import spread
from wanbench.metrics.nets import clip as clip_net
from wanbench.metrics.nets.aesthetic import AESTHETIC
from wanbench.metrics.nets.maniqa import CROP_PIXELS, LATTICE, MANIQA
from wanbench.metrics.nets.musiq import MUSIQ
from wanbench.types import Prompt, Reading, Skipped

LINES = 480
"""[ours] The size that most candidates are generated at, so that few are enlarged or shrunk."""
MOST_FRAMES = 16
"""[ours] Three a second: quality moves slowly, and MANIQA is the costliest network here."""
LAION_FULL, MUSIQ_FULL = 10.0, 100.0
"""The upper ends of the two scales."""

CONTROLS = (
    *unmoved_by_encoding(again=1e-5, crf18=0.02, crf28=0.05),
    *unmoved_by_prompts(),
    *unmoved_by_timing(repeats=0.005, fewer=0.02),
    Lowers("noise", "a noisy picture is worse", by=0.05),
    Lowers("blur", "a blurred picture is worse", by=0.05),
    NotAbove("jitter", "a torn picture is not better", within=0.02),
    NotAbove("flicker", "an unsteady brightness is not better", within=0.02),
    Keeps("frozen", "frames are judged one by one, and the first is like the others", within=0.05),
    Keeps("shuffled", "frames are judged one by one", within=0.02),
    Keeps("reversed", "frames are judged one by one", within=0.02),
    Keeps("shake", "frames are judged one by one", within=0.02),
    Keeps("pillars", "bars are cropped", within=0.03),
)
"""Written before any result was seen."""


@dimension(
    id="comprehensive_image_quality",
    pillar="image",
    version=1,
    methods=(
        Method(
            name="maniqa+laion+musiq",
            profile="reference",
            networks=(MANIQA, clip_net.CLIP, AESTHETIC, MUSIQ),
            grid_lines=tuple({LINES: None, clip_net.LINES: None}),
            settings={
                **prepare.SETTINGS,
                **clip_net.SETTINGS,
                "lines": LINES,
                "most_frames": MOST_FRAMES,
                "maniqa_crops": f"{LATTICE[0]}x{LATTICE[1]} of {CROP_PIXELS}",
            },
            extra="quality",
        ),
    ),
    raw={
        "maniqa_mean_0_1": "mean over the frames, as the network gives it",
        "laion_mean_1_10": "mean over the frames, as the network gives it",
        "musiq_mean_0_100": "mean over the frames, as the network gives it",
        "worst_frame_0_1": "lowest quality of a frame",
        "frames_count": "frames measured",
        "evidence": "times of the best and of the worst frame",
    },
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    """Score in [0, 1]; one frame is enough."""
    chosen = spread(len(clip.grid), MOST_FRAMES)
    frames, times = clip.grid_frames(LINES)[chosen], clip.grid_times[chosen]
    maniqa = tools.network(MANIQA)(frames)
    laion = tools.network(AESTHETIC)(tools.share(clip_net.clip_image_embeddings)[chosen])
    musiq = tools.network(MUSIQ)(frames)
    quality = frame_quality(maniqa, laion, musiq)
    best, worst = int(quality.argmax()), int(quality.argmin())
    return Reading(
        score=float(quality.mean()),
        raw={
            "maniqa_mean_0_1": round(float(maniqa.mean(dtype=np.float64)), 6),
            "laion_mean_1_10": round(float(laion.mean(dtype=np.float64)), 6),
            "musiq_mean_0_100": round(float(musiq.mean(dtype=np.float64)), 6),
            "worst_frame_0_1": round(float(quality[worst]), 6),
            "frames_count": len(chosen),
            "evidence": {
                "best_time_seconds": round(float(times[best]), 3),
                "worst_time_seconds": round(float(times[worst]), 3),
            },
        },
    )


def frame_quality(
    maniqa_T: npt.NDArray[np.floating], laion_T: npt.NDArray[np.floating], musiq_T: npt.NDArray[np.floating]
) -> Floats:
    """(T,) the mean of the three on a scale of 0 to 1, each cut to it."""
    parts = np.stack(
        [maniqa_T.astype(np.float64), laion_T.astype(np.float64) / LAION_FULL, musiq_T.astype(np.float64) / MUSIQ_FULL]
    )
    quality: Floats = parts.clip(0.0, 1.0).mean(axis=0)
    return quality
