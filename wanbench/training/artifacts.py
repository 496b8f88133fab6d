"""Training of the human-artifact detector: a YOLO-format data set in, `detector.safetensors` and `detector.json` out.

The Wan report (arXiv 2503.20314, section 4.6) trained a YOLOv3 on 20,000 generated images with artifact boxes and published
neither. Training itself is ultralytics'; the checks of the data set and the export are ours. It works on a copy of the labels
and links to the images in a temporary folder, so that the data set stays as it is and nothing in it is ever unpickled.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wanbench import checkpoints
from wanbench.errors import OutputError, UsageError
from wanbench.metrics.nets import yolov3
from wanbench.training.labels import DataSet, read_data_set

if TYPE_CHECKING:
    import torch

OnEpoch = Callable[[int, int, Mapping[str, float]], None]
"""(epochs done, epochs asked for, losses and validation measures of this epoch)."""

SETTINGS: dict[str, Any] = {
    "pretrained": False,  # parameters of others would make the detector theirs too
    "amp": False,  # its self-test fetches another model
    "plots": False,
    "verbose": False,
    "deterministic": True,
}
"""What differs from ultralytics' defaults, which hold for everything else."""


def train_artifacts(
    data: Path,
    out: Path | None = None,
    *,
    epochs: int = 100,
    size: int = 640,
    batch: int = 16,
    seed: int = 0,
    device: str = "cpu",
    architecture: str | Mapping[str, Any] = "yolov3u",
    on_epoch: OnEpoch | None = None,
) -> Path:
    """Train on `data` (a `data.yaml`, its folder, or a folder of `images` and `labels`) and write the detector of the best
    epoch, by validation, into `out`, by default the store's, where `wanbench score` finds it; returns that folder.

    `size` is the longer side of the pictures in pixels, a multiple of 32; `architecture` a name of ultralytics' YOLOv3 models or
    a mapping in the layout of its model files. Raises `UsageError`, before training, for anything wrong with the data set or the
    options, `OutputError` when `out` cannot be written, `MissingDependency` without ultralytics.
    """
    for name, value, step in (("epochs", epochs, 1), ("batch", batch, 1), ("size", size, 32)):
        if value < step or value % step:
            raise UsageError(f"{name} is {value}, wanted a positive multiple of {step}")
    out = out or checkpoints.folder(yolov3.CHECKPOINT)
    layers = yolov3.layers_of(architecture, "architecture")
    data_set = read_data_set(data)
    with _written(out):
        out.mkdir(parents=True, exist_ok=True)
    options = {"epochs": epochs, "imgsz": size, "batch": batch, "seed": seed, "device": device}
    with tempfile.TemporaryDirectory(prefix="wanbench-train-") as temporary:
        module, measures = _train(data_set, layers, options, Path(temporary), on_epoch)
    circumstances = {"epochs": epochs, "batch": batch, "seed": seed, "device": device, "validation": measures}
    with _written(out):
        export(module, out, layers=layers, data_set=data_set, input_pixels=size, training=circumstances)
    return out


