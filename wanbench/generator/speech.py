"""Audio for Wan2.2 speech-to-video (arXiv 2508.18621): hidden states of wav2vec2, 50 per second, to one set per video frame."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

STATE_RATE = 50
"""Hidden states per second of audio at 16 kHz."""
AUDIO_RATE = 30
"""Rate that they are brought to first."""
FPS = 16
CLIP_FRAMES = 80


def resample(states: Tensor) -> Tensor:
    """states [layers, T, C] at 50 per second -> [layers, floor(T * 30/50), C], linear, ends on ends."""
    length = int(states.shape[1] / float(STATE_RATE) * AUDIO_RATE)
    return functional.interpolate(states.transpose(1, 2), size=length, mode="linear", align_corners=True).transpose(1, 2)


def audio_clips(resampled: Tensor, clip_frames: int = CLIP_FRAMES) -> Tensor:
    """resampled [layers, T, C] at 30 per second -> [clips, layers, C, clip_frames] at 16 per second.

    Frame k reads state round(k * 30/16), zeros beyond the end; the number of clips is one more than what the audio fills.
    """
    layers, length, width = resampled.shape
    clips = int(length / (clip_frames * (AUDIO_RATE / FPS))) + 1
    index = torch.tensor([round(k / FPS * AUDIO_RATE) for k in range(clips * clip_frames)], device=resampled.device)
    padded = functional.pad(resampled, (0, 0, 0, max(0, math.ceil(clips * clip_frames / FPS * AUDIO_RATE) + 1 - length)))
    return padded[:, index].view(layers, clips, clip_frames, width).permute(1, 0, 3, 2)
