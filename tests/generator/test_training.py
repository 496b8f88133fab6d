"""Training: the loss worked by hand, a run that is resumed, and a network that learns a few clips by heart."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from wanbench.errors import UsageError
from wanbench.generator.adaptive import AdaptiveConfig, AdaptiveDiT, ablation
from wanbench.generator.configurations import T2V_1_3B
from wanbench.generator.pipeline import Condition, Sampling, draw_noise, generate_latents
from wanbench.generator.training import Objective, Recipe, Sample, Trainer, draw_times, flow_loss, parameter_groups

from . import tiny

SHAPE = (4, 2, 4, 4)
WIDER = replace(tiny.T2V, dim=64, ffn_dim=128, num_layers=2)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clips() -> list[Sample]:
    """Three clips of a colour of their own that grows brighter, each with words of its own."""
    brightening = torch.linspace(0.5, 1.5, SHAPE[1])[:, None, None]
    return [Sample((tiny.draw(4, 1, 1, 1, seed=i) * brightening).expand(SHAPE), tiny.draw(3, 10, seed=10 + i)) for i in range(3)]


def trainer(precision: str = "float32", **changes) -> Trainer:
    recipe = Recipe(precision=precision, learning_rate=5e-3, ema_decay=0.98, batch=16, **changes)
    return Trainer(tiny.dit(WIDER), recipe, Objective(drop_text=0.1), random())


def test_the_loss_by_hand() -> None:
    """Data 1, noise 3: the velocity is 2, and a quarter on the way x is 1.5. A network that says x errs by 0.5; squared, 0.25."""
    seen = {}

    def network(x: torch.Tensor, t: torch.Tensor, text: list) -> torch.Tensor:
        seen["t"] = t
        return x

    latents = torch.ones(1, 1, 1, 2, 2)
    loss = flow_loss(network, latents, [], torch.tensor([0.25]), 3 * latents)
    assert loss.item() == 0.25
    assert seen["t"].tolist() == [250]


def test_times_are_logit_normal_and_shifted() -> None:
    times = draw_times(20000, Objective(logit_mean=0.5, logit_std=2.0), random())
    logits = torch.logit(times.double())
    assert logits.mean().item() == pytest.approx(0.5, abs=0.05)
    assert logits.std().item() == pytest.approx(2.0, abs=0.05)
    shifted = draw_times(20000, Objective(logit_mean=0.5, logit_std=2.0, shift=3.0), random())
    torch.testing.assert_close(shifted, 3 * times / (1 + 2 * times))


def test_three_clips_are_learnt_by_heart() -> None:
    """The loss falls to less than a fifth, and what is then sampled with the words of a clip is that clip and no other."""
    made = trainer()
    losses = list(made.run(clips(), 200))
    assert sum(losses[-10:]) < 0.2 * sum(losses[:10])
    sampling = Sampling(steps=8, shift=1.0, guidance=(None, None), solver="euler")
    for i, clip in enumerate(clips()):
        end = list(generate_latents([made.ema], Condition(clip.text), Condition(clip.text), draw_noise(SHAPE, 5), sampling))[-1]
        distances = [(end.after - other.latents).square().mean().item() for other in clips()]
        assert min(distances) == distances[i] < 0.2


def test_a_resumed_run_is_the_run_that_was_not_stopped(tmp_path) -> None:
    whole = trainer(warmup_steps=3)
    losses = list(whole.run(clips(), 6))
    first = trainer(warmup_steps=3)
    before = list(first.run(clips(), 3))
    first.save(tmp_path / "run.pt")
    second = trainer(warmup_steps=3)
    second.generator.manual_seed(99)
    with torch.no_grad():
        second.network.patch_embedding.weight.zero_()
    second.resume(tmp_path / "run.pt")
    assert before + list(second.run(clips(), 3)) == losses
    for name in ("network", "ema"):
        ours, theirs = getattr(second, name).state_dict(), getattr(whole, name).state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path) -> None:
    trainer().save(tmp_path / "run.pt")
    with pytest.raises(UsageError, match=r"run\.pt was trained with warmup_steps 0, now it is 7"):
        trainer(warmup_steps=7).resume(tmp_path / "run.pt")
    whole = (tmp_path / "run.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.pt").write_text("not a checkpoint")
    torch.save({"weight": torch.ones(1)}, tmp_path / "other.pt")
    for name in ("half", "text", "other", "absent"):
        with pytest.raises(UsageError, match=rf"{name}\.pt is not a readable training checkpoint"):
            trainer().resume(tmp_path / f"{name}.pt")


def test_half_precision_products_leave_the_islands_alone() -> None:
    made = trainer("bfloat16")
    seen = {}
    watched = {"time": made.network.time_projection[1], "head": made.network.head.head, "product": made.network.blocks[0].ffn[0]}
    for name, module in watched.items():
        module.register_forward_hook(lambda module, given, out, name=name: seen.update({name: out.dtype}))
    exact, rough = (t.loss(clips()).item() for t in (trainer(), trainer("bfloat16")))
    losses = list(made.run(clips(), 40))
    assert seen == {"time": torch.float32, "head": torch.float32, "product": torch.bfloat16}
    assert {p.dtype for p in made.network.parameters()} == {torch.float32}
    assert losses[0] == rough != exact
    assert rough == pytest.approx(exact, rel=0.02)
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_the_mean_follows_by_hand() -> None:
    """Early on the decay is (1 + n) / (10 + n): after step 1, 2/11 of the old."""
    made = trainer()
    old = made.ema.patch_embedding.bias.clone()
    made.step(clips())
    torch.testing.assert_close(made.ema.patch_embedding.bias, 2 / 11 * old + 9 / 11 * made.network.patch_embedding.bias)


def test_a_gradient_that_is_not_finite_stops_the_run() -> None:
    bad = [replace(clip, latents=clip.latents * float("inf")) for clip in clips()]
    with pytest.raises(FloatingPointError, match="step 1: the gradient is not finite"):
        trainer().step(bad)


def test_gains_and_biases_do_not_decay() -> None:
    network = tiny.dit()
    matrices, others = (set(map(id, group["params"])) for group in parameter_groups(network, 0.1))
    kept = {name for name, p in network.named_parameters() if id(p) in others}
    assert {name.rsplit(".", 1)[-1] for name, p in network.named_parameters() if id(p) in matrices} == {"weight"}
    assert {"head.modulation", "blocks.0.modulation", "blocks.0.norm3.weight", "patch_embedding.bias"} <= kept


def test_three_ways_to_share() -> None:
    variants = ablation(tiny.T2V, deeper=2)
    made = {name: tiny.randomised(AdaptiveDiT(config)) for name, config in variants.items()}
    own = {
        name: sum("time_projection" in key and key.startswith("blocks.") for key in net.state_dict())
        for name, net in made.items()
    }
    assert own == {"all-shared": 0, "half-shared": 2 * 2, "none-shared": 2 * 3, "all-shared-deeper": 0}
    assert "time_projection.1.weight" not in made["none-shared"].state_dict()
    for network in made.values():
        out = network(tiny.draw(1, *SHAPE), torch.tensor([500.0]), [tiny.draw(2, 10)])
        out.square().mean().backward()
        assert not [name for name, p in network.named_parameters() if p.grad is None]


def test_own_projections_that_are_all_equal_are_a_shared_one() -> None:
    shared = tiny.dit()
    given = (tiny.draw(1, *SHAPE), torch.tensor([500.0]), [tiny.draw(2, 10)])
    for kind in ("all", "half", "none"):
        other = AdaptiveDiT(AdaptiveConfig(dit=tiny.T2V, shared=kind))
        state = shared.state_dict()
        state |= {
            name: state[name.split(".", 2)[2]]
            for name in other.state_dict()
            if name.startswith("blocks.") and "time_projection" in name
        }
        other.load_state_dict({name: state[name] for name in other.state_dict()})
        torch.testing.assert_close(other(*given), shared(*given), atol=1e-6, rtol=0)


def test_sizes_of_the_ablation() -> None:
    """The shared 1.3B has 1.42e9 parameters; a projection is 6 (D^2 + D): 14.2e6. Five more layers: about half of thirty."""
    with torch.device("meta"):
        sizes = {name: sum(p.numel() for p in AdaptiveDiT(config).parameters()) for name, config in ablation(T2V_1_3B).items()}
    one = 6 * (1536**2 + 1536)
    assert sizes["half-shared"] - sizes["all-shared"] == 15 * one
    assert sizes["none-shared"] - sizes["all-shared"] == 29 * one
    assert sizes["all-shared-deeper"] == pytest.approx(sizes["half-shared"], rel=0.02)