def _train(
    data_set: DataSet, layers: Mapping[str, Any], options: Mapping[str, Any], folder: Path, on_epoch: OnEpoch | None
) -> tuple[torch.nn.Module, dict[str, float]]:
    """The averaged model of the best epoch, on the CPU in float32, and what validation said of it."""
    ultralytics = yolov3.import_ultralytics()
    import torch
    from ultralytics.models.yolo.detect import DetectionTrainer

    class Trainer(DetectionTrainer):  # type: ignore[misc]
        def final_eval(self) -> None:
            """Nothing: it would read the best epoch back from a pickle, and all of it is known."""

    _provide_fonts(ultralytics)
    model = folder / "detector.yaml"
    with _written(folder):
        model.write_text(json.dumps(dict(layers) | {"nc": len(data_set.classes)}), encoding="utf-8")  # JSON is YAML
        staged = _staged(data_set, folder / "data")
    paths = {"data": str(staged), "model": str(model), "project": str(folder), "name": "run"}
    best: dict[str, Any] = {}

    def keep_best(trainer: Any) -> None:
        measures = {str(name): float(value) for name, value in trainer.metrics.items()}
        if trainer.fitness == trainer.best_fitness:
            best["tensors"] = {n: t.detach().float().cpu().clone() for n, t in trainer.ema.ema.state_dict().items()}
            best["measures"] = measures
        if on_epoch:
            losses = {str(name): float(value) for name, value in trainer.label_loss_items(trainer.tloss).items()}
            on_epoch(trainer.epoch + 1, trainer.epochs, losses | measures)

    threads = torch.get_num_threads()
    try:
        trainer = Trainer(overrides={**SETTINGS, **options, **paths})
        trainer.add_callback("on_model_save", keep_best)
        trainer.train()
    finally:
        torch.set_num_threads(threads)  # ultralytics takes all cores for the whole process
    if not best:
        raise UsageError("training never gave a finite result: check the labels, or try another batch or seed")
    module = yolov3.network_of(dict(layers), len(data_set.classes))
    checkpoints.load_strictly(module, best["tensors"], model)
    return module.eval(), best["measures"]


def _provide_fonts(ultralytics: Any) -> None:
    """ultralytics fetches these two for its plots, even with plots off; any font under their names will do."""
    from matplotlib import get_data_path

    ours = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    for name in ("Arial.ttf", "Arial.Unicode.ttf"):
        if not (theirs := Path(ultralytics.utils.USER_CONFIG_DIR) / name).exists():
            shutil.copyfile(ours, theirs)


def _staged(data_set: DataSet, folder: Path) -> Path:
    """`data.yaml` of a copy of the data set: labels written anew, images linked (ultralytics replaces, never changes them)."""
    for split, pictures in (("train", data_set.train), ("val", data_set.val)):
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for number, picture in enumerate(pictures):
            stem = f"{number:06d}"
            rows = [f"{r.kind} {r.x:.6f} {r.y:.6f} {r.width:.6f} {r.height:.6f}\n" for r in picture.boxes]
            (labels / f"{stem}.txt").write_text("".join(rows), encoding="utf-8")
            _link(picture.path, images / f"{stem}{picture.path.suffix.lower()}")
    description = {"path": str(folder), "train": "images/train", "val": "images/val"}
    path = folder / "data.yaml"
    path.write_text(json.dumps(description | {"names": dict(enumerate(data_set.classes))}), encoding="utf-8")
    return path


def _link(target: Path, link: Path) -> None:
    try:
        link.symlink_to(target)
    except OSError:  # a file system, or a Windows account, without links
        shutil.copyfile(target, link)


def export(
    module: torch.nn.Module,
    out: Path,
    *,
    layers: Mapping[str, Any],
    data_set: DataSet,
    input_pixels: int,
    training: Mapping[str, Any],
) -> None:
    """Write the two files of a detector into `out`: the tensors first, then the description, each all or nothing.

    Whatever interrupts it, the pair that lies there is the old one, the new one, or one that loading refuses by its checksum.
    """
    import safetensors.torch

    payload = safetensors.torch.save({name: tensor.contiguous() for name, tensor in module.state_dict().items()})
    description = {
        "version": yolov3.DESCRIPTION_VERSION,
        "architecture": dict(layers),
        "classes": list(data_set.classes),
        "input_pixels": input_pixels,
        "sha256": sha256(payload).hexdigest(),
        "data_sha256": data_set.sha256,
        "images": {"train": len(data_set.train), "val": len(data_set.val)},
        "training": dict(training),
        "ultralytics": metadata.version("ultralytics"),
    }
    _replace(out / yolov3.TENSORS_FILE, payload)
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in description.items())
    _replace(out / yolov3.DESCRIPTION_FILE, f"{{\n{lines}\n}}\n".encode())


def _replace(path: Path, payload: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(payload)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _written(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{error.filename or out}: {error.strerror or error}; free space or choose another folder") from error
