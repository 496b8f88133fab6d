"""MUSIQ through the real loading code, on small random parameters in the layout of pyiqa's file.

Shows that every part's tensors matter, that misfits are refused, that the scores do not depend on batches and do on resolution;
says nothing of the quality that trained parameters find.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from wanbench.errors import UsageError
from wanbench.metrics.nets import musiq

torch = pytest.importorskip("torch")
arch = pytest.importorskip("pyiqa.archs.musiq_arch")

OPTIONS = {"hidden_size": 24, "mlp_dim": 32, "num_heads": 2, "num_layers": 2, "longer_side_lengths": [32, 64]}
ONE_OF_EACH_PART = [
    "conv_root.weight",
    "gn_root.bias",
    "block1.conv2.weight",
    "block1.gn_proj.weight",
    "embedding.weight",
    "transformer_encoder.posembed_input.position_emb",
    "transformer_encoder.scaleembed_input.scale_emb",
    "transformer_encoder.cls",
    "transformer_encoder.transformer.encoderblock_0.attention.query.weight",
    "transformer_encoder.transformer.encoderblock_1.mlp.fc2.bias",
    "transformer_encoder.encoder_norm.weight",
    "head.weight",
    "head.bias",
]


@pytest.fixture
def store(tmp_path, placement, shaken):
    class Store:
        def save(self, tensors):
            torch.save(tensors, tmp_path / musiq.FILE)
            return tmp_path / musiq.FILE

        def build(self, **kw):
            return musiq.MUSIQ.build({musiq.CHECKPOINT: tmp_path}, placement(**kw))

    (tmp_path / "config.json").write_text(json.dumps(OPTIONS))
    torch.manual_seed(0)
    store = Store()
    store.tensors = shaken(arch.MUSIQ(pretrained=False, **OPTIONS).state_dict())
    store.save(store.tensors)
    return store


def test_a_score_per_frame_the_same_each_time(store, frames):
    clip = frames(3, 96, 160)
    scores = store.build()(clip)
    assert scores.shape == (3,)
    assert scores.dtype == np.float32
    assert len(set(scores.tolist())) == 3
    np.testing.assert_array_equal(store.build()(clip), scores)


def test_any_size_is_accepted(store, frames):
    for height, width in ((17, 23), (33, 300), (300, 33)):
        assert np.isfinite(store.build()(frames(1, height, width))).all()


def test_a_strip_is_thickened_by_its_edges(store, frames):
    """2 x 300 at 32 on the longer side would have a height of 2 * 32 / 300, a fifth of a pixel; 10 x 300 has a whole one."""
    strip = frames(1, 2, 300)
    thick = musiq.thickened(strip, 32)
    assert thick.shape == (1, 10, 300, 3)
    np.testing.assert_array_equal(thick[0, :5], np.repeat(strip[0, :1], 5, axis=0))
    np.testing.assert_array_equal(thick[0, 5:], np.repeat(strip[0, 1:], 5, axis=0))
    assert musiq.thickened(thick, 32) is thick
    assert np.isfinite(store.build()(strip)).all()


def test_batches_change_nothing(store, frames):
    clip = frames(5, 96, 160)
    np.testing.assert_allclose(store.build(batch_size=1)(clip), store.build(batch_size=16)(clip), atol=1e-5, rtol=0)


def test_every_part_matters(store, frames, assert_tensors_matter):
    clip = frames(2, 96, 160)
    assert_tensors_matter(store.tensors, ONE_OF_EACH_PART, store.save, lambda: store.build()(clip))


def test_misfits_are_refused(store, frames, assert_misfits_refused):
    clip = frames(1, 64, 64)
    assert_misfits_refused(store.tensors, "embedding.bias", store.save, lambda: store.build()(clip))


def test_half_precision_stays_near(store, frames):
    """To bfloat16's three digits, on outputs of the order of 1."""
    clip = frames(2, 96, 160)
    full, half = store.build()(clip), store.build(dtype="bfloat16")(clip)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, full, atol=0.1)


def test_unknown_option_is_named(store, tmp_path):
    (tmp_path / "config.json").write_text('{"layers": 2}')
    with pytest.raises(UsageError, match=r"config\.json: unknown option layers; known are hidden_size, "):
        store.build()


def test_official_size_fits_the_published_file():
    """Without `config.json`: the published file of 108,610,983 bytes holds these tensors and an index."""
    tensors = arch.MUSIQ(pretrained=False).state_dict()
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    assert 0 < 108_610_983 - size < 500 * len(tensors)
