"""Prompts with all that a judge can be asked about, for videos that are called after them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

JUDGED = (
    "human_artifacts", "physical_plausibility", "smoothness", "stylization_ability", "single_object_accuracy",
    "multiple_object_accuracy", "spatial_position_accuracy", "camera_control", "action_instruction_following",
)  # fmt: skip
ABOUT = ("event", "physics", "motion", "style", "action", "completion", "integrity", "camera")
ONE: dict[str, Any] = {
    "text": "a red ball rolls over a table",
    "objects": [{"name": "ball", "aliases": ["sphere"], "count": 1}],
    "distractors": ["cube", "cat"],
    "camera": {"movement": "aerial"},
    "questions": [
        {"q": f"Is the {about} as it should be?", "negation": f"Is the {about} otherwise?", "expect": "no" if k % 3 else "yes",
         "about": about} for k, about in enumerate(ABOUT)
    ],
}  # fmt: skip
"""For everything but what needs two objects."""
TWO: dict[str, Any] = {
    **ONE,
    "text": "two cups left of a jug",
    "objects": [{"name": "cup", "count": 2}, {"name": "jug", "count": 1}],
    "relation": {"subject": "cup", "predicate": "left of", "object": "jug"},
}


def write_prompts(path: Path, videos: Iterable[str], *lines: dict[str, Any]) -> Path:
    """A `--prompts` file: the videos are given the lines in turn."""
    given = [{"video": video, **(lines or (ONE, TWO))[k % len(lines or (ONE, TWO))]} for k, video in enumerate(videos)]
    path.write_text("".join(json.dumps(line) + "\n" for line in given))
    return path
