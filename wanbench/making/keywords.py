"""A model's options as a caller writes them: the words of `wanbench run`, with `_` for `-`, become `MakerOptions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from wanbench.errors import UsageError
from wanbench.making.makers import ASIDE, FLAGS, MakerOptions

PASSES = ("auto", "together", "apart")
FILES = ("video", "mask")


def word(field: str) -> str:
    """`tile` -> `vae_tile`: an option of the command as a keyword."""
    return FLAGS.get(field, field).replace("-", "_")


WORDS = {word(f.name): f.name for f in fields(MakerOptions) if f.name not in {"height", "width", "dtype", "shard", *ASIDE}}
"""Keyword -> field; `size` stands for two of them."""


def maker_options(given: Mapping[str, Any], **aside: Any) -> MakerOptions:
    """What a maker is told. `given`: `size` as (height, width), and `WORDS`; None is the model's own default.

    A single text or path stands for a list of one. `aside`: fields of `MakerOptions` by their own names. Raises `UsageError`.
    """
    if unknown := sorted(given.keys() - WORDS.keys() - {"size"}):
        raise UsageError(f"unknown option {unknown[0]!r}; those of a model are size, {', '.join(sorted(WORDS))}")
    told: dict[str, Any] = {WORDS[key]: value for key, value in given.items() if key != "size" and value is not None}
    for name in FILES:
        if name in told:
            told[name] = Path(told[name])
    told["images"] = tuple(Path(path) for path in listed(told.get("images")) or ())
    told["lora"] = tuple(str(text) for text in listed(told.get("lora")) or ())
    told["guidance"] = _guidance(told.get("guidance"))
    told["passes"] = _passes(told.get("passes"))
    told["height"], told["width"] = _size(given.get("size"))
    return MakerOptions(**told, **aside)


def listed(value: Any) -> Any:
    """A single text, path or number as a list of it; anything else as it is."""
    return [value] if isinstance(value, str | Path | int) else value


LARGEST_SEED = 2**63 - 1
"""What a random generator takes."""


def whole_numbers(value: Any, option: str) -> list[int]:
    """Different ones from 0 up. Raises `UsageError`."""
    found = list(listed(value))
    if not found or not all(isinstance(n, int) and 0 <= n <= LARGEST_SEED for n in found) or len(set(found)) < len(found):
        raise UsageError(f"{option} are different whole numbers from 0 up and under 2^63, not {value!r}")
    return found


def _size(value: Any) -> tuple[int | None, int | None]:
    if value is None:
        return None, None
    if not (isinstance(value, Sequence) and len(value) == 2 and all(isinstance(side, int) and side > 0 for side in value)):
        raise UsageError(f"a size is (height, width) in pixels, such as (480, 832), not {value!r}")
    return value[0], value[1]


def _guidance(value: Any) -> float | tuple[float, float] | None:
    """`5` and `"5"` -> 5.0; `[3, 4]` and `"3,4"` -> (3.0, 4.0), low noise first."""
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, Sequence) else [value]
    try:
        scales = [float(part) for part in parts]
    except (TypeError, ValueError):
        scales = []
    if len(scales) not in (1, 2) or not all(0 <= scale < 1000 for scale in scales):
        raise UsageError(f"--guidance takes a number, or two for the networks of low and high noise, not {value!r}")
    return scales[0] if len(scales) == 1 else (scales[0], scales[1])


def _passes(value: Any) -> str | None:
    if value is not None and value not in PASSES:
        raise UsageError(f"--guidance-passes is {', '.join(PASSES)}, not {value!r}")
    return None if value in (None, "auto") else str(value)
