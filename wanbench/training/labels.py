"""Data sets of pictures with boxes in YOLO's format, read and checked before anything is trained on them.

A picture's label is a text file of the same name under `labels` instead of `images`: per line a class index and a box's centre,
width and height as shares of the picture. A picture without any box has an empty one (ours: YOLO's tools let it be absent, and
then take a forgotten label for a flawless picture).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wanbench.errors import MissingDependency, UsageError

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
DESCRIPTIONS = ("data.yaml", "data.yml")
ONLY_CLASS = "artifact"
"""The class of a data set that names none."""
VALIDATION_EVERY = 10
"""[ours] Of a data set without a split for validation, every tenth picture by name."""
TOLERANCE = 0.01
"""Shares may leave [0, 1] by so much from rounding, as in ultralytics; they are clipped."""
LEAST_PIXELS = 10
"""Sides of a picture; ultralytics drops smaller ones without a word."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A labelled box; centre and size as shares of the picture."""

    kind: int
    """Index into the data set's classes."""
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    path: Path
    boxes: tuple[Box, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """Checked pictures, split into those to learn from and those to validate on."""

    classes: tuple[str, ...]
    train: tuple[Picture, ...]
    val: tuple[Picture, ...]

    @property
    def sha256(self) -> str:
        """Of all pictures' bytes and boxes, per split; names and order of the files do not enter."""
        whole = hashlib.sha256(repr(self.classes).encode())
        for split in (self.train, self.val):
            parts = (hashlib.sha256(p.path.read_bytes() + repr(p.boxes).encode()).digest() for p in split)
            whole.update(b"|" + b"".join(sorted(parts)))
        return whole.hexdigest()


def read_data_set(data: Path) -> DataSet:
    """The data set of a `data.yaml`, of the folder that holds one, or of a folder of `images` and `labels`.

    Without a description, `images/train` and `images/val` are the splits if they are there, and `classes.txt` names the classes,
    one a line. Raises `UsageError` that names the file, and the line, of the first fault.
    """
    data = data.absolute()
    if not data.exists():
        raise UsageError(f"{data}: no such file or folder; give a YOLO data set's data.yaml or folder")
    found = data if data.is_file() else next((data / n for n in DESCRIPTIONS if (data / n).is_file()), None)
    if found:
        classes, train, val = _described(found)
    elif (data / "images").is_dir():
        classes, train, val = _bare(data)
    else:
        raise UsageError(f"{data}: holds neither data.yaml nor images; give a YOLO data set's data.yaml or folder")
    if not val:
        val = train[::VALIDATION_EVERY]
        train = [path for index, path in enumerate(train) if index % VALIDATION_EVERY]
    if not train or not val:
        raise UsageError(f"{data}: {len(train)} pictures to train on and {len(val)} to validate on, wanted at least one of each")
    train_pictures, val_pictures = (tuple(_picture(path, len(classes)) for path in paths) for paths in (train, val))
    data_set = DataSet(classes=classes, train=train_pictures, val=val_pictures)
    _check_strays((*train, *val))
    if not any(picture.boxes for picture in data_set.train):
        raise UsageError(f"{data}: no picture to train on has a box; label at least one")
    return data_set


def _described(path: Path) -> tuple[tuple[str, ...], list[Path], list[Path]]:
    """Classes and picture files of a `data.yaml`; its `download` key, which ultralytics would execute, is not looked at."""
    try:
        import yaml
    except ImportError as error:
        raise MissingDependency("training", "artifacts") from error
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or not content.get("train"):
        raise UsageError(f"{path}: has no key train; name the folder of pictures to train on")
    root = path.parent / str(content.get("path") or ".")
    splits = [_pictures(root, content.get(key), path) for key in ("train", "val")]
    return _classes(content, path), splits[0], splits[1]


def _classes(content: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    names = content.get("names")
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise UsageError(f"{path}: names has the indices {sorted(names, key=str)}, wanted 0 to {len(names) - 1}")
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        raise UsageError(f"{path}: names is {names!r}, wanted the list of classes")
    if content.get("nc", len(names)) != len(names):
        raise UsageError(f"{path}: nc is {content['nc']}, but names lists {len(names)} classes")
    return tuple(str(name) for name in names)


def _pictures(root: Path, entry: object, source: Path) -> list[Path]:
    """Picture files of one split: a folder, a text file of paths, or a list of either."""
    found: list[Path] = []
    for item in entry if isinstance(entry, list) else [entry] if entry else []:
        path = root / str(item)
        if path.is_dir():
            found += _in_folder(path)
        elif path.suffix == ".txt" and path.is_file():
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            found += [path.parent / line.strip() for line in lines if line.strip()]
        else:
            raise UsageError(f"{source}: {path} is neither a folder nor a text file of paths")
    return sorted(dict.fromkeys(found))


def _bare(folder: Path) -> tuple[tuple[str, ...], list[Path], list[Path]]:
    """Classes and picture files of a folder of `images` and `labels` without a description."""
    names = folder / "classes.txt"
    lines = names.read_text(encoding="utf-8-sig").split("\n") if names.is_file() else [ONLY_CLASS]
    classes = tuple(line.strip() for line in lines if line.strip())
    images = folder / "images"
    if (images / "train").is_dir():
        return classes, _in_folder(images / "train"), _in_folder(images / "val")
    return classes, _in_folder(images), []


def _in_folder(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)


def label_of(picture: Path) -> Path:
    """`.../images/a/b.png` -> `.../labels/a/b.txt`, by the last folder called `images`; beside the picture without one."""
    parts = list(picture.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _picture(path: Path, class_count: int) -> Picture:
    """A picture that can be opened, with the boxes of its label."""
    _check_picture(path)
    label = label_of(path)
    if not label.is_file():
        raise UsageError(f"{path}: has no label {label}; a picture without artifacts needs an empty one")
    try:
        lines = label.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{label}: not a text file") from error
    boxes = (_box(line, class_count, f"{label}, line {n}") for n, line in enumerate(lines, 1) if line.strip())
    return Picture(path=path, boxes=tuple(boxes))


def _box(line: str, class_count: int, where: str) -> Box:
    """One line of a label; `where` is what the error names."""
    words = line.split()
    if len(words) != 5:
        raise UsageError(f"{where}: {len(words)} values, wanted 5: class, centre x, centre y, width, height")
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise UsageError(f"{where}: {line.strip()!r} holds something that is not a number") from error
    kind, shares = numbers[0], numbers[1:]
    if not kind.is_integer() or not 0 <= kind < class_count:
        raise UsageError(f"{where}: class {words[0]}, wanted a whole number from 0 to {class_count - 1}")
    if not all(math.isfinite(s) and -TOLERANCE <= s <= 1 + TOLERANCE for s in shares) or min(shares[2:]) <= 0:
        raise UsageError(f"{where}: box {' '.join(words[1:])}, wanted shares of the picture from 0 to 1 and a size above 0")
    x, y, width, height = (min(max(share, 0.0), 1.0) for share in shares)
    return Box(kind=int(kind), x=x, y=y, width=width, height=height)


def _check_picture(path: Path) -> None:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            size = picture.size
            picture.verify()
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such picture") from error
    except (OSError, SyntaxError, ValueError, ImportError) as error:
        # What Pillow raises for damaged files; after ultralytics has patched it, also that there is no reader for HEIF.
        raise UsageError(f"{path}: not readable as a picture; replace it, or remove it with its label") from error
    if min(size) < LEAST_PIXELS:
        raise UsageError(f"{path}: {size[0]} x {size[1]} pixels, wanted at least {LEAST_PIXELS} on each side")


def _check_strays(pictures: Iterable[Path]) -> None:
    """A label without its picture is a picture lost: name it. Text files beside pictures may be anything."""
    folders = {label_of(picture).parent: picture.parent for picture in pictures}
    for labels, images in sorted(folders.items()):
        stems = {path.stem for path in images.iterdir()} | {"classes"}
        stray = sorted(label for label in labels.glob("*.txt") if label.stem not in stems) if labels != images else []
        if stray:
            raise UsageError(f"{stray[0]}: a label without its picture; add the picture to {images} or remove the label")
