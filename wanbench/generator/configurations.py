"""Shapes of the Wan networks: what a checkpoint fixes, as values without torch; the released ones; and one read off tensors.

Facts from the released code of Wan2.1 and Wan2.2. What is the same in all of them stands here as a constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from wanbench.errors import UsageError

PATCH = (1, 2, 2)
"""Latent frames, rows and columns in a token."""
EPS = 1e-6
"""Of every layer and RMS norm of the transformers."""
HEAD_DIM = 128
"""Width of a head in every released transformer: the one thing that tensors do not tell."""
CLIP_TOKENS = 257
"""Tokens that the image tower makes of an image."""

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor name in the original layout -> shape."""


@dataclass(frozen=True, kw_only=True)
class ImageBranch:
    """Wan2.1 image-to-video: tokens of the image tower beside the text."""

    width: int
    """Of an image token, 1280."""
    positions: int | None
    """Rows of the learned positions, 514 for two images; none without them."""


@dataclass(frozen=True, kw_only=True)
class VaceBranch:
    """VACE (arXiv 2503.07598): a second row of blocks that reads frames, masks and references."""

    in_dim: int
    """Channels of the context, 96."""
    layers: tuple[int, ...]
    """Layers of the main network after which a hint is added."""


@dataclass(frozen=True, kw_only=True)
class SpeechBranch:
    """Wan2.2 speech-to-video: audio, pose, reference and motion."""

    audio_dim: int
    """Width of a hidden state of the audio model, 1024."""
    audio_layers: int
    """Hidden states of the audio model, 25."""
    audio_tokens: int
    """Local tokens for each latent frame, 4; a learned one is added."""
    pose_dim: int
    """Channels of pose latents, 16."""
    inject_after: tuple[int, ...]
    """Layers after which audio is injected."""


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """A diffusion transformer."""

    dim: int
    ffn_dim: int
    num_heads: int
    num_layers: int
    in_dim: int
    """Channels: latents, then what conditions them."""
    out_dim: int
    """Channels of the velocity."""
    text_dim: int = 4096
    text_len: int = 512
    """Rows that text is padded to."""
    freq_dim: int = 256
    image: ImageBranch | None = None
    vace: VaceBranch | None = None
    speech: SpeechBranch | None = None

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.num_heads


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """A video autoencoder."""

    release: Literal["2.1", "2.2"]
    z_dim: int
    encoder_dim: int
    decoder_dim: int
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    latent_mean: tuple[float, ...]
    latent_std: tuple[float, ...]

    @property
    def pixel_patch(self) -> int:
        """Side of the squares of pixels that become channels before the encoder."""
        return 1 if self.release == "2.1" else 2

    @property
    def stride(self) -> tuple[int, int, int]:
        """Pixels of time, height and width for one latent: (4, 8, 8) or (4, 16, 16)."""
        side = 2 ** (len(self.dim_mult) - 1) * self.pixel_patch
        return 2 ** sum(self.temporal_downsample), side, side

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Shape [z, F, H, W] of the latents of a video of 4k+1 frames; UsageError for what does not make whole tokens."""
        t, h, w = self.stride
        if frames < 1 or (frames - 1) % t:
            below = (frames - 1) // t * t + 1
            raise UsageError(f"{frames} frames, wanted a multiple of {t} and one: {max(below, 1)} or {max(below, 1) + t}")
        # An odd row of latents would be dropped by the patches without a word.
        step = (h * PATCH[1], w * PATCH[2])
        if height < 1 or width < 1 or height % step[0] or width % step[1]:
            raise UsageError(f"a size of {width}x{height}, wanted multiples of {step[1]}x{step[0]} pixels")
        return self.z_dim, (frames - 1) // t + 1, height // h, width // w


T2V_1_3B = DiTConfig(dim=1536, ffn_dim=8960, num_heads=12, num_layers=30, in_dim=16, out_dim=16)
T2V_14B = DiTConfig(dim=5120, ffn_dim=13824, num_heads=40, num_layers=40, in_dim=16, out_dim=16)
I2V_A14B = replace(T2V_14B, in_dim=36)
I2V_14B = replace(I2V_A14B, image=ImageBranch(width=1280, positions=None))
FLF2V_14B = replace(I2V_A14B, image=ImageBranch(width=1280, positions=2 * CLIP_TOKENS))
VACE_1_3B = replace(T2V_1_3B, vace=VaceBranch(in_dim=96, layers=tuple(range(0, 30, 2))))
VACE_14B = replace(T2V_14B, vace=VaceBranch(in_dim=96, layers=tuple(range(0, 40, 5))))
TI2V_5B = DiTConfig(dim=3072, ffn_dim=14336, num_heads=24, num_layers=30, in_dim=48, out_dim=48)
S2V_14B = replace(
    T2V_14B,
    speech=SpeechBranch(
        audio_dim=1024,
        audio_layers=25,
        audio_tokens=4,
        pose_dim=16,
        inject_after=(0, 4, 8, 12, 16, 20, 24, 27, 30, 33, 36, 39),
    ),
)

RELEASED_DITS: dict[str, DiTConfig] = {
    "wan2.1-t2v-1.3b": T2V_1_3B,
    "wan2.1-t2v-14b": T2V_14B,
    "wan2.1-i2v-14b": I2V_14B,
    "wan2.1-flf2v-14b": FLF2V_14B,
    "wan2.1-vace-1.3b": VACE_1_3B,
    "wan2.1-vace-14b": VACE_14B,
    "wan2.2-t2v-a14b": T2V_14B,
    "wan2.2-i2v-a14b": I2V_A14B,
    "wan2.2-ti2v-5b": TI2V_5B,
    "wan2.2-s2v-14b": S2V_14B,
}

# fmt: off
VAE_21 = VAEConfig(
    release="2.1", z_dim=16, encoder_dim=96, decoder_dim=96,
    latent_mean=(
        -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497,
        0.2503, -0.2921,
    ),
    latent_std=(
        2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251,
        1.9160,
    ),
)
VAE_22 = VAEConfig(
    release="2.2", z_dim=48, encoder_dim=160, decoder_dim=256,
    latent_mean=(
        -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891, 0.1570, -0.0098,
        0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502, -0.2055, -0.0322, 0.1109, 0.1567,
        -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957,
        0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
    ),
    latent_std=(
        0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454,
        0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999,
        0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444,
        0.4089, 0.7468, 0.7744,
    ),
)
# fmt: on
RELEASED_VAES: dict[str, VAEConfig] = {"2.1": VAE_21, "2.2": VAE_22}
"""The 14B networks of Wan2.2 use the VAE of 2.1; only the 5B one uses that of 2.2."""


def dit_config_of(shapes: Shapes, *, num_heads: int | None = None, text_len: int = 512) -> DiTConfig:
    """The configuration of a transformer whose tensors have these shapes (original names).

    Heads are `HEAD_DIM` wide unless their number is given. Layers of hints and of audio are those of the released networks, or
    evenly spaced; a checkpoint that spaces them otherwise says so in its `config.json`. Raises KeyError for foreign tensors.
    """
    dim, in_dim = shapes["patch_embedding.weight"][:2]
    layers = _count(shapes, "blocks.")
    return DiTConfig(
        dim=dim,
        ffn_dim=shapes["blocks.0.ffn.0.weight"][0],
        num_heads=num_heads or dim // HEAD_DIM,
        num_layers=layers,
        in_dim=in_dim,
        out_dim=shapes["head.head.weight"][0] // (PATCH[0] * PATCH[1] * PATCH[2]),
        text_dim=shapes["text_embedding.0.weight"][1],
        text_len=text_len,
        freq_dim=shapes["time_embedding.0.weight"][1],
        image=_image_of(shapes),
        vace=_vace_of(shapes, layers),
        speech=_speech_of(shapes, layers),
    )


def _image_of(shapes: Shapes) -> ImageBranch | None:
    if "img_emb.proj.1.weight" not in shapes:
        return None
    positions = shapes["img_emb.emb_pos"][1] if "img_emb.emb_pos" in shapes else None
    return ImageBranch(width=shapes["img_emb.proj.1.weight"][0], positions=positions)


def _vace_of(shapes: Shapes, layers: int) -> VaceBranch | None:
    if "vace_patch_embedding.weight" not in shapes:
        return None
    blocks = _count(shapes, "vace_blocks.")
    return VaceBranch(in_dim=shapes["vace_patch_embedding.weight"][1], layers=tuple(range(0, layers, layers // blocks))[:blocks])


def _speech_of(shapes: Shapes, layers: int) -> SpeechBranch | None:
    if "casual_audio_encoder.weights" not in shapes:
        return None
    assert S2V_14B.speech is not None
    injectors = _count(shapes, "audio_injector.injector.")
    released = layers == S2V_14B.num_layers and injectors == len(S2V_14B.speech.inject_after)
    width, audio_dim, _ = shapes["casual_audio_encoder.encoder.conv1_local.conv.weight"]
    return SpeechBranch(
        audio_dim=audio_dim,
        audio_layers=shapes["casual_audio_encoder.weights"][1],
        audio_tokens=width // shapes["casual_audio_encoder.encoder.conv1_global.conv.weight"][0],
        pose_dim=shapes["cond_encoder.weight"][1],
        inject_after=S2V_14B.speech.inject_after if released else tuple(range(0, layers, layers // injectors))[:injectors],
    )


def vae_config_of(shapes: Shapes) -> VAEConfig:
    """The configuration of an autoencoder whose tensors have these shapes: only 2.2 nests its stages; widths may be others.

    Raises KeyError for foreign tensors, ValueError for latents whose moments are not known.
    """
    nested = any(name.startswith("encoder.downsamples.0.downsamples.") for name in shapes)
    released = VAE_22 if nested else VAE_21
    if shapes["conv2.weight"][0] != released.z_dim:
        raise ValueError(f"latents: {shapes['conv2.weight'][0]} channels, {released.release} has {released.z_dim}")
    stages = len(released.dim_mult)
    flat = _count(shapes, "encoder.downsamples.")
    return replace(
        released,
        encoder_dim=shapes["encoder.conv1.weight"][0],
        decoder_dim=shapes["decoder.head.0.gamma"][0],
        num_res_blocks=_count(shapes, f"encoder.downsamples.{stages - 1}.downsamples.") if nested else (flat - 3) // stages,
    )


def _count(shapes: Shapes, prefix: str) -> int:
    return 1 + max(int(name[len(prefix) :].split(".")[0]) for name in shapes if name.startswith(prefix))
