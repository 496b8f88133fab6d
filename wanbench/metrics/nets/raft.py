"""RAFT-large optical flow (arXiv 2003.12039), torchvision's network and its C_T_SKHT_V2 parameters.

Ours: frames at most 480 lines high, 20 updates, edges repeated to fill up sizes that are no multiple of 8 or under 128 pixels.
In bfloat16 and float16 the convolutions run in that type, while the correlation of all pairs, its look-up and the flow itself
stay in float32: a coordinate of 100 has a step of half a pixel in bfloat16.
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
from wanbench.metrics.nets._pictures import batches, inference, upload
from wanbench.networks import Network, Placement

if TYPE_CHECKING:
    import torch

CHECKPOINT = "raft-large"
FILE = "raft_large_C_T_SKHT_V2-ff5fadd5.pth"
LINES = 480
"""[ours] Short side of the frames: what the report's clips have, and about the size RAFT was trained at."""
UPDATES = 20
"""[ours] Refinement steps; the RAFT paper uses 12 to 32, and flow hardly changes after 20."""
STRIDE = 8
"""Of the feature maps."""
SMALLEST_SIDE = 128
"""The correlation pyramid halves the feature maps three times and needs two values at its top: 8 · 2 · 2³."""
SETTINGS: Mapping[str, str | int | float] = {
    "raft_lines": LINES,
    "raft_updates": UPDATES,
    "raft_padding": "centred, edges repeated",
}


class Raft:
    """Frame pairs to flow: (P, H, W, 3) uint8 RGB twice -> (P, H, W, 2) float32, (x, y) in pixels from first to second."""

    def __init__(self, module: torch.nn.Module, placement: Placement) -> None:
        self._module = module
        self._placement = placement

    def __call__(self, first_PHWC: Frames, second_PHWC: Frames) -> npt.NDArray[np.float32]:
        if first_PHWC.shape != second_PHWC.shape:
            raise ValueError(f"pairs of {first_PHWC.shape} and {second_PHWC.shape}: wanted equal shapes (P, H, W, 3)")
        flows = np.empty((*first_PHWC.shape[:3], 2), np.float32)
        for part in batches(len(flows), self._placement.batch_size):
            flows[part] = self._flow(first_PHWC[part], second_PHWC[part])
        return flows

    def _flow(self, first_PHWC: Frames, second_PHWC: Frames) -> npt.NDArray[np.float32]:
        import torch

        placement, (height, width) = self._placement, first_PHWC.shape[1:3]
        left, right, top, bottom = *_padding(width), *_padding(height)
        low = placement.dtype != "float32"
        with inference(), torch.autocast(torch.device(placement.device).type, placement.torch_dtype(), enabled=low):
            pair = (upload(f, placement) / 127.5 - 1 for f in (first_PHWC, second_PHWC))
            padded = (torch.nn.functional.pad(x, (left, right, top, bottom), mode="replicate") for x in pair)
            flow = self._module(*padded, num_flow_updates=UPDATES)[-1]
        inside = flow[:, :, top : top + height, left : left + width]
        flow_PHWC: npt.NDArray[np.float32] = inside.permute(0, 2, 3, 1).float().cpu().numpy()
        return flow_PHWC


def _padding(side: int) -> tuple[int, int]:
    """Pixels to add before and after a side."""
    more = max(SMALLEST_SIDE, -(-side // STRIDE) * STRIDE) - side
    return more // 2, more - more // 2


def build(folders: Mapping[str, Path], placement: Placement) -> Raft:
    """RAFT-large with the tensors of the store; `UsageError` for a missing, unexpected or misshaped one."""
    try:
        import torch
        from torchvision.models.optical_flow import raft_large
        from torchvision.models.optical_flow.raft import CorrBlock
    except ImportError as error:
        raise MissingDependency("RAFT optical flow", "score") from error

    class FullPrecisionCorrelation(CorrBlock):  # type: ignore[misc]
        """Products of all pairs of features in float32, whatever type the convolutions run in."""

        def build_pyramid(self, fmap1: torch.Tensor, fmap2: torch.Tensor) -> None:
            with torch.autocast(fmap1.device.type, enabled=False):
                super().build_pyramid(fmap1.float(), fmap2.float())

    module = raft_large(weights=None, progress=False, corr_block=FullPrecisionCorrelation())
    path = locate(CHECKPOINT, FILE, folders[CHECKPOINT])
    load_strictly(module, load_tensors(path), path)
    return Raft(module.eval().to(placement.device), placement)


RAFT: Network[Raft] = Network(name="raft-large", checkpoints=(CHECKPOINT,), build=build)
