"""Camera control: is the camera's movement the one that was asked for?

Wan report (arXiv 2503.20314, section 4.6): 130 prompts; pan, lift and zoom from RAFT flow, aerial and tracking shots by Qwen2-VL.
Ours: the movement is named from a similarity per grid pair (`wanbench/metrics/_camera.py`), over the whole clip and over
windows of 0.5 s; score = 1/2 [the whole clip's name is the asked one] + 1/2 (share of windows so named). Lift is stored as
tilt. Aerial and tracking shots are not decided by flow: a judge answers the prompt's questions about the camera; without a judge
they are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wanbench.clip import Clip
from wanbench.dimension import Tools, dimension
from wanbench.expectations import Keeps, Lowers, NotAbove, Skips, unmoved_by_encoding, unmoved_by_timing
from wanbench.judge.frames import EVENT_FRAMES, spread_over
from wanbench.metrics import _camera, _flow, _judged, _shots
from wanbench.metrics._camera import Camera, Movement
from wanbench.types import Prompt, Reading, Skipped

JUDGED = ("aerial", "tracking")
"""Movements that flow cannot decide."""
DECIDED: tuple[Movement, ...] = ("static", "pan-left", "pan-right", "tilt-up", "tilt-down", "zoom-in", "zoom-out")

_SETTINGS = {**_camera.SETTINGS}

_STATIC = ("asked", "static")
CONTROLS = (
    *unmoved_by_encoding(crf18=0.05, crf28=0.1),
    *unmoved_by_timing(repeats=0.05, fewer=0.1),
    Lowers("other_prompt", "another movement was asked for", by=0.5, where_at_least=0.5),
    Skips("empty_prompt", "nothing was asked for"),
    Lowers("frozen", "nothing moves", by=0.5, where_at_least=0.5, unless=_STATIC),
    Lowers("reversed", "the movement is the contrary one", by=0.5, where_at_least=0.5, unless=_STATIC),
    Lowers("shuffled", "the camera goes nowhere", by=0.4, where_at_least=0.5, unless=_STATIC),
    NotAbove("shake", "no movement is asked for by shaking", within=0.05),
    NotAbove("jitter", "no movement is asked for by jitter", within=0.05),
    Keeps("noise", "the camera moves as before", within=0.15),
    Keeps("blur", "the camera moves as before", within=0.1),
    Keeps("flicker", "the camera moves as before", within=0.1),
    Keeps("pillars", "bars are cropped, and hide no pan", within=0.1),
)
"""Written before any result was seen. A clip that misses the movement it was asked for has none to lose, and says nothing."""


@dimension(
    id="camera_control",
    pillar="instruction",
    version=1,
    methods=tuple(replace(method, judge="helps") for method in _flow.methods(_SETTINGS)),
    raw={
        "asked": "the movement that the prompt asks for, by name",
        "camera.movement": "the movement found over the whole clip, by name",
        "camera.pan_width_per_s": "mean shift of the picture's content to the right, frame widths per second",
        "camera.tilt_height_per_s": "mean shift of the picture's content downwards, frame heights per second",
        "camera.zoom_half_log_scale_per_s": "mean growth of the picture's content, half the logarithm of the scale per second",
        "camera.inlier_share": "mean share of lattice points that agree with the similarity",
        "camera.windows": "name of each window of 0.5 s",
        "windows_named_share": "share of windows named as asked",
        "cuts_count": "cuts found",
        **_judged.RAW,
    },
    controls=CONTROLS,
)
def measure(clip: Clip, prompt: Prompt | None, tools: Tools) -> Reading | Skipped:
    found = observe(clip, tools)
    asked = asked_movement(prompt.fields.get("camera")) if prompt else None
    raw: dict[str, Any] = {"asked": asked}
    if isinstance(found, str):
        return Skipped(reason=found, raw=raw)
    raw["camera"] = describe(found)
    raw["cuts_count"] = len(tools.share(_shots.cuts))
    if asked is None:
        return Skipped(reason="no prompt that names a camera movement", raw=raw)
    if asked in JUDGED:
        return _judge(clip, prompt, tools, raw)
    if asked not in DECIDED:
        return Skipped(
            reason=f"the prompt's camera movement {asked!r} is none of {', '.join(DECIDED)}, aerial, tracking", raw=raw
        )
    share = sum(window == asked for window in found.windows) / len(found.windows)
    raw["windows_named_share"] = round(share, 6)
    return Reading(score=0.5 * (found.movement == asked) + 0.5 * share, raw=raw)


def _judge(clip: Clip, prompt: Prompt | None, tools: Tools, raw: dict[str, Any]) -> Reading | Skipped:
    """Aerial and tracking shots: the prompt's questions about the camera, of 16 frames spread over the clip."""
    if tools.judge is None:
        return Skipped(reason=f"{raw['asked']} shots need a judge: --judge NAME or URL", raw=raw)
    questions = _judged.asked(prompt, "camera")
    if isinstance(questions, str):
        return Skipped(reason=questions, raw=raw)
    answers = tools.judge.ask(spread_over(clip, EVENT_FRAMES), questions)
    return Reading(score=_judged.score(answers), raw={**raw, **_judged.raw(answers)})


def observe(clip: Clip, tools: Tools) -> Camera | str:
    """The camera of a clip, or why it cannot be told. A frozen clip is static."""
    if clip.frozen:
        return Camera(
            pairs=(), movement="static", rates=_camera.Rates(pan=0.0, tilt=0.0, zoom=0.0), inlier_share=1.0, windows=("static",)
        )
    if len(clip.grid) < 2:
        return "too short: one distinct frame"
    return _flow.too_small(clip) or tools.share(_camera.CAMERAS[tools.method.name])


def describe(camera: Camera) -> dict[str, Any]:
    """A camera as `raw` holds it."""
    rates = camera.rates or _camera.Rates(pan=0.0, tilt=0.0, zoom=0.0)
    return {
        "movement": camera.movement,
        "pan_width_per_s": round(rates.pan, 6),
        "tilt_height_per_s": round(rates.tilt, 6),
        "zoom_half_log_scale_per_s": round(rates.zoom, 6),
        "inlier_share": round(camera.inlier_share, 6),
        "windows": list(camera.windows),
    }


def asked_movement(camera: object) -> str | None:
    """`{"movement": "pan", "direction": "left"}` or `"pan-left"` -> `pan-left`; `lift` is tilt, `dolly` is zoom."""
    if isinstance(camera, str):
        camera = {"movement": camera}
    if not isinstance(camera, Mapping) or not camera.get("movement"):
        return None
    movement, _, direction = str(camera["movement"]).strip().lower().replace(" ", "-").replace("_", "-").partition("-")
    direction = str(camera.get("direction") or direction).strip().lower()
    movement = {"lift": "tilt", "dolly": "zoom"}.get(movement, movement)
    return f"{movement}-{direction}" if direction and movement in ("pan", "tilt", "zoom") else movement
