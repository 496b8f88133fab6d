"""YOLOv3 (arXiv 1804.02767) in ultralytics' anchor-free form, loaded from safetensors and a JSON description (ours).

The report's artifact detector was never published, so the parameters are the user's own, from `wanbench train artifacts`.
Neither file can hold code: tensors come from `detector.safetensors`, and `detector.json` may name only the layers that YOLOv3
is made of (ultralytics' model builder evaluates some of its fields).
"""

from __future__ import annotations

import atexit
import copy
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from wanbench.checkpoints import load_strictly, load_tensors, locate
from wanbench.clip import Frames
from wanbench.errors import MissingDependency, UsageError
from wanbench.metrics.nets._description import read_object
from wanbench.metrics.nets._pictures import batches, inference, upload
from wanbench.networks import Network, Placement
from wanbench.types import JSONObject

if TYPE_CHECKING:
    import torch

CHECKPOINT = "yolov3-artifacts"
TENSORS_FILE = "detector.safetensors"
DESCRIPTION_FILE = "detector.json"
DESCRIPTION_VERSION = 1

ARCHITECTURES = ("yolov3u", "yolov3-sppu", "yolov3-tinyu")
"""Of ultralytics, by name; `u` is its anchor-free, decoupled head."""
LAYERS = frozenset({"Conv", "Bottleneck", "SPP", "Concat", "Detect", "nn.MaxPool2d", "nn.Upsample", "nn.ZeroPad2d"})
"""All that those three are made of."""
LAYER_LISTS = ("backbone", "head")
SCALES = ("depth_multiple", "width_multiple")

LEAST_PROBABILITY = 0.05
"""[ours] Boxes under this are not reported; far under any threshold that a score uses."""
SAME_BOX_IOU = 0.5
"""[ours] Of two boxes that overlap by more, of whatever class, the less probable one goes: one spot, one artifact."""
MOST_BOXES = 300
"""Per frame, as ultralytics' own default."""
GREY = 114
"""What ultralytics pads with, in training too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What `detector.json` says of the tensors beside it."""

    architecture: JSONObject
    """The two lists of layers and their multipliers, as in ultralytics' model files."""
    classes: tuple[str, ...]
    input_pixels: int
    """Longer side of the frame as the detector sees it."""
    sha256: str
    """Of `detector.safetensors`."""


class ArtifactDetector:
    """Frames to boxes: (T, H, W, 3) uint8 RGB -> for each frame (N, 6) float32, x0, y0, x1, y1 as shares of the frame's width
    and height, probability and class index; most probable first.

    As in ultralytics' validation: the longer side becomes `input_pixels`, grey fills up to whole strides. Class-agnostic
    suppression by torchvision; ultralytics' own gives up after a time limit, so that its result depends on the machine's load.
    """

    def __init__(self, module: torch.nn.Module, description: Description, placement: Placement) -> None:
        self.classes = description.classes
        self._module = module
        self._input_pixels = description.input_pixels
        self._stride = int(max(module.stride))  # type: ignore[arg-type]
        self._placement = placement

    def __call__(self, frames_THWC: Frames) -> list[npt.NDArray[np.float32]]:
        found = []
        with inference():
            for part in batches(len(frames_THWC), self._placement.batch_size):
                boxed = [letterbox(frame, self._input_pixels, self._stride) for frame in frames_THWC[part]]
                x = upload(np.stack([picture for picture, _ in boxed]), self._placement) / 255
                predictions = self._module(x.to(self._placement.torch_dtype()))[0].float()
                for prediction, (_, inside) in zip(predictions, boxed, strict=True):
                    found.append(_suppressed(prediction.T, inside))
        return found


