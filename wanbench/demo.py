"""A few small candidates of our own, so that a new user sees scores, a comparison and a report without any video or download.

Ours. The same nine prompts for every candidate, three for each dimension that `lite` measures, as a suite of its own.
What is wrong with each candidate is known, and so is what the dimensions must say of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from wanbench.errors import OutputError
from wanbench.record import require_own
from wanbench.scenes import damage
from wanbench.scenes.backdrop import Backdrop
from wanbench.scenes.damage import Timed
from wanbench.scenes.encode import Encoding, write_video
from wanbench.scenes.render import Movement, Scene, Subject, render

FPS = 16
"""The rate of Wan's own videos."""
SECONDS = 3.0
ENCODING = Encoding(qp=22, codec_options={"preset": "superfast", "bf": "0"})
"""One quantiser for every frame: with a rate factor x264 refines a repeated frame, so that it no longer is a repeat."""

SUITE_FILE = "demo.jsonl"

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with (files done, files in all) after each file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shot:
    """A prompt and the scene that fulfils it."""

    id: str
    dimension: str
    """The one it counts in."""
    text: str
    scene: Scene
    camera: Mapping[str, str]
    """The asked camera movement as a suite writes it."""

    def line(self) -> dict[str, Any]:
        """This prompt in the demo's suite."""
        return {"id": self.id, "dimension": self.dimension, "text": {"en": self.text}, "camera": dict(self.camera)}


def _asked(movement: str, direction: str) -> dict[str, str]:
    return {"movement": movement, "direction": direction}


def _balloon(x: float, y: float, size: float, vx: float, vy: float) -> Subject:
    return Subject(kind="balloon", size=size, start_XY=(x, y), velocity_XY=(vx, vy), anchored=True)


def _bird(x: float, y: float, size: float, vx: float, vy: float) -> Subject:
    return Subject(
        kind="bird", size=size, start_XY=(x, y), velocity_XY=(vx, vy), anchored=True, wobble=0.16, wobble_hertz=2.0 + 4 * size
    )


def _boat(x: float, y: float, size: float, vx: float) -> Subject:
    return Subject(kind="boat", size=size, start_XY=(x, y), velocity_XY=(vx, 0.0), anchored=True)


def _kite(x: float, y: float, size: float, vx: float, vy: float) -> Subject:
    return Subject(kind="kite", size=size, start_XY=(x, y), velocity_XY=(vx, vy), anchored=True, wobble=0.04)


def _zoomed(direction: Movement, *subjects: Subject, picture: Backdrop) -> Scene:
    return Scene(movement=direction, speed=0.12, picture=picture, subjects=subjects)


SHOTS = (
    _Shot(
        id="demo-pan-left",
        dimension="camera_control",
        text="The camera pans left across a quiet bay at sunset where sailing boats pass each other",
        camera=_asked("pan", "left"),
        scene=Scene(
            movement="pan-left",
            speed=0.16,
            picture="sea",
            subjects=(_boat(0.62, 0.58, 0.34, -0.03), _boat(0.05, 0.5, 0.18, 0.05)),
        ),
    ),
    _Shot(
        id="demo-pan-right",
        dimension="large_motion_generation",
        text="The camera pans right along a city skyline at dusk while gulls fly past",
        camera=_asked("pan", "right"),
        scene=Scene(
            movement="pan-right",
            speed=0.14,
            picture="city",
            subjects=(
                _bird(0.3, 0.20, 0.17, 0.13, -0.02),
                _bird(0.46, 0.25, 0.14, 0.12, -0.02),
                _bird(0.62, 0.18, 0.19, 0.11, -0.01),
            ),
        ),
    ),
    _Shot(
        id="demo-tilt-up",
        dimension="camera_control",
        text="The camera tilts up from green hills to a hot-air balloon that rises into the clouds",
        camera=_asked("tilt", "up"),
        scene=Scene(movement="tilt-up", speed=0.17, picture="hills", subjects=(_balloon(0.56, 0.38, 0.46, -0.02, -0.13),)),
    ),
    _Shot(
        id="demo-tilt-down",
        dimension="large_motion_generation",
        text="The camera tilts down from the sky to a flower garden with a kite above it",
        camera=_asked("tilt", "down"),
        scene=Scene(movement="tilt-down", speed=0.16, picture="garden", subjects=(_kite(0.35, 0.45, 0.4, 0.06, 0.1),)),
    ),
    _Shot(
        id="demo-zoom-in",
        dimension="camera_control",
        text="The camera zooms in on balloons floating over a valley",
        camera=_asked("zoom", "in"),
        scene=_zoomed("zoom-in", _balloon(0.44, 0.36, 0.2, 0.01, -0.01), _balloon(0.63, 0.44, 0.13, -0.01, 0.0), picture="hills"),
    ),
    _Shot(
        id="demo-ball",
        dimension="large_motion_generation",
        text="A beach ball rolls across a meadow full of flowers, fixed camera",
        camera={"movement": "static"},
        scene=Scene(
            picture="garden", subjects=(Subject(kind="ball", size=0.32, start_XY=(0.12, 0.72), velocity_XY=(0.25, 0.02)),)
        ),
    ),
    _Shot(
        id="demo-balloons",
        dimension="pixel_level_stability",
        text="Three hot-air balloons drift over green hills, fixed camera",
        camera={"movement": "static"},
        scene=Scene(
            picture="hills",
            subjects=(
                _balloon(0.20, 0.36, 0.26, 0.05, -0.03),
                _balloon(0.50, 0.24, 0.16, 0.03, 0.02),
                _balloon(0.75, 0.48, 0.40, -0.10, -0.07),
            ),
        ),
    ),
    _Shot(
        id="demo-boat",
        dimension="pixel_level_stability",
        text="A sailing boat crosses a calm bay, fixed camera",
        camera={"movement": "static"},
        scene=Scene(picture="sea", subjects=(_boat(0.25, 0.55, 0.42, 0.07),)),
    ),
    _Shot(
        id="demo-kite",
        dimension="pixel_level_stability",
        text="A kite circles over the roofs of a city, fixed camera",
        camera={"movement": "static"},
        scene=Scene(picture="city", subjects=(_kite(0.3, 0.3, 0.3, 0.1, 0.03),)),
    ),
)

