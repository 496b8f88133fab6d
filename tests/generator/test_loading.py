"""Networks from files: both layouts, strictly, straight into their place; what is wrong is said in one line."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from wanbench.errors import MissingCheckpoints, UsageError
from wanbench.generator import loading
from wanbench.generator.configurations import VAE_21, VAE_22
from wanbench.generator.folder import Part, open_folder
from wanbench.generator.known import open_model
from wanbench.generator.models import MODELS
from wanbench.generator.tensors import Tensors
from wanbench.generator.vae import VAE

from . import folders
from .tiny import draw, randomised

CPU = "cpu"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small text-to-video model in the released layout; nobody writes there."""
    return folders.write_model(tmp_path_factory.mktemp("model"))


def copied(model: Path, to: Path) -> Path:
    """The same model with files of its own."""
    import shutil

    return shutil.copytree(model, to / "own")


def test_a_transformer_comes_back_as_it_was_written(tmp_path: Path) -> None:
    network = folders.transformer(folders.T2V)
    for shards in (1, 3):
        folders.write_dit(tmp_path / str(shards), network, shards=shards)
        part = Part(
            paths=tuple(sorted((tmp_path / str(shards)).glob("*.safetensors"))),
            config=json.loads((tmp_path / str(shards) / "config.json").read_text()),
        )
        loaded = loading.load_transformer(part, device=CPU, dtype=torch.float32)
        assert loaded.config == folders.T2V
        for name, tensor in network.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor), name


def test_bfloat16_has_islands_of_float32(model: Path) -> None:
    loaded = loading.load_transformer(open_folder(model).experts[0], device=CPU, dtype=torch.bfloat16)
    kinds = {name: parameter.dtype for name, parameter in loaded.named_parameters()}
    for island in ("time_embedding.0.weight", "time_projection.1.weight", "blocks.0.modulation", "blocks.0.norm3.weight",
                   "blocks.0.self_attn.norm_q.weight", "head.head.weight", "head.modulation"):  # fmt: skip
        assert kinds[island] is torch.float32, island
    for product in ("blocks.0.self_attn.q.weight", "blocks.1.ffn.0.bias", "patch_embedding.weight", "text_embedding.0.weight"):
        assert kinds[product] is torch.bfloat16, product
    whole = loading.load_transformer(open_folder(model).experts[0], device=CPU, dtype=torch.float32)
    x, t, told = draw(1, 16, 2, 4, 4), torch.tensor([500.0]), [draw(3, 8)]
    with torch.no_grad():
        difference = (loaded(x, t, told) - whole(x, t, told)).abs().max() / whole(x, t, told).abs().max()
    assert 0 < difference < 0.05


def test_a_tensor_of_the_asked_type_is_not_copied(model: Path) -> None:
    path = model / "diffusion_pytorch_model.safetensors"
    loaded = loading.load_transformer(open_folder(model).experts[0], device=CPU, dtype=torch.float32)
    pages = Path("/proc/self/maps")
    if not pages.exists():
        pytest.skip("no /proc on this system")
    assert loaded.requires_grad_(False) is loaded
    assert str(path) in pages.read_text()


def test_all_parts_of_a_released_folder(model: Path) -> None:
    folder = open_folder(model)
    dit, vae, told = loading.check_folder(folder)
    assert (dit, vae, told) == (folders.T2V, folders.VAE_SMALL, folders.TEXT)
    encoder = loading.load_text_encoder(folder.text, device=CPU, dtype=torch.float32)
    assert encoder.encoder.embed_tokens.weight is encoder.shared.weight
    assert loading.load_tokenizer(folder.tokenizer)("ab").input_ids[-1] == 1
    latents = draw(1, 16, 2, 2, 2)
    with torch.no_grad():
        expected = randomised(VAE(folders.VAE_SMALL)).decode(latents)
        assert torch.equal(loading.load_vae(folder.vae, device=CPU).decode(latents), expected)