def letterbox(frame_HWC: Frames, input_pixels: int, stride: int) -> tuple[Frames, tuple[int, int, int, int]]:
    """The frame scaled to `input_pixels` on its longer side, amid grey up to multiples of `stride`; (top, left, height, width)
    of the picture inside."""
    scale = input_pixels / max(frame_HWC.shape[:2])
    height, width = (max(1, round(side * scale)) for side in frame_HWC.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = frame_HWC if scale == 1 else cv2.resize(np.ascontiguousarray(frame_HWC), (width, height), interpolation=how)
    whole = np.full((-(-height // stride) * stride, -(-width // stride) * stride, 3), GREY, dtype=np.uint8)
    top, left = (whole.shape[0] - height) // 2, (whole.shape[1] - width) // 2
    whole[top : top + height, left : left + width] = picture
    return whole, (top, left, height, width)


def _suppressed(prediction: torch.Tensor, inside: tuple[int, int, int, int]) -> npt.NDArray[np.float32]:
    """(A, 4 + classes) centre x, y, width, height in pixels and class probabilities -> (N, 6), as `ArtifactDetector` says."""
    import torch
    from torchvision.ops import nms

    top, left, height, width = inside
    probabilities, classes = prediction[:, 4:].max(dim=1)
    likely = probabilities >= LEAST_PROBABILITY
    centres, sizes = prediction[likely, :2], prediction[likely, 2:4]
    pixels = torch.cat([centres - sizes / 2, centres + sizes / 2], dim=1)
    kept = nms(pixels, probabilities[likely], SAME_BOX_IOU)[:MOST_BOXES]
    origin, extent = pixels.new_tensor([left, top] * 2), pixels.new_tensor([width, height] * 2)
    shares = ((pixels[kept] - origin) / extent).clamp(0, 1)
    columns = [shares, probabilities[likely][kept, None], classes[likely][kept, None].to(shares)]
    boxes: npt.NDArray[np.float32] = torch.cat(columns, dim=1).cpu().numpy()
    return boxes


def import_ultralytics() -> Any:
    """The module `ultralytics`, kept from the network, the home folder and OpenCV's thread count; raises `MissingDependency`.

    At import it looks for a connection, writes settings into its configuration folder, makes OpenCV single-threaded for the
    whole process and sets OMP_NUM_THREADS to 1 for it and its children.
    """
    if "ultralytics" not in sys.modules:
        configuration = tempfile.mkdtemp(prefix="wanbench-ultralytics-")
        atexit.register(shutil.rmtree, configuration, ignore_errors=True)
        os.environ.update(YOLO_OFFLINE="1", YOLO_AUTOINSTALL="0", YOLO_CONFIG_DIR=configuration, YOLO_VERBOSE="0")
    threads, torch_threads = cv2.getNumThreads(), os.environ.get("OMP_NUM_THREADS")
    try:
        import torch  # noqa: F401 - it reads OMP_NUM_THREADS when first imported: before ultralytics sets it
        import ultralytics
        import ultralytics.nn.tasks
    except ImportError as error:
        raise MissingDependency("the artifact detector", "artifacts") from error
    finally:
        cv2.setNumThreads(threads)
        if torch_threads is None:
            os.environ.pop("OMP_NUM_THREADS", None)
    return ultralytics


def layers_of(architecture: str | Mapping[str, Any], source: object) -> JSONObject:
    """The layer lists of an architecture given by name, or as a mapping in the layout of ultralytics' model files.

    Raises `UsageError`, naming `source`, for an unknown name and for a mapping that asks for anything but YOLOv3's layers.
    """
    if isinstance(architecture, str) and architecture not in ARCHITECTURES:
        raise UsageError(f"{source}: unknown architecture {architecture}; known are {', '.join(ARCHITECTURES)}")
    described: Mapping[str, Any] = (
        import_ultralytics().nn.tasks.yaml_model_load(f"{architecture}.yaml") if isinstance(architecture, str) else architecture
    )
    layers = {key: described[key] for key in (*SCALES, *LAYER_LISTS) if key in described}
    if fault := _fault(layers):
        raise UsageError(f"{source}: {fault}; make the detector again with `wanbench train artifacts`")
    return copy.deepcopy(layers)


def _fault(layers: JSONObject) -> str | None:
    """What keeps `layers` from being a YOLOv3, if anything."""
    for key in SCALES:
        if not isinstance(value := layers.get(key, 1.0), int | float) or not 0 < value <= 4:
            return f"{key} is {value!r}, wanted a number above 0, at most 4"
    for key in LAYER_LISTS:
        rows = layers.get(key)
        if not isinstance(rows, list) or not rows:
            return f"the architecture has no list of layers {key}"
        for row in rows:
            if not isinstance(row, list) or len(row) != 4 or not isinstance(row[3], list):
                return f"{key} holds {row!r}, wanted [from, number, layer, arguments]"
            if row[2] not in LAYERS:
                return f"{key} names the layer {row[2]!r}, which YOLOv3 does not have"
    return None


def network_of(layers: JSONObject, class_count: int) -> torch.nn.Module:
    """A YOLOv3 of these layers with random parameters."""
    tasks = import_ultralytics().nn.tasks
    module: torch.nn.Module = tasks.DetectionModel({**copy.deepcopy(layers), "nc": class_count}, ch=3, verbose=False)
    return module


def read_description(path: Path) -> Description:
    """`detector.json`; raises `UsageError`, naming the file and the field, for what is missing or of the wrong kind."""
    value = read_object(path)
    classes, pixels, sha256 = value.get("classes"), value.get("input_pixels"), value.get("sha256")
    architecture = value.get("architecture")
    faults = {
        "version": value.get("version") != DESCRIPTION_VERSION,
        "architecture": not isinstance(architecture, str | dict),
        "classes": not isinstance(classes, list) or not classes or not all(isinstance(c, str) for c in classes),
        "input_pixels": not isinstance(pixels, int) or not 32 <= pixels <= 4096,
        "sha256": not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256),
    }
    if wrong := [f"{name} is {value.get(name)!r:.60}" for name, fault in faults.items() if fault]:
        raise UsageError(f"{path}: {'; '.join(wrong)}; make the detector again with `wanbench train artifacts`")
    assert isinstance(architecture, str | dict)
    return Description(
        architecture=layers_of(architecture, path), classes=tuple(value["classes"]), input_pixels=value["input_pixels"],
        sha256=value["sha256"],
    )  # fmt: skip


def build(folders: Mapping[str, Path], placement: Placement) -> ArtifactDetector:
    """The detector that `detector.json` describes, with the tensors of `detector.safetensors`.

    Raises `UsageError` for a description that does not hold, for tensors with another checksum than it names, for a missing,
    unexpected or misshaped tensor; `MissingDependency` without ultralytics.
    """
    folder = folders[CHECKPOINT]
    description = read_description(locate(CHECKPOINT, DESCRIPTION_FILE, folder))
    path = locate(CHECKPOINT, TENSORS_FILE, folder)
    tensors = load_tensors(path)
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    if digest != description.sha256:
        raise UsageError(
            f"{path}: SHA-256 is {digest}, but {DESCRIPTION_FILE} beside it was written for {description.sha256}; copy both files"
            " of one training"
        )
    module = network_of(description.architecture, len(description.classes))
    load_strictly(module, tensors, path)
    return ArtifactDetector(module.eval().to(placement.device, placement.torch_dtype()), description, placement)


ARTIFACT_DETECTOR: Network[ArtifactDetector] = Network(name="yolov3", checkpoints=(CHECKPOINT,), build=build)
