"""Wan2.2 speech-to-video (arXiv 2508.18621): the transformer with audio, pose, a reference image and motion.

Tokens are the noisy video, then the reference, then the motion that came before; only the video's are answered. Motion is packed:
the newest latent frame fine, older ones coarser, in the manner of FramePack (arXiv 2504.12626).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from wanbench.generator.attention import Attend, CrossAttention, attend
from wanbench.generator.audio_encoder import AudioEncoder
from wanbench.generator.configurations import EPS, PATCH, DiTConfig, SpeechBranch
from wanbench.generator.dit import Given, Transformer, unpatchify
from wanbench.generator.layers import Linear, PatchEmbedding, layer_norm, tokens_of
from wanbench.generator.rope import full_grid, grid_positions
from wanbench.generator.times import Times

REFERENCE_TIME = 30
"""Position in time of the reference image."""
PACK_LATENTS = (16, 2, 1)
"""Latent frames packed four-fold, two-fold and not at all, oldest first."""
PIXEL_FRAMES, LATENT_FRAMES = 73, 19
"""Motion before a clip, in pixel frames and in latent frames."""


class MotionPacker(nn.Module):
    """Latents of the motion before a clip to tokens, fewer for what is older."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.proj = PatchEmbedding(channels, dim, (1, 2, 2))
        self.proj_2x = PatchEmbedding(channels, dim, (2, 4, 4))
        self.proj_4x = PatchEmbedding(channels, dim, (4, 8, 8))

    def forward(self, motion: Tensor) -> tuple[Tensor, Tensor]:
        """motion [B, C, F, H, W], newest last, F any -> tokens [B, L, D], newest first, and their positions [L, 3]."""
        wanted = sum(PACK_LATENTS)
        h, w = motion.shape[3] // PATCH[1], motion.shape[4] // PATCH[2]
        recent = motion[:, :, -wanted:]
        padded = functional.pad(recent, (0, 0, 0, 0, wanted - recent.shape[2], 0))
        old, middle, new = torch.split(padded, list(PACK_LATENTS), dim=2)
        patches = [self.proj(new), self.proj_2x(middle), self.proj_4x(old)]
        device = motion.device
        positions = []
        for start, length, p in zip((-1, -3, -19), (1, 2, 16), patches, strict=True):
            spans = zip((start, 0, 0), (length, h, w), p.shape[2:], strict=True)
            positions.append(grid_positions(*(_sampled(*span, device) for span in spans)))
        return torch.cat([tokens_of(p) for p in patches], dim=1), torch.cat(positions)


def _sampled(start: int, length: int, count: int, device: torch.device) -> Tensor:
    """`count` of the positions start .. start + length - 1, first and last among them, truncated toward zero."""
    return torch.linspace(start, start + length - 1, count, dtype=torch.float64).int().to(device)  # float32 rounds up some


