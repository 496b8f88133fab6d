"""Where the parts of a model stay when memory is short: a plan from sizes and a budget; without torch. "Ours".

Text is encoded, then latents are made, then decoded; only one of the three needs the device at a time, and each is planned alone.
For the latents, what is given up first is what costs least: holding both experts (one exchange a video), the two guided passes
at once (a second reading of the parameters, little beside tens of thousands of tokens), and last that all blocks stay (they are
copied during every pass, hidden behind the products where those are long).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wanbench.errors import UsageError

RESERVE = 600_000_000
"""Bytes kept free: the context of the device and its libraries' workspaces [ours; about what CUDA and cuBLAS take]."""
SLOTS = 2
"""Places for blocks that come and go: one computes while the next arrives."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Bytes of a model at work."""

    block: int
    """Of one block."""
    blocks: int
    """How many of them a transformer has."""
    rest: int
    """Of a transformer without them: embeddings, head, rows beside the stack."""
    experts: int
    """Transformers: 1 or 2."""
    activations: int
    """Of one pass for one sample."""
    text: int
    """Of the text encoder."""
    decode: int
    """Of decoding, parameters included."""
    kept: int = 0
    """Of what is remembered from step to step."""

    @property
    def transformer(self) -> int:
        """Of one transformer."""
        return self.rest + self.blocks * self.block


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What stays on the device while latents are made, and how the work before and after is done."""

    experts_resident: int
    """Transformers on the device at a time."""
    blocks_resident: int
    """Blocks of each that stay; the others come through two slots in every pass."""
    together: bool
    """Whether the two guided passes are one batch."""
    text_on_device: bool
    """Else its blocks come and go, too."""
    tiled_decode: bool
    """Whether decoding must work in tiles."""
    peak: int
    """Bytes that making latents takes, `RESERVE` included."""


def needed(sizes: Sizes, *, experts: int, blocks: int, samples: int) -> int:
    """Bytes that making latents takes."""
    slots = min(SLOTS, sizes.blocks - blocks)
    # Two experts share the slots: only one of them works.
    weights = experts * (sizes.rest + blocks * sizes.block)
    return RESERVE + weights + slots * sizes.block + samples * sizes.activations + sizes.kept


def gigabytes(count: int) -> str:
    """Bytes for a reader, never too few: 28,601,000,000 -> `28.61 GB`."""
    return f"{-(-count // 10**7) / 100:.2f} GB"


def place(sizes: Sizes, budget: int, *, guided: bool = True, passes: str | None = None) -> Placement:
    """The fastest placement within `budget` bytes, with the passes `together` or `apart` where that is wanted.

    `UsageError` where none fits.
    """
    samples_allowed = {"together": (2,), "apart": (1,), None: (2, 1)}[passes] if guided else (1,)
    for experts, blocks, samples in _candidates(sizes, samples_allowed):
        peak = needed(sizes, experts=experts, blocks=blocks, samples=samples)
        if peak <= budget:
            return Placement(
                experts_resident=experts,
                blocks_resident=blocks,
                together=samples == 2,
                text_on_device=RESERVE + sizes.text <= budget,
                tiled_decode=RESERVE + sizes.decode > budget,
                peak=peak,
            )
    least = needed(sizes, experts=1, blocks=0, samples=samples_allowed[-1])
    raise UsageError(
        f"a memory of {budget / 1e9:.2f} GB is too little: this model at this size needs {gigabytes(least)} even with"
        " all its blocks outside; give more, or make the video smaller or shorter"
    )


def _candidates(sizes: Sizes, samples: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(experts, resident blocks, samples a pass), the fastest first."""
    for experts in range(sizes.experts, 0, -1):
        yield from ((experts, sizes.blocks, n) for n in samples)
    for blocks in range(sizes.blocks - 1, -1, -1):
        yield 1, blocks, samples[-1]
