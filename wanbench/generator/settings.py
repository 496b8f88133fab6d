"""How videos are made, settled and checked before any long work; without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wanbench.errors import UsageError
from wanbench.generator.models import Model, Task

MOST_PIXELS = 2**32
"""Of all frames together, fifty times a released model's largest video: no memory holds what would be needed for more."""
SOLVERS = ("unipc", "dpmpp", "euler")
"""Names in `samplers.table`, which needs torch."""
IMAGES: Mapping[Task, tuple[int, int, str]] = {
    "t2v": (0, 0, "makes videos from text alone"),
    "i2v": (1, 1, "starts from one image: --image FILE"),
    "flf2v": (2, 2, "goes from one image to another: --image FIRST --image LAST"),
    "ti2v": (0, 1, "takes no image, or one"),
    "vace": (0, 16, "takes at most 16 reference images"),
}
"""Task -> fewest and most images, and what to do."""
OFFICIAL_480P = ((480, 832), (832, 480))
"""At these sizes image-to-video of Wan2.1 wants a smaller shift, whatever the model is called."""
PASSES = ("together", "apart")
"""Of guidance: one batch, or one after the other."""
REUSED = ("guidance", "attention")
EVERY = 2
"""[ours] Of `--reuse` without a number."""
FIRST_SHARE = 0.25
"""[ours] Share of the steps, at the beginning, at which nothing is reused: there the picture is laid out."""


@dataclass(frozen=True, kw_only=True)
class Reuse:
    """What is computed at some steps only."""

    what: str
    """One of `REUSED`."""
    first: int
    """Steps at the beginning that are computed in full."""
    every: int
    """Afterwards one step of so many."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all videos of one production share."""

    size_HW: tuple[int, int]
    """For image-to-video the area; the shape follows the image."""
    frames: int
    """4k + 1; 1 makes a picture."""
    fps: float
    steps: int
    shift: float
    guidance: tuple[float, float]
    """(low noise, high noise); 1 is one pass of the network instead of two."""
    solver: str
    negative: str
    images: tuple[Path, ...] = ()
    tile: int | None = None
    """Side of the squares, in pixels, that are decoded one by one; None: whole frames."""
    video: Path | None = None
    """VACE: what is changed; None: all is to be made."""
    mask: Path | None = None
    """VACE: where it is changed; None: everywhere."""
    passes: str = "apart"
    """One of `PASSES`: the same formula, other last digits."""
    fp8: bool = False
    """Products in 8 bits."""
    compile: bool = False
    """The same formula, other last digits."""
    reuse: Reuse | None = None

    @property
    def guided(self) -> bool:
        """Whether any step takes two passes."""
        return any(scale != 1 for scale in self.guidance)

    def to_json(self) -> dict[str, Any]:
        """What a sidecar says; images by name, their bytes are part of the fingerprint."""
        return {
            "size": list(self.size_HW),
            "frames": self.frames,
            "fps": self.fps,
            "steps": self.steps,
            "shift": self.shift,
            "guidance": list(self.guidance),
            "solver": self.solver,
            "negative": self.negative,
            "images": [path.name for path in self.images],
            "tile": self.tile,
            "video": self.video.name if self.video else None,
            "mask": self.mask.name if self.mask else None,
            "passes": self.passes if self.guided else None,
            "fp8": self.fp8,
            "compile": self.compile,
            "reuse": asdict(self.reuse) if self.reuse else None,
        }


def settle(
    model: Model,
    *,
    size_HW: tuple[int, int] | None = None,
    frames: int | None = None,
    fps: float | None = None,
    steps: int | None = None,
    shift: float | None = None,
    guidance: tuple[float, float] | None = None,
    solver: str = "unipc",
    negative: str | None = None,
    images: tuple[Path, ...] = (),
    tile: int | None = None,
    video: Path | None = None,
    mask: Path | None = None,
    passes: str | None = None,
    fp8: bool = False,
    compile: bool = False,
    reuse: str | None = None,
) -> Settings:
    """What was asked, and the model's own defaults for the rest. Raises `UsageError` for what cannot be made.

    `reuse` is `guidance` or `attention`, with `:EVERY` behind it or not.
    """
    if model.task == "s2v":
        raise UsageError("speech-to-video is not made by this command: its network and conditioning are there as a library")
    size, count = size_HW or model.size_HW, model.steps if steps is None else steps
    settings = Settings(
        size_HW=size,
        frames=model.frames if frames is None else frames,
        fps=model.fps if fps is None else fps,
        steps=count,
        shift=_shift(model, size) if shift is None else shift,
        guidance=guidance or model.guidance,
        solver=solver,
        negative=model.negative if negative is None else negative,
        images=images,
        tile=tile,
        video=video,
        mask=mask,
        passes=passes or "apart",
        fp8=fp8,
        compile=compile,
        reuse=_reuse(reuse, count),
    )
    _check(model, settings)
    _check_source(model, settings)
    _check_speed(settings, passes)
    return settings


