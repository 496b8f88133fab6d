"""MUSIQ (arXiv 2108.05997): perceived quality of an image, about 0 to 100, built by pyiqa from its KonIQ-10k checkpoint.

The network sees the frame at native resolution and at 384 and 224 pixels on the longer side, in patches of 32. Ours: a strip so
thin that nothing would be left of it at 224 pixels is thickened by its own edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wanbench.checkpoints import load_strictly, load_tensors, locate
from wanbench.clip import Frames
from wanbench.errors import MissingDependency
from wanbench.metrics.nets._description import read_options
from wanbench.metrics.nets._pictures import batches, inference, upload
from wanbench.networks import Network, Placement

if TYPE_CHECKING:
    import torch

CHECKPOINT = "musiq"
FILE = "musiq_koniq_ckpt-e95806b9.pth"
SCALES = (224, 384)
"""Longer sides at which the network sees the frame beside the native one, in pixels."""
OPTIONS = frozenset({"hidden_size", "mlp_dim", "num_heads", "num_layers", "longer_side_lengths"})
"""Of pyiqa's, that one's own parameters may bring along."""


class Musiq:
    """Frames to quality: (T, H, W, 3) uint8 RGB -> (T,) float32, about 0 to 100, higher is better."""

    def __init__(self, module: torch.nn.Module, smallest_scale: int, placement: Placement) -> None:
        self._module = module
        self._smallest_scale = smallest_scale
        self._placement = placement

    def __call__(self, frames_THWC: Frames) -> npt.NDArray[np.float32]:
        scores, frames_THWC = [], thickened(frames_THWC, self._smallest_scale)
        with inference():
            for part in batches(len(frames_THWC), self._placement.batch_size):
                x = upload(frames_THWC[part], self._placement) / 255
                scores.append(self._module(x.to(self._placement.torch_dtype())).float().flatten().cpu().numpy())
        return np.concatenate(scores)


def thickened(frames_THWC: Frames, smallest_scale: int) -> Frames:
    """The frames, their edges repeated until a longer side of `smallest_scale` pixels leaves the shorter one a whole pixel."""
    sides = frames_THWC.shape[1:3]
    least = -(-max(sides) // smallest_scale)
    if min(sides) >= least:
        return frames_THWC
    missing = [max(0, least - side) for side in sides]
    return np.pad(frames_THWC, [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)], mode="edge")


def build(folders: Mapping[str, Path], placement: Placement) -> Musiq:
    """MUSIQ with the tensors of the store; `config.json` there may reduce its size (pyiqa's options).

    Raises `UsageError` for a missing, unexpected or misshaped tensor, `MissingDependency` without pyiqa.
    """
    try:
        import pyiqa.archs.musiq_arch as arch
    except ImportError as error:
        raise MissingDependency("MUSIQ", "quality") from error

    folder = folders[CHECKPOINT]
    options = read_options(folder, allowed=OPTIONS)
    options.setdefault("longer_side_lengths", list(SCALES))
    module = arch.MUSIQ(pretrained=False, num_class=1, **options)
    path = locate(CHECKPOINT, FILE, folder)
    load_strictly(module, load_tensors(path), path)
    smallest = min(options["longer_side_lengths"])
    return Musiq(module.eval().to(placement.device, placement.torch_dtype()), smallest, placement)


MUSIQ: Network[Musiq] = Network(name="musiq", checkpoints=(CHECKPOINT,), build=build)
