"""Training of a Wan transformer: rectified flow (arXiv 2209.03003) with logit-normal times (arXiv 2403.03206), as in the report.

x = (1 - s) * data + s * noise; the network learns v = noise - data from x and the time 1000 s, by mean squared error. s is the
sigmoid of a normal number, then shifted toward noise as in sampling. AdamW, clipped gradients, an exponential mean of the
parameters, products in bfloat16 if wanted. All randomness comes from one generator whose state is saved with the rest, so that
a run that was stopped and resumed is, bit for bit, the run that was not. One device, no data pipeline: a reference for ablations.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from wanbench.errors import UsageError
from wanbench.generator.layers import Linear
from wanbench.generator.samplers.schedule import TRAIN_TIMESTEPS


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Which times are trained, and how often the text is left out."""

    logit_mean: float = 0.0
    """Of the normal number: above 0 means more noise."""
    logit_std: float = 1.0
    shift: float = 1.0
    """s * shift / (1 + (shift - 1) * s): more noise for longer videos, which hide less in it."""
    drop_text: float = 0.1
    """Share of samples whose text is empty, for guidance."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How parameters move. Learning rate and weight decay are the first stage's of the report; the others are ours."""

    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-3
    warmup_steps: int = 0
    """Steps in which the learning rate rises in a straight line."""
    clip_norm: float = 1.0
    """Length that the gradient is cut to."""
    ema_decay: float = 0.999
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products; parameters, what accumulates, and the islands of the network are float32."""
    batch: int = 4


@dataclass(frozen=True)
class Sample:
    """A clip to learn from."""

    latents: Tensor
    """[z, F, H, W], normalised; all of one shape"""
    text: Tensor
    """[tokens, text_dim]"""


def draw_times(count: int, objective: Objective, generator: torch.Generator) -> Tensor:
    """Shares of noise s in (0, 1), [count] float32 on the generator's device."""
    normal = torch.randn(count, generator=generator, device=generator.device)
    s = torch.sigmoid(objective.logit_mean + objective.logit_std * normal)
    return objective.shift * s / (1 + (objective.shift - 1) * s)


def flow_loss(network: nn.Module, latents: Tensor, text: Sequence[Tensor], s: Tensor, noise: Tensor, **others: Tensor) -> Tensor:
    """Mean squared error of the velocity, float32.

    latents and noise [B, z, F, H, W], text B tensors [tokens, text_dim], s [B] shares of noise; `others` go to the network.
    """
    share = s.view(-1, *(1,) * (latents.dim() - 1))
    mixed = (1 - share) * latents + share * noise
    velocity = network(mixed, TRAIN_TIMESTEPS * s, text, **others)
    return functional.mse_loss(velocity.float(), noise - latents)


class Trainer:
    """A network on its way. `network` is what learns, `ema` what one samples from."""

    def __init__(self, network: nn.Module, recipe: Recipe, objective: Objective, generator: torch.Generator) -> None:
        self.network, self.recipe, self.objective, self.generator = network.train(), recipe, objective, generator
        set_products(network, recipe.precision)
        self.ema = copy.deepcopy(network).requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(
            parameter_groups(network, recipe.weight_decay), lr=recipe.learning_rate, betas=recipe.betas
        )
        self.steps_done = 0

    def run(self, samples: Sequence[Sample], steps: int) -> Iterator[float]:
        """Loss of each of `steps` steps on samples drawn at random, as they are made."""
        for _ in range(steps):
            yield self.step(samples)

    def step(self, samples: Sequence[Sample]) -> float:
        """One step on a batch drawn from the samples; its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * min(1.0, (self.steps_done + 1) / max(self.recipe.warmup_steps, 1))
        loss = self.loss(samples)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"step {self.steps_done + 1}: the gradient is not finite (loss {loss.item():g})")
        self.optimizer.step()
        self.steps_done += 1
        self.average()
        return loss.item()

    def loss(self, samples: Sequence[Sample]) -> Tensor:
        """Of one random batch."""
        random, device = self.generator, self.generator.device
        picked = torch.randint(len(samples), (self.recipe.batch,), generator=random, device=device).tolist()
        dropped = torch.rand(len(picked), generator=random, device=device) < self.objective.drop_text
        latents = torch.stack([samples[i].latents for i in picked])
        text = [samples[i].text[:0] if drop else samples[i].text for i, drop in zip(picked, dropped.tolist(), strict=True)]
        noise = torch.randn(latents.shape, generator=random, device=device)
        return flow_loss(self.network, latents, text, draw_times(len(picked), self.objective, random), noise)

    @torch.no_grad()
    def average(self) -> None:
        """Move the mean a little. Early on it moves more: it would otherwise remember the random start for 1/(1-decay) steps."""
        decay = min(self.recipe.ema_decay, (1 + self.steps_done) / (10 + self.steps_done))
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.network.parameters()), 1 - decay)

    def save(self, path: Path) -> None:
        """Everything that the next step depends on; the file appears whole or not at all."""
        state = {
            "circumstances": self.circumstances(),
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": self.generator.get_state(),
            "steps_done": self.steps_done,
        }
        partial = path.with_name(path.name + ".partial")
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Go on where `save` was called. `UsageError` for a file of another recipe, objective or network."""
        try:
            state = torch.load(path, map_location=self.generator.device, weights_only=True)
            was, now = state["circumstances"], self.circumstances()
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise UsageError(f"{path} is not a readable training checkpoint ({type(error).__name__}): give another") from error
        if changed := [key for key in now if was.get(key) != now[key]]:
            key = changed[0]
            raise UsageError(f"{path} was trained with {key} {was.get(key)}, now it is {now[key]}: keep it, or start anew")
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["random"].cpu())
        self.steps_done = state["steps_done"]

    def circumstances(self) -> Mapping[str, Any]:
        """What must be the same for a run to go on."""
        told = {**asdict(self.recipe), **asdict(self.objective)}
        told["betas"] = list(self.recipe.betas)
        told["parameters"] = sum(parameter.numel() for parameter in self.network.parameters())
        return told


def set_products(network: nn.Module, precision: Literal["float32", "bfloat16"]) -> None:
    """The type that products are computed in. Not autocast, which would take norms, times, modulation and head along."""
    for module in network.modules():
        if isinstance(module, Linear):
            module.products = None if precision == "float32" else torch.bfloat16


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; gains, biases and modulations, which have one meaningful axis, do not."""
    whole = [p for p in network.parameters() if p.requires_grad]
    matrices = [p for p in whole if _axes(p) >= 2]
    others = [p for p in whole if _axes(p) < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _axes(parameter: Tensor) -> int:
    # A modulation is [1, 6, D]: rows of biases, not a matrix.
    return 1 if parameter.dim() == 3 and len(parameter) == 1 else parameter.dim()
