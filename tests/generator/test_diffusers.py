"""diffusers as a second oracle: its networks of other shapes, saved in its layout, give the same numbers through our loading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from diffusers.models.transformers.transformer_wan_vace import WanVACETransformer3DModel

from wanbench.generator import loading, names
from wanbench.generator.folder import Part, _json
from wanbench.generator.vae import VAE

from .tiny import draw, randomised

COMMON = {"patch_size": (1, 2, 2), "text_dim": 20, "freq_dim": 32, "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads"}


def saved(network: torch.nn.Module, folder: Path) -> Part:
    network.save_pretrained(folder)
    return Part(paths=tuple(sorted(folder.glob("*.safetensors"))), config=_json(folder / "config.json"))


def compare(theirs: torch.Tensor, ours: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs.float(), atol=2e-5 * float(theirs.abs().max()), rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("heads", [2, 3])
def test_text_to_video(tmp_path: Path, heads: int) -> None:
    theirs = randomised(
        WanTransformer3DModel(
            **COMMON, num_attention_heads=heads, attention_head_dim=12, in_channels=6, out_channels=5, ffn_dim=50, num_layers=3
        )
    )
    ours = loading.load_transformer(saved(theirs, tmp_path), device="cpu", dtype=torch.float32)
    x, t, told = draw(2, 6, 3, 6, 10), torch.tensor([371.0, 20.0]), draw(2, 512, 20)
    compare(theirs(x, t, told, return_dict=False)[0], ours(x, t, list(told)))


@torch.no_grad()
@pytest.mark.parametrize("positions", [None, 18])
def test_image_to_video(tmp_path: Path, positions: int | None) -> None:
    theirs = randomised(
        WanTransformer3DModel(
            **COMMON, num_attention_heads=2, attention_head_dim=12, in_channels=12, out_channels=4, ffn_dim=50, num_layers=2,
            image_dim=16, added_kv_proj_dim=24, pos_embed_seq_len=positions,
        )
    )  # fmt: skip
    ours = loading.load_transformer(saved(theirs, tmp_path), device="cpu", dtype=torch.float32)
    x, y, t, told = draw(1, 4, 2, 4, 6), draw(1, 8, 2, 4, 6, seed=1), torch.tensor([900.0]), draw(1, 512, 20, seed=2)
    image = draw(1, positions or 9, 16, seed=3)
    seen = image if positions is None else image.view(2, 9, 16)
    expected = theirs(torch.cat((x, y), 1), t, told, encoder_hidden_states_image=seen, return_dict=False)[0]
    compare(expected, ours(x, t, list(told), y=y, image=image))


@torch.no_grad()
def test_vace(tmp_path: Path) -> None:
    theirs = randomised(
        WanVACETransformer3DModel(
            **COMMON, num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, ffn_dim=50, num_layers=3,
            vace_layers=[0, 1], vace_in_channels=7,
        )
    )  # fmt: skip
    ours = loading.load_transformer(saved(theirs, tmp_path), device="cpu", dtype=torch.float32)
    assert ours.config.vace.layers == (0, 1)
    x, context, t, told = draw(1, 4, 2, 4, 6), draw(1, 7, 2, 4, 6, seed=1), torch.tensor([900.0]), draw(1, 512, 20, seed=2)
    expected = theirs(x, t, told, control_hidden_states=context, control_hidden_states_scale=torch.ones(2), return_dict=False)[0]
    compare(expected, ours(x, t, list(told), context=context))


@torch.no_grad()
@pytest.mark.parametrize("release", ["2.1", "2.2"])
def test_autoencoder(tmp_path: Path, release: str) -> None:
    """Raw latents: the moments of diffusers' configuration are not part of its network."""
    shape = {"2.1": {"z_dim": 16}, "2.2": {"z_dim": 48, "decoder_base_dim": 8, "is_residual": True, "in_channels": 12,
                                           "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16}}[release]  # fmt: skip
    theirs = randomised(AutoencoderKLWan(base_dim=8, dim_mult=[1, 2, 4, 4], num_res_blocks=2, **shape))
    ours = loading.load_vae(saved(theirs, tmp_path), device="cpu")
    assert isinstance(ours, VAE)
    video, raw = draw(1, 3, 5, 32, 64), draw(1, shape["z_dim"], 2, 2, 4)
    compare(theirs.encode(video).latent_dist.mode(), encoded(ours, video))
    pixels = torch.cat(decoded(ours, raw), dim=2)
    compare(theirs.decode(raw, return_dict=False)[0], pixels.clamp(-1, 1))


def encoded(vae: VAE, video: torch.Tensor) -> torch.Tensor:
    first, state = vae.encode_chunk(video[:, :, :1])
    return torch.cat((first, vae.encode_chunk(video[:, :, 1:], state)[0]), dim=2)


def decoded(vae: VAE, raw: torch.Tensor) -> list[torch.Tensor]:
    first, state = vae.decode_chunk(raw[:, :, :1])
    return [first, vae.decode_chunk(raw[:, :, 1:], state)[0]]


@pytest.mark.parametrize("name", ["blocks.3.cross_attn.norm_k_img.weight", "head.modulation", "vace_blocks.0.before_proj.bias"])
def test_released_names_stay(name: str) -> None:
    assert names.dit_name(name) == name


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("blocks.3.norm2.weight", "blocks.3.norm3.weight"),
        ("vace_blocks.1.norm2.bias", "vace_blocks.1.norm3.bias"),
        ("proj_out.bias", "head.head.bias"),
        ("vace_blocks.1.proj_out.bias", "vace_blocks.1.after_proj.bias"),
        ("condition_embedder.image_embedder.norm2.weight", "img_emb.proj.4.weight"),
    ],
)
def test_names_that_are_easily_swapped(theirs: str, ours: str) -> None:
    assert names.dit_name(theirs) == ours
