"""From text to frames: whole loops of the Wan family, over networks that are given.

Each function is a generator of the points on its way; the last one's `after` are the latents of the video. Text is encoded
before, and latents decoded after, so that never more than one network needs to be in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from wanbench.generator.conditioning import ImageCondition
from wanbench.generator.denoise import Point, Velocity, denoise, switched
from wanbench.generator.guidance import Guide, apart
from wanbench.generator.image_tower import image_tokens, preprocess
from wanbench.generator.images import to_bytes
from wanbench.generator.samplers.table import SOLVERS
from wanbench.generator.vae import VAE

Shape = tuple[int, int, int, int]
"""Latents [z, F, H, W]."""
Network = Callable[..., Tensor]
"""A transformer, or what is called like one: placed elsewhere, with another attention, with a memory of its last step."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How noise becomes a video."""

    steps: int
    shift: float
    solver: str = "unipc"
    guidance: tuple[float | None, float | None]
    """(low noise, high noise), in this order, as the official configurations have it; one expert uses the first."""
    boundary: float = 0.875
    """Share of 1000 from which the high-noise expert works."""


@dataclass(frozen=True)
class Condition:
    """What one pass of the network is told."""

    text: Tensor
    """[tokens, text_dim], without padding"""
    others: Mapping[str, Tensor] = field(default_factory=dict)
    """More arguments of the network, without the axis of samples: `y`, `image`, `context`, `audio`, ..."""


def draw_noise(shape: Shape, seed: int, device: torch.device | str = "cpu") -> Tensor:
    """Noise [z, F, H, W], float32. A seed gives other noise on another kind of device."""
    return torch.randn(shape, generator=torch.Generator(device).manual_seed(seed), device=device)


def generate_latents(
    experts: Sequence[Network],
    positive: Condition,
    negative: Condition,
    noise: Tensor,
    sampling: Sampling,
    guide: Guide[Condition] = apart,
) -> Iterator[Point]:
    """Text-, image- and first-last-frame-to-video, VACE: noise [z, F, H, W] -> points.

    `experts` is one network, or the low-noise and the high-noise one, in this order. `guide` says how the two passes are made.
    """

    def velocity(dit: Network, scale: float | None) -> Velocity:
        def network(x: Tensor, t: int, told: Sequence[Condition]) -> Tensor:
            others = {name: torch.stack([one.others[name] for one in told]) for name in told[0].others}
            return dit(*_repeated(x, t, len(told)), [one.text for one in told], **others)

        return guide(network, positive, negative, scale)

    low, *high = (velocity(dit, scale) for dit, scale in zip(experts, sampling.guidance, strict=False))
    return _solve(switched(high[0], low, sampling.boundary) if high else low, noise, sampling)


def generate_ti2v_latents(
    dit: Network,
    positive: Condition,
    negative: Condition,
    noise: Tensor,
    sampling: Sampling,
    first: Tensor | None = None,
    guide: Guide[Condition] = apart,
) -> Iterator[Point]:
    """The 5B network of Wan2.2: noise [z, F, H, W] and, from an image, the latents `first` [z, 1, H, W] of its frame -> points.

    That frame is put back after every step, and its tokens are told a time of 0.
    """
    free = torch.ones(noise.shape[1:], device=noise.device)
    if first is not None:
        free[0] = 0

    def network(x: Tensor, t: int, told: Sequence[Condition]) -> Tensor:
        times = token_times(free, t).expand(len(told), -1)
        return dit(x.expand(len(told), *x.shape), times, [one.text for one in told])

    def restore(x: Tensor) -> Tensor:
        return x if first is None else (1 - free) * first + free * x

    return _solve(guide(network, positive, negative, sampling.guidance[0]), noise, sampling, restore)


def token_times(free: Tensor, t: int) -> Tensor:
    """free [F, H, W], 0 where latents are given -> the time of each token [F * H/2 * W/2], 0 or t."""
    return (free[:, ::2, ::2] * t).flatten()


@torch.no_grad()
def image_arguments(made: ImageCondition, tower: nn.Module | None = None) -> dict[str, Tensor]:
    """What `Condition.others` holds for image-to-video, in both passes: `y`, and with the tower of Wan2.1 `image`, the tokens of
    the first image followed by those of the last [257 or 514, 1280].
    """
    if tower is None:
        return {"y": made.y}
    config: Any = tower.config
    tokens = image_tokens(preprocess(made.images, config.image_size), tower)
    return {"y": made.y, "image": tokens.flatten(0, 1)}


@torch.no_grad()
def decode_frames(vae: VAE, latents: Tensor, *, chunk: int = 1) -> Iterator[Tensor]:
    """latents [z, F, H, W] -> bytes [T, H, W, 3] as they come, 4F - 3 frames in all. References of VACE are cut off before."""
    for pixels in vae.decode_stream(latents[None].float(), chunk=chunk):
        yield to_bytes(pixels[0])


def _repeated(x: Tensor, t: int, count: int) -> tuple[Tensor, Tensor]:
    return x.expand(count, *x.shape), torch.tensor([t], device=x.device).expand(count)


def _solve(
    velocity: Velocity, noise: Tensor, sampling: Sampling, restore: Callable[[Tensor], Tensor] | None = None
) -> Iterator[Point]:
    solver = SOLVERS[sampling.solver]
    return denoise(velocity, noise, solver.schedule(sampling.steps, sampling.shift), solver.step, restore)
