"""The Wan family as a maker: our own reference generator, checked before any work and loaded in the maker's process."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wanbench.decoding.video import Video
from wanbench.errors import MissingDependency, UndecodableVideo, UsageError
from wanbench.making.makers import MakerOptions, MakerSpec, Tick
from wanbench.making.shelf import Request
from wanbench.record import write_atomically
from wanbench.scenes.encode import Encoding, write_video

if TYPE_CHECKING:
    from wanbench.generator.known import Networks
    from wanbench.generator.models import Model
    from wanbench.generator.planning import Plan
    from wanbench.generator.settings import Settings
    from wanbench.generator.source import Source
    from wanbench.generator.team import Team

PICTURE = ".png"
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""What a mask may be, besides a video."""
ENCODING = Encoding(crf=10)
"""Near lossless, as the official code's files: what is measured should be the model and not the encoder."""


def choose_wan(name: str, options: MakerOptions) -> MakerSpec:
    """A model by name or folder with its settings; every file is found and fits, nothing is loaded yet.

    Raises `UsageError`, `MissingCheckpoints`, `MissingDependency`.
    """
    try:
        from wanbench.generator.known import open_model
        from wanbench.generator.lora import parse
    except ImportError as error:
        raise MissingDependency(f"the model {name}", "generate") from error
    networks = open_model(name, [parse(text) for text in options.lora])
    settings = _settled(networks.model, options)
    if settings.frames < 2 and not options.pictures:
        raise UsageError("a video needs 5 frames or more: --frames 5, 9, ...; pictures are made by `wanbench generate`")
    if settings.video is not None:
        read_source(settings)  # now, so that a wrong file ends the command before any long work
    settings, plan, memory = _laid_out(networks, settings, options)
    files = [path for path in (settings.video, settings.mask) if path is not None]
    return MakerSpec(
        kind="wan",
        name=networks.name,
        settings={
            **settings.to_json(),
            "parameters": networks.fingerprint(),
            "image_sha256": [hashlib.sha256(path.read_bytes()).hexdigest() for path in options.images],
            "source_sha256": [hashlib.sha256(path.read_bytes()).hexdigest() for path in files],
            "dtype": options.dtype,
            "crf": ENCODING.crf,
        },
        circumstances={"memory": str(plan) if plan else "auto"},
        source={"model": name, "options": options, "settings": settings, "memory": memory},
    )


def _settled(model: Model, options: MakerOptions) -> Settings:
    from wanbench.generator.settings import settle

    if (options.height is None) != (options.width is None):
        raise UsageError("a size is WIDTHxHEIGHT, such as 832x480")
    scale = options.guidance
    return settle(
        model,
        size_HW=(options.height, options.width) if options.height and options.width else None,
        frames=options.frames,
        fps=options.fps,
        steps=options.steps,
        shift=options.shift,
        guidance=(scale, scale) if isinstance(scale, float | int) else scale,
        solver=(options.solver or "unipc").replace("dpm++", "dpmpp"),
        negative=options.negative,
        images=options.images,
        tile=options.tile,
        video=options.video,
        mask=options.mask,
        passes=options.passes,
        fp8=options.fp8,
        compile=options.compile,
        reuse=options.reuse,
    )


def _laid_out(networks: Networks, settings: Settings, options: MakerOptions) -> tuple[Settings, Plan | None, int | None]:
    """What a budget decides of the settings, the plan, and the budget; no plan without a number. Raises `UsageError`."""
    from wanbench.generator.planning import bytes_of, chosen_tile, planned
    from wanbench.generator.team import launched

    memory = None if options.memory is None else bytes_of(options.memory)
    if launched() and memory is not None:
        raise UsageError("--memory is for one process: of several each keeps a piece of the parameters with --shard")
    if options.shard and not launched():
        raise UsageError("--shard is for several processes: torchrun --nproc-per-node N -m wanbench generate ...")
    if options.shard and options.fp8:
        raise UsageError("8-bit parameters cannot be dealt to several processes: choose --fp8 or --shard")
    if memory is None:
        return settings, None, None
    import torch

    from wanbench.generator.making import chosen_device, default_dtype

    dtype = getattr(torch, options.dtype or default_dtype(chosen_device(options.device.partition(",")[0].strip())))
    settings = replace(settings, tile=chosen_tile(networks.model, settings, memory))
    free = None if options.passes is None and (settings.reuse is None or settings.reuse.what != "guidance") else settings.passes
    plan = planned(networks.model, networks.text_config, settings, dtype, memory, free)
    return replace(settings, passes="together" if plan.placement.together else "apart"), plan, memory


