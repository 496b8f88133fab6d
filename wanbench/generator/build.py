"""Networks of the Wan family from their configurations."""

from __future__ import annotations

from wanbench.generator.configurations import DiTConfig
from wanbench.generator.dit import DiT, Transformer
from wanbench.generator.s2v import SpeechDiT
from wanbench.generator.vace import VaceDiT


def build_dit(config: DiTConfig) -> Transformer:
    """The transformer of a configuration, with random parameters; on the meta device inside `with torch.device("meta")`."""
    if config.speech is not None:
        return SpeechDiT(config)
    return DiT(config) if config.vace is None else VaceDiT(config)
