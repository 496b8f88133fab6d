"""The options that make videos faster, as a production uses them: what is measured, what is told, what excludes what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from wanbench.errors import UsageError
from wanbench.generator import experts, planning, tiny
from wanbench.generator.configurations import T2V_1_3B
from wanbench.generator.deviation import deviation
from wanbench.generator.known import open_model
from wanbench.generator.making import Generator
from wanbench.generator.models import MODELS
from wanbench.generator.pipeline import draw_noise
from wanbench.generator.placement import needed
from wanbench.generator.samplers.table import SOLVERS
from wanbench.generator.settings import Reuse, settle
from wanbench.making.choice import choose_maker
from wanbench.making.makers import MakerOptions

from . import folders

SIZE = {"size_HW": (32, 48), "frames": 5, "negative": "grey"}


def generator(networks=None, memory: int | None = None, **asked) -> Generator:
    networks = networks or open_model("wan-tiny")
    return Generator(networks, settle(networks.model, **{**SIZE, "steps": 6, **asked}), device="cpu", memory=memory)


def frames(of: Generator, seed: int = 0) -> np.ndarray:
    return np.stack(list(of.frames("a cat", seed))).astype(float)


@pytest.mark.parametrize(
    ("asked", "option"),
    [
        ({"fp8": True}, "8-bit products"),
        ({"reuse": "guidance"}, "reuse of guidance"),
        ({"reuse": "attention:3"}, "reuse of attention"),
    ],
)
def test_what_is_approximate_is_near_and_says_by_how_much(asked, option: str) -> None:
    exact, approximate = generator(), generator(**asked)
    near, off = frames(exact), frames(approximate)
    assert exact.experts.deviations == {}
    assert 0 < np.abs(near - off).mean() < 20
    told = approximate.experts.deviations
    assert list(told) == [option]
    share = float(told[option].removeprefix("one pass deviates by ").split(" %")[0])
    assert 0 < share < 60
    assert np.array_equal(frames(approximate), off)  # same seed, same bytes, with and without the measurement
    assert approximate.experts.deviations == told
    assert np.array_equal(frames(generator(**asked)), off)


@pytest.mark.parametrize(("asked", "passes"), [({}, 12), ({"reuse": "guidance:2"}, 6 + 4 + 1), ({"fp8": True}, 12 + 2)])
def test_a_measurement_costs_one_more_pass(asked, passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six steps: guidance is computed at steps 0, 1, 2 and 4; the first reuse, at step 3, computes it after all. Of 8-bit
    products the first pass is done exactly and then approximately."""
    calls = []
    build = tiny.transformer

    def counted():
        network = build()
        network.register_forward_hook(lambda *_: calls.append(1))
        return network

    monkeypatch.setattr(tiny, "transformer", counted)
    made = generator(**asked)
    frames(made)
    assert len(calls) == passes
    frames(made, seed=1)
    assert len(calls) == 2 * passes - (passes - {12: 12, 11: 10, 14: 12}[passes])


def test_the_measured_deviation_of_8_bits_is_that_of_the_first_pass() -> None:
    made = generator(fp8=True)
    frames(made)
    exact, coarse = generator(), generator(fp8=True)
    seen, first = [], SOLVERS["euler"].schedule(6, exact.settings.shift).timesteps[0]
    for one in (exact, coarse):
        one.encode(["a cat"])
        with one.experts.for_video(lambda networks: torch.ones(1)) as (networks, _):
            noise = experts_noise(one)
            with torch.no_grad():
                seen.append(networks[0](noise[None], torch.tensor([first]), [one._texts["a cat"]]))
    told = float(made.experts.deviations["8-bit products"].removeprefix("one pass deviates by ").split(" %")[0])
    assert told == pytest.approx(100 * deviation(seen[1], seen[0]).relative, rel=0.05)


def experts_noise(of: Generator) -> torch.Tensor:
    return draw_noise(of._conditions().noise, 0, "cpu")


