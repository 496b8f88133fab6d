"""The transformer: what must not change its answer, and what must."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from wanbench.generator.attention import attend
from wanbench.generator.configurations import DiTConfig, dit_config_of
from wanbench.generator.dit import Given, unpatchify
from wanbench.generator.rope import axis_widths, full_grid, rotate, rotation
from wanbench.generator.s2v import AdaptiveNorm
from wanbench.generator.times import distinct, sinusoid

from . import tiny
from .golden import shapes_of

X = tiny.draw(2, 4, 3, 4, 6)
T = torch.tensor([999, 3])
TEXT = [tiny.draw(2, 10, seed=1), tiny.draw(6, 10, seed=2)]


def close(ours: Tensor, theirs: Tensor, tolerance: float = 2e-6) -> None:
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


def others(config: DiTConfig) -> dict[str, Tensor]:
    """What a network wants besides latents, time and text, two samples of it."""
    given: dict[str, Tensor] = {}
    if config.image:
        given = {"y": tiny.draw(2, 8, 3, 4, 6, seed=3), "image": tiny.draw(2, 10, 8, seed=4)}
    if config.vace:
        given = {"context": tiny.draw(2, 7, 3, 4, 6, seed=5)}
    if config.speech:
        given = {
            "audio": tiny.draw(2, 3, 5, 12, seed=6),
            "pose": tiny.draw(2, 4, 3, 8, 16, seed=7),
            "reference": tiny.draw(2, 4, 1, 8, 16, seed=8),
            "motion": tiny.draw(2, 4, 5, 8, 16, seed=9),
            "x": tiny.draw(2, 4, 3, 8, 16),
        }
    return given


NETWORKS = {"t2v": tiny.T2V, "i2v": tiny.I2V, "flf2v": tiny.FLF2V, "vace": tiny.VACE, "s2v": tiny.S2V}
every_network = pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)


def call(network, config: DiTConfig, samples: slice = slice(None), **more) -> Tensor:
    given = {"x": X, **others(config)}
    given = {name: tensor[samples] for name, tensor in given.items()} | more
    return network(t=T[samples], text=TEXT[samples], **given)


@every_network
def test_a_sample_does_not_see_the_others(config: DiTConfig) -> None:
    network = tiny.dit(config)
    with torch.no_grad():
        both = call(network, config)
        alone = torch.cat([call(network, config, slice(i, i + 1)) for i in (0, 1)])
    close(both, alone)
    assert both.dtype == torch.float32


@every_network
def test_half_precision_parameters_keep_float32_between_the_layers(config: DiTConfig) -> None:
    network = tiny.dit(config)
    with torch.no_grad():
        exact = call(network, config)
        seen = []
        half = network.to(torch.bfloat16)
        for block in half.blocks:
            block.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
        rough = call(half, config)
    assert set(seen) == {torch.float32}
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.05 * exact.abs().max()


@every_network
def test_every_parameter_can_learn(config: DiTConfig) -> None:
    network = tiny.dit(config).train()
    call(network, config).square().mean().backward()
    assert not [name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()]


@every_network
def test_a_configuration_can_be_read_off_the_tensors(config: DiTConfig) -> None:
    shapes = shapes_of(tiny.dit(config).state_dict())
    derived = dit_config_of(shapes, num_heads=config.num_heads, text_len=config.text_len)
    # Where hints and audio enter is not in the tensors; evenly spaced is the guess.
    if config.vace:
        derived = replace(derived, vace=config.vace)
    if config.speech:
        derived = replace(derived, speech=replace(derived.speech, inject_after=config.speech.inject_after))
    assert derived == config


def test_a_time_for_each_token_equals_one_time_where_all_are_equal() -> None:
    network = tiny.dit()
    tokens = T[:, None].expand(-1, 3 * 2 * 3)
    with torch.no_grad():
        close(network(X, tokens, TEXT), network(X, T, TEXT))
        first = tokens.clone()
        first[:, :6] = 0
        assert (network(X, first, TEXT) - network(X, T, TEXT)).abs().max() > 0.01


def test_distinct_times() -> None:
    values, rows = distinct(torch.tensor([[0, 7, 7], [7, 7, 3]]))
    assert values.tolist() == [0, 3, 7]
    assert rows is not None
    assert rows.tolist() == [[0, 2, 2], [2, 2, 1]]
    assert distinct(torch.full((2, 3), 7))[1] is None


def test_text_is_padded_with_zeros_before_it_is_projected_and_padding_is_seen() -> None:
    network = tiny.dit()
    padded = [torch.cat((rows, torch.zeros(6 - len(rows), 10))) for rows in TEXT]
    with torch.no_grad():
        close(network(X, T, padded), network(X, T, TEXT))
        projected = network.embed_text(TEXT[:1])[0]
    assert projected[2:].abs().max() > 0.01
    close(projected[2], projected[5])


def test_without_hints_vace_is_the_plain_transformer() -> None:
    vace = tiny.dit(tiny.VACE)
    plain = tiny.dit()
    plain.load_state_dict({name: tensor for name, tensor in vace.state_dict().items() if not name.startswith("vace_")})
    with torch.no_grad():
        close(call(vace, tiny.VACE, scale=0.0), plain(X, T, TEXT))
        assert (call(vace, tiny.VACE) - plain(X, T, TEXT)).abs().max() > 0.01


def test_another_attention_can_be_given() -> None:
    def by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = torch.einsum("blnd,bsnd->bnls", q, k) / q.shape[-1] ** 0.5
        calls.append(q.shape[1])
        return torch.einsum("bnls,bsnd->blnd", scores.softmax(-1), v)

    calls: list[int] = []
    network = tiny.dit()
    with torch.no_grad():
        close(network(X, T, TEXT, attend=by_hand), network(X, T, TEXT))
    assert calls == [18] * 3  # self-attention of each block


def test_a_block_is_one_graph() -> None:
    network = tiny.dit(tiny.I2V)
    compiled = torch.compile(network.blocks[0], backend="eager", fullgraph=True)
    with torch.no_grad():
        turn = network.rotation(full_grid(1, 2, 3))
        image = network.img_emb(tiny.draw(2, 10, 8))
        given = Given(network.embed_times(T), turn, network.embed_text(TEXT), image, attend)
        tokens = tiny.draw(2, 6, 24)
        close(compiled(tokens, given), network.blocks[0](tokens, given))


def test_the_norm_before_audio_has_its_own_epsilon() -> None:
    """+-e with e^2 = 1e-5: divided by sqrt(e^2 + 1e-5), that is +-1/sqrt(2). Shift before scale: shift 0.5, scale 1."""
    norm = AdaptiveNorm(2)
    with torch.no_grad():
        norm.linear.weight.zero_()
        norm.linear.bias.copy_(torch.tensor([0.5, 0.5, 1, 1]))
        made = norm(torch.tensor([[[1.0, -1.0]]]) * 1e-5**0.5, torch.zeros(1, 2))
    close(made[0, 0], torch.tensor([2, -2]) / 2**0.5 + 0.5)


def test_unpatchify_by_hand() -> None:
    """One token of two channels: the channel is fastest, then the column, then the row."""
    pixels = unpatchify(torch.arange(8.0)[None, None], (1, 1, 1))
    assert pixels[0, 0, 0].tolist() == [[0, 2], [4, 6]]
    assert pixels[0, 1, 0].tolist() == [[1, 3], [5, 7]]


def test_sinusoid_by_hand() -> None:
    """Four wide: frequencies 1 and 1/100, cosines first."""
    angles = torch.tensor([1.0, 0.01])
    close(sinusoid(torch.tensor([1]), 4)[0], torch.cat((angles.cos(), angles.sin())), 1e-7)
    assert sinusoid(torch.tensor([0]), 6).tolist() == [[1, 1, 1, 0, 0, 0]]


def test_rotation_by_hand() -> None:
    assert axis_widths(128) == (44, 42, 42)
    assert axis_widths(16) == (8, 4, 4)
    turn = rotation(torch.tensor([[1, 0, 2]]), 16)
    wanted = torch.tensor([1, 10000**-0.25, 10000**-0.5, 10000**-0.75, 0, 0, 2, 0.02])  # 4 pairs of time, 2 of rows, 2 of columns
    close(turn.cos[0], wanted.cos())
    close(turn.sin[0], wanted.sin())
    x = torch.zeros(1, 1, 1, 16)
    x[..., 12] = 1  # the first pair of columns, turned by 2
    close(
        rotate(x, turn)[0, 0, 0, 12:14], torch.tensor([2.0]).cos().repeat(2) * torch.tensor([1, 0]) + torch.tensor([0, 2.0]).sin()
    )


def test_negative_positions_turn_the_other_way_and_only_differences_count() -> None:
    positions = torch.tensor([[3, 5, 2]])
    forward, back = rotation(positions, 12), rotation(-positions, 12)
    close(forward.sin, -back.sin)
    q, k = tiny.draw(1, 1, 1, 12, seed=1), tiny.draw(1, 1, 1, 12, seed=2)

    def score(p: list[int], o: list[int]) -> Tensor:
        return (rotate(q, rotation(torch.tensor([p]), 12)) * rotate(k, rotation(torch.tensor([o]), 12))).sum()

    close(score([4, 1, 7], [2, 1, 9]), score([14, 3, 5], [12, 3, 7]), 1e-5)
