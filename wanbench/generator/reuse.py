"""The attention cache of the Wan report (arXiv 2503.20314, on inference): what self-attention says changes slowly.

At some steps it is taken from an earlier one. Approximate. "Ours": which steps, and that its projections are left out as well.
A pass keeps [L, D] for each block: 13 GB for the 14B at 480P in bfloat16, twice that with guidance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from wanbench.generator.attention import Attend, SelfAttention
from wanbench.generator.deviation import Deviation, deviation
from wanbench.generator.dit import Transformer
from wanbench.generator.guidance import Rhythm
from wanbench.generator.rope import Rotation


class Remembering(nn.Module):
    """Self-attention that may repeat what it said."""

    def __init__(self, inner: SelfAttention) -> None:
        super().__init__()
        self.inner = inner
        self.said: dict[Any, Tensor] = {}
        self.speaker: Any = None
        """Which pass is running."""
        self.fresh = True
        self.exact = False
        """Speak anew, and remember nothing of it."""

    def forward(self, x: Tensor, rotation: Rotation, attend: Attend) -> Tensor:
        """x [B, L, D] -> [B, L, D]"""
        if self.exact:
            out: Tensor = self.inner(x, rotation, attend)
            return out
        if self.fresh:
            self.said[self.speaker] = self.inner(x, rotation, attend)
        return self.said[self.speaker]


class AttentionReuse:
    """A transformer to call in place of another, for one video. Passes are told apart by the tensors that hold their text.

    `call` is what computes its pass, where that is not the network itself; `watch` is told how far off the first pass is that
    reuses: that costs another one.
    """

    def __init__(
        self,
        network: Transformer,
        rhythm: Rhythm,
        call: Callable[..., Tensor] | None = None,
        watch: Callable[[Deviation], None] | None = None,
    ) -> None:
        self.network, self.rhythm, self.call, self.watch = network, rhythm, call or network, watch
        self.steps: Counter[tuple[int, ...]] = Counter()
        self.layers: list[Remembering] = []
        for block in network.blocks:
            attention: Any = block.self_attn
            block.self_attn = Remembering(attention)
            self.layers.append(block.self_attn)

    def __call__(self, x: Tensor, t: Tensor, text: Sequence[Tensor], **others: Any) -> Tensor:
        speaker = tuple(id(rows) for rows in text)
        fresh = self.rhythm.fresh(self.steps[speaker])
        self.steps[speaker] += 1
        for layer in self.layers:
            layer.speaker, layer.fresh = speaker, fresh
        out = self.call(x, t, text, **others)
        if self.watch is not None and not fresh:
            watch, self.watch = self.watch, None
            for layer in self.layers:
                layer.exact = True
            watch(deviation(out, self.call(x, t, text, **others)))
            for layer in self.layers:
                layer.exact = False
        return out

    def close(self) -> None:
        """Give the network its attention back, and the memory free."""
        for block, layer in zip(self.network.blocks, self.layers, strict=True):
            block.self_attn = layer.inner
