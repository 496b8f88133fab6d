"""CLIP through the real loading code, on a small random CLIP in open_clip's file layout.

Shows shapes, wiring, strictness and independence of the batch; says nothing of the quality of the trained embeddings.
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from wanbench.errors import MissingCheckpoints, UsageError
from wanbench.metrics.nets import clip
from wanbench.metrics.nets._pictures import centre_square, pictures

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
safetensors_torch = pytest.importorskip("safetensors.torch")

SIDE = 28
CONFIG = {
    "embed_dim": 12,
    "quick_gelu": True,
    "vision_cfg": {"image_size": SIDE, "layers": 2, "width": 32, "head_width": 16, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
TEXT = "a red kite over a quiet bay"


@pytest.fixture
def store(tmp_path, placement, shaken):
    torch.manual_seed(0)
    source = open_clip.CLIP(**CONFIG).eval()
    source.load_state_dict(shaken(source.state_dict()))
    (tmp_path / clip.CONFIG_FILE).write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))

    class Store:
        folder = tmp_path
        module = source

        def __init__(self):
            self.tensors = dict(source.state_dict())

        def save(self, tensors):
            safetensors_torch.save_file(tensors, tmp_path / clip.FILE)
            return tmp_path / clip.FILE

        def build(self, **kw):
            return clip.CLIP.build({clip.CHECKPOINT: tmp_path}, placement(**kw))

    store = Store()
    store.save(store.tensors)
    return store


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_agrees_with_open_clip(store, frames):
    """Square frames of the network's own size, so that nothing is cut or resized; open_clip's tokenizer by its other name."""
    pixels = frames(3, SIDE, SIDE)
    x = (pixels / 255 - np.array(clip.MEAN)) / np.array(clip.STD)
    with torch.inference_mode():
        images = store.module.encode_image(torch.from_numpy(x).permute(0, 3, 1, 2).float()).numpy()
        text = store.module.encode_text(open_clip.get_tokenizer(clip.ARCHITECTURE)([TEXT])).numpy()[0]
    network = store.build()
    np.testing.assert_allclose(network.images(pixels), unit(images), atol=1e-5)
    np.testing.assert_allclose(network.text(TEXT), unit(text), atol=1e-5)


def test_shapes_and_lengths(store, frames):
    network = store.build()
    images, text = network.images(frames(3, 40, 60)), network.text(TEXT)
    assert (images.shape, text.shape) == ((3, 12), (12,))
    assert images.dtype == text.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(text), 1, atol=1e-6)


def test_every_tensor_matters(store, frames, assert_tensors_matter):
    """But the logit scale, which scales the cosines of training."""
    names = [n for n in store.tensors if n != "logit_scale"]

    def run():
        network = store.build()
        return np.vstack([network.images(frames(2, 40, 60)), network.text(TEXT)])

    assert_tensors_matter(store.tensors, names, store.save, run)


@pytest.mark.parametrize("name", ["visual.proj", "ln_final.weight"])
def test_misfits_are_refused(store, frames, assert_misfits_refused, name):
    assert_misfits_refused(store.tensors, name, store.save, lambda: store.build().images(frames(1, 40, 60)))


def test_batch_size_changes_nothing(store, frames):
    pixels = frames(21, 40, 60)
    one, sixteen = (store.build(batch_size=n).images(pixels) for n in (1, 16))
    np.testing.assert_allclose(one, sixteen, rtol=0, atol=1e-5)


def test_bfloat16_stays_near_float32(store, frames):
    pixels = frames(2, 40, 60)
    full, low = store.build(), store.build(dtype="bfloat16")
    assert 0 < np.abs(full.images(pixels) - low.images(pixels)).max() < 0.05
    assert 0 < np.abs(full.text(TEXT) - low.text(TEXT)).max() < 0.05


def test_only_the_centre_square_is_seen(store, frames):
    wide = frames(1, 40, 100)
    other = wide.copy()
    other[:, :, :30], other[:, :, 70:] = 0, 255
    network = store.build()
    np.testing.assert_array_equal(network.images(wide), network.images(other))


def test_pictures_are_prepared_as_open_clip_does(frames, placement):
    """Within a little of open_clip's own transform of a smooth frame: it resizes before it cuts, and rounds."""
    image = pytest.importorskip("PIL.Image")
    pixels = np.asarray(image.fromarray(frames(1, 24, 40)[0]).resize((832, 480), image.Resampling.BICUBIC))[None]
    preprocess = open_clip.image_transform(224, is_train=False, mean=clip.MEAN, std=clip.STD)
    wanted = preprocess(image.fromarray(pixels[0])).numpy()
    got = pictures(centre_square(pixels), (224, 224), clip.MEAN, clip.STD, placement()).numpy()[0]
    assert np.abs(got - wanted).mean() < 0.01 * np.abs(wanted).mean()


def test_without_a_description_it_is_vit_l14(store):
    (store.folder / clip.CONFIG_FILE).unlink()
    with pytest.raises(UsageError, match="misshaped"):
        store.build()


@pytest.mark.parametrize("text", ["{", "{}", '{"model_cfg": {"embed_dim": 3}}', "[]"])
def test_a_broken_description_is_refused(store, text):
    (store.folder / clip.CONFIG_FILE).write_text(text)
    with pytest.raises(UsageError, match=clip.CONFIG_FILE):
        store.build()


def test_an_absent_file_is_named(store):
    (store.folder / clip.FILE).unlink()
    with pytest.raises(MissingCheckpoints, match="wanbench checkpoints pull clip-vit-l14"):
        store.build()


def test_shared_feature_is_of_the_grid_at_480_lines(store, frames):
    network, view = store.build(), frames(3, 40, 60)
    tools = SimpleNamespace(network=lambda asked: network if asked is clip.CLIP else None)
    seen = SimpleNamespace(grid_frames=lambda lines: view if lines == 480 else None)
    np.testing.assert_array_equal(clip.clip_image_embeddings(seen, tools), network.images(view))


@pytest.mark.full
def test_full_size(tmp_path, placement, frames):
    """ViT-L/14 with random parameters, found without a description: 768 features for a 480 x 832 frame and a text."""
    module = open_clip.CLIP(**open_clip.get_model_config(clip.ARCHITECTURE))
    safetensors_torch.save_file(module.state_dict(), tmp_path / clip.FILE)
    del module
    network = clip.CLIP.build({clip.CHECKPOINT: tmp_path}, placement(batch_size=1))
    images, text = network.images(frames(1, 480, 832)), network.text(TEXT)
    assert (images.shape, text.shape) == ((1, 768), (768,))
    assert np.isfinite(images).all()
