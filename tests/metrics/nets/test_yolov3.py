"""The artifact detector through the real loading code, on a tenth-wide YOLOv3-tiny of random parameters.

Shows coordinates, strictness, that nothing but tensors and known layers is ever loaded, and independence of the batch; that a
trained one finds what it was trained on is shown in `tests/training/test_artifacts.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wanbench.errors import UsageError
from wanbench.metrics.nets import yolov3

torch = pytest.importorskip("torch")
pytest.importorskip("ultralytics")
safetensors_torch = pytest.importorskip("safetensors.torch")

CLASSES = ["hand", "face"]
ONE_OF_EACH_PART = [
    "model.0.conv.weight",
    "model.10.bn.running_var",
    "model.15.conv.weight",
    "model.20.cv2.0.2.bias",
    "model.20.cv3.0.1.conv.weight",
    "model.20.cv3.1.2.bias",
    "model.20.dfl.conv.weight",
]


@pytest.fixture(scope="module")
def layers():
    return yolov3.layers_of("yolov3-tinyu", "test") | {"width_multiple": 0.1}


@pytest.fixture(scope="module")
def source(layers):
    """Random parameters, biased so that there are boxes, and with both classes among them."""
    torch.manual_seed(0)
    module = yolov3.network_of(layers, len(CLASSES)).train()
    with torch.no_grad():
        for norm in module.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.momentum = None  # statistics of the one batch that follows: else the signal dies on its way down
        module(torch.rand(4, 3, 64, 96))
    tensors = dict(module.state_dict())
    for scale in (0, 1):
        tensors[f"model.20.cv3.{scale}.2.bias"] = torch.tensor([0.2, -0.2])
        # Sixteen distances on each side of a box: the near ones are likelier, so that boxes end inside the frame.
        tensors[f"model.20.cv2.{scale}.2.bias"] = torch.arange(16).mul(-0.5).repeat(4)
    return tensors


@pytest.fixture
def store(tmp_path, source, layers, placement):
    class Store:
        tensors = source
        description: dict

        def save(self, tensors):
            path = tmp_path / yolov3.TENSORS_FILE
            safetensors_torch.save_file(tensors, path)
            self.describe(sha256=hashlib.sha256(path.read_bytes()).hexdigest())
            return path

        def describe(self, **fields):
            self.description |= fields
            (tmp_path / yolov3.DESCRIPTION_FILE).write_text(json.dumps(self.description))

        def build(self, **kw):
            return yolov3.ARTIFACT_DETECTOR.build({yolov3.CHECKPOINT: tmp_path}, placement(**kw))

    store = Store()
    store.description = {"version": 1, "architecture": layers, "classes": CLASSES, "input_pixels": 96}
    store.save(store.tensors)
    return store


def test_boxes_are_shares_of_the_frame_most_probable_first(store, frames):
    detector = store.build()
    found = detector(frames(2, 54, 120))
    assert detector.classes == ("hand", "face")
    assert len(found) == 2
    for boxes in found:
        assert boxes.dtype == np.float32
        assert 0 < len(boxes) <= yolov3.MOST_BOXES
        assert boxes[:, :5].min() >= 0
        assert boxes[:, :5].max() <= 1
        assert (boxes[:, 2:4] >= boxes[:, :2]).all()
        assert (np.diff(boxes[:, 4]) <= 0).all()
        assert set(boxes[:, 5].tolist()) <= {0.0, 1.0}


def test_suppression_worked_by_hand():
    """Two boxes share more than half their union (40 x 30 of 44 x 30 or so): the likelier stays, of whatever class. A third is
    apart, a fourth too improbable. The picture of 60 x 30 lies 15 pixels below the top of 60 x 60: y = 15 is 0, y = 45 is 1."""
    prediction = torch.tensor(
        [
            [20.0, 30.0, 40.0, 30.0, 0.6, 0.1],
            [24.0, 30.0, 40.0, 30.0, 0.1, 0.8],
            [54.0, 40.0, 12.0, 20.0, 0.3, 0.2],
            [30.0, 30.0, 10.0, 10.0, 0.04, 0.01],
        ]
    )
    boxes = yolov3._suppressed(prediction, (15, 0, 30, 60))
    expected = [[4 / 60, 0, 44 / 60, 1, 0.8, 1], [48 / 60, 0.5, 1, 1, 0.3, 0]]
    np.testing.assert_allclose(boxes, expected, atol=1e-6)


def test_letterbox_worked_by_hand():
    """60 x 120 at 96: 48 x 96, filled with grey to 64 x 96, eight rows above and below."""
    whole, inside = yolov3.letterbox(np.full((60, 120, 3), 7, np.uint8), 96, 32)
    assert whole.shape == (64, 96, 3)
    assert inside == (8, 0, 48, 96)
    assert (whole[:8] == yolov3.GREY).all()
    assert (whole[8:56] == 7).all()
    assert (whole[56:] == yolov3.GREY).all()


def test_the_same_each_time_and_in_any_batch(store, frames):
    clip = frames(5, 54, 120)
    alone, together, again = store.build(batch_size=1)(clip), store.build(batch_size=16)(clip), store.build(batch_size=16)(clip)
    by_place = lambda boxes: boxes[np.lexsort(boxes.T.round(3))]  # noqa: E731 - nearly equal probabilities may change places
    for one, all_at_once, repeated in zip(alone, together, again, strict=True):
        np.testing.assert_allclose(by_place(one), by_place(all_at_once), atol=1e-5, rtol=0)
        np.testing.assert_array_equal(repeated, all_at_once)


def test_half_precision_stays_near(store, frames):
    clip = frames(2, 54, 120)
    for full, half in zip(store.build()(clip), store.build(dtype="bfloat16")(clip), strict=True):
        assert half.dtype == np.float32
        np.testing.assert_allclose(half[0, 4], full[0, 4], atol=0.05)


def test_every_part_matters(store, frames, assert_tensors_matter):
    clip = frames(1, 54, 120)
    run = lambda: np.resize(store.build()(clip)[0], (20, 6))  # noqa: E731 - the number of boxes may change too
    assert_tensors_matter(store.tensors, ONE_OF_EACH_PART, store.save, run)


def test_misfits_are_refused(store, frames, assert_misfits_refused):
    clip = frames(1, 54, 120)
    assert_misfits_refused(store.tensors, "model.0.conv.weight", store.save, lambda: store.build()(clip)[0])


def test_tensors_of_another_training_are_refused(store, source):
    path = store.save(source)
    store.describe(sha256="0" * 64)
    with pytest.raises(UsageError, match=r"detector\.safetensors: SHA-256 is [0-9a-f]{64}, but detector\.json beside it"):
        store.build()
    assert path.exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"version": 2}, "version is 2"),
        ({"classes": []}, r"classes is \[\]"),
        ({"input_pixels": "640"}, "input_pixels is '640'"),
        ({"sha256": None}, "sha256 is None"),
        ({"architecture": "yolov8n"}, "unknown architecture yolov8n; known are yolov3u"),
        ({"architecture": {"backbone": [], "head": []}}, "no list of layers backbone"),
        ({"architecture": {"backbone": [[-1, 1, "Conv", [8]]], "head": [[-1, 1, "eval", []]]}}, "names the layer 'eval'"),
        ({"architecture": {"backbone": ["Conv"], "head": []}}, r"backbone holds 'Conv', wanted \[from"),
        ({"architecture": {"width_multiple": "big", "backbone": [], "head": []}}, "width_multiple is 'big'"),
    ],
)
def test_a_description_that_does_not_hold_is_refused(store, fields, words):
    store.describe(**fields)
    with pytest.raises(UsageError, match=words) as caught:
        store.build()
    assert yolov3.DESCRIPTION_FILE in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_description_cannot_run_code(store, tmp_path):
    """ultralytics evaluates the field `activation` of a model file; here it never gets there."""
    mark = tmp_path / "mark"
    store.describe(
        architecture={**store.description["architecture"], "activation": f"open({str(mark)!r}, 'w') and torch.nn.SiLU()"}
    )
    store.build()
    assert not mark.exists()


def test_importing_ultralytics_leaves_home_network_and_threads_alone(tmp_path):
    """In a fresh process: an empty home stays empty, OpenCV keeps its threads, and it believes itself offline."""
    program = (
        "import cv2, os; from wanbench.metrics.nets.yolov3 import import_ultralytics\n"
        "before = cv2.getNumThreads()\n"
        "u = import_ultralytics()\n"
        "assert cv2.getNumThreads() == before, cv2.getNumThreads()\n"
        "assert 'OMP_NUM_THREADS' not in os.environ\n"
        "assert not u.utils.ONLINE\n"
        "print(u.utils.USER_CONFIG_DIR)"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("YOLO_", "OMP_"))}
    environment = {**clean, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*ltralytics*"))
    assert not Path(done.stdout.strip()).exists(), "the temporary configuration is removed at exit"