class AdaptiveNorm(nn.Module):
    """Layer norm with shift and scale from a vector."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = Linear(dim, 2 * dim)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """x [B, L, D], vector [B, D] -> [B, L, D]"""
        shift, scale = self.linear(functional.silu(vector))[:, None].chunk(2, dim=-1)
        out: Tensor = layer_norm(x, 1e-5) * (1 + scale) + shift
        return out


class AudioInjector(nn.Module):
    """One cross-attention to audio and one adaptive norm for each layer after which audio enters."""

    def __init__(self, config: DiTConfig, speech: SpeechBranch) -> None:
        super().__init__()
        self.layers = speech.inject_after
        self.injector = nn.ModuleList(CrossAttention(config.dim, config.num_heads, EPS) for _ in self.layers)
        self.injector_adain_layers = nn.ModuleList(AdaptiveNorm(config.dim) for _ in self.layers)

    def forward(self, layer: int, x: Tensor, whole: Tensor, local: Tensor) -> Tensor:
        """x [B, F*n, D] tokens of the video, whole [B, F, D], local [B, F, tokens, D] -> what is added to x; frame by frame."""
        index = self.layers.index(layer)
        frames = x.reshape(local.shape[0] * local.shape[1], -1, x.shape[2])
        normed = self.injector_adain_layers[index](frames, whole.flatten(0, 1))
        heard: Tensor = self.injector[index](normed, local.flatten(0, 1))
        return heard.reshape(x.shape)


class SpeechDiT(Transformer):
    """The transformer that speaks."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__(config)
        speech = config.speech
        assert speech is not None
        self.cond_encoder = PatchEmbedding(speech.pose_dim, config.dim, PATCH)
        self.casual_audio_encoder = AudioEncoder(speech, config.dim)  # spelled as in the checkpoint
        self.audio_injector = AudioInjector(config, speech)
        self.trainable_cond_mask = nn.Embedding(3, config.dim)
        self.frame_packer = MotionPacker(config.in_dim, config.dim)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text: Sequence[Tensor],
        *,
        audio: Tensor,
        pose: Tensor,
        reference: Tensor,
        motion: Tensor | None = None,
        motion_frames: tuple[int, int] = (PIXEL_FRAMES, LATENT_FRAMES),
        attend: Attend = attend,
    ) -> Tensor:
        """Velocity [B, out, F, H, W], float32.

        x [B, C, F, H, W]; t [B]; text as in `DiT`; audio [B, layers, audio_dim, 4F], a set for each pixel frame; pose [B, 16, F,
        H, W], zeros without one (the bias still acts); reference [B, C, 1, H, W]; motion [B, C, F', H, W], none for the first
        clip; motion_frames: pixel frames put before the audio, copies of its first, and the latent frames they become, dropped.
        """
        video = self.patch_embedding(x) + self.cond_encoder(pose)
        grid = video.shape[2:]
        tokens, positions = self.all_tokens(video, self.patch_embedding(reference), motion)
        count = grid.numel()
        times = self.token_times(t, count, tokens.shape[1])
        given = Given(times, self.rotation(positions), self.embed_text(text), None, attend)
        whole, local = self.hear(audio, motion_frames)

        def inject(layer: int, x: Tensor) -> Tensor:
            if layer not in self.audio_injector.layers:
                return x
            heard = self.audio_injector(layer, x[:, :count], whole, local)
            return torch.cat((x[:, :count] + heard, x[:, count:]), dim=1)

        tokens = self.run_blocks(tokens, given, inject)
        return unpatchify(self.head(tokens[:, :count], times.first(count)), grid)

    def token_times(self, t: Tensor, noisy: int, tokens: int) -> Times:
        """t [B] for the first `noisy` tokens, and 0 for the others, which are clean."""
        rows = torch.arange(len(t), device=t.device)[:, None].expand(-1, noisy)
        times = self.embed_times(functional.pad(t, (0, 1)))
        return times._replace(rows=functional.pad(rows, (0, tokens - noisy), value=len(t)))

    def all_tokens(self, video: Tensor, reference: Tensor, motion: Tensor | None) -> tuple[Tensor, Tensor]:
        """video [B, D, f, h, w], reference [B, D, 1, h, w], motion [B, C, F', H, W] -> tokens [B, L, D], positions [L, 3]."""
        _, h, w = video.shape[2:]
        at_reference = full_grid(1, h, w, device=video.device)
        at_reference[:, 0] = REFERENCE_TIME
        parts = [tokens_of(video), tokens_of(reference)]
        positions = [full_grid(*video.shape[2:], device=video.device), at_reference]
        if motion is not None:
            packed, at_motion = self.frame_packer(motion)
            parts.append(packed)
            positions.append(at_motion)
        kinds = self.trainable_cond_mask.weight
        return torch.cat([part + kinds[i] for i, part in enumerate(parts)], dim=1), torch.cat(positions)

    def hear(self, audio: Tensor, motion_frames: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """audio [B, layers, audio_dim, T] -> global [B, F, D] and local [B, F, tokens + 1, D] of the clip's latent frames.

        The first frame is repeated for the motion before the clip, whose latent frames are dropped again.
        """
        pixels, latents = motion_frames
        before = audio[..., :1].expand(-1, -1, -1, pixels)
        whole, local = self.casual_audio_encoder(torch.cat((before, audio), dim=-1))
        return whole[:, latents:], local[:, latents:]
