"""DINO ViT-B/16 (arXiv 2104.14294): the class token as the description of a frame; transformers' network.

Ours: the whole frame goes in, brought to a square of the network's size (224) as the hub's own preprocessing does, bicubic with
antialiasing. A centre crop would not see 44 % of a 16:9 frame, and would take a subject that walks to the side for another one;
the distortion is the same in all frames of a clip, and only those are compared with each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wanbench.checkpoints import load_strictly, load_tensors, locate
from wanbench.clip import Clip, Frames
from wanbench.errors import MissingDependency, UsageError
from wanbench.metrics.nets._pictures import batches, inference, pictures
from wanbench.networks import Network, Placement

if TYPE_CHECKING:
    import torch

    from wanbench.dimension import Tools

CHECKPOINT = "dino-vitb16"
CONFIG_FILE = "config.json"
TENSORS_FILE = "pytorch_model.bin"
LINES = 480
"""[ours] Short side of the frames that are brought to the network's size."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, as in DINO's training."""
SETTINGS: Mapping[str, str | int | float] = {
    "dino_lines": LINES,
    "dino_resize": "whole frame to the network's square, bicubic with antialiasing",
    "dino_feature": "class token after the last layer norm",
}
LIBRARY_NAMES = (
    (r"^encoder\.layer\.", "layers."),
    (r"\.attention\.attention\.(query|key|value)\.", lambda m: f".attention.{m[1][0]}_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(?<!attention)\.output\.dense\.", ".mlp.fc2."),
)
"""Names in the published file -> names in transformers 5; its own conversion prints a table where ours raises."""


class Dino:
    """Frames to features: (T, H, W, 3) uint8 RGB -> (T, 768) float32."""

    def __init__(self, module: torch.nn.Module, side: int, placement: Placement) -> None:
        self._module = module
        self._size_HW = (side, side)
        self._placement = placement

    def __call__(self, frames_THWC: Frames) -> npt.NDArray[np.float32]:
        tokens = []
        with inference():
            for part in batches(len(frames_THWC), self._placement.batch_size):
                x = pictures(frames_THWC[part], self._size_HW, MEAN, STD, self._placement)
                tokens.append(self._module(pixel_values=x).last_hidden_state[:, 0].float().cpu().numpy())
        return np.concatenate(tokens)


def build(folders: Mapping[str, Path], placement: Placement) -> Dino:
    """The ViT that `config.json` describes, with the tensors beside it.

    Raises `UsageError` for a description that is none, and for a missing, unexpected or misshaped tensor.
    """
    try:
        from huggingface_hub.errors import StrictDataclassError
        from transformers import ViTConfig, ViTModel
    except ImportError as error:
        raise MissingDependency("DINO ViT-B/16", "score") from error
    described = locate(CHECKPOINT, CONFIG_FILE, folders[CHECKPOINT])
    try:
        config = ViTConfig.from_json_file(described)
        module = ViTModel(config, add_pooling_layer=False)
    except (OSError, ValueError, TypeError, KeyError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{described} describes no vision transformer ({reason}): fetch it again") from error
    path = locate(CHECKPOINT, TENSORS_FILE, folders[CHECKPOINT])
    load_strictly(module, {_library_name(n): t for n, t in load_tensors(path).items()}, path)
    return Dino(module.eval().to(placement.device, placement.torch_dtype()), int(config.image_size), placement)


def _library_name(name: str) -> str:
    for pattern, replacement in LIBRARY_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


DINO: Network[Dino] = Network(name="dino-vitb16", checkpoints=(CHECKPOINT,), build=build)


def dino_tokens(clip: Clip, tools: Tools) -> npt.NDArray[np.float32]:
    """(G, 768) features of the grid frames. A shared feature."""
    return tools.network(DINO)(clip.grid_frames(LINES))
