"""MANIQA (arXiv 2204.08958): perceived quality of an image, about 0 to 1, built by pyiqa from the authors' KonIQ-10k checkpoint.

Departures (ours): the authors average 20 random crops of 224 x 224, and pyiqa crops in its own way; here the crops lie on a
fixed lattice, so that the same frame always gives the same number. The score of a frame is the mean over its crops, as in
the paper.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

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

CHECKPOINT = "maniqa"
FILE = "ckpt_koniq10k.pt"
SCALE = 0.8
"""Weight of the Swin branches that goes with the KonIQ-10k checkpoint (its authors' own setting; 0.13 belongs to PIPAL's)."""

OPTIONS = frozenset({"vit", "embed_dim", "dim_mlp", "depths", "num_heads", "num_tab"})
"""Of pyiqa's, that one's own parameters may bring along; `vit` holds timm's."""

CROP_PIXELS = 224
"""What the network was trained on, at native resolution."""
LATTICE = (2, 3)
"""[ours] Crops along the shorter and along the longer side, from edge to edge: six cover 73 % of the pixels of a 480 x 854
frame. A full cover would be 3 x 4 at twice the cost, and a crop takes 1.7 s on a two-core CPU."""


class Maniqa:
    """Frames to quality: (T, H, W, 3) uint8 RGB -> (T,) float32, about 0 to 1, higher is better."""

    def __init__(self, module: torch.nn.Module, placement: Placement) -> None:
        self._module = module
        self._placement = placement

    def __call__(self, frames_THWC: Frames) -> npt.NDArray[np.float32]:
        crops_TKHWC = crops(frames_THWC)
        flat = crops_TKHWC.reshape(-1, *crops_TKHWC.shape[2:])
        scores = []
        with inference():
            for part in batches(len(flat), self._placement.batch_size):
                x = upload(flat[part], self._placement) / 255
                scores.append(self._module(x.to(self._placement.torch_dtype())).float().flatten().cpu().numpy())
        per_crop: npt.NDArray[np.float32] = np.concatenate(scores).reshape(crops_TKHWC.shape[:2])
        mean: npt.NDArray[np.float32] = per_crop.mean(axis=1, dtype=np.float64).astype(np.float32)
        return mean


def lattice(size_HW: tuple[int, int]) -> list[tuple[int, int]]:
    """Top-left corners (row, column) of the crops of a frame whose sides are at least `CROP_PIXELS`, without duplicates."""
    short, long = LATTICE
    counts = (short, long) if size_HW[0] <= size_HW[1] else (long, short)
    rows, columns = (
        np.unique(np.linspace(0, side - CROP_PIXELS, count).round().astype(int)).tolist()
        for side, count in zip(size_HW, counts, strict=True)
    )
    return [(row, column) for row in rows for column in columns]


def crops(frames_THWC: Frames) -> Frames:
    """(T, K, 225, 225, 3): the lattice's crops, each with one more row and column below and to the right.

    A frame smaller than a crop is continued by its own mirror image on both sides: enlarging it would change its sharpness.
    pyiqa takes the first 224 x 224 pixels of an input of 225 x 225 as they are, but enlarges one of exactly 224 x 224.
    """
    missing = [max(0, CROP_PIXELS - side) for side in frames_THWC.shape[1:3]]
    margins = [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)]
    whole = np.pad(frames_THWC, margins, mode="symmetric")
    corners = lattice((whole.shape[1], whole.shape[2]))
    bordered = np.pad(whole, [(0, 0), (0, 1), (0, 1), (0, 0)], mode="edge")
    side = CROP_PIXELS + 1
    return np.stack([bordered[:, row : row + side, column : column + side] for row, column in corners], axis=1)


def build(folders: Mapping[str, Path], placement: Placement) -> Maniqa:
    """MANIQA with the tensors of the store; `config.json` there may reduce its size.

    Raises `UsageError` for a missing, unexpected or misshaped tensor, `MissingDependency` without pyiqa.
    """
    try:
        import pyiqa.archs.maniqa_arch as arch
    except ImportError as error:
        raise MissingDependency("MANIQA", "quality") from error

    folder = folders[CHECKPOINT]
    options = read_options(folder, allowed=OPTIONS)
    with _untrained_backbone(arch, options.pop("vit", {})):
        module = arch.MANIQA(pretrained=False, test_sample=1, scale=SCALE, **options)
    path = locate(CHECKPOINT, FILE, folder)
    load_strictly(module, load_tensors(path), path)
    return Maniqa(module.eval().to(placement.device, placement.torch_dtype()), placement)


@contextlib.contextmanager
def _untrained_backbone(arch: Any, options: Mapping[str, Any]) -> Iterator[None]:
    """pyiqa's constructor asks timm for a trained ViT from the network, whose values the checkpoint then replaces: none is
    fetched while this lasts."""
    timm = arch.timm
    arch.timm = SimpleNamespace(create_model=lambda name, pretrained: timm.create_model(name, pretrained=False, **options))
    try:
        yield
    finally:
        arch.timm = timm


MANIQA: Network[Maniqa] = Network(name="maniqa", checkpoints=(CHECKPOINT,), build=build)
