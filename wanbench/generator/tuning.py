"""What makes a transformer faster, chosen in one place: its attention kernel, compilation, 8-bit products, reuse of attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from wanbench.errors import UsageError
from wanbench.generator import kernels
from wanbench.generator.attention import attend as plain
from wanbench.generator.dit import Transformer
from wanbench.generator.fp8 import use_fp8
from wanbench.generator.guidance import Rhythm
from wanbench.generator.reuse import AttentionReuse


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What is done; the defaults change nothing but rounding."""

    attention: str = "auto"
    """One of `kernels.CHOICES`."""
    compile: bool = False
    """Compile the blocks: all of them are one graph, compiled once for each shape."""
    fp8: bool = False
    """Approximate."""
    reuse: Rhythm | None = None
    """Steps at which attention is computed; approximate."""

    def __post_init__(self) -> None:
        if self.compile and self.reuse is not None:
            raise UsageError("reuse of attention cannot be compiled: choose one of the two")


def tuned(network: Transformer, speed: Speed, *, backend: str = "inductor") -> Callable[..., Tensor]:
    """A network to call in place of this one, which is changed. Before it is placed: 8-bit parameters are smaller."""
    dtype = network.blocks[0].get_parameter("self_attn.v.weight").dtype
    device = network.blocks[0].get_parameter("self_attn.v.weight").device
    changed(network, speed, backend=backend)
    _, attend = kernels.choose(device, dtype, network.config.head_dim, speed.attention)
    called: Callable[..., Tensor] = network if speed.reuse is None else AttentionReuse(network, speed.reuse)
    return called if attend is plain else partial(called, attend=attend)


def changed(network: Transformer, speed: Speed, *, backend: str = "inductor") -> Transformer:
    """The network itself, with 8-bit products and compiled blocks."""
    if speed.fp8:
        use_fp8(list(network.blocks))
    if speed.compile:
        for block in network.blocks:
            # `forward` alone, so that hooks, which fetch parameters, stay outside of the graph.
            compiled: Any = torch.compile(block.forward, dynamic=False, backend=backend)
            block.forward = compiled
    return network
