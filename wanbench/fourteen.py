"""The fourteen dimensions of Wan-Bench (arXiv 2503.20314, section 4.6) by name, pillar and order of the report's Table 2.

Only names: what a dimension measures stands in its own file under `wanbench/metrics`.
"""

from __future__ import annotations

from wanbench.types import Pillar

FOURTEEN: dict[str, Pillar] = {
    "large_motion_generation": "dynamic",
    "human_artifacts": "dynamic",
    "pixel_level_stability": "dynamic",
    "id_consistency": "dynamic",
    "physical_plausibility": "dynamic",
    "smoothness": "dynamic",
    "comprehensive_image_quality": "image",
    "scene_generation_quality": "image",
    "stylization_ability": "image",
    "single_object_accuracy": "instruction",
    "multiple_object_accuracy": "instruction",
    "spatial_position_accuracy": "instruction",
    "camera_control": "instruction",
    "action_instruction_following": "instruction",
}
"""Dimension id -> pillar, in the order of the report's Table 2."""

PILLARS: tuple[Pillar, ...] = ("dynamic", "image", "instruction")

PILLAR_TITLES: dict[Pillar, str] = {
    "dynamic": "Dynamic quality",
    "image": "Image quality",
    "instruction": "Instruction following",
}


def title(dimension: str) -> str:
    """`large_motion_generation` -> `Large motion generation`; `id_consistency` -> `ID consistency`."""
    if dimension == "pixel_level_stability":
        return "Pixel-level stability"
    words = dimension.replace("_", " ")
    return "ID" + words[2:] if words.startswith("id ") else words[:1].upper() + words[1:]
