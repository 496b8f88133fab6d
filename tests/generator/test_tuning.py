"""What makes a network faster: exact where it says so, and where not, off by as much as is stated."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from wanbench.errors import UsageError
from wanbench.generator import fp8, kernels
from wanbench.generator.attention import attend
from wanbench.generator.deviation import deviation
from wanbench.generator.guidance import Rhythm, apart, reused, together
from wanbench.generator.layers import Linear
from wanbench.generator.offload import placed
from wanbench.generator.pipeline import Condition, Sampling, draw_noise, generate_latents, generate_ti2v_latents
from wanbench.generator.reuse import AttentionReuse
from wanbench.generator.tuning import Speed, tuned

from . import tiny
from .test_dit import TEXT, T, X, call, every_network
from .test_offload import PLACEMENT

SAMPLING = Sampling(steps=6, shift=5.0, guidance=(5.0, 4.0))
POSITIVE, NEGATIVE = Condition(tiny.draw(3, 10, seed=1)), Condition(tiny.draw(5, 10, seed=2))
NOISE = draw_noise((4, 2, 4, 6), 0)


def end(network, guide=apart, **changes) -> torch.Tensor:
    return list(generate_latents([network], POSITIVE, NEGATIVE, NOISE, replace(SAMPLING, **changes), guide))[-1].after


class Counting:
    """A network that counts its passes and their samples."""

    def __init__(self) -> None:
        self.network, self.passes = tiny.dit(), []

    def __call__(self, x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        self.passes.append(len(x))
        return self.network(x, *args, **kwargs)


def test_both_passes_at_once_are_the_same_video() -> None:
    counting = Counting()
    torch.testing.assert_close(end(counting, together), end(tiny.dit()), atol=1e-5, rtol=0)
    assert counting.passes == [2] * 6
    counting = Counting()
    assert torch.equal(end(counting, together, guidance=(None, None)), end(tiny.dit(), guidance=(None, None)))
    assert counting.passes == [1] * 6


def test_both_passes_at_once_with_a_time_for_each_token() -> None:
    first = tiny.draw(4, 1, 4, 6, seed=5)
    ends = [
        list(generate_ti2v_latents(tiny.dit(), POSITIVE, NEGATIVE, NOISE, SAMPLING, first, guide))[-1].after
        for guide in (apart, together)
    ]
    torch.testing.assert_close(*ends, atol=1e-5, rtol=0)


def test_both_passes_at_once_with_image_conditions() -> None:
    others = {"y": tiny.draw(8, 2, 4, 6, seed=3), "image": tiny.draw(10, 8, seed=4)}
    told = [replace(condition, others=others) for condition in (POSITIVE, NEGATIVE)]
    ends = [list(generate_latents([tiny.dit(tiny.I2V)], *told, NOISE, SAMPLING, guide))[-1].after for guide in (apart, together)]
    torch.testing.assert_close(*ends, atol=1e-5, rtol=0)


def test_a_rhythm_by_hand() -> None:
    assert [Rhythm(first=3, every=2).fresh(step) for step in range(8)] == [True, True, True, True, False, True, False, True]
    assert all(Rhythm(first=0, every=1).fresh(step) for step in range(5))
    with pytest.raises(UsageError, match="the first 3 steps and then every 0: wanted at least 0 and 1"):
        Rhythm(first=3, every=0)


def test_reused_guidance_by_hand() -> None:
    """Passes say 10 c + x; positive c = 3, negative c = 1, scale 5: always 10 + x + 5 * 20, the second pass every other step."""
    asked = []

    def passes(x: torch.Tensor, t: int, told: list[float]) -> torch.Tensor:
        asked.append(told)
        return torch.stack([10 * c + x for c in told])

    velocity = reused(Rhythm(first=1, every=2))(passes, 3.0, 1.0, 5.0)
    assert [velocity(torch.tensor(float(x)), 0).item() for x in range(3)] == [110, 111, 112]
    assert asked == [[3], [1], [3], [1], [3]]


def test_reuse_at_every_step_is_exact_and_less_often_is_near() -> None:
    exact = end(tiny.dit())
    always = Rhythm(first=0, every=1)
    torch.testing.assert_close(end(tiny.dit(), reused(always)), exact, atol=1e-5, rtol=0)
    assert torch.equal(end(AttentionReuse(tiny.dit(), always)), exact)
    sparse = Rhythm(first=2, every=2)
    counting = Counting()
    guided, attended = deviation(end(counting, reused(sparse)), exact), deviation(end(AttentionReuse(tiny.dit(), sparse)), exact)
    assert len(counting.passes) == 6 + 4
    assert 0 < guided.relative < 0.3
    assert 0 < attended.relative < 0.3


def test_reused_attention_is_not_computed_and_given_back() -> None:
    network, calls = tiny.dit(), []
    layers = [block.self_attn for block in network.blocks]
    layers[0].register_forward_hook(lambda *_: calls.append(1))
    names = list(network.state_dict())
    reusing = AttentionReuse(network, Rhythm(first=1, every=3))
    end(reusing)
    assert len(calls) == 2 * 3  # steps 0, 1 and 4, two passes each
    reusing.close()
    assert [block.self_attn for block in network.blocks] == layers
    assert list(network.state_dict()) == names


def test_e4m3_by_hand() -> None:
    """Three bits after the leading one: 17 becomes 16, 19 becomes 20, and the largest is 448."""
    x = torch.tensor([17.0, 19.0, 448.0, 1e6, -1e6])
    assert fp8.quantised(x, torch.tensor(1.0)).float().tolist() == [16, 20, 448, 448, -448]


def test_an_8_bit_layer_by_hand() -> None:
    """Weight 448 and 224 at scale 1, an input of (2, 1) at scale 2/448: 2 * 448 + 224, plus a bias of 1. All exact."""
    linear = Linear(2, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[448.0, 224.0]]))
        linear.bias.fill_(1.0)
        made = fp8.FP8Linear(linear)
        assert made(torch.tensor([[[2.0, 1.0], [0.0, 0.0]]])).tolist() == [[[1121.0], [1.0]]]
    assert made.weight.dtype == torch.float8_e4m3fn


def test_the_kernel_and_the_multiplication_by_hand_agree() -> None:
    """PyTorch's 8-bit product exists on CPUs too: the same call as on a GPU."""
    rows, weight = (fp8.quantised(tiny.draw(32, 64, seed=i) * 100, torch.tensor(1.0)) for i in (1, 2))
    scales, scale, bias = tiny.draw(32, 1, seed=3).abs(), torch.tensor(0.01), tiny.draw(32, seed=4).bfloat16()
    given = (rows, scales, weight, scale, bias)
    assert deviation(fp8.by_kernel(*given), fp8.by_hand(*given)).relative < 0.003  # bfloat16


