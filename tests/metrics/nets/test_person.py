"""The person detector through the real loading code, on random parameters in torchvision's file layout.

Shows layout, coordinates, strictness and independence of the batch; says nothing of whether a trained detector finds people.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from wanbench.metrics.nets import person

torch = pytest.importorskip("torch")
detection = pytest.importorskip("torchvision.models.detection")

SMALL = {"min_size": 96, "max_size": 160, "rpn_post_nms_top_n_test": 30}
ONE_OF_EACH_PART = [
    "backbone.body.0.0.weight",
    "backbone.body.13.block.0.0.weight",
    "backbone.body.16.1.running_mean",
    "backbone.fpn.inner_blocks.0.0.weight",
    "backbone.fpn.layer_blocks.1.0.bias",
    "rpn.head.conv.0.0.weight",
    "rpn.head.bbox_pred.weight",
    "roi_heads.box_head.fc6.weight",
    "roi_heads.box_predictor.cls_score.bias",
    "roi_heads.box_predictor.bbox_pred.weight",
]


@pytest.fixture(scope="module")
def source():
    """Random parameters as torchvision's own builder lays them out, biased so that there are people to report."""
    torch.manual_seed(0)
    module = detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None, progress=False)
    with torch.no_grad():
        for norm in module.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.momentum = None  # statistics of the one batch that follows: else the signal dies on its way down
        module.backbone.train()(torch.rand(4, 3, 96, 160))
        module.roi_heads.box_predictor.cls_score.bias[person.PERSON] += 4
        module.roi_heads.box_predictor.cls_score.weight *= 0.05
        module.roi_heads.box_predictor.bbox_pred.weight *= 0.05
        module.rpn.head.bbox_pred.weight *= 0.05
        module.rpn.head.cls_logits.weight *= 0.2
    return dict(module.state_dict())


@pytest.fixture
def store(tmp_path, source, placement):
    class Store:
        tensors = source

        def save(self, tensors):
            torch.save(tensors, tmp_path / person.FILE)
            return tmp_path / person.FILE

        def build(self, **kw):
            return person.PERSON_DETECTOR.build({person.CHECKPOINT: tmp_path}, placement(**kw))

    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    store = Store()
    store.save(store.tensors)
    return store


def test_boxes_are_shares_of_the_frame_most_probable_first(store, frames):
    found = store.build()(frames(2, 72, 120))
    assert len(found) == 2
    for boxes in found:
        assert boxes.dtype == np.float32
        assert boxes.shape[0] > 0
        assert boxes.shape[1] == 5
        assert boxes.min() >= 0
        assert boxes.max() <= 1
        assert (boxes[:, 2] >= boxes[:, 0]).all()
        assert (boxes[:, 3] >= boxes[:, 1]).all()
        assert (np.diff(boxes[:, 4]) <= 0).all()


def test_the_same_each_time_and_in_any_batch(store, frames):
    clip = frames(3, 72, 120)
    alone, together, again = store.build(batch_size=1)(clip), store.build(batch_size=16)(clip), store.build(batch_size=16)(clip)
    by_place = lambda boxes: boxes[np.lexsort(boxes.T.round(3))]  # noqa: E731 - nearly equal probabilities may change places
    for one, all_at_once, repeated in zip(alone, together, again, strict=True):
        np.testing.assert_allclose(by_place(one), by_place(all_at_once), atol=1e-4, rtol=0)
        np.testing.assert_allclose(one[0, 4], all_at_once[0, 4], atol=1e-5, rtol=0)
        np.testing.assert_array_equal(repeated, all_at_once)


def test_other_classes_are_not_people(store, frames):
    """With the bias on class 2 instead, there is none."""
    bias = store.tensors["roi_heads.box_predictor.cls_score.bias"].roll(1)
    weight = store.tensors["roi_heads.box_predictor.cls_score.weight"].roll(1, dims=0)
    store.save(
        store.tensors | {"roi_heads.box_predictor.cls_score.bias": bias, "roi_heads.box_predictor.cls_score.weight": weight}
    )
    assert max((boxes[:, 4].max() for boxes in store.build()(frames(2, 72, 120)) if len(boxes)), default=0) < 0.5


def test_every_part_matters(store, frames, assert_tensors_matter):
    clip = frames(1, 72, 120)
    run = lambda: np.resize(store.build()(clip)[0], (100, 5))  # noqa: E731 - the number of boxes may change too
    assert_tensors_matter(store.tensors, ONE_OF_EACH_PART, store.save, run)


def test_misfits_are_refused(store, frames, assert_misfits_refused):
    clip = frames(1, 72, 120)
    assert_misfits_refused(store.tensors, "rpn.head.bbox_pred.bias", store.save, lambda: store.build()(clip)[0])


def test_the_same_network_as_torchvisions_own(store, frames):
    """Built by torchvision's function, with normalisation frozen by eval(): equal boxes for the same parameters and sizes."""
    theirs = detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None, **SMALL)
    theirs.load_state_dict(store.tensors)
    clip = frames(1, 72, 120)
    with torch.inference_mode():
        result = theirs.eval()(list(torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 255))[0]
    people = result["labels"] == person.PERSON
    boxes = store.build()(clip)[0]
    np.testing.assert_allclose(boxes[:, 4], result["scores"][people].numpy(), atol=1e-3)
    np.testing.assert_allclose(boxes[:, :4] * [120, 72, 120, 72], result["boxes"][people].numpy(), atol=0.1)