class WanMaker:
    """The generator on one device, or on this process's share of several."""

    def __init__(self, spec: MakerSpec, device: str, texts: Sequence[str], team: Team | None = None) -> None:
        from wanbench.generator.known import open_model
        from wanbench.generator.lora import parse
        from wanbench.generator.making import Generator

        options: MakerOptions = spec.source["options"]
        settings: Settings = spec.source["settings"]
        networks = open_model(spec.source["model"], [parse(text) for text in options.lora])
        self._fps = settings.fps
        self._team = team
        self.generator = Generator(
            networks,
            settings,
            device=device,
            dtype=options.dtype,
            memory=spec.source["memory"],
            team=team,
            source=None if settings.video is None else read_source(settings),
        )
        self.notes: Sequence[str] = self.generator.notes
        self.generator.encode(texts)  # all at once: then the text model is given up

    def make(self, request: Request, path: Path, tick: Tick) -> Mapping[str, Any]:
        if self._team is not None:
            self._team.tell((request.text, request.seed))
        frames = self.generator.frames(request.text, request.seed, tick)
        if path.suffix == PICTURE:
            write_picture(path, next(frames))
        else:
            write_video(path, frames, fps=self._fps, encoding=ENCODING)
        return {
            "dtype": str(self.generator.dtype).removeprefix("torch."),
            "attention": self.generator.experts.kernel,
            "memory": str(self.generator.plan) if self.generator.plan else None,
            "processes": 1 if self._team is None else self._team.size,
            "deviation": dict(self.generator.experts.deviations),
        }


def follow(spec: MakerSpec, team: Team) -> None:
    """What the others of several processes do: make the latents that the leader asks for, until it says that all is done."""
    maker: WanMaker | None = None
    while (word := team.hear()) is not None:
        if maker is None:
            maker = WanMaker(spec, "auto", word, team)
        else:
            text, seed = word
            maker.generator.latents(text, seed)


def read_source(settings: Settings) -> Source:
    """The video that is changed, at the rate of the result, and its mask. Raises `UsageError`."""
    import torch

    from wanbench.generator.source import Source

    assert settings.video is not None
    frames = _frames_at(settings.video, settings.fps, settings.frames)
    if len(frames) < settings.frames:
        most = (len(frames) - 1) // 4 * 4 + 1
        raise UsageError(
            f"the video {settings.video} gives {len(frames)} frames at {settings.fps:g} a second, and {settings.frames} are to"
            f" be made: --frames {most}, or fewer"
        )
    if settings.mask is None:
        return Source(torch.from_numpy(np.stack(frames)), None)
    masks = _frames_at(settings.mask, settings.fps, settings.frames)
    if len(masks) not in (1, settings.frames):
        raise UsageError(f"the mask {settings.mask} gives {len(masks)} frames, wanted 1 or {settings.frames}")
    whole = np.stack(masks if len(masks) > 1 else masks * settings.frames)
    return Source(torch.from_numpy(np.stack(frames)), torch.from_numpy(whole))


def _frames_at(path: Path, fps: float, count: int) -> list[npt.NDArray[np.uint8]]:
    """At most `count` frames (h, w, 3): what is shown at 0, 1/fps, 2/fps, ... A picture is one frame."""
    if path.suffix.lower() in PICTURES:
        from wanbench.generator.making import read_image

        return [read_image(path).numpy()]
    taken: list[npt.NDArray[np.uint8]] = []
    last: npt.NDArray[np.uint8] | None = None
    try:
        with Video(path) as video:
            for seconds, frame in video.frames(window_seconds=count / fps):
                while last is not None and len(taken) < count and len(taken) / fps < seconds - 1e-6:
                    taken.append(last)
                last = frame
            nominal = video.facts().nominal_fps or fps
            end = video.facts().measured_seconds + 1 / nominal
    except UndecodableVideo as error:
        raise UsageError(f"the video {path} cannot be read: {error}") from error
    while last is not None and len(taken) < count and len(taken) / fps < end - 1e-6:
        taken.append(last)
    return taken


def write_picture(path: Path, frame: npt.NDArray[np.uint8]) -> None:
    """A frame (H, W, 3) as a PNG. Raises `OutputError`."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())