Damaged = Callable[[Iterable[Timed], np.random.Generator], Iterable[Timed]]


def _jittered(frames: Iterable[Timed], rng: np.random.Generator) -> Iterator[Timed]:
    return damage.shake(damage.jitter(frames, amplitude_px=2.0, rng=rng), amplitude_px=3.0, rng=rng)


def _choppy(frames: Iterable[Timed], rng: np.random.Generator) -> Iterator[Timed]:
    return damage.repeat(damage.thin(frames, keep_every=4), times=4)


CANDIDATES: Mapping[str, Damaged] = {
    "steady": lambda frames, rng: frames,
    "flicker": lambda frames, rng: damage.flicker(frames, amplitude=0.12, rng=rng),
    "jitter": _jittered,
    "choppy": _choppy,
    "slow": lambda frames, rng: frames,
}
"""Name -> what is done to the frames of every shot. `slow` films the same scenes at a quarter of the speed."""
SLOWED = {"slow": 0.25}


def render_candidates(out: Path, *, progress: Progress | None = None) -> dict[str, Path]:
    """Write `out/NAME/PROMPT.mp4` and `prompts.jsonl` for every candidate; returns name -> folder.

    Files that are there already are kept, so a cut rendering goes on where it stopped. Raises OutputError when `out` cannot be
    written.
    """
    folders = {name: out / name for name in CANDIDATES}
    total, done = len(SHOTS) * len(CANDIDATES), 0
    for folder in folders.values():
        _write_lines(folder / "prompts.jsonl", ({"video": f"{shot.id}.mp4", "prompt_id": shot.id} for shot in SHOTS))
    for number, shot in enumerate(SHOTS):
        filmed: dict[float, list[Timed]] = {}
        for name, damaged in CANDIDATES.items():
            path, pace = folders[name] / f"{shot.id}.mp4", SLOWED.get(name, 1.0)
            if not path.exists():
                if pace not in filmed:
                    filmed[pace] = list(render(_paced(shot.scene, pace), fps=FPS, seconds=SECONDS, seed=number))
                rng = np.random.default_rng((number, list(CANDIDATES).index(name)))
                write_video(path, (frame for _, frame in damaged(filmed[pace], rng)), fps=FPS, encoding=ENCODING)
            done += 1
            if progress:
                progress(done, total)
    return folders


def _paced(scene: Scene, pace: float) -> Scene:
    """The scene with every speed multiplied."""
    subjects = tuple(
        replace(s, velocity_XY=(s.velocity_XY[0] * pace, s.velocity_XY[1] * pace), wobble_hertz=s.wobble_hertz * pace)
        for s in scene.subjects
    )
    return replace(scene, speed=scene.speed * pace, subjects=subjects)


def _write_lines(file: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror}") from error


def demo(out: Path, *, score: Callable[[Mapping[str, Path], Path], T], progress: Progress | None = None) -> T:
    """Render the candidates into `out/videos` and return what `score` makes of them (name -> folder, the suite's file)."""
    if out.is_dir():
        require_own(out)
    videos = out / "videos"
    suite = videos / SUITE_FILE
    _write_lines(suite, (shot.line() for shot in SHOTS))
    return score(render_candidates(videos, progress=progress), suite)
