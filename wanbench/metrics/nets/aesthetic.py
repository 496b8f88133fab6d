"""LAION's improved aesthetic predictor: five linear layers on CLIP ViT-L/14 embeddings that rate an image from about 1 to 10.

Trained on ratings of SAC, LAION-Logos and AVA (the `sac+logos+ava1-l14-linearMSE` file). Between its layers stands only dropout,
which does nothing here, so that the whole is linear in the embedding. Ours: it runs in float32 in any placement.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wanbench.checkpoints import load_strictly, load_tensors, locate
from wanbench.errors import MissingDependency, UsageError
from wanbench.metrics.nets._pictures import inference
from wanbench.networks import Network, Placement

if TYPE_CHECKING:
    import torch

CHECKPOINT = "laion-aesthetic"
FILE = "sac+logos+ava1-l14-linearMSE.pth"
WIDTHS = (1024, 128, 64, 16, 1)
"""Outputs of the linear layers."""
PLACES = (0, 2, 4, 6, 7)
"""Their numbers in the published file; dropouts stand between them."""


class Aesthetic:
    """Unit CLIP embeddings to ratings: (T, 768) float32 -> (T,) float32, about 1 to 10, higher is better."""

    def __init__(self, module: torch.nn.Module, device: str) -> None:
        self._module = module
        self._device = device

    def __call__(self, embeddings_TD: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        import torch

        with inference():
            ratings: npt.NDArray[np.float32] = self._module(torch.from_numpy(embeddings_TD).to(self._device))[:, 0].cpu().numpy()
        return ratings


def build(folders: Mapping[str, Path], placement: Placement) -> Aesthetic:
    """The predictor, as wide as the tensors of the store; `UsageError` for a missing, unexpected or misshaped one."""
    try:
        import torch
    except ImportError as error:
        raise MissingDependency("the aesthetic predictor", "score") from error
    path = locate(CHECKPOINT, FILE, folders[CHECKPOINT])
    tensors = load_tensors(path)
    first = tensors.get("layers.0.weight")
    if first is None or first.ndim != 2:
        raise UsageError(f"{path} does not fit the aesthetic predictor: it has no matrix layers.0.weight: fetch it again")
    inputs = (first.shape[1], *WIDTHS)
    module = torch.nn.Sequential()
    for place, width_in, width_out in zip(PLACES, inputs, WIDTHS, strict=False):
        module.add_module(str(place), torch.nn.Linear(width_in, width_out))
    load_strictly(module, {n.removeprefix("layers."): t for n, t in tensors.items()}, path)
    return Aesthetic(module.eval().to(placement.device), placement.device)


AESTHETIC: Network[Aesthetic] = Network(name="laion-aesthetic", checkpoints=(CHECKPOINT,), build=build)
