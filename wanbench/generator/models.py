"""The released models of the Wan family by the names users know, with the sampling that their authors chose; without torch.

Steps, shift, guidance, frames and rate are the defaults of the official code of Wan2.1 and Wan2.2, and the negative prompts are
its words. A default stands here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from wanbench.generator.configurations import (
    FLF2V_14B,
    I2V_14B,
    I2V_A14B,
    S2V_14B,
    T2V_1_3B,
    T2V_14B,
    TI2V_5B,
    VACE_1_3B,
    VACE_14B,
    VAE_21,
    VAE_22,
    DiTConfig,
    VAEConfig,
)

Task = Literal["t2v", "i2v", "flf2v", "vace", "ti2v", "s2v"]

NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，"
    "静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
"""What most models are asked to avoid; in Chinese, as they were trained."""
NEGATIVE_I2V = "镜头晃动，" + NEGATIVE
NEGATIVE_FLF2V = "镜头切换，" + NEGATIVE_I2V
NEGATIVE_S2V = (
    "画面模糊，最差质量，画面模糊，细节模糊不清，情绪激动剧烈，手快速抖动，字幕，丑陋的，残缺的，多余的手指，"
    "画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，"
    "背景人很多，倒着走"
)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A released model and how it is sampled by default."""

    task: Task
    repository: str
    """On the Hugging Face hub, in the original layout."""
    dit: DiTConfig
    vae: VAEConfig = VAE_21
    boundary: float | None = None
    """Share of 1000 from which a second, high-noise network works; none for one network."""
    steps: int = 50
    shift: float = 5.0
    guidance: tuple[float, float] = (5.0, 5.0)
    """(low noise, high noise)"""
    frames: int = 81
    """4k + 1"""
    fps: int = 16
    size_HW: tuple[int, int] = (720, 1280)
    """For images of another shape, the area that counts."""
    negative: str = NEGATIVE


_T2V = Model(task="t2v", repository="Wan-AI/Wan2.1-T2V-14B", dit=T2V_14B)
_I2V = Model(task="i2v", repository="Wan-AI/Wan2.1-I2V-14B-720P", dit=I2V_14B, steps=40, negative=NEGATIVE_I2V)
_VACE = Model(task="vace", repository="Wan-AI/Wan2.1-VACE-14B", dit=VACE_14B, shift=16.0)

MODELS: dict[str, Model] = {
    "wan-1.3b": replace(_T2V, repository="Wan-AI/Wan2.1-T2V-1.3B", dit=T2V_1_3B, size_HW=(480, 832)),
    "wan-14b": _T2V,
    "wan-i2v-14b-480p": replace(_I2V, repository="Wan-AI/Wan2.1-I2V-14B-480P", shift=3.0, size_HW=(480, 832)),
    "wan-i2v-14b-720p": _I2V,
    "wan-flf2v-14b": replace(
        _I2V,
        task="flf2v",
        repository="Wan-AI/Wan2.1-FLF2V-14B-720P",
        dit=FLF2V_14B,
        steps=50,
        shift=16.0,
        negative=NEGATIVE_FLF2V,
    ),
    "wan-vace-1.3b": replace(_VACE, repository="Wan-AI/Wan2.1-VACE-1.3B", dit=VACE_1_3B, size_HW=(480, 832)),
    "wan-vace-14b": _VACE,
    "wan2.2-t2v-a14b": replace(
        _T2V, repository="Wan-AI/Wan2.2-T2V-A14B", boundary=0.875, steps=40, shift=12.0, guidance=(3.0, 4.0)
    ),
    "wan2.2-i2v-a14b": replace(
        _T2V, task="i2v", repository="Wan-AI/Wan2.2-I2V-A14B", dit=I2V_A14B, boundary=0.9, steps=40, guidance=(3.5, 3.5)
    ),
    "wan2.2-ti2v-5b": replace(
        _T2V,
        task="ti2v",
        repository="Wan-AI/Wan2.2-TI2V-5B",
        dit=TI2V_5B,
        vae=VAE_22,
        frames=121,
        fps=24,
        size_HW=(704, 1280),
    ),
    "wan2.2-s2v-14b": replace(
        _T2V,
        task="s2v",
        repository="Wan-AI/Wan2.2-S2V-14B",
        dit=S2V_14B,
        steps=40,
        shift=3.0,
        guidance=(4.5, 4.5),
        frames=80,  # of one clip: a multiple of 4, unlike all others
        size_HW=(704, 1024),
        negative=NEGATIVE_S2V,
    ),
}
"""Name -> model. The two-expert networks of Wan2.2 use the VAE of 2.1."""
