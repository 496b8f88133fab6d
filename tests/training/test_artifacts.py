"""The artifact detector's trainer: faults of a data set are named, and what it writes is what it trained.

A data set of bright squares on noise is rendered; two epochs at an eighth of YOLOv3-tiny's width show the whole way from labels
to a loaded detector. That a detector so trained finds the squares is shown by the longer test (`full`).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from wanbench.errors import OutputError, UsageError
from wanbench.training.labels import Box, label_of, read_data_set

cv2 = pytest.importorskip("cv2")
torch = pytest.importorskip("torch")
pytest.importorskip("ultralytics")
SIDE = 96


def render(folder, count, seed):
    """Noise with one bright square each, and its label; the first picture of every split has none."""
    rng = np.random.default_rng(seed)
    images, labels = folder / "images", folder / "labels"
    squares = []
    for split, pictures in (("train", count), ("val", max(2, count // 4))):
        (images / split).mkdir(parents=True)
        (labels / split).mkdir(parents=True)
        for number in range(pictures):
            picture = rng.integers(80, 140, (SIDE, SIDE, 3), dtype=np.uint8)
            lines = ""
            if number:
                side, x, y = (int(v) for v in rng.integers((24, 4, 4), (40, 52, 52)))
                picture[y : y + side, x : x + side] = (30, 220, 250)
                lines = f"0 {(x + side / 2) / SIDE} {(y + side / 2) / SIDE} {side / SIDE} {side / SIDE}\n"
                squares.append((split, number, [x, y, x + side, y + side]))
            cv2.imwrite(str(images / split / f"{number:03d}.png"), picture)
            (labels / split / f"{number:03d}.txt").write_text(lines)
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [square]\n")
    return squares


@pytest.fixture
def data(tmp_path):
    render(tmp_path / "data", 12, seed=0)
    return tmp_path / "data"


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def narrow():
    from wanbench.metrics.nets import yolov3

    return yolov3.layers_of("yolov3-tinyu", "test") | {"width_multiple": 0.125}


def test_description_and_bare_folder_give_the_same_data_set(data):
    described = read_data_set(data / "data.yaml")
    assert described.classes == ("square",)
    assert (len(described.train), len(described.val)) == (12, 3)
    assert described.train[0].boxes == ()
    (box,) = described.train[1].boxes
    assert isinstance(box, Box)
    (data / "data.yaml").unlink()
    (data / "classes.txt").write_text("square\n")
    assert read_data_set(data) == described
    assert read_data_set(data).sha256 == described.sha256


def test_without_a_split_every_tenth_picture_validates(data):
    for number in range(12):
        for kind, suffix in (("images", "png"), ("labels", "txt")):
            source = data / kind / "train" / f"{number:03d}.{suffix}"
            source.rename(data / kind / source.name)
    (data / "data.yaml").write_text("train: [images]\nnames: {0: square}\n")
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            for path in (data / kind / split).iterdir():
                path.unlink()
            (data / kind / split).rmdir()
    found = read_data_set(data)
    assert [picture.path.stem for picture in found.val] == ["000", "010"]
    assert len(found.train) == 10


def test_the_hash_follows_labels_and_pictures_not_names(data):
    before = read_data_set(data).sha256
    for kind, suffix in (("images", "png"), ("labels", "txt")):
        (data / kind / "train" / f"005.{suffix}").rename(data / kind / "train" / f"999.{suffix}")
    assert read_data_set(data).sha256 == before
    label = data / "labels" / "train" / "999.txt"
    label.write_text(label.read_text().replace("0.", "0.0", 1))
    assert read_data_set(data).sha256 != before


def test_label_lies_under_the_last_folder_called_images(tmp_path):
    assert label_of(tmp_path / "images" / "images" / "a" / "b.png") == tmp_path / "images" / "labels" / "a" / "b.txt"
    assert label_of(tmp_path / "pictures" / "b.jpg") == tmp_path / "pictures" / "b.txt"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.2", r"005\.txt, line 2: 4 values, wanted 5"),
        ("0 0.5 0.5 0.2 0.2 0.9", r"005\.txt, line 2: 6 values, wanted 5"),
        ("0 0.5 half 0.2 0.2", r"005\.txt, line 2: '0 0.5 half 0.2 0.2' holds something that is not a number"),
        ("1 0.5 0.5 0.2 0.2", r"005\.txt, line 2: class 1, wanted a whole number from 0 to 0"),
        ("-1 0.5 0.5 0.2 0.2", r"005\.txt, line 2: class -1"),
        ("0.5 0.5 0.5 0.2 0.2", r"005\.txt, line 2: class 0\.5"),
        ("nan 0.5 0.5 0.2 0.2", r"005\.txt, line 2: class nan"),
        ("0 48 48 20 20", r"005\.txt, line 2: box 48 48 20 20, wanted shares of the picture"),
        ("0 0.5 0.5 0 0.2", r"005\.txt, line 2: box 0\.5 0\.5 0 0\.2"),
        ("0 nan 0.5 0.2 0.2", r"005\.txt, line 2: box nan"),
    ],
)
def test_a_malformed_label_is_named_with_its_line(data, line, words):
    (data / "labels" / "train" / "005.txt").write_text(f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(UsageError, match=words) as caught:
        read_data_set(data)
    assert "\n" not in str(caught.value)


def remove(path):
    path.unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: remove(d / "labels/train/005.txt"), r"images/train/005\.png: has no label .*labels/train/005\.txt"),
        (lambda d: remove(d / "images/train/005.png"), r"labels/train/005\.txt: a label without its picture"),
        (lambda d: (d / "images/val/001.png").write_bytes(b"no picture"), r"images/val/001\.png: not readable as a picture"),
        (lambda d: [p.write_text("") for p in (d / "labels/train").iterdir()], "no picture to train on has a box"),
        (lambda d: [remove(p) for p in (d / "images/train").iterdir()], "0 pictures to train on and 3 to validate on"),
        (lambda d: (d / "data.yaml").write_text("train: nowhere\nnames: [a]\n"), r"data\.yaml: .*nowhere is neither a folder"),
        (lambda d: (d / "data.yaml").write_text("names: [a]\n"), r"data\.yaml: has no key train"),
        (lambda d: (d / "data.yaml").write_text("train: images/train\n"), r"data\.yaml: names is None"),
        (lambda d: (d / "data.yaml").write_text("train: images/train\nnames: {1: a}\n"), r"names has the indices \[1\]"),
        (lambda d: (d / "data.yaml").write_text("train: images/train\nnames: [a]\nnc: 2\n"), "nc is 2, but names lists 1"),
        (lambda d: (d / "data.yaml").write_text("a: [\n"), r"data\.yaml: not readable as YAML"),
    ],
)
def test_a_spoiled_data_set_is_named(data, spoil, words):
    spoil(data)
    with pytest.raises(UsageError, match=words) as caught:
        read_data_set(data)
    assert "\n" not in str(caught.value)


def test_wrong_options_and_places_end_before_training(data, tmp_path):
    from wanbench.training.artifacts import train_artifacts

    with pytest.raises(UsageError, match="size is 100, wanted a positive multiple of 32"):
        train_artifacts(data, tmp_path / "out", size=100)
    with pytest.raises(UsageError, match="epochs is 0"):
        train_artifacts(data, tmp_path / "out", epochs=0)
    with pytest.raises(UsageError, match="unknown architecture yolov8n"):
        train_artifacts(data, tmp_path / "out", architecture="yolov8n")
    with pytest.raises(UsageError, match="nowhere: no such file or folder"):
        train_artifacts(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        train_artifacts(data, tmp_path / "file" / "out", epochs=1, size=96)


def test_training_exports_what_it_trained(data, tmp_path, narrow, monkeypatch):
    """Two epochs: the files load through the real code and give the raw predictions of the trained model, which were kept aside
    when it was exported; the data set is as before; nothing was unpickled from it, and nothing asked for a connection."""
    from wanbench.metrics.nets import yolov3
    from wanbench.networks import Placement
    from wanbench.training import artifacts as training

    trained, export = [], training.export
    monkeypatch.setattr(training, "export", lambda module, out, **kw: trained.append(module) or export(module, out, **kw))
    before, epochs = files_of(data), []
    out = training.train_artifacts(
        data, tmp_path / "out", epochs=2, size=96, batch=4, seed=3, architecture=narrow, on_epoch=lambda *a: epochs.append(a)
    )
    assert out == tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["detector.json", "detector.safetensors"]
    assert [(done, asked) for done, asked, _ in epochs] == [(1, 2), (2, 2)]
    assert all("train/box_loss" in values for _, _, values in epochs)
    assert files_of(data) == before

    description = json.loads((out / "detector.json").read_text())
    assert description["sha256"] == hashlib.sha256((out / "detector.safetensors").read_bytes()).hexdigest()
    assert description["data_sha256"] == read_data_set(data).sha256
    assert (description["classes"], description["input_pixels"]) == (["square"], 96)
    assert str(tmp_path) not in (out / "detector.json").read_text()

    detector = yolov3.build({yolov3.CHECKPOINT: out}, Placement(device="cpu", dtype="float32", batch_size=4))
    picture = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        np.testing.assert_array_equal(detector._module(picture)[0].numpy(), trained[0](picture)[0].numpy())
    untrained = yolov3.network_of(narrow, 1).eval()
    with torch.inference_mode():
        assert not np.allclose(untrained(picture)[0].numpy(), trained[0](picture)[0].numpy())


def test_the_same_seed_gives_the_same_detector(data, tmp_path, narrow):
    from wanbench.training.artifacts import train_artifacts

    options = {"epochs": 1, "size": 64, "batch": 4, "architecture": narrow}
    outs = [train_artifacts(data, tmp_path / f"out{i}", seed=seed, **options) for i, seed in enumerate((3, 3, 4))]
    tensors = [(out / "detector.safetensors").read_bytes() for out in outs]
    assert tensors[0] == tensors[1]
    assert tensors[0] != tensors[2]


def test_training_leaves_the_home_folder_alone_and_needs_no_network(data, tmp_path):
    """In a fresh process with an empty home, whose every attempt to open a connection fails loudly."""
    program = f"""
