"""How much of the adaptive normalisation the blocks share: the ablation of the Wan report (arXiv 2503.20314, section 4).

Shift, scale and gate come from the time embedding through a projection of D to 6D. In the released networks all blocks share one,
and each adds a learned bias of its own. The report sets this against a network whose first half shares and one where every block
has its own projection, 6 D^2 more parameters a block; and, at equal parameters, against a deeper network that shares everything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from wanbench.generator.configurations import DiTConfig
from wanbench.generator.dit import Block, DiT, Given
from wanbench.generator.layers import Linear32
from wanbench.generator.times import Times, distinct, sinusoid

Shared = Literal["all", "half", "none"]


@dataclass(frozen=True, kw_only=True)
class AdaptiveConfig:
    """A text-to-video network of the ablation."""

    dit: DiTConfig
    shared: Shared
    """Which blocks share one projection: all as released, the first half, or none."""

    @property
    def sharing(self) -> int:
        """Blocks from the first one on that share."""
        layers = self.dit.num_layers
        return {"all": layers, "half": layers // 2, "none": 0}[self.shared]


def ablation(dit: DiTConfig, *, deeper: int = 5) -> dict[str, AdaptiveConfig]:
    """The networks to compare: three ways to share, and full sharing with `deeper` more layers (5 on the 1.3B's 30 cost about
    as many parameters as sharing in one half only)."""
    variants: dict[str, AdaptiveConfig] = {
        f"{shared}-shared": AdaptiveConfig(dit=dit, shared=shared) for shared in ("all", "half", "none")
    }
    taller = replace(dit, num_layers=dit.num_layers + deeper)
    return {**variants, "all-shared-deeper": AdaptiveConfig(dit=taller, shared="all")}


class OwnBlock(Block):
    """A block that makes shift, scale and gate from the time embedding by itself.

    `modulation` is one bias more than it needs; it stays, so that a block of the released kind can be read into it.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__(config)
        self.time_projection = nn.Sequential(nn.SiLU(), Linear32(config.dim, 6 * config.dim))

    def forward(self, x: torch.Tensor, given: Given) -> torch.Tensor:
        """x [B, L, D] float32 -> the same."""
        embedding = given.times.embedding
        own = self.time_projection(embedding).view(len(embedding), 6, -1)
        return super().forward(x, given._replace(times=given.times._replace(modulation=own)))


class AdaptiveDiT(DiT):
    """The text-to-video transformer with any of the three ways to share."""

    def __init__(self, config: AdaptiveConfig) -> None:
        super().__init__(config.dit)
        self.sharing = config.sharing
        for layer in range(self.sharing, config.dit.num_layers):
            self.blocks[layer] = OwnBlock(config.dit)
        if not self.sharing:
            del self.time_projection

    def embed_times(self, t: torch.Tensor) -> Times:
        """As in the released networks; without a shared projection, nothing is projected here."""
        if self.sharing:
            return super().embed_times(t)
        values, rows = distinct(t)
        embedding = self.time_embedding(sinusoid(values, self.config.freq_dim))
        return Times(embedding, embedding[:, None].expand(-1, 6, -1), rows)  # every block puts its own in the second's place
