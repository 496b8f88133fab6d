"""Parameters on the host: the same numbers, and never more on the device than was planned."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from wanbench.generator.offload import Guest, Stream, placed, sizes_of
from wanbench.generator.pipeline import Condition, Sampling, draw_noise, generate_latents
from wanbench.generator.placement import Placement

from . import tiny
from .test_dit import TEXT, T, X, call, every_network

PLACEMENT = Placement(experts_resident=1, blocks_resident=0, together=False, text_on_device=True, tiled_decode=False, peak=0)


@every_network
@pytest.mark.parametrize("resident", [0, 1, 2, 3])
@pytest.mark.parametrize("turns", [False, True])
def test_streamed_blocks_give_the_same_numbers(config, resident: int, turns: bool) -> None:
    network = tiny.dit(config)
    with torch.no_grad():
        wanted = call(network, config)
        experts = [network, tiny.dit(config)] if turns else [network]
        streamed = placed(experts, replace(PLACEMENT, blocks_resident=resident), "cpu")[0]
        for _ in range(3):  # the second pass begins where the first one ended
            assert torch.equal(call(streamed, config), wanted)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_at_most_two_blocks_are_inside_and_the_next_one_comes_early(count: int) -> None:
    blocks = [nn.Linear(2, 2) for _ in range(count)]
    stream = Stream(blocks, torch.device("cpu"))
    inside = lambda: [i for i, guest in enumerate(stream.guests) if guest.inside]  # noqa: E731
    seen = []
    for block in blocks:
        block.register_forward_hook(lambda *_: seen.append(inside()))
    with torch.no_grad():
        for _ in range(2):
            for block in blocks:
                block(torch.zeros(1, 2))
    assert max(map(len, seen)) <= 2
    for step, now in enumerate(seen):
        number, following = step % count, (step + 1) % count
        assert number in now
        if count > 1 and following % 2 != number % 2:
            assert following in now  # fetched while this one computed
    assert sum(bool(slot.places) for slot in stream.shared.slots) == min(2, count)
    stream.leave()
    assert inside() == []
    assert not any(slot.places for slot in stream.shared.slots)  # their memory is given back


def test_parameters_are_copied_and_the_host_keeps_its_own() -> None:
    module = nn.Linear(3, 3)
    host = module.weight.data_ptr()
    guest = Guest(module, pinned=False)
    assert not guest.inside
    guest.enter(guest.places(torch.device("cpu")))
    assert guest.inside
    assert module.weight.data_ptr() != host
    guest.leave()
    assert module.weight.data_ptr() == host


@pytest.mark.parametrize("resident", [1, 3])
def test_two_experts_take_turns_in_one_loop(resident: int) -> None:
    def experts():
        return [tiny.dit(), tiny.randomised(tiny.dit(), seed=1)]

    sampling = Sampling(steps=4, shift=5.0, guidance=(5.0, 4.0))
    positive, negative = Condition(tiny.draw(3, 10, seed=1)), Condition(tiny.draw(5, 10, seed=2))
    noise = draw_noise((4, 2, 4, 6), 0)
    wanted = [point.after for point in generate_latents(experts(), positive, negative, noise, sampling)]
    taking = placed(experts(), replace(PLACEMENT, blocks_resident=resident), "cpu")
    points = [point.after for point in generate_latents(taking, positive, negative, noise, sampling)]
    assert all(torch.equal(a, b) for a, b in zip(points, wanted, strict=True))


def test_only_one_expert_is_inside() -> None:
    experts = [tiny.dit(), tiny.randomised(tiny.dit(), seed=1)]
    at_home = [e.head.head.weight.data_ptr() for e in experts]
    taking = placed(experts, replace(PLACEMENT, blocks_resident=3), "cpu")
    with torch.no_grad():
        for number in (0, 1, 0):
            taking[number](X, T, TEXT)
            away = [e.head.head.weight.data_ptr() != home for e, home in zip(experts, at_home, strict=True)]
            assert away == [number == 0, number == 1]


def test_sizes_by_hand() -> None:
    """bfloat16: a block of 24 wide and 40 in its feed-forward has 7,072 numbers; embeddings and head are the rest."""
    network = tiny.dit().to(torch.bfloat16)
    sizes = sizes_of([network, network], 100, text=7, decode=9)
    assert sizes.block == 2 * (8 * (24 * 24 + 24) + 4 * 24 + 24 * 40 + 40 + 40 * 24 + 24 + 2 * 24 + 6 * 24) == 2 * 7072
    assert sizes.transformer == 2 * sum(p.numel() for p in network.parameters())
    assert (sizes.blocks, sizes.experts, sizes.text, sizes.decode) == (3, 2, 7, 9)
    assert sizes.activations == 100 * 34 * 24
