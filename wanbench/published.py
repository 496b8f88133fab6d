"""Published results (Wan technical report, arXiv 2503.20314v2, Tables 2 to 5): facts, for reference rows and for the weights.

Measured by the report's authors with other prompts and another judge; never to be mixed with scores measured here.
"""

from __future__ import annotations

TABLE_2_MODELS: tuple[str, ...] = ("CN-TopB", "Hunyuan", "Mochi", "CN-TopA", "Sora", "Wan 1.3B", "Wan 14B")

TABLE_2: dict[str, tuple[float, ...]] = {
    "large_motion_generation": (0.405, 0.413, 0.42, 0.284, 0.482, 0.468, 0.415),
    "human_artifacts": (0.712, 0.734, 0.622, 0.833, 0.786, 0.707, 0.691),
    "pixel_level_stability": (0.977, 0.983, 0.981, 0.974, 0.952, 0.976, 0.972),
    "id_consistency": (0.94, 0.935, 0.93, 0.936, 0.925, 0.938, 0.946),
    "physical_plausibility": (0.836, 0.898, 0.728, 0.759, 0.933, 0.912, 0.939),
    "smoothness": (0.765, 0.89, 0.53, 0.88, 0.93, 0.79, 0.91),
    "comprehensive_image_quality": (0.621, 0.605, 0.53, 0.668, 0.665, 0.596, 0.64),
    "scene_generation_quality": (0.369, 0.373, 0.368, 0.386, 0.388, 0.385, 0.386),
    "stylization_ability": (0.623, 0.386, 0.403, 0.346, 0.606, 0.43, 0.328),
    "single_object_accuracy": (0.987, 0.912, 0.949, 0.942, 0.932, 0.93, 0.952),
    "multiple_object_accuracy": (0.84, 0.85, 0.693, 0.88, 0.882, 0.859, 0.86),
    "spatial_position_accuracy": (0.518, 0.464, 0.512, 0.434, 0.458, 0.476, 0.59),
    "camera_control": (0.465, 0.406, 0.605, 0.529, 0.38, 0.483, 0.527),
    "action_instruction_following": (0.917, 0.735, 0.907, 0.783, 0.721, 0.844, 0.86),
}
"""Dimension -> the score of each model, rounded to three decimals."""

TABLE_2_WEIGHTED: tuple[float, ...] = (0.69, 0.673, 0.639, 0.693, 0.7, 0.689, 0.724)
"""The weighted score of each model; the weights behind it were not published."""

TABLE_3_MODEL = "Wan 14B"
TABLE_3_OPPONENTS: tuple[str, ...] = ("CN-TopA", "CN-TopB", "CN-TopC", "Runway")

TABLE_3: dict[str, tuple[float, ...]] = {
    "visual_quality": (0.306, 0.159, 0.278, 0.481),
    "motion_quality": (0.161, 0.097, 0.149, 0.403),
    "matching": (0.46, 0.579, 0.567, 0.691),
    "overall_ranking": (0.44, 0.44, 0.489, 0.676),
}
"""Aspect -> win-rate gap of Wan 14B against each opponent: (wins - losses) / rounds, as the table's caption says. Its
footnote, "proportion of instances in which the model outperformed", does not fit the numbers."""

TABLE_3_ROUNDS: dict[str, int] = {"visual_quality": 5710, "motion_quality": 5785, "matching": 5578, "overall_ranking": 5560}

TABLE_4: dict[str, tuple[float, float, float]] = {
    "MiniMax-Video-01 (2024.09)": (84.85, 77.65, 83.41),
    "Hunyuan (open-source)": (85.09, 75.82, 83.24),
    "Gen-3 (2024-07)": (84.11, 75.17, 82.32),
    "CogVideoX1.5-5B (5s SAT prompt-optimized)": (82.78, 79.76, 82.17),
    "Kling (2024-07 high-performance mode)": (83.39, 75.68, 81.85),
    "Sora": (85.51, 79.35, 84.28),
    "Wan 1.3B": (84.92, 80.1, 83.96),
    "Wan 14B (2025-02-24)": (86.67, 84.44, 86.22),
}
"""Model -> VBench's Quality, Semantic and Total, in percent."""

TABLE_5_FID: dict[str, tuple[float, float]] = {"VAE": (42.6, 40.55), "VAE-D": (44.21, 41.16)}
"""Training -> FID after the earlier and the later step count, lower is better. The column heads say 10k and 15k steps, the
text 100,000 and 150,000."""
