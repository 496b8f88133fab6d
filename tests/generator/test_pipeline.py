"""Whole loops over tiny networks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from wanbench.errors import UsageError
from wanbench.generator.conditioning import image_condition
from wanbench.generator.configurations import VAE_21, VAE_22
from wanbench.generator.image_tower import TowerConfig, build_image_tower
from wanbench.generator.pipeline import (
    Condition,
    Sampling,
    decode_frames,
    draw_noise,
    generate_latents,
    generate_ti2v_latents,
    image_arguments,
)

from . import tiny

SAMPLING = Sampling(steps=3, shift=5.0, guidance=(5.0, 4.0))
POSITIVE, NEGATIVE = Condition(tiny.draw(3, 10, seed=1)), Condition(tiny.draw(5, 10, seed=2))
NOISE = draw_noise((4, 2, 4, 6), 0)


def test_the_same_seed_gives_the_same_video_and_gradients_stay_as_they_were() -> None:
    ends = [list(generate_latents([tiny.dit()], POSITIVE, NEGATIVE, draw_noise((4, 2, 4, 6), 0), SAMPLING)) for _ in range(2)]
    assert torch.equal(ends[0][-1].after, ends[1][-1].after)
    points = generate_latents([tiny.dit()], POSITIVE, NEGATIVE, NOISE, SAMPLING)
    next(points)
    assert torch.is_grad_enabled()  # between two steps the caller's setting holds
    frames = decode_frames(tiny.vae("2.1"), tiny.draw(3, 2, 2, 2))
    next(frames)
    assert torch.is_grad_enabled()


def test_two_experts_are_the_low_and_the_high_one() -> None:
    low, high = tiny.dit(), tiny.randomised(tiny.dit(), seed=1)

    def end(*experts, boundary: float = 0.875) -> torch.Tensor:
        sampling = replace(SAMPLING, guidance=(5.0, 5.0), boundary=boundary)
        return list(generate_latents(experts, POSITIVE, NEGATIVE, NOISE, sampling))[-1].after

    assert torch.equal(end(low, high, boundary=1.0), end(low))
    assert torch.equal(end(low, high, boundary=0.0), end(high))
    assert not torch.equal(end(low, high), end(low))


@pytest.mark.parametrize(("config", "last"), [(tiny.I2V, False), (tiny.FLF2V, True)])
def test_from_images(config, last: bool) -> None:
    """A tower of 5 tokens an image, 8 wide; y has 4 channels of mask and 4 of latents."""
    tower = build_image_tower(TowerConfig(image_size=4, patch_size=2, dim=8, ffn_dim=8, num_heads=2, num_layers=2))
    images = (torch.rand(2, 20, 30, 3, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)
    made = image_condition(
        images[0], 5, 32 * 48, lambda video: video[:1, ::4, ::8, ::8].repeat(4, 1, 1, 1), images[1] if last else None
    )
    others = image_arguments(made, tower)
    assert others["image"].shape == (10 if last else 5, 8)
    told = [replace(condition, others=others) for condition in (POSITIVE, NEGATIVE)]
    noise = draw_noise((4, *made.y.shape[1:]), 0)
    end = list(generate_latents([tiny.dit(config)], *told, noise, SAMPLING))[-1].after
    assert end.shape == noise.shape
    assert end.isfinite().all()
    assert list(image_arguments(made)) == ["y"]


def test_the_given_frame_is_kept_to_the_end() -> None:
    first = tiny.draw(4, 1, 4, 6, seed=5)
    points = list(generate_ti2v_latents(tiny.dit(), POSITIVE, NEGATIVE, NOISE, SAMPLING, first))
    assert all(torch.equal(p.after[:, :1], first) for p in points)


@pytest.mark.parametrize("chunk", [1, 2])
def test_frames_come_as_they_are_decoded(chunk: int) -> None:
    parts = list(decode_frames(tiny.vae("2.1"), tiny.draw(3, 3, 2, 3), chunk=chunk))
    assert [len(part) for part in parts] == ([1, 4, 4] if chunk == 1 else [5, 4])
    assert parts[0].shape[1:] == (16, 24, 3)
    assert parts[0].dtype == torch.uint8


@pytest.mark.parametrize(
    ("vae", "video", "says"),
    [
        (VAE_21, (80, 480, 832), "80 frames, wanted a multiple of 4 and one: 77 or 81"),
        (VAE_21, (0, 480, 832), "0 frames, wanted a multiple of 4 and one: 1 or 5"),
        (VAE_21, (81, 488, 832), "a size of 832x488, wanted multiples of 16x16 pixels"),
        (VAE_22, (121, 720, 1280), "a size of 1280x720, wanted multiples of 32x32 pixels"),
        (VAE_21, (81, 0, 832), "a size of 832x0, wanted multiples of 16x16 pixels"),
    ],
)
def test_what_makes_no_whole_tokens_is_refused(vae, video, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        vae.latent_shape(*video)
    assert str(refused.value) == says
