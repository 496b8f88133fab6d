"""CLIP ViT-L/14 (arXiv 2103.00020): OpenAI's parameters in open_clip's network; images and texts as unit vectors.

Pictures go in as in CLIP's training: the centre square, bicubic with antialiasing to 224 pixels. Ours: the square is cut before
it is resized, not after, which moves its edges by less than a pixel and bounds the memory that a very wide frame takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wanbench.checkpoints import load_strictly, load_tensors, locate
from wanbench.clip import Clip, Frames
from wanbench.errors import MissingDependency, UsageError
from wanbench.metrics.nets._pictures import batches, centre_square, inference, pictures
from wanbench.networks import Network, Placement

if TYPE_CHECKING:
    import torch

    from wanbench.dimension import Tools

CHECKPOINT = "clip-vit-l14"
FILE = "open_clip_model.safetensors"
CONFIG_FILE = "open_clip_config.json"
"""Optional: the hub's description of the network, for one's own or reduced ones."""
ARCHITECTURE = "ViT-L-14-quickgelu"
"""open_clip's name; OpenAI trained with the quick approximation of GELU, and other parameters load into either."""
LINES = 480
"""[ours] Short side of the frames that are brought to the network's size."""
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's training images."""
SETTINGS: Mapping[str, str | int | float] = {
    "clip_lines": LINES,
    "clip_resize": "centre square, bicubic with antialiasing to the network's size",
}


class ClipNetwork:
    """Frames and texts to unit vectors of one space, 768 wide, float32."""

    def __init__(self, module: Any, size_HW: tuple[int, int], tokenizer: Any, placement: Placement) -> None:
        self._module = module
        self._size_HW = size_HW
        self._tokenizer = tokenizer
        self._placement = placement

    def images(self, frames_THWC: Frames) -> npt.NDArray[np.float32]:
        """(T, H, W, 3) uint8 RGB -> (T, 768)."""
        parts = []
        with inference():
            for part in batches(len(frames_THWC), self._placement.batch_size):
                x = pictures(centre_square(frames_THWC[part]), self._size_HW, MEAN, STD, self._placement)
                parts.append(_unit(self._module.encode_image(x)))
        return np.concatenate(parts)

    def text(self, text: str) -> npt.NDArray[np.float32]:
        """(768,); CLIP reads the first 75 or so words and signs of a text, and no more."""
        with inference():
            unit_1D = _unit(self._module.encode_text(self._tokenizer([text]).to(self._placement.device)))
        return unit_1D.reshape(-1)


def _unit(x: torch.Tensor) -> npt.NDArray[np.float32]:
    import torch

    unit: npt.NDArray[np.float32] = torch.nn.functional.normalize(x.float(), dim=-1).cpu().numpy()
    return unit


def build(folders: Mapping[str, Path], placement: Placement) -> ClipNetwork:
    """CLIP with the tensors of the store: ViT-L/14, or what `open_clip_config.json` beside them describes.

    Raises `UsageError` for a description that is none, and for a missing, unexpected or misshaped tensor.
    """
    try:
        import open_clip
    except ImportError as error:
        raise MissingDependency("CLIP ViT-L/14", "score") from error
    described = folders[CHECKPOINT] / CONFIG_FILE
    try:
        config = json.loads(described.read_bytes())["model_cfg"] if described.is_file() else {}
        config = {"quick_gelu": True, **(config or open_clip.get_model_config(ARCHITECTURE))}
        module = open_clip.CLIP(**config)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{described} describes no CLIP network ({error!r}): fetch it again") from error
    path = locate(CHECKPOINT, FILE, folders[CHECKPOINT])
    load_strictly(module, load_tensors(path), path)
    height, width = module.visual.image_size
    tokenizer = open_clip.SimpleTokenizer(context_length=module.context_length)
    return ClipNetwork(module.eval().to(placement.device, placement.torch_dtype()), (height, width), tokenizer, placement)


CLIP: Network[ClipNetwork] = Network(name="clip-vit-l14", checkpoints=(CHECKPOINT,), build=build)


def clip_image_embeddings(clip: Clip, tools: Tools) -> npt.NDArray[np.float32]:
    """(G, 768) unit vectors of the grid frames. A shared feature."""
    return tools.network(CLIP).images(clip.grid_frames(LINES))
