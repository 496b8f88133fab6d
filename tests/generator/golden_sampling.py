"""Checks of schedules, solvers and whole loops against reference tensors, by family."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from wanbench.generator.denoise import denoise
from wanbench.generator.images import cover, to_bytes
from wanbench.generator.pipeline import (
    Condition,
    Sampling,
    decode_frames,
    draw_noise,
    generate_latents,
    generate_ti2v_latents,
    token_times,
)
from wanbench.generator.samplers.schedule import TRAIN_TIMESTEPS, predicted_data
from wanbench.generator.samplers.table import SOLVERS
from wanbench.generator.sizes import covering_fit

from .golden import Case, load_dit, load_vae


def schedule(case: Case) -> None:
    assert case.config["num_train_timesteps"] == TRAIN_TIMESTEPS
    for solver in ("unipc", "dpmpp"):
        for steps, shift in case.config["pairs"]:
            ours, name = SOLVERS[solver].schedule(steps, shift), f"{solver}.steps{steps}.shift{shift:g}"
            case.equal(f"timesteps.{name}", ours.timesteps)
            case.close(f"sigmas.{name}", torch.tensor(ours.sigmas), 1e-6)


def solver_name(config: dict[str, Any]) -> str:
    """Ours; the official command line writes `dpm++`."""
    return str(config["solver"]).replace("++", "pp")


def channels(matrix: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("ij,jfhw->ifhw", matrix, x)


def sampler(case: Case) -> None:
    solver = SOLVERS[solver_name(case.config)]
    a, b = case.inputs["A"], case.inputs["b"].view(-1, 1, 1, 1)
    for steps, shift in case.config["runs"]:
        times, name = solver.schedule(steps, shift), f"steps{steps}.shift{shift:g}"
        velocities: list[Tensor] = []

        def velocity(x: Tensor, t: int, seen: list[Tensor] = velocities) -> Tensor:
            seen.append(channels(a, x) + t / TRAIN_TIMESTEPS * b)
            return seen[-1]

        points = list(denoise(velocity, case.inputs["noise"], times, solver.step))
        case.close(f"latents.{name}", torch.stack([points[0].before, *(p.after for p in points)]), 1e-5)
        case.close(f"sigmas.{name}", torch.tensor(times.sigmas), 1e-6)
        case.equal(f"timesteps.{name}", times.timesteps)
        case.close(f"velocity.{name}", torch.stack(velocities), 1e-5)
        data = [predicted_data(times, i, p.before, v) for i, (p, v) in enumerate(zip(points, velocities, strict=True))]
        case.close(f"x0_from_uncorrected.{name}", torch.stack(data), 1e-5)


class ToyExpert:
    """(A + c C) x + t/1000 b, called like a network; c is the only number of the text. Remembers what it was asked."""

    def __init__(self, case: Case, name: str, calls: list[tuple[str, float, Tensor]]) -> None:
        self.name, self.calls = name, calls
        self.a, self.c = (case.inputs[f"{name}.{letter}"] for letter in "AC")
        self.b = case.inputs[f"{name}.b"].view(-1, 1, 1, 1)

    def __call__(self, x: Tensor, t: Tensor, text: list[Tensor]) -> Tensor:
        context = float(text[0])
        v = channels(self.a + context * self.c, x[0]) + float(t) / TRAIN_TIMESTEPS * self.b
        self.calls.append((self.name, context, v))
        return v[None]


def moe(case: Case) -> None:
    c, (low, high) = case.config, case.config["guide_scale_low_high"]
    t, h, w = c["vae_stride"]
    shape = (c["z_dim"], (c["frame_num"] - 1) // t + 1, c["size_wh"][1] // h, c["size_wh"][0] // w)
    noise = draw_noise(shape, c["seed"])
    case.equal("noise", noise)
    case.equal("seq_len", tokens_of_shape(shape))
    calls: list[tuple[str, float, Tensor]] = []
    experts: Any = [ToyExpert(case, name, calls) for name in ("low", "high")]
    sampling = Sampling(steps=c["steps"], shift=c["shift"], solver=solver_name(c), guidance=(low, high), boundary=c["boundary"])
    told = [Condition(case.inputs[f"context_{which}"]) for which in ("pos", "neg")]
    points = list(generate_latents(experts, *told, noise, sampling))
    case.close("latents", torch.stack([noise, *(p.after for p in points)]), 5e-5)
    case.equal("timesteps", [p.timestep for p in points])
    case.close("v_cond", torch.stack([v for _, _, v in calls[::2]]), 5e-5)
    case.close("v_uncond", torch.stack([v for _, _, v in calls[1::2]]), 5e-5)
    case.equal("cond_called_first", int(calls[0][1] == float(case.inputs["context_pos"])))
    is_high = [name == "high" for name, _, _ in calls[::2]]
    case.equal("expert_is_high", is_high)
    case.equal("guide_scale", [high if x else low for x in is_high])


def tokens_of_shape(shape: tuple[int, ...]) -> int:
    return shape[1] * shape[2] * shape[3] // 4


def sampling_of(config: dict[str, Any]) -> Sampling:
    return Sampling(
        steps=config["steps"],
        shift=config["shift"],
        solver=solver_name(config),
        guidance=(config["guide_scale"], None),
    )


def loaded(case: Case) -> tuple[Any, Any]:
    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in case.weights.items() if name.startswith(prefix)}

    vae = load_vae(case.config["vae"], part("vae."), case.inputs["latent_mean"], case.inputs["latent_std"])
    return load_dit(case.config["dit"], part("dit.")), vae


def finish(case: Case, points: list[Any], vae: Any) -> None:
    """Compare the way, the end and the video, in bytes too."""
    case.close("latents_in", torch.stack([p.before for p in points]), 5e-5)
    latents = points[-1].after
    case.close("latent_final", latents, 5e-5)
    video = vae.decode(latents[None])[0]
    case.close("video", video, 2e-4)
    assert torch.equal(torch.cat(list(decode_frames(vae, latents))), to_bytes(video))


def e2e_t2v(case: Case) -> None:
    dit, vae = loaded(case)
    width, height = case.config["size_wh"]
    noise = draw_noise(vae.config.latent_shape(case.config["frame_num"], height, width), case.config["seed"])
    case.equal("noise", noise)
    told = [Condition(case.inputs[f"context_{which}"]) for which in ("pos", "neg")]
    finish(case, list(generate_latents([dit], *told, noise, sampling_of(case.config))), vae)


def e2e_ti2v(case: Case) -> None:
    """Of the two modes, with an image the size follows from it."""
    dit, vae = loaded(case)
    width, height = case.config["size_wh"]
    first = None
    if case.config["mode"] == "i2v":
        image = case.inputs["image"]
        fit = covering_fit((image.shape[0], image.shape[1]), case.config["max_area"], step=2 * vae.config.stride[1])
        height, width = fit.size
        pixels = cover(image, fit)
        case.close("vae_input", pixels[:, None], 2e-4)
        first = vae.encode(pixels[None, :, None])[0]
        case.close("z_first", first, 5e-5)
    noise = draw_noise(vae.config.latent_shape(case.config["frame_num"], height, width), case.config["seed"])
    case.equal("seq_len", tokens_of_shape(noise.shape))
    told = [Condition(case.inputs[f"context_{which}"]) for which in ("pos", "neg")]
    points = list(generate_ti2v_latents(dit, *told, noise, sampling_of(case.config), first))
    free = torch.ones(noise.shape[1:])
    free[0] = float(first is None)
    case.equal("timestep_tokens", torch.stack([token_times(free, p.timestep) for p in points]))
    finish(case, points, vae)
