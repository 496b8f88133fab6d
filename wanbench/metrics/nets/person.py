"""People in a frame: torchvision's Faster R-CNN (arXiv 1506.01497) with MobileNetV3-Large and FPN, trained on COCO.

It only decides whether a clip shows a person at all (ours); boxes and probabilities are as the detector gives them.
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

CHECKPOINT = "person-detector"
FILE = "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth"
PERSON = 1
"""Class index of a person in the checkpoint's COCO labels; 0 is the background."""
COCO_CLASSES = 91
ANCHOR_PIXELS = (32, 64, 128, 256, 512)
ASPECT_RATIOS = (0.5, 1.0, 2.0)
FEATURE_MAPS = 3
PROPOSAL_PROBABILITY = 0.05
"""This and the anchors above are fixed by the checkpoint (torchvision's `fasterrcnn_mobilenet_v3_large_fpn`)."""


class PersonDetector:
    """Frames to people: (T, H, W, 3) uint8 RGB -> for each frame (N, 5) float32, x0, y0, x1, y1 as shares of the frame's
    width and height, and the probability; most probable first.

    Always in float32, whatever the placement's dtype: torchvision's box operations want it.
    """

    def __init__(self, module: torch.nn.Module, placement: Placement) -> None:
        self._module = module
        self._placement = placement

    def __call__(self, frames_THWC: Frames) -> list[npt.NDArray[np.float32]]:
        import torch

        height, width = frames_THWC.shape[1:3]
        found: list[npt.NDArray[np.float32]] = []
        extent = torch.tensor([width, height, width, height], device=self._placement.device)
        with inference():
            for part in batches(len(frames_THWC), self._placement.batch_size):
                x = upload(frames_THWC[part], self._placement) / 255
                for result in self._module(list(x)):
                    people = result["labels"] == PERSON
                    boxes = result["boxes"][people] / extent
                    found.append(torch.cat([boxes, result["scores"][people, None]], dim=1).cpu().numpy())
        return found


def build(folders: Mapping[str, Path], placement: Placement) -> PersonDetector:
    """The detector with the tensors of the store; `config.json` there may reduce its work (torchvision's options).

    Raises `UsageError` for a missing, unexpected or misshaped tensor, `MissingDependency` without torchvision.
    """
    try:
        from torchvision.models.detection import FasterRCNN
        from torchvision.models.detection.anchor_utils import AnchorGenerator
        from torchvision.models.detection.backbone_utils import mobilenet_backbone
    except ImportError as error:
        raise MissingDependency("the person detector", "score") from error

    folder = folders[CHECKPOINT]
    options = read_options(folder, allowed=frozenset({"min_size", "max_size", "rpn_post_nms_top_n_test"}))
    anchors = AnchorGenerator((ANCHOR_PIXELS,) * FEATURE_MAPS, (ASPECT_RATIOS,) * FEATURE_MAPS)
    backbone = mobilenet_backbone(backbone_name="mobilenet_v3_large", weights=None, fpn=True)
    module = FasterRCNN(backbone, COCO_CLASSES, rpn_anchor_generator=anchors, rpn_score_thresh=PROPOSAL_PROBABILITY, **options)
    path = locate(CHECKPOINT, FILE, folder)
    # The frozen normalisation of a trained detector has no use for the training's step counters.
    tensors = {name: tensor for name, tensor in load_tensors(path).items() if not name.endswith(".num_batches_tracked")}
    load_strictly(module, tensors, path)
    return PersonDetector(module.eval().to(placement.device), placement)


PERSON_DETECTOR: Network[PersonDetector] = Network(name="person-detector", checkpoints=(CHECKPOINT,), build=build)
