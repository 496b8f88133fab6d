"""Videos from prompts: text encoded once and its model given up, then one prompt after the other, frames as they are decoded."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wanbench.errors import UsageError
from wanbench.generator.conditioning import image_condition
from wanbench.generator.denoise import Point
from wanbench.generator.experts import Experts
from wanbench.generator.guidance import Guide, apart
from wanbench.generator.images import cover, inscribe, to_bytes, to_tensor
from wanbench.generator.known import Networks
from wanbench.generator.offload import Guest, stream_text
from wanbench.generator.pipeline import (
    Condition,
    Network,
    Sampling,
    decode_frames,
    draw_noise,
    generate_latents,
    generate_ti2v_latents,
    image_arguments,
)
from wanbench.generator.planning import Plan, planned
from wanbench.generator.settings import Settings
from wanbench.generator.sizes import covering_fit
from wanbench.generator.source import Source, prepared
from wanbench.generator.team import Team
from wanbench.generator.text import encode_text
from wanbench.generator.tiling import decode_tiled
from wanbench.generator.vace_context import vace_context
from wanbench.generator.vae import VAE

Frame = npt.NDArray[np.uint8]
OnStep = Callable[[int, int], None]
"""(steps done, steps in all)"""


class Generator:
    """A model with settings, ready to make one video after another. Networks are loaded at their first use."""

    def __init__(
        self,
        networks: Networks,
        settings: Settings,
        *,
        device: str = "auto",
        dtype: str | None = None,
        memory: int | None = None,
        team: Team | None = None,
        source: Source | None = None,
    ) -> None:
        """`memory`: bytes of the device that may be used; None: what is free on a GPU, and on a CPU no plan.

        `source`: the video that `settings.video` names, read. Raises `UsageError` where memory is too little.
        """
        self.networks, self.settings, self.team = networks, settings, team
        self.device = str(team.device) if team is not None else chosen_device(device)
        self.dtype: torch.dtype = getattr(torch, dtype or default_dtype(self.device))
        if networks.threads is not None:
            torch.set_num_threads(networks.threads)
        self.plan = None if team is not None else self._planned(memory)
        self._told = memory is not None
        self._source = source
        self._images = [read_image(path) for path in settings.images]
        self._texts: dict[str, Tensor] = {}
        self.experts = Experts(networks, settings, device=self.device, dtype=self.dtype, plan=self.plan, team=team)
        self._vae: VAE | None = None
        self._guest: Guest | None = None
        self._given: _Given | None = None

    @property
    def notes(self) -> list[str]:
        """How memory is used, where that is not simply all at once."""
        return [f"memory: {self.plan}"] if self.plan is not None and (self._told or not self.plan.resident) else []

    def _planned(self, memory: int | None) -> Plan | None:
        budget = memory
        if budget is None and self.device.startswith("cuda"):
            budget = torch.cuda.mem_get_info(self.device)[0]
        if budget is None:
            return None
        return planned(
            self.networks.model, self.networks.text_config, self.settings, self.dtype, budget, self.settings.passes
        )  # fmt: skip

    def encode(self, prompts: Sequence[str]) -> None:
        """Encode texts, and the negative one, with the text model, which is given up afterwards."""
        wanted = [text for text in dict.fromkeys((*prompts, self.settings.negative)) if text not in self._texts]
        if not wanted:
            return
        self.experts.leave()
        streamed = self.plan is not None and not self.plan.placement.text_on_device
        tokenizer, encoder = self.networks.text("cpu" if streamed else self.device, self.dtype)
        stream = stream_text(encoder, self.device) if streamed else None
        for text in wanted:  # one by one: a batch would move the last digits of another text
            self._texts[text] = encode_text([text], tokenizer, encoder)[0]
        if stream is not None:
            stream.close()
        del encoder, stream
        self._free()

    def frames(self, prompt: str, seed: int, on_step: OnStep = lambda done, total: None) -> Iterator[Frame]:
        """The frames (height, width, 3) of one video, RGB, as they are decoded; same prompt and seed, same frames."""
        latents = self.latents(prompt, seed, on_step)
        with self._decoder() as vae:
            if self.settings.tile is None:
                parts: Iterator[Tensor] = decode_frames(vae, latents)
            else:
                parts = self._tiled(vae, latents, self.settings.tile)
            for part in parts:
                yield from part.cpu().numpy()

    def latents(self, prompt: str, seed: int, on_step: OnStep = lambda done, total: None) -> Tensor:
        """The latents [z, F, H, W] of one video."""
        self.encode([prompt])
        given = self._conditions()
        noise = draw_noise(given.noise, seed, self.device)
        # Views: a text that is its own negative is told apart by them.
        conditions = [Condition(self._texts[text][:], given.others) for text in (prompt, self.settings.negative)]

        def trial(experts: Sequence[Network]) -> Tensor:
            alone = replace(self._sampling(), solver="euler", guidance=(None, None))
            point = next(self._points(experts, conditions, noise, given, alone, apart))
            return point.after - point.before  # the velocity, times a number

        latents = noise
        with self.experts.for_video(trial) as (experts, guide):
            for done, point in enumerate(self._points(experts, conditions, noise, given, self._sampling(), guide), 1):
                latents = point.after
                on_step(done, self.settings.steps)
        if not latents.isfinite().all():
            raise UsageError(
                f"the network gave values that are no numbers for {prompt[:40]!r}: try --dtype float32, or more steps"
            )
        return latents[:, given.references :]

    def _sampling(self) -> Sampling:
        low, high = (None if scale == 1 else scale for scale in self.settings.guidance)
        return Sampling(
            steps=self.settings.steps,
            shift=self.settings.shift,
            solver=self.settings.solver,
            guidance=(low, high),
            boundary=self.networks.model.boundary or 0.0,
        )

    def _points(
        self,
        experts: Sequence[Network],
        conditions: Sequence[Condition],
        noise: Tensor,
        given: _Given,
        sampling: Sampling,
        guide: Guide[Condition],
    ) -> Iterator[Point]:
        positive, negative = conditions
        if self.networks.model.task == "ti2v":
            return generate_ti2v_latents(experts[0], positive, negative, noise, sampling, given.first, guide)
        return generate_latents(experts, positive, negative, noise, sampling, guide)

    @torch.no_grad()
    def _conditions(self) -> _Given:
        """What the images, the same for every video, become; made once."""
        if self._given is None:
            self._given = self._condition()
        return self._given

    def _condition(self) -> _Given:
        model, settings = self.networks.model, self.settings
        area = settings.size_HW[0] * settings.size_HW[1]
        shape = model.vae.latent_shape(settings.frames, *settings.size_HW)
        if model.task in ("i2v", "flf2v"):
            last = self._images[1] if len(self._images) > 1 else None
            made = image_condition(self._images[0], settings.frames, area, self._encode, last)
            tower = self.networks.tower(self.device, self._tower_dtype())
            others = {name: tensor.to(self.device) for name, tensor in self._arguments(made, tower).items()}
            del tower
            self._free()
            return _Given((shape[0], *made.y.shape[1:]), others)
        if model.task == "ti2v" and self._images:
            fit = covering_fit((self._images[0].shape[0], self._images[0].shape[1]), area, step=2 * model.vae.stride[1])
            first = self._encode(cover(self._images[0], fit)[:, None])
            return _Given((shape[0], shape[1], *first.shape[2:]), {}, first)
        if model.task == "vace":
            return self._vace()
        return _Given(shape, {})

    def _arguments(self, made: Any, tower: nn.Module | None) -> dict[str, Tensor]:
        if tower is not None:
            images = tuple(image.to(self.device, self._tower_dtype()) for image in made.images)
            made = type(made)(made.size, made.video, made.y, images)
        return image_arguments(made, tower)

    def _vace(self) -> _Given:
        """VACE: what is to be changed, or without a source all of it, after the reference images."""
        if self._source is None:
            size = self.settings.size_HW
            frames = torch.zeros(3, self.settings.frames, *size)
            mask = torch.ones(1, self.settings.frames, *size)
        else:
            frames, mask = prepared(self._source, self.settings.size_HW)
            size = (frames.shape[2], frames.shape[3])
        stills = [inscribe(to_tensor(image), size) for image in self._images]
        context = vace_context(frames, mask, stills, lambda video: self._encode(video).cpu()).to(self.device)
        shape = self.networks.model.vae.latent_shape(self.settings.frames, *size)
        return _Given((shape[0], shape[1] + len(stills), *shape[2:]), {"context": context}, references=len(stills))

    def _encode(self, video: Tensor) -> Tensor:
        with self._decoder() as vae:
            return vae.encode(video[None].to(self.device))[0]

    @contextmanager
    def _decoder(self) -> Iterator[VAE]:
        """The autoencoder, on the device while it is needed there."""
        visiting = self.plan is not None and self.plan.visiting
        if self._vae is None:
            self._vae = self.networks.vae("cpu" if visiting else self.device)
            self._guest = Guest(self._vae, pinned=self.device.startswith("cuda")) if visiting else None
        if self._guest is None:
            yield self._vae
            return
        self.experts.leave()
        self._free()
        self._guest.enter(self._guest.places(torch.device(self.device)))
        try:
            yield self._vae
        finally:
            self._guest.leave()
            self._free()

    @staticmethod
    @torch.no_grad()
    def _tiled(vae: VAE, latents: Tensor, tile: int) -> Iterator[Tensor]:
        for pixels in decode_tiled(vae, latents[None].float(), tile):
            yield to_bytes(pixels[0])

    def _tower_dtype(self) -> torch.dtype:
        """float16 on a GPU, as the official run has it."""
        return torch.float16 if self.device.startswith("cuda") else torch.float32

    def _free(self) -> None:
        gc.collect()
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()


class _Given:
    """Shape of the noise [z, F, H, W], more arguments of the network, and what is put back or cut off."""

    def __init__(
        self, noise: tuple[int, int, int, int], others: dict[str, Tensor], first: Tensor | None = None, references: int = 0
    ) -> None:
        self.noise, self.others, self.first, self.references = noise, others, first, references


def default_dtype(device: str) -> str:
    """Of parameters that nobody asked another for."""
    return "bfloat16" if device.startswith("cuda") else "float32"


def chosen_device(device: str) -> str:
    """`auto`: the first GPU, else the CPU. Raises `UsageError` for a device that is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"the device {device!r} is not there: {str(error).splitlines()[0]}") from error
    return device


def read_image(path: Any) -> Tensor:
    """A picture file -> [h, w, 3] uint8, RGB. Raises `UsageError`."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return torch.from_numpy(np.array(image.convert("RGB")))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UsageError(f"the image {path} cannot be read ({type(error).__name__}): damaged, or no picture") from error
