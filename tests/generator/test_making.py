"""From a request to frames: wan-tiny, and every task on small models written to disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wanbench.errors import UsageError
from wanbench.generator import catalogue, tiny
from wanbench.generator.configurations import VAE_22
from wanbench.generator.known import FromFolder, open_model
from wanbench.generator.making import Generator, chosen_device
from wanbench.generator.models import MODELS
from wanbench.generator.settings import settle
from wanbench.generator.vae import VAE

from . import folders


def small(model, **asked):
    return settle(model, **{"size_HW": (32, 48), "frames": 5, "steps": 2, "negative": "grey", **asked})


def made(networks, prompt: str = "a cat", seed: int = 0, **asked) -> np.ndarray:
    generator = Generator(networks, small(networks.model, **asked), device="cpu")
    return np.stack(list(generator.frames(prompt, seed)))


def test_the_tiny_model_gives_what_was_asked_for() -> None:
    frames = made(open_model("wan-tiny"), size_HW=(64, 96), frames=9)
    assert frames.shape == (9, 64, 96, 3)
    assert frames.dtype == np.uint8


def test_its_videos_are_neither_black_nor_constant() -> None:
    frames = made(open_model("wan-tiny"), size_HW=(112, 192), frames=9, steps=tiny.TINY.steps).astype(float)
    assert frames.std(axis=(1, 2)).min() > 8  # within every frame and channel
    moved = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert 2 < moved.min() < moved.max() < 60  # from frame to frame, of 255
    assert ((frames == 0) | (frames == 255)).mean() < 0.3


def test_prompt_and_seed_make_the_video_and_nothing_else() -> None:
    generator = Generator(open_model("wan-tiny"), small(tiny.TINY), device="cpu")
    first, other_seed, other_prompt, again = (
        np.stack(list(generator.frames(*asked))) for asked in (("a cat", 0), ("a cat", 1), ("a dog", 0), ("a cat", 0))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other_seed)
    assert np.abs(first.astype(float) - other_prompt).mean() > 1
    assert np.array_equal(made(open_model("wan-tiny")), first)


def test_texts_are_encoded_together_or_one_by_one_alike() -> None:
    generator = Generator(open_model("wan-tiny"), small(tiny.TINY), device="cpu")
    generator.encode(["a dog", "a cat"])
    assert np.array_equal(np.stack(list(generator.frames("a cat", 0))), made(open_model("wan-tiny")))


@pytest.mark.parametrize(
    "asked", [{"solver": "euler"}, {"solver": "dpmpp"}, {"guidance": (1.0, 1.0)}, {"shift": 2.0}, {"steps": 3}]
)
def test_every_setting_counts(asked) -> None:
    networks = open_model("wan-tiny")
    assert not np.array_equal(made(networks), made(networks, **asked))


def test_without_guidance_the_network_is_asked_once_a_step() -> None:
    generator = Generator(open_model("wan-tiny"), small(tiny.TINY, guidance=(1.0, 1.0), steps=3), device="cpu")
    list(generator.frames("a cat", 0))
    calls = []
    generator.experts._networks[0].register_forward_hook(lambda *given: calls.append(1))
    list(generator.frames("a cat", 0))
    assert len(calls) == 3


def test_the_tiny_tokenizer_is_bytes() -> None:
    tokenizer = tiny.tokenizer()
    ids = tokenizer("aé").input_ids
    assert len(ids) == 4
    assert ids[-1] == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == "aé"
    assert max(tokenizer("".join(map(chr, range(300)))).input_ids) < tiny.TEXT.vocab


def picture(folder: Path, name: str = "a.png", size: tuple[int, int] = (60, 40)) -> Path:
    path = folder / name
    pixels = np.random.default_rng(len(name)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


TASKS = {
    "t2v": (folders.T2V, 1, folders.VAE_SMALL, 0),
    "two experts": (folders.T2V, 2, folders.VAE_SMALL, 0),
    "i2v": (folders.I2V, 1, folders.VAE_SMALL, 1),
    "i2v of 2.2": (folders.I2V_22, 2, folders.VAE_SMALL, 1),
    "flf2v": (folders.FLF2V, 1, folders.VAE_SMALL, 2),
    "vace": (folders.VACE, 1, folders.VAE_SMALL, 2),
    "ti2v": (folders.TI2V, 1, None, 1),
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_makes_frames(tmp_path: Path, task: str) -> None:
    config, experts, vae, images = TASKS[task]
    vae = vae or folders.replace(VAE_22, encoder_dim=8, decoder_dim=4, num_res_blocks=1)
    networks = open_model(str(folders.write_model(tmp_path, config, experts=experts, vae=vae)))
    assert isinstance(networks, FromFolder)
    pictures = tuple(picture(tmp_path, f"{'x' * (i + 1)}.png") for i in range(images))
    size = (64, 96) if task == "ti2v" else (32, 48)
    frames = made(networks, images=pictures, size_HW=size)
    assert frames.shape == (5, *size, 3)
    if images:
        other = (picture(tmp_path, "another.png"), *pictures[1:])
        assert not np.array_equal(frames, made(networks, images=other, size_HW=size))


def test_a_picture_is_a_video_of_one_frame(tmp_path: Path) -> None:
    assert made(open_model("wan-tiny"), frames=1).shape == (1, 32, 48, 3)


def test_two_networks_of_a_folder_are_low_and_high(tmp_path: Path) -> None:
    networks = open_model(str(folders.write_model(tmp_path, experts=2)))
    low, high = networks.experts("cpu", torch.float32)
    assert torch.equal(low.head.head.weight, folders.transformer(folders.T2V, 0).head.head.weight)
    assert torch.equal(high.head.head.weight, folders.transformer(folders.T2V, 1).head.head.weight)


def test_a_fingerprint_follows_every_file(tmp_path: Path) -> None:
    folder = folders.write_model(tmp_path)
    seen = [open_model(str(folder)).fingerprint(), open_model(str(folder)).fingerprint()]
    assert seen[0] == seen[1]
    folders.write_dit(folder, folders.transformer(folders.T2V, seed=7))
    seen.append(open_model(str(folder)).fingerprint())
    (folder / "google" / "umt5-xxl" / "extra.json").write_text("{}")
    seen.append(open_model(str(folder)).fingerprint())
    assert len(set(seen)) == 3


@pytest.mark.parametrize(
    ("model", "asked", "says"),
    [
        ("wan-1.3b", {"frames": 80}, "80 frames, wanted a multiple of 4 and one: 77 or 81"),
        ("wan-1.3b", {"size_HW": (470, 832)}, "a size of 832x470, wanted multiples of 16x16 pixels"),
        ("wan2.2-ti2v-5b", {"size_HW": (720, 1280)}, "wanted multiples of 32x32 pixels"),
        ("wan-1.3b", {"solver": "ddim"}, "unknown solver 'ddim'; there are unipc, dpm++ and euler"),
        ("wan-1.3b", {"steps": 0}, "0 steps, 16 frames a second and a shift of 5.0: all must be over 0"),
        ("wan-i2v-14b-480p", {}, "0 images were given, and this model starts from one image: --image FILE"),
        ("wan-1.3b", {"images": (Path("a.png"),)}, "1 images were given, and this model makes videos from text alone"),
        ("wan-i2v-14b-480p", {"images": (Path("no.png"),)}, "the image no.png does not exist"),
        ("wan2.2-s2v-14b", {}, "speech-to-video is not made by this command"),
        ("wan-1.3b", {"tile": 100}, "tiles of 100 pixels, wanted a multiple of 16, 64 or more"),
    ],
)
def test_what_cannot_be_made_is_refused(model: str, asked, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        settle(MODELS[model], **asked)
    assert says in str(refused.value)


def test_the_shift_of_image_to_video_follows_the_size(tmp_path: Path) -> None:
    images = (picture(tmp_path),)
    model = MODELS["wan-i2v-14b-720p"]
    assert settle(model, images=images).shift == 5.0
    assert settle(model, images=images, size_HW=(480, 832)).shift == 3.0
    assert settle(MODELS["wan2.2-i2v-a14b"], images=images, size_HW=(480, 832)).shift == 5.0


def test_a_damaged_image_and_an_absent_device_are_named(tmp_path: Path) -> None:
    damaged = tmp_path / "a.png"
    damaged.write_bytes(picture(tmp_path, "b.png").read_bytes()[:100])
    networks = open_model(str(folders.write_model(tmp_path / "m", folders.I2V_22, experts=2)))
    with pytest.raises(UsageError, match=r"a.png cannot be read"):
        Generator(networks, small(networks.model, images=(damaged,)), device="cpu")
    with pytest.raises(UsageError, match="the device 'cuda:77' is not there"):
        chosen_device("cuda:77")


def test_tiles_show_nearly_the_same_and_whole_frames_where_one_is_enough() -> None:
    """The error is measured on the tiny autoencoder, whose middle attends to the whole frame as the real one's does."""
    from wanbench.generator.tiling import decode_tiled

    vae, latents = tiny.autoencoder(), torch.randn(1, 16, 3, 14, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = vae.decode(latents)
        one = torch.cat(list(decode_tiled(vae, latents, 192)), dim=2)
        torch.testing.assert_close(one, whole, atol=1e-6, rtol=0)
        errors = {}
        for side in (64, 96):
            parts = list(decode_tiled(vae, latents, side))
            tiled = torch.cat(parts, dim=2)
            errors[side] = float((tiled - whole).pow(2).mean().sqrt() / whole.std())
            assert [part.shape[2] for part in parts] == [1, 4, 4]
            assert tiled.abs().max() <= 1
    print(f"tiles, of 112x192 pixels: root of the mean square error over the pixels' spread {errors}")
    assert 0 < errors[96] < errors[64] < 0.4


def test_tiled_frames_come_through_the_generator() -> None:
    frames = made(open_model("wan-tiny"), size_HW=(64, 112), tile=64)
    assert frames.shape == (5, 64, 112, 3)


def test_the_catalogue_counts_right() -> None:
    """The constants that stand for networks of other libraries, and the published sizes."""
    from wanbench.generator.image_tower import VIT_H_14, build_image_tower
    from wanbench.generator.text import UMT5_XXL, build_text_encoder

    with torch.device("meta"):
        assert catalogue.count(build_text_encoder(UMT5_XXL)) == catalogue.UMT5_XXL_PARAMETERS
        assert catalogue.count(build_image_tower(VIT_H_14)) == catalogue.TOWER_PARAMETERS
    assert catalogue.count(tiny.text_encoder()) == catalogue.TINY_TEXT_PARAMETERS
    known = catalogue.catalogue()
    assert next(iter(known)) == "wan-tiny"
    told = known["wan2.2-t2v-a14b"].to_json()
    assert told["experts"] == 2
    assert told["parameters"]["transformer"] == pytest.approx(14.289e9, rel=1e-4)
    assert told["memory_bytes"]["transformer"] == pytest.approx(2 * 2 * 14.289e9, rel=0.02)
    for entry in known.values():
        assert entry.model.size_HW in catalogue.sizes(entry.name, entry.model)


def test_the_tiny_autoencoder_has_the_real_one_s_layers() -> None:
    with torch.device("meta"):
        names = {name.split(".")[0] for name in VAE(tiny.TINY.vae).state_dict()}
    assert names == {"encoder", "conv1", "conv2", "decoder"}
    assert tiny.TINY.vae.stride == MODELS["wan-1.3b"].vae.stride


def test_frames_come_while_the_rest_is_not_yet_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So memory does not grow with the length of a video."""
    decoded = []
    chunk = VAE.decode_chunk
    monkeypatch.setattr(
        VAE, "decode_chunk", lambda self, raw, state=None: decoded.append(raw.shape[2]) or chunk(self, raw, state)
    )
    frames = Generator(open_model("wan-tiny"), small(tiny.TINY, frames=13), device="cpu").frames("a cat", 0)
    next(frames)
    assert decoded == [1]
    assert len(list(frames)) == 12
    assert decoded == [1, 1, 1, 1]
