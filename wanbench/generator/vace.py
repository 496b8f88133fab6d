"""VACE, all-in-one creation and editing (arXiv 2503.07598), on the Wan transformer.

A second row of blocks reads the context (frames, masks, references) and gives hints that are added to the main stack. All hints
are made first, from the tokens that enter the main stack.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from wanbench.generator.attention import Attend, attend
from wanbench.generator.configurations import PATCH, DiTConfig
from wanbench.generator.dit import Block, Given, Transformer, unpatchify
from wanbench.generator.layers import Linear, PatchEmbedding, tokens_of
from wanbench.generator.rope import full_grid


class VaceBlock(Block):
    """An ordinary block with a projection after it, and for the first of the row one before it."""

    def __init__(self, config: DiTConfig, *, first: bool) -> None:
        super().__init__(config)
        self.before_proj = Linear(config.dim, config.dim) if first else None
        self.after_proj = Linear(config.dim, config.dim)


class VaceDiT(Transformer):
    """The transformer with a row of VACE blocks beside it."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__(config)
        assert config.vace is not None
        self.layers = config.vace.layers
        self.vace_patch_embedding = PatchEmbedding(config.vace.in_dim, config.dim, PATCH)
        self.vace_blocks = nn.ModuleList(VaceBlock(config, first=i == 0) for i in range(len(self.layers)))

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text: Sequence[Tensor],
        *,
        context: Tensor,
        scale: float = 1.0,
        attend: Attend = attend,
    ) -> Tensor:
        """Velocity [B, out, F, H, W], float32.

        x, t, text as in `DiT`; context [B, 96, F, H, W] as `vace_context` makes it; `scale` is the weight of its hints.
        """
        patches = self.patch_embedding(x)
        grid, tokens = patches.shape[2:], tokens_of(patches)
        turn = self.rotation(full_grid(*grid, device=x.device))
        given = Given(self.embed_times(t), turn, self.embed_text(text), None, attend)
        hints = self.hints(tokens, context, given)

        def add_hint(layer: int, x: Tensor) -> Tensor:
            return x + hints[layer] * scale if layer in hints else x

        return unpatchify(self.head(self.run_blocks(tokens, given, add_hint), given.times), grid)

    def hints(self, tokens: Tensor, context: Tensor, given: Given) -> dict[int, Tensor]:
        """Layer of the main stack -> what is added after it, [B, L, D]."""
        c = tokens_of(self.vace_patch_embedding(context))
        hints = {}
        for layer, block in zip(self.layers, self.vace_blocks, strict=True):
            assert isinstance(block, VaceBlock)
            if block.before_proj is not None:
                c = block.before_proj(c) + tokens
            c = block(c, given)
            hints[layer] = block.after_proj(c)
        return hints
