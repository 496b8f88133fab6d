"""The aesthetic predictor through the real loading code, on random parameters in the published names; known answers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from wanbench.errors import UsageError
from wanbench.metrics.nets import aesthetic

torch = pytest.importorskip("torch")

WIDTH = 12
PUBLISHED = {
    "layers.0.weight": (1024, WIDTH),
    "layers.0.bias": (1024,),
    "layers.2.weight": (128, 1024),
    "layers.2.bias": (128,),
    "layers.4.weight": (64, 128),
    "layers.4.bias": (64,),
    "layers.6.weight": (16, 64),
    "layers.6.bias": (16,),
    "layers.7.weight": (1, 16),
    "layers.7.bias": (1,),
}


@pytest.fixture
def store(tmp_path, placement):
    class Store:
        def __init__(self):
            seed = torch.Generator().manual_seed(0)
            self.tensors = {n: torch.randn(s, generator=seed) / s[-1] ** 0.5 for n, s in PUBLISHED.items()}

        def save(self, tensors):
            torch.save(tensors, tmp_path / aesthetic.FILE)
            return tmp_path / aesthetic.FILE

        def build(self, **kw):
            return aesthetic.AESTHETIC.build({aesthetic.CHECKPOINT: tmp_path}, placement(**kw))

    store = Store()
    store.save(store.tensors)
    return store


@pytest.fixture
def embeddings():
    x = np.random.default_rng(0).normal(size=(5, WIDTH)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_is_the_product_of_its_layers(store, embeddings):
    x = embeddings.astype(np.float64)
    for place in (0, 2, 4, 6, 7):
        weight, bias = (store.tensors[f"layers.{place}.{part}"].double().numpy() for part in ("weight", "bias"))
        x = x @ weight.T + bias
    ratings = store.build()(embeddings)
    assert ratings.shape == (5,)
    assert ratings.dtype == np.float32
    np.testing.assert_allclose(ratings, x[:, 0], rtol=1e-4, atol=1e-5)


def test_a_bias_alone_is_the_rating(store, embeddings):
    store.save({n: torch.zeros_like(t) for n, t in store.tensors.items()} | {"layers.7.bias": torch.tensor([5.5])})
    np.testing.assert_array_equal(store.build()(embeddings), np.full(5, 5.5, np.float32))


def test_every_tensor_matters(store, embeddings, assert_tensors_matter):
    assert_tensors_matter(store.tensors, list(PUBLISHED), store.save, lambda: store.build()(embeddings))


@pytest.mark.parametrize("name", ["layers.2.weight", "layers.7.bias"])
def test_misfits_are_refused(store, embeddings, assert_misfits_refused, name):
    assert_misfits_refused(store.tensors, name, store.save, lambda: store.build()(embeddings))


def test_without_its_first_layer_it_is_refused(store):
    path = store.save({n: t for n, t in store.tensors.items() if n != "layers.0.weight"})
    with pytest.raises(UsageError, match=r"layers\.0\.weight") as caught:
        store.build()
    assert str(path) in str(caught.value)


def test_it_runs_in_float32_in_any_placement(store, embeddings):
    np.testing.assert_array_equal(store.build(dtype="bfloat16")(embeddings), store.build()(embeddings))
