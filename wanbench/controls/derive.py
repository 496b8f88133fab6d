"""The control clips: what is done to a given clip so that a dimension has to react, or must not (all ours).

Clips are derived at 480 lines at most and with square pixels, the largest that any method looks at, and so is the
unchanged clip that they are compared with. Lengths are in pixels of a frame of 240 lines and grow with the frame's short side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from wanbench.clip import Clip
from wanbench.decoding.prepare import NATIVE_PER_SECOND, WINDOW_SECONDS, WORKING_LINES, prepare, prepare_frames, shrink
from wanbench.decoding.video import Video
from wanbench.expectations import ControlName
from wanbench.scenes import damage
from wanbench.scenes.damage import Frame, Timed
from wanbench.scenes.encode import Encoding, write_video

VERSION = 1
"""Raised with any change of what a control does."""
MOST_LINES = 480
"""Short side at which clips are derived: the flow networks and the quality networks look at no more, and memory is bounded."""
NOISE_SIGMA = 12.0
"""Grey levels: plainly visible grain, as of a dark scene filmed at high sensitivity."""
BLUR_SIGMA_PX = 2.0
FLICKER_AMPLITUDE = 0.15
JITTER_PX = 8.0
SHAKE_PX = 8.0
DROPPED_SHARE = 0.3
PILLAR_SHARE = 0.1
"""Of the width, on each side: what is called 20 % pillars."""
REENCODE_CRF: Mapping[ControlName, int] = {"reencode_crf18": 18, "reencode_crf28": 28}
"""x264: 18 is hardly to be told from its source, 28 is what is put on a web page to save traffic."""

SETTINGS: dict[str, str | int | float] = {
    "version": VERSION,
    "lines": MOST_LINES,
    "noise_sigma_255": NOISE_SIGMA,
    "blur_sigma_px_at_240": BLUR_SIGMA_PX,
    "flicker_amplitude": FLICKER_AMPLITUDE,
    "jitter_px_at_240": JITTER_PX,
    "shake_px_at_240": SHAKE_PX,
    "dropped_share": DROPPED_SHARE,
    "pillar_share": PILLAR_SHARE,
    "reencode": "x264 crf 18 and 28, yuv420p",
}
"""What `controls.json` says of how clips were derived."""

Frames = list[Timed]


@dataclass(frozen=True, slots=True)
class Source:
    """An unchanged clip, decoded."""

    frames: Frames
    """(seconds, RGB) of the measured window, all of one size."""
    rng: np.random.Generator
    other: Frames | None = None
    """Another clip's frames, for the cut; None where there is no other clip."""

    @property
    def pixels(self) -> float:
        """How many pixels here are one at 240 lines."""
        height, width = self.frames[0][1].shape[:2]
        return float(min(height, width)) / WORKING_LINES

    @property
    def middle_seconds(self) -> float:
        return (self.frames[0][0] + self.frames[-1][0]) / 2


def load_frames(path: Path) -> Frames:
    """The measured window of a file, at 480 lines at most and with square pixels. Raises `UndecodableVideo`."""
    frames: Frames = []
    with Video(path) as video:
        for seconds, rgb in video.frames(window_seconds=WINDOW_SECONDS, min_interval_seconds=1 / NATIVE_PER_SECOND):
            frames.append((seconds, shrink(np.ascontiguousarray(rgb), _size(rgb, video.facts().sample_aspect_ratio))))
    return frames


def _size(rgb: Frame, aspect: float) -> tuple[int, int]:
    height, width = rgb.shape[0] * min(1.0, 1 / aspect), rgb.shape[1] * min(1.0, aspect)
    scale = min(1.0, MOST_LINES / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def surround(frames: Iterable[Timed], *, share: float) -> Iterator[Timed]:
    """Black pillars beside the picture, each `share` of the new width; unlike `damage.bars` they hide nothing."""
    for time, frame in frames:
        width = round(frame.shape[1] * share / (1 - 2 * share))
        yield time, np.pad(frame, ((0, 0), (width, width), (0, 0)))


def turn_from(frames: Iterable[Timed], *, at_seconds: float) -> Iterator[Timed]:
    """From `at_seconds` on a negative of the same footage, turned upside down: a cut after which motion and noise go on."""
    for time, frame in frames:
        yield time, frame if time < at_seconds else 255 - frame[::-1, ::-1]


def _cut(source: Source) -> Iterator[Timed]:
    assert source.other is not None
    height, width = source.frames[0][1].shape[:2]
    others = ((t, np.asarray(cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA), np.uint8)) for t, f in source.other)
    return damage.cut(source.frames, others, at_seconds=source.middle_seconds)


