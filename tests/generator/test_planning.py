"""`--memory`: what a budget chooses, and that only what it says moves a pixel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wanbench.errors import UsageError
from wanbench.generator import planning
from wanbench.generator.build import build_dit
from wanbench.generator.configurations import VAE_21, VAE_22
from wanbench.generator.cost import activation_bytes, encode_bytes
from wanbench.generator.known import open_model
from wanbench.generator.loading import float32_names
from wanbench.generator.making import Generator
from wanbench.generator.models import MODELS
from wanbench.generator.placement import needed
from wanbench.generator.planning import bytes_of, chosen_tile, planned, sizes_of
from wanbench.generator.settings import Settings, settle
from wanbench.generator.text import UMT5_XXL
from wanbench.generator.tiling import decode_tiled
from wanbench.generator.vae import VAE

from . import folders
from .test_placement import meta_pass
from .tracing import peak_bytes

SMALL = MODELS["wan-1.3b"]
PUBLISHED = 8_190_000_000


def plan(name: str, budget: float, passes: str | None = None, dtype: torch.dtype = torch.bfloat16, **asked):
    model = MODELS[name]
    settings = settle(model, **asked)
    settings = replace(settings, tile=chosen_tile(model, settings, round(budget * 1e9)))
    return planned(model, UMT5_XXL, settings, dtype, round(budget * 1e9), passes)


@pytest.mark.parametrize(
    ("text", "count"),
    [("8.19", PUBLISHED), ("8.19GB", PUBLISHED), ("8.19 gb", PUBLISHED), ("24g", 24 * 10**9), ("8GiB", 2**33), ("auto", None)],
)
def test_a_budget_as_users_write_it(text: str, count: int | None) -> None:
    assert bytes_of(text) == count


@pytest.mark.parametrize("text", ["", "0", "-3", "8.19MB", "much"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(UsageError, match=r"--memory takes gigabytes, such as 8\.19GB, or auto, not"):
        bytes_of(text)


def test_the_published_memory_holds_the_1_3b_at_480p() -> None:
    made = plan("wan-1.3b", 8.19)
    assert str(made) == (
        "8.19 GB: all blocks on the device, 7.43 GB for latents with both passes at once, text encoder streamed, "
        "decoding in squares of 576 pixels"
    )
    assert made.visiting  # transformer and autoencoder would be too much together
    assert not made.resident


def test_squares_that_are_chosen_are_the_largest_that_fit() -> None:
    """576 pixels a side are 480 x 576 of a frame: 0.6 + 0.51 GB and 25,191 bytes a pixel."""
    settings = settle(SMALL)
    assert chosen_tile(SMALL, settings, PUBLISHED) == 576
    others = 600_000_000 + 4 * 126_892_531 + 200 * 480 * 832
    assert others + 25191 * 480 * 576 <= PUBLISHED < others + 25191 * 480 * 592
    assert chosen_tile(SMALL, settings, 12 * 10**9) is None
    assert chosen_tile(SMALL, replace(settings, tile=128), PUBLISHED) == 128


@pytest.mark.parametrize(
    ("name", "budget", "says"),
    [
        ("wan-1.3b", 2.0, r"a memory of 2\.00 GB is too little: encoding the text at this size needs \d\.\d\d GB"),
        ("wan-14b", 8.0, r"a memory of 8\.00 GB is too little: this model at this size needs \d+\.\d\d GB even with all"),
    ],
)
def test_too_little_says_what_the_least_is_and_that_is_enough(name: str, budget: float, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        plan(name, budget)
    least = float(str(refused.value).split("needs ")[1].split(" GB")[0])
    assert least > budget
    plan(name, least + 0.01)
    with pytest.raises(UsageError):
        plan(name, least - 0.02)


def test_what_is_free_never_chooses_squares() -> None:
    """Else the same command would make another video tomorrow."""
    settings = settle(SMALL)
    with pytest.raises(
        UsageError, match=r"decoding at this size needs 11\.1\d GB in whole frames: --memory with a number, or --vae"
    ):
        planned(SMALL, UMT5_XXL, settings, torch.bfloat16, PUBLISHED, settings.passes)
    made = planned(SMALL, UMT5_XXL, settings, torch.bfloat16, 12 * 10**9, settings.passes)
    assert not made.placement.together


def test_the_sizes_are_those_of_real_networks() -> None:
    for name in ("wan-1.3b", "wan-vace-1.3b", "wan-i2v-14b-480p"):
        model = MODELS[name]
        with torch.device("meta"):
            network = build_dit(model.dit)
        islands = float32_names(network)
        settings = Settings(
            size_HW=(480, 832), frames=81, fps=16, steps=2, shift=5, guidance=(5, 5), solver="euler", negative=""
        )  # fmt: skip
        sizes = sizes_of(model, UMT5_XXL, settings, torch.bfloat16)
        wanted = sum(p.numel() * (4 if parameter in islands else 2) for parameter, p in network.named_parameters())
        assert sizes.transformer == wanted
        eighth = sizes_of(model, UMT5_XXL, replace(settings, fp8=True), torch.bfloat16)
        assert eighth.block == pytest.approx(sizes.block / 2, rel=0.01)
        assert eighth.rest == sizes.rest


def test_remembered_attention_is_counted() -> None:
    """30 blocks, 32,760 tokens, 1536 wide, 2 bytes, two passes: 6.04 GB."""
    exact, reusing = (sizes_of(SMALL, UMT5_XXL, settle(SMALL, reuse=what), torch.bfloat16) for what in (None, "attention"))
    assert (exact.kept, reusing.kept) == (0, 2 * 30 * 32760 * 1536 * 2)


def test_hints_of_vace_and_encoding_are_those_of_a_trace() -> None:
    config = MODELS["wan-vace-1.3b"].dit
    config = replace(config, num_layers=6, vace=replace(config.vace, layers=(0, 2, 4)))
    network, work = meta_pass(config, (21, 60, 104), torch.bfloat16)
    assert peak_bytes(network, work) == pytest.approx(activation_bytes(config, 32760), rel=0.03)
    for vae in (VAE_21, VAE_22):
        height, width = 4 * vae.stride[1], 6 * vae.stride[2]
        with torch.device("meta"):
            network, video = VAE(vae), torch.empty(1, 3, 13, height, width)
        assert peak_bytes(network, lambda n=network, v=video: n.encode(v)) == pytest.approx(
            encode_bytes(vae, height, width), rel=0.01
        )


def test_float32_is_at_most_what_is_planned() -> None:
    for name in ("wan-1.3b", "wan-14b", "wan-vace-1.3b"):
        config = MODELS[name].dit
        config = replace(config, num_layers=2, vace=config.vace and replace(config.vace, layers=(0,)))
        network, work = meta_pass(config, (3, 20, 20), torch.float32)
        assert peak_bytes(network, work) <= 1.03 * 2 * activation_bytes(config, 300)


@pytest.fixture(scope="module")
def two_experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.write_model(tmp_path_factory.mktemp("models") / "two", replace(folders.T2V, num_layers=4), experts=2)


def made(networks, memory: int | None = None, **asked) -> tuple[np.ndarray, Generator]:
    settings = settle(networks.model, **{"size_HW": (32, 48), "frames": 5, "steps": 3, "negative": "grey", **asked})
    generator = Generator(networks, settings, device="cpu", memory=memory)
    generator.encode(["a cat", "a dog"])
    return np.stack([*generator.frames("a cat", 0), *generator.frames("a dog", 1)]), generator


def test_the_same_video_wherever_parameters_wait(two_experts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text streamed, experts in turn, blocks in slots, transformer and autoencoder in turn: not a byte differs.

    Stages that would need more than the tiny transformers are made small, so that these are what a budget is about.
    """
    networks = open_model(str(two_experts))
    wanted, exact = made(networks)
    assert exact.plan is None
    monkeypatch.setattr(planning, "_decoding", lambda *_: 50_000)
    monkeypatch.setattr(planning, "_text_bytes", lambda *_, streamed: 1_000 if streamed else 10**9)
    sizes = sizes_of(networks.model, networks.text_config, exact.settings, torch.float32)
    for experts, blocks in ((1, 0), (1, 1), (1, 4), (2, 4)):
        memory = needed(sizes, experts=experts, blocks=blocks, samples=1)
        frames, generator = made(networks, memory)
        placed = generator.plan.placement
        assert (placed.experts_resident, placed.blocks_resident, placed.text_on_device) == (experts, blocks, False)
        assert generator.plan.visiting
        assert generator.notes == [f"memory: {generator.plan}"]
        assert np.array_equal(frames, wanted), str(generator.plan)
    frames, generator = made(networks, 2 * 10**9)
    assert generator.plan.resident
    assert np.array_equal(frames, wanted)


def test_states_of_squares_move_with_them_and_change_nothing() -> None:
    from wanbench.generator import tiny
    from wanbench.generator.tiling import moved

    vae, latents = tiny.autoencoder(), torch.randn(1, 16, 3, 8, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        parts = torch.cat(list(decode_tiled(vae, latents, 64)), dim=2)
        assert torch.equal(parts, torch.cat(list(decode_tiled(vae, latents, 64)), dim=2))
        _, state = vae.decode_chunk(latents[:, :, :1])
        gone = moved(state, torch.device("meta"))
    from torch.utils._pytree import tree_leaves

    tensors = [leaf for leaf in tree_leaves(gone) if isinstance(leaf, torch.Tensor)]
    assert len(tensors) > 20
    assert all(tensor.is_meta for tensor in tensors)
