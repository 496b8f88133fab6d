"""The FID variant of Inception-v3: pictures to the 2,048 pool features that FID (arXiv 1706.08500) compares.

The network is not torchvision's, though its tensors have the same names: `_inception_blocks.py` lists the differences.
Resizing is part of the definition too (arXiv 2104.11222); ours: the whole picture to 299 x 299 bicubically with antialiasing,
after shrinking to a short side of 299 as every frame here is shrunk.
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
from wanbench.metrics.nets._pictures import inference, pictures
from wanbench.networks import Network, Placement

if TYPE_CHECKING:
    import torch

CHECKPOINT = "inception-fid"
FILE = "pt_inception-2015-12-05-6726825d.pth"
PIXELS = 299
FEATURES = 2048
SETTINGS: Mapping[str, str | int | float] = {
    "network": "Inception-v3, FID variant, 2048 pool features",
    "picture_resize": f"{PIXELS}x{PIXELS}, bicubic with antialiasing, cut to 0-255, not rounded; then to -1..1",
}


class Inception:
    """Pictures to features, in two steps so that pictures of many sizes share a batch."""

    def __init__(self, module: torch.nn.Module, placement: Placement) -> None:
        self._module = module
        self._placement = placement
        self.batch_size = placement.batch_size

    def resized(self, frames_THWC: Frames) -> torch.Tensor:
        """(T, H, W, 3) uint8 RGB -> (T, 3, 299, 299) in -1 to 1, on the device."""
        half = (0.5, 0.5, 0.5)
        with inference():
            return pictures(frames_THWC, (PIXELS, PIXELS), half, half, self._placement)

    def features(self, pictures_T3HW: torch.Tensor) -> npt.NDArray[np.float32]:
        """(T, 3, 299, 299) -> (T, 2048) float32."""
        with inference():
            features: npt.NDArray[np.float32] = self._module(pictures_T3HW).float().cpu().numpy()
        return features


def build(folders: Mapping[str, Path], placement: Placement) -> Inception:
    """The network with the tensors of the store; `UsageError` for a missing, unexpected or misshaped one."""
    try:
        from wanbench.metrics.nets._inception_blocks import FidInception
    except ImportError as error:
        raise MissingDependency("FID", "score") from error
    module = FidInception()
    path = locate(CHECKPOINT, FILE, folders[CHECKPOINT])
    # The training's step counters, which a file may hold or not, have no use here.
    counters = {name: t for name, t in module.state_dict().items() if name.endswith(".num_batches_tracked")}
    load_strictly(module, {**load_tensors(path), **counters}, path)
    return Inception(module.eval().to(placement.device, placement.torch_dtype()), placement)


INCEPTION: Network[Inception] = Network(name="inception-fid", checkpoints=(CHECKPOINT,), build=build)