@pytest.mark.parametrize("released", [VAE_21, VAE_22], ids=["2.1", "2.2"])
def test_widths_of_an_autoencoder_are_read_off(released) -> None:
    small = replace(released, encoder_dim=8, decoder_dim=4, num_res_blocks=1)
    with torch.device("meta"):
        assert loading.vae_config_of(loading.shapes(VAE(small).state_dict())) == small
        assert loading.vae_config_of(loading.shapes(VAE(released).state_dict())) == released


def test_an_image_tower_of_either_layout(tmp_path: Path) -> None:
    folders.write_tower(tmp_path)
    (original,) = tmp_path.glob("models_clip*")
    tower = loading.load_image_tower(Part(paths=(original,)), device=CPU, dtype=torch.float32)
    expected = randomised(folders.build_image_tower(folders.TOWER))
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tower.state_dict()[name], tensor), name
    pixels = draw(1, 3, 4, 4)
    assert torch.equal(tower(pixel_values=pixels).last_hidden_state, expected(pixel_values=pixels).last_hidden_state)
    save_file({f"vision_model.{n}": t.contiguous() for n, t in expected.state_dict().items()}, tmp_path / "model.safetensors")
    part = Part(paths=(tmp_path / "model.safetensors",), config={"num_attention_heads": 16})
    again = loading.load_image_tower(part, device=CPU, dtype=torch.float16)
    assert again.embeddings.class_embedding.dtype is torch.float16
    assert torch.equal(again.embeddings.position_ids, torch.arange(5)[None])


def edited(path: Path, change) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("blocks.1.norm3.bias"), "1 missing (blocks.1.norm3.bias)"),
        (lambda t: t.update({"blocks.0.extra": torch.zeros(1)}), "1 unexpected (blocks.0.extra)"),
        (lambda t: t.update({"blocks.1.ffn.2.bias": torch.zeros(5)}), "1 misshaped (blocks.1.ffn.2.bias (5,) for (24,))"),
        (lambda t: t.pop("patch_embedding.weight"), "is not a transformer of Wan (no usable 'patch_embedding.weight')"),
    ],
)
def test_what_does_not_fit_is_named(model: Path, tmp_path: Path, change, says: str) -> None:
    own = copied(model, tmp_path)
    edited(own / "diffusion_pytorch_model.safetensors", change)
    with pytest.raises(UsageError, match=re.escape(says)) as refused:
        open_model(str(own))
    assert "diffusion_pytorch_model.safetensors" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = folders.write_model(tmp_path, shards=3)
    shard = folder / "diffusion_pytorch_model-00002-of-00003.safetensors"
    shard.unlink()
    with pytest.raises(UsageError, match=r"00002-of-00003.safetensors, one of 3 shards, is missing"):
        open_model(str(folder))
    (folder / "diffusion_pytorch_model.safetensors.index.json").unlink()
    with pytest.raises(UsageError, match=r"00002-of-00003.safetensors, one of 3 shards, is missing"):
        open_model(str(folder))


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.safetensors", "Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_file_cut_short_is_named(model: Path, tmp_path: Path, name: str, kept: float) -> None:
    path = copied(model, tmp_path) / name
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(UsageError, match=re.escape(name)) as refused:
        open_model(str(path.parent))
    assert "damaged or cut short" in str(refused.value)


def test_a_pickle_that_runs_code_is_refused(model: Path, tmp_path: Path) -> None:
    path = copied(model, tmp_path) / "Wan2.1_VAE.pth"

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"conv2.weight": Bomb()}, path)
    with pytest.raises(UsageError, match=r"Wan2.1_VAE.pth"):
        open_model(str(path.parent))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Wan2.1_VAE.pth", "the video autoencoder"),
        ("models_t5_umt5-xxl-enc-bf16.pth", "the text encoder"),
        ("diffusion_pytorch_model.safetensors", "the transformer is missing"),
        ("google/umt5-xxl/tokenizer.json", "the tokenizer is missing"),
    ],
)
def test_a_missing_part_is_named(model: Path, tmp_path: Path, name: str, says: str) -> None:
    own = copied(model, tmp_path)
    (own / name).unlink()
    with pytest.raises(UsageError, match=says):
        open_model(str(own))


