"""Whatever text-to-video pipeline diffusers can run: `diffusers:ORG/NAME`, or `diffusers:FOLDER`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wanbench.errors import MissingDependency, UsageError
from wanbench.making.makers import CannotMake, MakerSpec, Tick
from wanbench.making.shelf import Request
from wanbench.scenes.encode import write_video

SEVERAL_NAMES = {
    "frames": ("num_frames", "video_length"),
    "steps": ("num_inference_steps",),
    "guidance": ("guidance_scale",),
    "height": ("height",),
    "width": ("width",),
    "negative": ("negative_prompt",),
}
"""Our setting -> what pipelines call it."""


class DiffusersMaker:
    """A pipeline on one device. Only what the user set is passed on: the pipeline's own defaults are its authors' choice."""

    notes: Sequence[str] = ()

    def __init__(self, spec: MakerSpec, device: str) -> None:
        try:
            import diffusers
            import torch
        except ImportError as error:
            raise MissingDependency("a diffusers pipeline", "diffusers") from error
        self._torch = torch
        self._settings = spec.settings
        dtype = getattr(torch, spec.settings["dtype"])
        source = spec.name
        try:
            pipeline: Any = diffusers.DiffusionPipeline
            self._pipeline = pipeline.from_pretrained(
                source, torch_dtype=dtype, local_files_only=bool(spec.circumstances.get("offline"))
            )
        except (OSError, ValueError, ImportError, KeyError, AttributeError) as error:
            raise UsageError(f"diffusers cannot load {source!r}: {' '.join(str(error).split())[:300]}") from error
        self._takes = set(inspect.signature(self._pipeline.__call__).parameters)
        self._passed = dict(self._arguments())
        self._pipeline.set_progress_bar_config(disable=True)
        self._pipeline.to("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))

    def make(self, request: Request, path: Path, tick: Tick) -> Mapping[str, Any]:
        # Noise from the CPU's generator: the same seed gives the same video on every device of one kind.
        generator = self._torch.Generator("cpu").manual_seed(request.seed)

        def after_step(pipeline: Any, step: int, time: Any, given: dict[str, Any]) -> dict[str, Any]:
            tick(step + 1, int(pipeline.num_timesteps))
            return {}

        watching = {"callback_on_step_end": after_step} if "callback_on_step_end" in self._takes else {}
        out = self._pipeline(prompt=request.text, generator=generator, output_type="np", **self._passed, **watching)
        videos = getattr(out, "frames", None)
        if videos is None:
            raise CannotMake(f"{type(self._pipeline).__name__} makes no video")
        frames = (videos[0].clip(0.0, 1.0) * 255.0).round().astype("uint8")
        write_video(path, frames, fps=float(self._settings["fps"]))
        return {"pipeline": type(self._pipeline).__name__}

    def _arguments(self) -> Any:
        for ours, theirs in SEVERAL_NAMES.items():
            value = self._settings.get(ours)
            if value is None:
                continue
            name = next((n for n in theirs if n in self._takes), None)
            if name is None:
                raise UsageError(f"{type(self._pipeline).__name__} takes no --{ours}")
            yield name, value
