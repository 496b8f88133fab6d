"""What a pass costs, against a count and a trace of real networks; and what is placed where, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from wanbench.errors import UsageError
from wanbench.generator.build import build_dit
from wanbench.generator.configurations import (
    FLF2V_14B,
    I2V_14B,
    I2V_A14B,
    T2V_1_3B,
    T2V_14B,
    TI2V_5B,
    VACE_1_3B,
    VAE_21,
    VAE_22,
    DiTConfig,
)
from wanbench.generator.cost import (
    activation_bytes,
    block_flops,
    block_parameters,
    decode_bytes,
    forward_flops,
    token_count,
)
from wanbench.generator.placement import RESERVE, Sizes, needed, place
from wanbench.generator.vae import VAE

from . import tiny
from .tracing import peak_bytes


def meta_pass(config: DiTConfig, grid: tuple[int, int, int], dtype: torch.dtype = torch.float32):
    """A network on the meta device and one pass of it."""
    with torch.device("meta"):
        network = build_dit(config).to(dtype)
        given = {
            "x": torch.empty(1, config.out_dim, *grid),
            "t": torch.empty(1),
            "text": [torch.empty(config.text_len, config.text_dim)],
        }
        if config.in_dim > config.out_dim:
            given["y"] = torch.empty(1, config.in_dim - config.out_dim, *grid)
        if config.image:
            given["image"] = torch.empty(1, config.image.positions or 257, config.image.width)
        if config.vace:
            given["context"] = torch.empty(1, config.vace.in_dim, *grid)
    return network, lambda: network(**given)


@pytest.mark.parametrize("config", [tiny.T2V, T2V_1_3B, T2V_14B, I2V_A14B, I2V_14B, FLF2V_14B, VACE_1_3B, TI2V_5B])
def test_operations_are_those_that_a_counter_sees(config: DiTConfig) -> None:
    """A counter in the dispatcher sees each product of a real pass on the meta device."""
    config = replace(config, num_layers=2, vace=config.vace and replace(config.vace, layers=(0, 1)))
    _, work = meta_pass(config, (3, 8, 10))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    assert counter.get_total_flops() == forward_flops(config, 3 * 4 * 5)


def test_operations_by_hand() -> None:
    """The 14B at 81 frames of 480x832, a block, in 1e12: projections 6.87 for self- and 3.44 for cross-attention's queries and
    output, 0.05 for its keys and values of 512 rows, scores 21.98 and 0.34, feed-forward 9.27. Forty of them: 1.68e15.
    """
    tokens = token_count(VAE_21, 81, 480, 832)
    assert tokens == 21 * 30 * 52 == 32760
    assert block_flops(T2V_14B, tokens) == pytest.approx((6.87 + 3.44 + 0.05 + 21.98 + 0.34 + 9.27) * 1e12, rel=0.001)
    assert forward_flops(T2V_14B, tokens) == pytest.approx(1.68e15, rel=0.002)
    # The rule of thumb of two operations for each parameter and token, scores added, says 1.82e15.
    assert 2 * 14.289e9 * tokens + 40 * 4 * tokens**2 * 5120 == pytest.approx(1.815e15, rel=0.001)
    assert token_count(VAE_21, 81, 720, 1280) == 75600
    assert token_count(VAE_22, 121, 704, 1280) == 27280


@pytest.mark.parametrize("config", [T2V_1_3B, I2V_14B])
def test_parameters_of_a_block(config: DiTConfig) -> None:
    with torch.device("meta"):
        block = build_dit(replace(config, num_layers=1)).blocks[0]
    assert block_parameters(config) == sum(p.numel() for p in block.parameters())


@pytest.mark.parametrize("config", [T2V_1_3B, T2V_14B, TI2V_5B])
def test_activations_are_those_of_a_trace(config: DiTConfig) -> None:
    network, work = meta_pass(replace(config, num_layers=2), (21, 60, 104), torch.bfloat16)
    assert peak_bytes(network, work) == pytest.approx(activation_bytes(config, 32760), rel=0.03)


@pytest.mark.parametrize("config", [VAE_21, VAE_22])
def test_decoding_is_that_of_a_trace(config) -> None:
    height, width = 4 * config.stride[1], 6 * config.stride[2]
    with torch.device("meta"):
        network, latents = VAE(config), torch.empty(1, *config.latent_shape(13, height, width))
    peak = peak_bytes(network, lambda: list(network.decode_stream(latents)))
    kept = 13 * height * width * 3 * 4  # the test keeps the video
    assert peak == pytest.approx(decode_bytes(config, height, width), abs=2 * kept)


# One transformer of 10 + 4 * 5 = 30, a pass of 8, in units of 1e9 bytes.
SIZES = Sizes(block=5 * 10**9, blocks=4, rest=10 * 10**9, experts=2, activations=8 * 10**9, text=20 * 10**9, decode=25 * 10**9)


@pytest.mark.parametrize(
    ("budget", "experts", "blocks", "together", "peak"),
    [
        (100, 2, 4, True, 60 + 16),
        (76, 2, 4, True, 76),
        (75, 2, 4, False, 60 + 8),
        (67, 1, 4, True, 30 + 16),
        (45, 1, 4, False, 30 + 8),
        (37, 1, 1, False, 10 + 5 + 2 * 5 + 8),  # two that stay and two slots would be as much as all four
        (28, 1, 0, False, 10 + 2 * 5 + 8),
    ],
)
def test_what_is_given_up_first(budget: int, experts: int, blocks: int, together: bool, peak: int) -> None:
    placed = place(SIZES, budget * 10**9 + RESERVE)
    assert (placed.experts_resident, placed.blocks_resident, placed.together) == (experts, blocks, together)
    assert placed.peak == peak * 10**9 + RESERVE


def test_text_and_decoding_are_planned_alone() -> None:
    assert place(SIZES, 28 * 10**9 + RESERVE).text_on_device
    small = place(replace(SIZES, text=29 * 10**9, decode=28 * 10**9 + 1), 28 * 10**9 + RESERVE)
    assert not small.text_on_device
    assert small.tiled_decode


def test_one_pass_is_never_two() -> None:
    assert not place(SIZES, 10**12, guided=False).together


def test_too_little_is_refused_with_what_is_needed() -> None:
    with pytest.raises(UsageError, match=r"a memory of 28\.50 GB is too little: .* needs 28\.60 GB"):
        place(SIZES, 28_500_000_000)


def test_the_published_8_19_gb_hold_the_1_3b_at_480p() -> None:
    """Parameters 2.84 GB and activations 2.0 GB twice fit; the text encoder (11.4 GB) and decoding in one piece do not."""
    tokens = token_count(VAE_21, 81, 480, 832)
    block = 2 * block_parameters(T2V_1_3B)
    sizes = Sizes(
        block=block,
        blocks=30,
        rest=2 * 1_418_996_800 - 30 * block,
        experts=1,
        activations=activation_bytes(T2V_1_3B, tokens),
        text=2 * 5_681_000_000,
        decode=4 * 126_900_000 + decode_bytes(VAE_21, 480, 832),
    )
    placed = place(sizes, 8_190_000_000)
    assert (placed.blocks_resident, placed.together, placed.text_on_device, placed.tiled_decode) == (30, True, False, True)
    assert placed.peak == needed(sizes, experts=1, blocks=30, samples=2) < 8_190_000_000
