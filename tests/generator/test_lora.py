"""LoRA files of the common layouts: the same change from each, and nothing left out in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from wanbench.errors import UsageError
from wanbench.generator import loading, lora
from wanbench.generator.folder import open_folder

from . import folders
from .tiny import draw

DOWN, UP = draw(3, 24, seed=5), draw(40, 3, seed=6)
BASE = "blocks.1.ffn.0"
LAYOUTS = {
    "kohya": {
        "lora_unet_blocks_1_ffn_0.lora_down.weight": DOWN,
        "lora_unet_blocks_1_ffn_0.lora_up.weight": UP,
        "lora_unet_blocks_1_ffn_0.alpha": torch.tensor(3.0),
    },
    "peft": {f"base_model.model.{BASE}.lora_A.default.weight": DOWN, f"base_model.model.{BASE}.lora_B.default.weight": UP},
    "comfy": {f"diffusion_model.{BASE}.lora_A.weight": DOWN, f"diffusion_model.{BASE}.lora_B.weight": UP},
    "diffusers": {
        "transformer.blocks.1.ffn.net.0.proj.lora_A.weight": DOWN,
        "transformer.blocks.1.ffn.net.0.proj.lora_B.weight": UP,
    },
    "plain": {f"{BASE}.lora_down.weight": DOWN, f"{BASE}.lora_up.weight": UP},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.write_model(tmp_path_factory.mktemp("model"))


def state(model: Path, *given: str) -> dict[str, torch.Tensor]:
    loaded = loading.load_transformer(
        open_folder(model).experts[0], device="cpu", dtype=torch.float32, loras=[lora.parse(text) for text in given]
    )
    return loaded.state_dict()


def written(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    path = tmp_path / "x.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_change_is_added_with_its_strength(model: Path, tmp_path: Path, layout: str) -> None:
    before = state(model)
    after = state(model, f"{written(tmp_path, LAYOUTS[layout])}:0.5")
    for name, tensor in before.items():
        expected = tensor + 0.5 * UP @ DOWN if name == f"{BASE}.weight" else tensor
        torch.testing.assert_close(after[name], expected, atol=1e-5, rtol=0)


def test_alpha_over_rank_scales(model: Path, tmp_path: Path) -> None:
    path = written(tmp_path, {**LAYOUTS["kohya"], "lora_unet_blocks_1_ffn_0.alpha": torch.tensor(1.5)})
    change = state(model, str(path))[f"{BASE}.weight"] - state(model)[f"{BASE}.weight"]
    torch.testing.assert_close(change, 0.5 * UP @ DOWN, atol=1e-5, rtol=0)


def test_whole_differences_and_several_files(model: Path, tmp_path: Path) -> None:
    bias, gain = draw(40, seed=7), draw(24, seed=8)
    path = written(tmp_path, {**LAYOUTS["comfy"], f"diffusion_model.{BASE}.diff_b": bias,
                              "diffusion_model.blocks.0.norm3.diff": gain})  # fmt: skip
    before, after = state(model), state(model, f"{path}:2", f"{path}:-1")
    torch.testing.assert_close(after[f"{BASE}.bias"], before[f"{BASE}.bias"] + bias)
    torch.testing.assert_close(after["blocks.0.norm3.weight"], before["blocks.0.norm3.weight"] + gain)
    torch.testing.assert_close(after[f"{BASE}.weight"], before[f"{BASE}.weight"] + UP @ DOWN, atol=1e-5, rtol=0)


def test_a_convolution_is_changed_too(model: Path, tmp_path: Path) -> None:
    down, up = draw(2, 16, 1, 2, 2, seed=1), draw(24, 2, 1, 1, 1, seed=2)
    path = written(tmp_path, {"patch_embedding.lora_down.weight": down, "patch_embedding.lora_up.weight": up})
    change = state(model, str(path))["patch_embedding.weight"] - state(model)["patch_embedding.weight"]
    torch.testing.assert_close(change.flatten(1), up.flatten(1) @ down.flatten(1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"blocks.9.ffn.0.lora_A.weight": DOWN, "blocks.9.ffn.0.lora_B.weight": UP}, "2 tensors with no place in the network"),
        ({"lora_te_text.lora_down.weight": DOWN}, "1 tensors with no place"),
        ({f"{BASE}.lora_A.weight": DOWN}, "only one of the two factors"),
        ({f"{BASE}.lora_A.weight": DOWN[:, :9], f"{BASE}.lora_B.weight": UP}, r"factors \(40, 3\) and \(3, 9\)"),
        ({f"{BASE}.diff_b": draw(3)}, r"\(3,\) to be added to blocks.1.ffn.0.bias"),
        ({f"{BASE}.dora_scale": UP}, "1 tensors with no place"),
    ],
)
def test_what_finds_no_place_is_refused(model: Path, tmp_path: Path, tensors, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        state(model, str(written(tmp_path, tensors)))


def test_how_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a:b.safetensors"
    path.touch()
    assert (lora.parse(str(path)).path, lora.parse(str(path)).strength) == (path, 1.0)
    chosen = lora.parse(f"high={path}:0.25")
    assert (chosen.path, chosen.strength, chosen.expert) == (path, 0.25, "high")
    with pytest.raises(UsageError, match=r"'much' is not a strength"):
        lora.parse(f"{path}:much")
    with pytest.raises(UsageError, match=r"nowhere.safetensors does not exist"):
        lora.parse("nowhere.safetensors:1")