def test_8_bits_are_measured_with_the_exact_network_outside(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = open_model(str(folders.write_model(tmp_path, replace(folders.T2V, num_layers=4), experts=2)))
    monkeypatch.setattr(planning, "_decoding", lambda *_: 50_000)
    monkeypatch.setattr(planning, "_text_bytes", lambda *_, streamed: 1_000)
    wanted = generator(networks, fp8=True)
    whole = frames(wanted)
    sizes = planning.sizes_of(networks.model, networks.text_config, wanted.settings, torch.float32)
    exact = planning.sizes_of(networks.model, networks.text_config, replace(wanted.settings, fp8=False), torch.float32)
    enough, short = needed(exact, experts=1, blocks=0, samples=1), needed(sizes, experts=1, blocks=0, samples=1)
    measured, unmeasured = generator(networks, enough, fp8=True), generator(networks, short, fp8=True)
    assert np.array_equal(frames(measured), whole)
    assert measured.experts.deviations == wanted.experts.deviations
    assert np.array_equal(frames(unmeasured), whole)
    assert unmeasured.experts.deviations["8-bit products"].startswith("deviation not measured: the exact network does not fit")


def test_reuse_with_networks_that_take_turns_and_batched_passes(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = open_model(str(folders.write_model(tmp_path, replace(folders.T2V, num_layers=4), experts=2)))
    monkeypatch.setattr(planning, "_decoding", lambda *_: 50_000)
    monkeypatch.setattr(planning, "_text_bytes", lambda *_, streamed: 1_000)
    asked = {"reuse": "attention", "passes": "together", "steps": 8}
    wanted = generator(networks, **asked)
    sizes = planning.sizes_of(networks.model, networks.text_config, wanted.settings, torch.float32)
    tight = generator(networks, needed(sizes, experts=1, blocks=1, samples=2), **asked)
    assert (tight.plan.placement.experts_resident, tight.plan.placement.blocks_resident) == (1, 1)
    assert np.array_equal(frames(tight), frames(wanted))
    assert np.array_equal(frames(tight), frames(wanted))  # attention is given back after each video


def test_both_passes_at_once_and_compiled_blocks_are_the_same_video_up_to_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = frames(generator())
    assert np.abs(frames(generator(passes="together")) - exact).max() <= 1
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda forward, **how: compiled.append(how) or forward)
    assert np.array_equal(frames(generator(compile=True)), exact)
    assert len(compiled) == 2  # a graph for each block
    assert {how["dynamic"] for how in compiled} == {False}


def test_a_text_that_is_its_own_negative_still_reuses_by_step() -> None:
    made = generator(reuse="attention", negative="a cat")
    assert np.isfinite(frames(made)).all()


def test_the_attention_kernel_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from wanbench.generator.attention import attend

    used = []

    def kernel(q, k, v):
        used.append(1)
        return attend(q, k, v)

    monkeypatch.setattr(experts.kernels, "choose", lambda *_: ("flash3", kernel))
    made = generator(steps=1)
    frames(made)
    assert made.experts.kernel == "flash3"
    assert len(used) == 2 * 2  # two blocks, two passes


def test_settings_of_reuse_by_hand() -> None:
    model = MODELS["wan-1.3b"]
    assert settle(model).reuse is None
    assert settle(model, reuse="guidance").reuse == Reuse(what="guidance", first=13, every=2)
    assert settle(model, reuse="attention:5", steps=8).reuse == Reuse(what="attention", first=2, every=5)
    assert settle(model, reuse="guidance").to_json()["reuse"] == {"what": "guidance", "first": 13, "every": 2}
    assert settle(model).to_json()["passes"] == "apart"
    assert settle(model, guidance=(1.0, 1.0)).to_json()["passes"] is None
    assert model.dit == T2V_1_3B


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"reuse": "all"}, "--reuse takes guidance or attention, and after a colon a number from 2 up, not 'all'"),
        ({"reuse": "guidance:1"}, "not 'guidance:1'"),
        ({"reuse": "attention:x"}, "not 'attention:x'"),
        ({"reuse": "attention", "compile": True}, "choose --reuse attention or --compile"),
        ({"reuse": "guidance", "passes": "together"}, "choose --reuse guidance or --guidance-passes together"),
        ({"reuse": "guidance", "guidance": (1.0, 1.0)}, "a guidance of 1 has nothing to reuse"),
        ({"video": "x.mp4"}, "--video and --mask are for VACE"),
    ],
)
def test_what_excludes_what(asked, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        settle(MODELS["wan-1.3b"], **asked)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("model", "asked", "says"),
    [
        ("wan-tiny", {"memory": "8 apples"}, "--memory takes gigabytes, such as 8.19GB, or auto"),
        ("wan-tiny", {"shard": True}, "--shard is for several processes: torchrun --nproc-per-node N"),
        ("command:make {prompt} {out}", {"fp8": True}, "--fp8 is the command's own affair"),
        ("command:make {prompt} {out}", {"tile": 64}, "--vae-tile is the command's own affair"),
        ("diffusers:a/b", {"fp8": True}, "--fp8 is not passed on to diffusers' pipelines"),
        ("diffusers:a/b", {"memory": "8"}, "--memory is not passed on"),
        ("diffusers:a/b", {"passes": "apart"}, "--guidance-passes is not passed on"),
        ("diffusers:a/b", {"guidance": (3.0, 4.0)}, "--guidance with two numbers is for networks of low and high noise"),
    ],
)
def test_makers_refuse_what_is_not_theirs(model: str, asked, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        choose_maker(model, MakerOptions(**asked))
    assert says in str(refused.value)


def test_what_a_command_says_of_itself_moves_no_fingerprint() -> None:
    plain = choose_maker("wan-tiny", MakerOptions())
    assert choose_maker("wan-tiny", MakerOptions(pictures=True, offline=True, device="cpu")).fingerprint == plain.fingerprint
    assert choose_maker("command:x {prompt} {out}", MakerOptions(pictures=True, device="cpu")).kind == "command"
    pipelines = [choose_maker("diffusers:a/b", MakerOptions(steps=3, pictures=pictures)) for pictures in (True, False)]
    assert pipelines[0].fingerprint == pipelines[1].fingerprint
    assert pipelines[0].settings == {"steps": 3, "fps": 16.0, "dtype": "bfloat16"}
