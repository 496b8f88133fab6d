"""What VACE reads (arXiv 2503.07598, section 3.2): frames that stay, frames to change, the mask between them, and references."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from wanbench.generator.conditioning import Encode

CELL = 8
"""Side of the squares of the mask that become channels: the stride of the autoencoder."""


def vace_context(frames: Tensor, mask: Tensor, references: Sequence[Tensor], encode: Encode) -> Tensor:
    """Context [2z + 64, R + F, H/8, W/8].

    frames [3, T, H, W] in [-1, 1] (0 where there is no source); mask [1, T, H, W] in [0, 1], over 0.5 = to be made; R references
    [3, H, W], as `images.inscribe` fits them.
    Each reference is a latent frame of its own *before* the video; noise needs as many more frames, cut off before decoding.
    """
    change = (mask > 0.5).to(frames)
    video = torch.cat((encode(frames * (1 - change)), encode(frames * change)))
    stills = [encode(reference[:, None]) for reference in references]
    latents = torch.cat([*(torch.cat((still, torch.zeros_like(still))) for still in stills), video], dim=1)
    # The network sees the mask as it came: only the cut through the frames is hard.
    return torch.cat((latents, mask_channels(mask, len(stills)).to(latents)))


def mask_channels(mask: Tensor, references: int = 0) -> Tensor:
    """mask [1, T, H, W] -> [64, references + F, H/8, W/8]; channel = 8 * row + column in the cell.

    Time is thinned by "nearest-exact": of 81 frames the first latent frame reads number 1, not 0. References have zeros.
    """
    _, t, h, w = mask.shape
    cells = mask.view(t, h // CELL, CELL, w // CELL, CELL).permute(2, 4, 0, 1, 3).flatten(0, 1)
    thinned = functional.interpolate(cells[None], size=((t + 3) // 4, h // CELL, w // CELL), mode="nearest-exact")[0]
    return functional.pad(thinned, (0, 0, 0, 0, references, 0))
