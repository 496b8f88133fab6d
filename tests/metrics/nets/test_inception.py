"""The FID variant of Inception-v3 on random parameters in the published file's layout.

Shows the differences from torchvision's network, wiring, strictness and independence of the batch.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from wanbench.metrics.nets import inception

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torchvision.models.inception")

SIDE = 107
"""Small enough to be quick, large enough for every layer."""
ONE_OF_EACH_PART = [
    "Conv2d_1a_3x3.conv.weight",
    "Mixed_5b.branch_pool.bn.bias",
    "Mixed_6a.branch3x3.bn.running_mean",
    "Mixed_6e.branch7x7dbl_5.conv.weight",
    "Mixed_7c.branch_pool.bn.running_var",
]
AVERAGE_POOLS = 9
"""Of the network: in three blocks A, four C, two E."""


@pytest.fixture(scope="module")
def source():
    """torchvision's network with 1,008 classes and normalisations fitted to random pictures, so that signals stay alive."""
    torch.manual_seed(0)
    module = theirs.Inception3(num_classes=1008, aux_logits=False, transform_input=False, init_weights=False)
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = None
            torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
    with torch.no_grad():
        module.train()(torch.rand(6, 3, SIDE, SIDE) * 2 - 1)
    return module.eval()


@pytest.fixture
def pictures():
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def store(tmp_path, source, placement):
    class Store:
        def __init__(self):
            self.tensors = dict(source.state_dict())

        def save(self, tensors):
            torch.save(tensors, tmp_path / inception.FILE)
            return tmp_path / inception.FILE

        def build(self, **kw):
            return inception.INCEPTION.build({inception.CHECKPOINT: tmp_path}, placement(**kw))

    store = Store()
    store.save(store.tensors)
    return store


def pooled(module, x):
    """The features before the last layer."""
    found = []
    with torch.inference_mode(), module.avgpool.register_forward_hook(lambda *a: found.append(a[2].flatten(1).numpy())):
        module(x)
    return found[0]


def patched(monkeypatch, *, padding: bool, maximum: bool):
    """Give torchvision's blocks other pools: without padding, with a maximum in the last block."""
    functional, calls = torch.nn.functional, [0]

    def pool(x, kernel_size, stride, padding_):
        calls[0] += 1
        if maximum and calls[0] % AVERAGE_POOLS == 0:
            return functional.max_pool2d(x, kernel_size, stride, padding_)
        return functional.avg_pool2d(x, kernel_size, stride, padding_, count_include_pad=padding)

    shim = SimpleNamespace(
        avg_pool2d=lambda x, kernel_size, stride, padding: pool(x, kernel_size, stride, padding),
        max_pool2d=functional.max_pool2d,
        relu=functional.relu,
    )
    monkeypatch.setattr(theirs, "F", shim)
    return calls


def test_it_is_torchvisions_network_with_other_pools_and_only_that(store, source, pictures, monkeypatch):
    ours = store.build().features(pictures)
    assert ours.shape == (2, 2048)
    assert ours.dtype == np.float32
    scale = np.abs(ours).max()
    apart = {"torchvision's own": np.abs(pooled(source, pictures) - ours).max() / scale}
    for name, pools in (
        ("padding counts", {"padding": True, "maximum": True}),
        ("mean in the last block", {"padding": False, "maximum": False}),
        ("ours", {"padding": False, "maximum": True}),
    ):
        with monkeypatch.context() as patch:
            calls = patched(patch, **pools)
            apart[name] = np.abs(pooled(source, pictures) - ours).max() / scale
            assert calls == [AVERAGE_POOLS]
    print(apart)
    assert apart.pop("ours") < 1e-5
    assert min(apart.values()) > 0.005


def test_pools_by_hand():
    """3x3 of 1 to 9. Means of those there are: corner (1 + 2 + 4 + 5) / 4, edge (1 + ... + 6) / 6; with padding 12 / 9."""
    from wanbench.metrics.nets._inception_blocks import average, largest

    x = torch.arange(1.0, 10.0).view(1, 1, 3, 3)
    assert average(x)[0, 0].tolist() == [[3, 3.5, 4], [4.5, 5, 5.5], [6, 6.5, 7]]
    assert torch.nn.functional.avg_pool2d(x, 3, 1, 1)[0, 0, 0, 0].item() == pytest.approx(12 / 9)
    assert largest(x)[0, 0].tolist() == [[5, 6, 6], [8, 9, 9], [8, 9, 9]]
    assert largest(-x)[0, 0].tolist() == [[-1, -1, -2], [-1, -1, -2], [-4, -4, -5]]


def test_pictures_are_scaled_to_plus_minus_one(store):
    network = store.build()
    for value, scaled in ((0, -1.0), (255, 1.0), (51, -0.6)):
        resized = network.resized(np.full((1, 400, 320, 3), value, np.uint8))
        assert resized.shape == (1, 3, 299, 299)
        np.testing.assert_allclose(resized.numpy(), scaled, atol=1e-6)


def test_one_tensor_of_each_part_matters(store, pictures, assert_tensors_matter):
    assert_tensors_matter(store.tensors, ONE_OF_EACH_PART, store.save, lambda: store.build().features(pictures))


def test_misfits_are_refused(store, pictures, assert_misfits_refused):
    assert_misfits_refused(store.tensors, "fc.weight", store.save, lambda: store.build().features(pictures))


def test_step_counters_may_be_missing(store, pictures):
    before = store.build().features(pictures)
    store.save({n: t for n, t in store.tensors.items() if not n.endswith(".num_batches_tracked")})
    np.testing.assert_array_equal(store.build().features(pictures), before)


def test_batch_size_changes_nothing(store, pictures):
    network = store.build()
    one, both = network.features(pictures[:1]), network.features(pictures)
    np.testing.assert_allclose(one[0], both[0], atol=1e-5 * np.abs(both).max())
