"""MANIQA through the real loading code, on small random parameters in the layout of its authors' file.

Shows that crops lie where the lattice says, that the network sees exactly their pixels, that every part's tensors matter, that
misfits are refused and that batches change nothing; says nothing of the quality that trained parameters find.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from wanbench.errors import UsageError
from wanbench.metrics.nets import maniqa

torch = pytest.importorskip("torch")
arch = pytest.importorskip("pyiqa.archs.maniqa_arch")

OPTIONS = {
    "vit": {"embed_dim": 16, "depth": 10, "num_heads": 2},
    "embed_dim": 16,
    "dim_mlp": 16,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "num_tab": 1,
}
ONE_OF_EACH_PART = [
    "vit.patch_embed.proj.weight",
    "vit.pos_embed",
    "vit.blocks.0.attn.qkv.weight",
    "vit.blocks.9.mlp.fc2.weight",
    "tablock1.0.c_v.weight",
    "conv1.weight",
    "swintransformer1.layers.0.blocks.0.attn.proj.weight",
    "tablock2.0.c_v.weight",
    "conv2.weight",
    "swintransformer2.layers.1.blocks.0.mlp.fc1.weight",
    "fc_score.0.weight",
    "fc_score.3.bias",
    "fc_weight.3.weight",
]


@pytest.fixture
def store(tmp_path, placement, shaken):
    class Store:
        def save(self, tensors):
            torch.save(tensors, tmp_path / maniqa.FILE)
            return tmp_path / maniqa.FILE

        def build(self, **kw):
            return maniqa.MANIQA.build({maniqa.CHECKPOINT: tmp_path}, placement(**kw))

    (tmp_path / "config.json").write_text(json.dumps(OPTIONS))
    torch.manual_seed(0)
    options = dict(OPTIONS)
    with maniqa._untrained_backbone(arch, options.pop("vit")):
        plain = arch.MANIQA(pretrained=False, **options).state_dict()
    store = Store()
    # Noise of one sign would blow the numbers up in layers 784 wide: shaken to both sides.
    store.tensors = {
        n: p + 2 * (t - p - 0.05) if p.is_floating_point() else p
        for (n, p), t in zip(plain.items(), shaken(plain).values(), strict=True)
    }
    store.tensors["fc_score.3.bias"] += 0.5  # the score passes a ReLU: keep it alive
    store.save(store.tensors)
    return store


def test_lattice_worked_by_hand():
    """480 x 832: rows 0 and 480 - 224, columns 0, half of 832 - 224, and all of it; transposed for portrait."""
    assert maniqa.lattice((480, 832)) == [(0, 0), (0, 304), (0, 608), (256, 0), (256, 304), (256, 608)]
    assert maniqa.lattice((832, 480)) == [(0, 0), (0, 256), (304, 0), (304, 256), (608, 0), (608, 256)]
    assert maniqa.lattice((224, 400)) == [(0, 0), (0, 88), (0, 176)]
    assert maniqa.lattice((224, 224)) == [(0, 0)]


def test_crops_are_the_frames_pixels(frames):
    clip = frames(2, 300, 500)
    crops = maniqa.crops(clip)
    assert crops.shape == (2, 6, 225, 225, 3)
    np.testing.assert_array_equal(crops[1, 4, :224, :224], clip[1, 76:300, 138:362])


def test_small_frame_is_continued_by_its_mirror_image(frames):
    """A frame of 100 x 60 stands in the middle of 224 x 224, at row (224 - 100)/2 = 62 and column (224 - 60)/2 = 82."""
    clip = frames(1, 100, 60)
    crop = maniqa.crops(clip)[0, 0]
    np.testing.assert_array_equal(crop[62:162, 82:142], clip[0])
    np.testing.assert_array_equal(crop[61, 82:142], clip[0, 0])
    np.testing.assert_array_equal(crop[60, 82:142], clip[0, 1])


def test_a_score_per_frame_the_same_each_time(store, frames):
    clip = frames(3, 224, 260)
    scores = store.build()(clip)
    assert scores.shape == (3,)
    assert scores.dtype == np.float32
    assert len(set(scores.tolist())) == 3
    np.testing.assert_array_equal(store.build()(clip), scores)


def test_score_of_a_frame_is_the_mean_of_its_crops(store, frames):
    """A frame with room for two crops side by side, against each of the two on its own."""
    quality, clip = store.build(), frames(1, 224, 448)
    halves = [quality(clip[:, :, left : left + 224])[0] for left in (0, 112, 224)]
    assert quality(clip)[0] == pytest.approx(np.mean(halves), rel=1e-5)


def test_network_sees_the_crop_and_nothing_beside_it(store, frames):
    """Of the 225 x 225 handed to pyiqa, the last row and column are cut off, and the one before counts."""
    quality, clip = store.build(), frames(1, 300, 300)
    crop = maniqa.crops(clip)[0, :1]
    with torch.inference_mode():
        look = lambda x: quality._module(torch.from_numpy(x).permute(0, 3, 1, 2) / 255).numpy()  # noqa: E731
        before, beside, inside = look(crop), crop.copy(), crop.copy()
        beside[:, 224], beside[:, :, 224] = 0, 0
        inside[:, 223] = 255 - inside[:, 223]
        np.testing.assert_array_equal(look(beside), before)
        assert look(inside) != before


def test_batches_change_nothing(store, frames):
    clip = frames(2, 224, 300)
    np.testing.assert_allclose(store.build(batch_size=1)(clip), store.build(batch_size=16)(clip), atol=1e-5, rtol=0)


def test_every_part_matters(store, frames, assert_tensors_matter):
    clip = frames(1, 224, 224)
    assert_tensors_matter(store.tensors, ONE_OF_EACH_PART, store.save, lambda: store.build()(clip))


def test_misfits_are_refused(store, frames, assert_misfits_refused):
    clip = frames(1, 224, 224)
    assert_misfits_refused(store.tensors, "conv1.weight", store.save, lambda: store.build()(clip))


def test_wrapped_state_dict_is_accepted(store, frames):
    """pyiqa's own training writes the state dict under `params`."""
    clip = frames(1, 224, 224)
    before = store.build()(clip)
    store.save({"params": store.tensors})
    np.testing.assert_array_equal(store.build()(clip), before)


def test_half_precision_stays_near(store, frames):
    clip = frames(2, 224, 224)
    full, half = store.build()(clip), store.build(dtype="bfloat16")(clip)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, full, rtol=0.1)


def test_backbone_is_built_without_a_download_and_timm_is_left_alone(store):
    before = arch.timm
    store.build()
    assert arch.timm is before


def test_unknown_option_is_named(store, tmp_path):
    (tmp_path / "config.json").write_text('{"embed_dims": 16}')
    with pytest.raises(UsageError, match=r"config\.json: unknown option embed_dims; known are .*embed_dim"):
        store.build()


@pytest.mark.full
def test_official_size_fits_the_published_file(tmp_path):
    """Without `config.json`: 543,207,208 bytes in 316 tensors; the file of 543,335,435 adds its index."""
    with maniqa._untrained_backbone(arch, {}):
        tensors = arch.MANIQA(pretrained=False).state_dict()
    assert len(tensors) == 316
    assert sum(t.numel() * t.element_size() for t in tensors.values()) == 543_207_208