def _jitter(frames: Iterable[Timed], source: Source) -> Iterator[Timed]:
    block = max(2, round(damage.JITTER_BLOCK_PX * source.pixels))
    return damage.jitter(frames, amplitude_px=JITTER_PX * source.pixels, rng=source.rng, block_px=block)


def _shake(frames: Iterable[Timed], source: Source) -> Iterator[Timed]:
    return damage.shake(frames, amplitude_px=SHAKE_PX * source.pixels, rng=source.rng)


DAMAGE: Mapping[ControlName, Callable[[Source], Iterable[Timed]]] = {
    "again": lambda s: s.frames,
    "frozen": lambda s: damage.freeze(s.frames),
    "shuffled": lambda s: damage.shuffle(s.frames, rng=s.rng),
    "reversed": lambda s: damage.reverse(s.frames),
    "noise": lambda s: damage.noise(s.frames, sigma=NOISE_SIGMA, rng=s.rng),
    "blur": lambda s: damage.blur(s.frames, sigma_px=BLUR_SIGMA_PX * s.pixels),
    "flicker": lambda s: damage.flicker(s.frames, amplitude=FLICKER_AMPLITUDE, rng=s.rng),
    "jitter": lambda s: _jitter(s.frames, s),
    "shake": lambda s: _shake(s.frames, s),
    "noisy_still": lambda s: damage.noise(damage.freeze(s.frames), sigma=NOISE_SIGMA, rng=s.rng),
    "jittered_still": lambda s: _jitter(damage.freeze(s.frames), s),
    "shaken_still": lambda s: _shake(damage.freeze(s.frames), s),
    "twice": lambda s: damage.repeat(s.frames, times=2),
    "thrice": lambda s: damage.repeat(s.frames, times=3),
    "half_rate": lambda s: damage.thin(s.frames, keep_every=2),
    "dropped": lambda s: damage.drop(s.frames, share=DROPPED_SHARE, rng=s.rng),
    "pillars": lambda s: surround(s.frames, share=PILLAR_SHARE),
    "cut": _cut,
    "cut_turned": lambda s: turn_from(s.frames, at_seconds=s.middle_seconds),
}
"""Controls that change the picture, as functions from the unchanged clip to (seconds, RGB)."""
PROMPTS: tuple[ControlName, ...] = ("other_prompt", "empty_prompt")
"""Controls that change the prompt alone: the picture is the unchanged one."""


def derive(control: ControlName, source: Source, lines: Iterable[int], folder: Path) -> Clip:
    """The control clip as a dimension sees it; re-encoded ones go through a file in `folder`."""
    if control in REENCODE_CRF:
        return _reencoded(source.frames, REENCODE_CRF[control], lines, folder)
    return prepare_frames(DAMAGE["again" if control in PROMPTS else control](source), lines)


def _reencoded(frames: Frames, crf: int, lines: Iterable[int], folder: Path) -> Clip:
    path = folder / f"crf{crf}.mp4"
    height, width = (side - side % 2 for side in frames[0][1].shape[:2])  # 4:2:0 wants even sides
    even = (frame[:height, :width] for _, frame in frames)
    try:
        write_video(path, even, times_seconds=[t - frames[0][0] for t, _ in frames], encoding=Encoding(crf=crf))
        return prepare(path, lines)
    finally:
        path.unlink(missing_ok=True)


def generator(seed: int, control: ControlName, sha256: str) -> np.random.Generator:
    """Draws depend on the seed, the control and the clip alone, not on the order in which anything is measured."""
    entropy = [seed, *control.encode(), *bytes.fromhex(sha256)]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))
