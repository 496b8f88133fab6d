"""Between frames and networks: normalised square pictures, batches, and arithmetic that batch sizes do not move."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from wanbench.clip import Frames
from wanbench.networks import Placement

if TYPE_CHECKING:
    import torch


@contextlib.contextmanager
def inference() -> Iterator[None]:
    """No gradients, and convolutions in full float32.

    On a GPU, cuDNN would by default round float32 convolutions to ten bits (TF32), choose algorithms by speed and so let scores
    depend on the batch size.
    """
    import torch

    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), flags:
        yield


def batches(count: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover `range(count)`."""
    return (slice(start, start + size) for start in range(0, count, size))


def upload(frames_THWC: Frames, placement: Placement) -> torch.Tensor:
    """(T, 3, H, W) float32 of 0-255 on the placement's device."""
    import torch

    with warnings.catch_warnings():
        # A clip's frames are read-only memory, shared with the decoder; nothing here writes into them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        bytes_THWC = torch.from_numpy(np.ascontiguousarray(frames_THWC))
    return bytes_THWC.to(placement.device).permute(0, 3, 1, 2).float()


def centre_square(frames_THWC: Frames) -> Frames:
    """The middle of the longer side: (T, S, S, 3) with S the shorter side."""
    height, width = frames_THWC.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frames_THWC[:, top : top + side, left : left + side]


def pictures(
    frames_THWC: Frames, size_HW: tuple[int, int], mean: tuple[float, ...], std: tuple[float, ...], placement: Placement
) -> torch.Tensor:
    """(T, 3, *size_HW) in the placement's dtype: the whole frames, resized bicubically with antialiasing, then normalised.

    The cubic's overshoot is cut to 0-255, as image libraries do; unlike there nothing is rounded, so that scores move smoothly.
    """
    import torch

    x = upload(frames_THWC, placement)
    if x.shape[2:] != size_HW:
        x = torch.nn.functional.interpolate(x, size=size_HW, mode="bicubic", antialias=True)
    x = x.clamp(0, 255) / 255
    middle, spread = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (mean, std))
    return ((x - middle) / spread).to(placement.torch_dtype())