def _shift(model: Model, size: tuple[int, int]) -> float:
    if model.task == "i2v" and model.boundary is None:
        return 3.0 if size in OFFICIAL_480P else 5.0
    return model.shift


def _reuse(text: str | None, steps: int) -> Reuse | None:
    if text is None:
        return None
    what, _, every = text.partition(":")
    if what not in REUSED or not (every or str(EVERY)).isdecimal() or int(every or EVERY) < 2:
        raise UsageError(f"--reuse takes guidance or attention, and after a colon a number from 2 up, not {text!r}")
    return Reuse(what=what, first=math.ceil(FIRST_SHARE * steps), every=int(every or EVERY))


def _check_source(model: Model, settings: Settings) -> None:
    """A video that is changed, and where."""
    if model.task != "vace" and (settings.video or settings.mask):
        raise UsageError("--video and --mask are for VACE, which changes videos: wan-vace-1.3b or wan-vace-14b")
    if settings.mask and not settings.video:
        raise UsageError("--mask says where a video is changed: give the video too, --video FILE")
    for kind, path in (("video", settings.video), ("mask", settings.mask)):
        if path is not None and not path.is_file():
            raise UsageError(f"the {kind} {path} does not exist")


def _check_speed(settings: Settings, passes: str | None) -> None:
    """What excludes what."""
    if settings.reuse is None:
        return
    if settings.reuse.what == "attention" and settings.compile:
        raise UsageError("reuse of attention cannot be compiled: choose --reuse attention or --compile")
    if settings.reuse.what == "guidance" and passes == "together":
        raise UsageError("reused guidance saves the second pass: choose --reuse guidance or --guidance-passes together")
    if settings.reuse.what == "guidance" and not settings.guided:
        raise UsageError("a guidance of 1 has nothing to reuse: leave --reuse guidance out")


def _check(model: Model, settings: Settings) -> None:
    height, width = settings.size_HW
    if height * width * settings.frames > MOST_PIXELS:
        raise UsageError(f"{width}x{height} and {settings.frames} frames are more than can be made at once: ask for less")
    model.vae.latent_shape(settings.frames, *settings.size_HW)
    if settings.solver not in SOLVERS:
        raise UsageError(f"unknown solver {settings.solver!r}; there are unipc, dpm++ and euler")
    if settings.steps < 1 or not (0 < settings.fps < math.inf and 0 < settings.shift < math.inf):
        raise UsageError(
            f"{settings.steps} steps, {settings.fps:g} frames a second and a shift of {settings.shift}: all must be over 0"
        )
    if not all(map(math.isfinite, settings.guidance)):
        raise UsageError(f"a guidance of {settings.guidance[0]:g},{settings.guidance[1]:g}: it must be a number")
    if model.boundary is None and settings.guidance[0] != settings.guidance[1]:
        raise UsageError(f"two guidances, {settings.guidance[0]:g},{settings.guidance[1]:g}, and one network: give one")
    fewest, most, advice = IMAGES[model.task]
    if not fewest <= len(settings.images) <= most:
        raise UsageError(f"{len(settings.images)} images were given, and this model {advice}")
    if settings.frames == 1 and model.task in ("i2v", "flf2v"):
        raise UsageError("a video from images needs more than one frame: 5, 9, ...")
    for path in settings.images:
        if not path.is_file():
            raise UsageError(f"the image {path} does not exist")
    side = 2 * model.vae.stride[1]
    if settings.tile is not None and (settings.tile % side or settings.tile < 4 * side):
        raise UsageError(f"tiles of {settings.tile} pixels, wanted a multiple of {side}, {4 * side} or more")