import socket, sys
def refuse(*a, **k):
    print("connection attempted", a, file=sys.stderr)
    raise OSError("no network here")
socket.socket.connect = refuse
socket.create_connection = refuse
socket.getaddrinfo = refuse
from pathlib import Path
from wanbench.metrics.nets import yolov3
from wanbench.training.artifacts import train_artifacts
narrow = yolov3.layers_of("yolov3-tinyu", "test") | {{"width_multiple": 0.125}}
train_artifacts(Path({str(data)!r}), Path({str(tmp_path / "out")!r}), epochs=1, size=64, batch=4, architecture=narrow)
"""
    import os

    home = tmp_path / "home"
    home.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("YOLO_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**clean, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "MPLCONFIGDIR": str(tmp_path / "mpl")},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "connection attempted" not in done.stderr
    assert done.stdout == ""
    assert not [path for path in home.rglob("*") if path.is_file() and "torch" not in str(path)]


@pytest.mark.full
def test_a_trained_detector_finds_the_squares(tmp_path, narrow):
    """After 120 epochs on 80 pictures, 90 % of unseen squares are covered by a box of probability 0.25 with an IoU of 0.5."""
    from wanbench.metrics.nets import yolov3
    from wanbench.networks import Placement
    from wanbench.training.artifacts import train_artifacts

    render(tmp_path / "data", 80, seed=1)
    unseen = render(tmp_path / "unseen", 40, seed=2)
    out = train_artifacts(tmp_path / "data", tmp_path / "out", epochs=120, size=96, batch=8, architecture=narrow)
    detector = yolov3.build({yolov3.CHECKPOINT: out}, Placement(device="cpu", dtype="float32", batch_size=8))
    hits = 0
    for split, number, (x0, y0, x1, y1) in unseen:
        picture = cv2.imread(str(tmp_path / "unseen" / "images" / split / f"{number:03d}.png"))[:, :, ::-1]
        boxes = detector(picture[None])[0]
        likely = boxes[boxes[:, 4] >= 0.25][:, :4] * SIDE
        width = np.minimum(likely[:, 2], x1) - np.maximum(likely[:, 0], x0)
        height = np.minimum(likely[:, 3], y1) - np.maximum(likely[:, 1], y0)
        overlap = width.clip(0) * height.clip(0)
        union = (likely[:, 2] - likely[:, 0]) * (likely[:, 3] - likely[:, 1]) + (x1 - x0) * (y1 - y0) - overlap
        hits += bool((overlap / union >= 0.5).any())
    assert hits >= 0.9 * len(unseen)
