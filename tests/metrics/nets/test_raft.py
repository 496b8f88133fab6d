"""RAFT through the real loading code, on random parameters in torchvision's file layout.

Shows shapes, wiring, strictness and independence of the batch; says nothing of the quality of a trained RAFT's flow.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from wanbench.errors import UsageError
from wanbench.metrics.nets import raft

torch = pytest.importorskip("torch")
optical_flow = pytest.importorskip("torchvision.models.optical_flow")

ONE_OF_EACH_PART = [
    "feature_encoder.convnormrelu.0.weight",
    "feature_encoder.conv.bias",
    "context_encoder.convnormrelu.1.running_mean",
    "context_encoder.conv.weight",
    "update_block.motion_encoder.convcorr1.0.weight",
    "update_block.motion_encoder.convflow1.0.bias",
    "update_block.recurrent_block.convgru2.convq.weight",
    "update_block.flow_head.conv2.weight",
    "mask_predictor.conv.weight",
]


@pytest.fixture(scope="module")
def source():
    """Random parameters, with a small last layer so that twenty updates stay within some pixels."""
    torch.manual_seed(0)
    module = optical_flow.raft_large(weights=None, progress=False).eval()
    with torch.no_grad():
        module.update_block.flow_head.conv2.weight *= 0.05
    return module


@pytest.fixture
def store(tmp_path, source, placement):
    class Store:
        def __init__(self):
            self.tensors = dict(source.state_dict())

        def save(self, tensors):
            torch.save(tensors, tmp_path / raft.FILE)
            return tmp_path / raft.FILE

        def build(self, **kw):
            return raft.RAFT.build({raft.CHECKPOINT: tmp_path}, placement(**kw))

    store = Store()
    store.save(store.tensors)
    return store


def test_agrees_with_torchvision(store, source, frames):
    first, second = frames(1, 128, 136), frames(1, 128, 136, seed=1)
    x, y = (torch.from_numpy(f).permute(0, 3, 1, 2) / 255 * 2 - 1 for f in (first, second))
    with torch.inference_mode():
        wanted = source(x, y, num_flow_updates=20)[-1].permute(0, 2, 3, 1).numpy()
    flow = store.build()(first, second)
    assert flow.shape == (1, 128, 136, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(flow, wanted, atol=1e-4 * np.abs(wanted).max())


def test_one_tensor_of_each_part_matters(store, frames, assert_tensors_matter):
    first, second = frames(1, 128, 128), frames(1, 128, 128, seed=1)
    assert_tensors_matter(store.tensors, ONE_OF_EACH_PART, store.save, lambda: store.build()(first, second))


def test_misfits_are_refused(store, frames, assert_misfits_refused):
    first = frames(1, 128, 128)
    assert_misfits_refused(store.tensors, ONE_OF_EACH_PART[0], store.save, lambda: store.build()(first, first))


def test_batch_size_changes_nothing(store, frames):
    first, second = frames(4, 128, 128), frames(4, 128, 128, seed=1)
    one, sixteen = (store.build(batch_size=n)(first, second) for n in (1, 16))
    np.testing.assert_allclose(one, sixteen, rtol=0, atol=1e-5 * np.abs(one).max())


@pytest.mark.parametrize(("height", "width"), [(64, 90), (131, 129)])
def test_any_size_goes_in_and_comes_out(store, frames, height, width):
    """Smaller than 128 and no multiple of 8: equal to the flow of the frame with its edges repeated, there."""
    first, second = frames(1, height, width), frames(1, height, width, seed=1)
    network = store.build()
    (left, right), (top, bottom) = raft._padding(width), raft._padding(height)
    bordered = [np.pad(f, ((0, 0), (top, bottom), (left, right), (0, 0)), mode="edge") for f in (first, second)]
    assert all(side % 8 == 0 and side >= 128 for side in bordered[0].shape[1:3])
    inside = network(*bordered)[:, top : top + height, left : left + width]
    np.testing.assert_allclose(network(first, second), inside, atol=1e-5 * np.abs(inside).max())


def test_no_pairs(store):
    empty = np.zeros((0, 128, 128, 3), np.uint8)
    assert store.build()(empty, empty).shape == (0, 128, 128, 2)


def test_unequal_shapes_are_refused(store, frames):
    with pytest.raises(ValueError, match="equal shapes"):
        store.build()(frames(1, 128, 128), frames(2, 128, 128))


def test_bfloat16_stays_near_float32(store, frames):
    first, second = frames(1, 128, 128), frames(1, 128, 128, seed=1)
    full, low = store.build()(first, second), store.build(dtype="bfloat16")(first, second)
    assert low.dtype == np.float32
    assert 0 < np.abs(full - low).max() < 0.2 * np.abs(full).max()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_with_code_is_refused(store, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (print, ("executed",))

    (tmp_path / raft.FILE).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UsageError, match=raft.FILE):
        store.build()


@pytest.mark.full
def test_full_size(store, frames):
    """One pair of 480 x 832 with random parameters."""
    flow = store.build()(frames(1, 480, 832), frames(1, 480, 832, seed=1))
    assert flow.shape == (1, 480, 832, 2)
    assert np.isfinite(flow).all()
    assert np.abs(flow).max() > 0