def test_the_wrong_autoencoder_is_refused(tmp_path: Path) -> None:
    small = replace(VAE_22, encoder_dim=8, decoder_dim=4, num_res_blocks=1)
    folder = folders.write_model(tmp_path, vae=small)
    with pytest.raises(
        UsageError, match=r"Wan2.2_VAE.pth is the wrong autoencoder for this model: it has 48 channels, the tra\w+ 16"
    ):
        open_model(str(folder))


def test_parts_of_two_models_are_refused(model: Path, tmp_path: Path) -> None:
    own = copied(model, tmp_path)
    (own / "config.json").write_text(json.dumps({"num_heads": 2, "dim": 1536}))
    with pytest.raises(UsageError, match=r"config.json says dim 1536, and the tensors 24"):
        open_model(str(own))
    two = folders.write_model(tmp_path / "two", experts=2)
    folders.write_dit(two / "high_noise_model", folders.transformer(replace(folders.T2V, num_layers=1)))
    with pytest.raises(UsageError, match=r"two transformers have different shapes"):
        open_model(str(two))
    import shutil

    shutil.rmtree(two / "high_noise_model")
    with pytest.raises(UsageError, match=r"high_noise_model is missing beside low_noise_model"):
        open_model(str(two))


def test_unknown_names_and_absent_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"no model is called 'wan-1.4b': there are wan-tiny, wan-1.3b"):
        open_model("wan-1.4b")
    with pytest.raises(UsageError, match=r"the folder ./nowhere does not exist"):
        open_model("./nowhere")
    for name in ("wan-1.3b", "Wan-AI/Wan2.1-T2V-1.3B"):
        with pytest.raises(MissingCheckpoints, match=r"wan-1.3b is not in the store"):
            open_model(name)
    folders.write_model(tmp_path / "checkpoints" / "wan-1.3b")
    with pytest.raises(UsageError, match=r"are of another model"):
        open_model("wan-1.3b")


@pytest.mark.parametrize(
    ("config", "experts", "task", "like"),
    [
        (folders.T2V, 1, "t2v", "wan-1.3b"),
        (folders.T2V, 2, "t2v", "wan2.2-t2v-a14b"),
        (folders.I2V, 1, "i2v", "wan-i2v-14b-480p"),
        (folders.I2V_22, 2, "i2v", "wan2.2-i2v-a14b"),
        (folders.FLF2V, 1, "flf2v", "wan-flf2v-14b"),
        (folders.VACE, 1, "vace", "wan-vace-1.3b"),
    ],
)
def test_what_a_folder_makes_is_recognised(tmp_path: Path, config, experts: int, task: str, like: str) -> None:
    model = open_model(str(folders.write_model(tmp_path, config, experts=experts))).model
    assert (model.task, model.dit, model.boundary) == (task, config, MODELS[like].boundary)
    assert (model.steps, model.shift, model.negative) == (MODELS[like].steps, MODELS[like].shift, MODELS[like].negative)


def test_prefixes_of_repackers_and_a_leftover_are_taken_off(model: Path, tmp_path: Path) -> None:
    own = copied(model, tmp_path)
    path = own / "diffusion_pytorch_model.safetensors"
    tensors = {f"model.diffusion_model.{name}": tensor for name, tensor in load_file(path).items()}
    tensors["model.diffusion_model.blocks.0.attn2.norm_added_q.weight"] = torch.zeros(24)
    save_file(tensors, path)
    assert open_model(str(own)).model.dit == folders.T2V


def test_two_copies_of_a_tensor_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_file({"x": torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(UsageError, match=r"the tensor x a second time"):
        Tensors([tmp_path / "a.safetensors", tmp_path / "b.safetensors"])
