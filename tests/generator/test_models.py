"""The table of released models: facts of the family that hold whatever the row."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from wanbench.generator.build import build_dit
from wanbench.generator.configurations import CLIP_TOKENS, HEAD_DIM, VAE_21, VAE_22
from wanbench.generator.models import MODELS, NEGATIVE, Model

every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@every_model
def test_channels_fit_the_autoencoder(model: Model) -> None:
    """Noise, and for image-to-video four channels of mask and the condition after it."""
    z = model.vae.z_dim
    assert model.dit.in_dim == (2 * z + 4 if model.task in ("i2v", "flf2v") else z)
    assert model.dit.out_dim == z
    assert model.dit.head_dim == HEAD_DIM
    assert model.vae is (VAE_22 if model.task == "ti2v" else VAE_21)


@every_model
def test_default_sizes_are_whole_tokens(model: Model) -> None:
    t, h, w = model.vae.stride
    height, width = model.size_HW
    assert height % (2 * h) == width % (2 * w) == 0
    assert model.frames % t == (0 if model.task == "s2v" else 1)


@every_model
def test_branches_follow_the_task(model: Model) -> None:
    images = {"i2v": None, "flf2v": 2 * CLIP_TOKENS}
    if model.dit.image:
        assert model.dit.image.positions == images[model.task]
    assert (model.dit.vace is not None) == (model.task == "vace")
    assert (model.dit.speech is not None) == (model.task == "s2v")
    assert (model.boundary is not None) == ("A14B" in model.repository)


@every_model
def test_the_default_video_goes_through_at_full_size(model: Model) -> None:
    """Shapes only: on the meta device nothing is computed, and nothing takes memory."""
    z, f, h, w = model.vae.latent_shape(model.frames + (model.task == "s2v"), *model.size_HW)
    others = {}
    with torch.device("meta"):
        network = build_dit(replace(model.dit, num_layers=2, vace=model.dit.vace and replace(model.dit.vace, layers=(0,))))
        if model.dit.speech:
            f = model.frames // 4
            others = {"audio": torch.empty(1, 25, 1024, model.frames), "pose": torch.empty(1, z, f, h, w)}
            others |= {"reference": torch.empty(1, z, 1, h, w), "motion": torch.empty(1, z, 19, h, w)}
        if model.dit.in_dim > z:
            others["y"] = torch.empty(1, model.dit.in_dim - z, f, h, w)
        if model.dit.image:
            others["image"] = torch.empty(1, model.dit.image.positions or CLIP_TOKENS, model.dit.image.width)
        if model.dit.vace:
            others["context"] = torch.empty(1, model.dit.vace.in_dim, f, h, w)
        out = network(torch.empty(1, z, f, h, w), torch.empty(1), [torch.empty(9, 4096)], **others)
    assert out.shape == (1, z, f, h, w)


@pytest.mark.parametrize(("name", "tokens"), [("wan-1.3b", 32760), ("wan-14b", 75600), ("wan2.2-ti2v-5b", 27280)])
def test_tokens_of_the_default_video(name: str, tokens: int) -> None:
    """As the official code counts them."""
    model = MODELS[name]
    _, f, h, w = model.vae.latent_shape(model.frames, *model.size_HW)
    assert f * (h // 2) * (w // 2) == tokens


def test_negative_prompts_differ_by_what_the_camera_does() -> None:
    assert MODELS["wan-i2v-14b-720p"].negative == "镜头晃动，" + NEGATIVE
    assert MODELS["wan-flf2v-14b"].negative == "镜头切换，镜头晃动，" + NEGATIVE
    assert NEGATIVE.count("，") == 27
