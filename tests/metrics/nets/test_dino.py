"""DINO through the real loading code, on a small random ViT saved by transformers in the hub's file layout and names.

Shows shapes, wiring, strictness and independence of the batch; says nothing of the quality of the trained features.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from wanbench.errors import MissingCheckpoints, UsageError
from wanbench.metrics.nets import dino
from wanbench.metrics.nets._pictures import pictures

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors_torch = pytest.importorskip("safetensors.torch")

SIDE = 32


@pytest.fixture
def store(tmp_path, placement, shaken):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=SIDE, patch_size=16
    )
    source = transformers.ViTModel(config, add_pooling_layer=False).eval()
    source.load_state_dict(shaken(source.state_dict()))
    source.save_pretrained(tmp_path)

    class Store:
        folder = tmp_path
        module = source
        tensors = safetensors_torch.load_file(tmp_path / "model.safetensors")

        def save(self, tensors):
            safetensors_torch.save_file(tensors, tmp_path / "model.safetensors")
            return tmp_path / "model.safetensors"

        def build(self, **kw):
            return dino.DINO.build({dino.CHECKPOINT: tmp_path}, placement(**kw))

    return Store()


def test_the_file_has_the_published_names(store):
    assert "encoder.layer.1.attention.attention.query.weight" in store.tensors
    assert "encoder.layer.1.attention.output.dense.bias" in store.tensors


def test_agrees_with_transformers(store, frames):
    """Frames of the network's own size, so that nothing is resized: (x / 255 - mean) / std, class token."""
    pixels = frames(3, SIDE, SIDE)
    x = (pixels / 255 - np.array(dino.MEAN)) / np.array(dino.STD)
    with torch.inference_mode():
        wanted = store.module(torch.from_numpy(x).permute(0, 3, 1, 2).float()).last_hidden_state[:, 0].numpy()
    tokens = store.build()(pixels)
    assert tokens.shape == (3, 16)
    assert tokens.dtype == np.float32
    np.testing.assert_allclose(tokens, wanted, atol=1e-5)


def test_every_tensor_matters(store, frames, assert_tensors_matter):
    """But the keys' biases: they add the same to the attention of a query to every key, which the softmax ignores."""
    names = [n for n in store.tensors if not n.endswith("attention.key.bias")]
    assert len(names) == len(store.tensors) - 2
    assert_tensors_matter(store.tensors, names, store.save, lambda: store.build()(frames(2, 40, 60)))


@pytest.mark.parametrize("name", ["layernorm.weight", "embeddings.position_embeddings"])
def test_misfits_are_refused(store, frames, assert_misfits_refused, name):
    assert_misfits_refused(store.tensors, name, store.save, lambda: store.build()(frames(1, 40, 60)))


def test_batch_size_changes_nothing(store, frames):
    pixels = frames(21, 40, 60)
    one, sixteen = (store.build(batch_size=n)(pixels) for n in (1, 16))
    np.testing.assert_allclose(one, sixteen, rtol=0, atol=1e-5 * np.abs(one).max())


def test_bfloat16_stays_near_float32(store, frames):
    pixels = frames(2, 40, 60)
    full, low = store.build()(pixels), store.build(dtype="bfloat16")(pixels)
    assert low.dtype == np.float32
    assert 0 < np.abs(full - low).max() < 0.1 * np.abs(full).max()


def test_the_published_bin_file_goes_before_safetensors(store, frames):
    before = store.build()(frames(1, 40, 60))
    torch.save({**store.tensors, "layernorm.bias": store.tensors["layernorm.bias"] + 1}, store.folder / dino.TENSORS_FILE)
    np.testing.assert_allclose(store.build()(frames(1, 40, 60)), before + 1, atol=1e-5)


def test_whole_frame_is_resized_as_pillow_does(placement, frames):
    """Antialiased bicubic, edge to edge: within half a step of 255 of Pillow on average, which rounds between its passes."""
    image = pytest.importorskip("PIL.Image")
    pixels = frames(1, 90, 160)
    wanted = np.asarray(image.fromarray(pixels[0]).resize((SIDE, 24), image.Resampling.BICUBIC))
    got = pictures(pixels, (24, SIDE), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), placement()).permute(0, 2, 3, 1).numpy()[0] * 255
    assert np.abs(got - wanted).mean() < 0.5


@pytest.mark.parametrize("text", ["{", "[]", '{"hidden_size": "wide"}'])
def test_a_broken_description_is_refused(store, text):
    (store.folder / "config.json").write_text(text)
    with pytest.raises(UsageError, match=r"config\.json") as caught:
        store.build()
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_named(store):
    (store.folder / "model.safetensors").unlink()
    with pytest.raises(MissingCheckpoints, match=r"pytorch_model\.bin.*wanbench checkpoints pull dino-vitb16"):
        store.build()


def test_shared_feature_is_of_the_grid_at_480_lines(store, frames):
    network, view = store.build(), frames(3, 40, 60)
    tools = SimpleNamespace(network=lambda asked: network if asked is dino.DINO else None)
    clip = SimpleNamespace(grid_frames=lambda lines: view if lines == 480 else None)
    np.testing.assert_array_equal(dino.dino_tokens(clip, tools), network(view))


@pytest.mark.full
def test_full_size(tmp_path, placement, frames):
    """ViT-B/16 as the hub describes it, random parameters: 768 features for a 480 x 832 frame."""
    transformers.ViTModel(transformers.ViTConfig(), add_pooling_layer=False).save_pretrained(tmp_path)
    tokens = dino.DINO.build({dino.CHECKPOINT: tmp_path}, placement())(frames(2, 480, 832))
    assert tokens.shape == (2, 768)
    assert np.isfinite(tokens).all()
    assert np.abs(tokens[0] - tokens[1]).max() > 0