def test_8_bit_products_are_near() -> None:
    network = tiny.dit(replace(tiny.T2V, dim=96, ffn_dim=160))
    with torch.no_grad():
        exact = network(X, T, TEXT)
        assert fp8.use_fp8(list(network.blocks)) == 10 * 3
        assert not [m for block in network.blocks for m in block.modules() if isinstance(m, Linear)]
        off = deviation(network(X, T, TEXT), exact)
    assert 0.001 < off.relative < 0.1


@every_network
@pytest.mark.parametrize("speed", [Speed(compile=True), Speed(fp8=True), Speed(attention="math")], ids=["compile", "fp8", "math"])
def test_every_network_can_be_tuned_and_streamed(config, speed: Speed) -> None:
    network = tiny.dit(config)
    with torch.no_grad():
        exact = call(network, config)
        made = tuned(network, speed, backend="eager")
        near = call(made, config)
        placed([network], replace(PLACEMENT, blocks_resident=1), "cpu")
        assert torch.equal(call(made, config), near)
    assert deviation(near, exact).relative < (0.2 if speed.fp8 else 1e-5)


def test_attention_is_chosen_by_trying() -> None:
    assert kernels.choose("cpu", torch.float32, 16) == ("torch", attend)
    name, kernel = kernels.choose("cpu", torch.bfloat16, 16, "flash")
    assert name == "flash"
    given = [tiny.draw(1, 9, 2, 16, seed=i) for i in range(3)]
    torch.testing.assert_close(kernel(*given), attend(*given), atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match=r"attention flash3 does not work with torch\.bfloat16 on cpu here"):
        kernels.choose("cpu", torch.bfloat16, 16, "flash3")
    with pytest.raises(UsageError, match="there is no attention 'fast': choose one of auto, flash4, flash3, flash2, cudnn"):
        kernels.choose("cpu", torch.bfloat16, 16, "fast")


def test_a_packaged_kernel_is_used_when_it_can_be_imported(monkeypatch) -> None:
    """A package of that name, as it is called on a GPU: half precision, and in some releases a pair is returned."""
    import sys
    import types

    package = types.ModuleType("flash_attn_interface")
    package.flash_attn_func = lambda q, k, v: (attend(q, k, v), None)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flash_attn_interface", package)
    name, kernel = kernels.choose("cpu", torch.bfloat16, 16, "flash3")
    given = [tiny.draw(1, 9, 2, 16, seed=i) for i in range(3)]
    assert name == "flash3"
    assert torch.equal(kernel(*given), attend(*given))


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(UsageError, match="reuse of attention cannot be compiled"):
        Speed(compile=True, reuse=Rhythm(first=1, every=2))


def test_deviation_by_hand() -> None:
    """(3, 4) for (3, 5): 1 over sqrt(34), and 1 over sqrt(17)."""
    off = deviation(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 5.0]))
    assert (off.relative, off.worst) == pytest.approx((34**-0.5, 17**-0.5))
    assert str(off) == "17.1 % (at most 24.3 %)"
