"""A small JSON object that lies beside a network's tensors and says how the network is built (ours)."""

from __future__ import annotations

import json
from pathlib import Path

from wanbench.errors import UsageError
from wanbench.types import JSONObject

OPTIONS_FILE = "config.json"
"""Optional in a checkpoint's folder: options that override the official size of a network, for one's own or reduced ones."""


def read_object(path: Path) -> JSONObject:
    """The JSON object in `path`; `UsageError` names the file if it holds anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not readable as JSON ({error}); fetch or make the checkpoint again") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path}: holds {type(value).__name__}, wanted a JSON object; fetch or make the checkpoint again")
    return value


def read_options(folder: Path, allowed: frozenset[str]) -> JSONObject:
    """The options of `folder/config.json`, empty without it; `UsageError` for a key outside `allowed`."""
    path = folder / OPTIONS_FILE
    if not path.exists():
        return {}
    options = read_object(path)
    if unknown := sorted(options.keys() - allowed):
        raise UsageError(f"{path}: unknown option {', '.join(unknown)}; known are {', '.join(sorted(allowed))}")
    return options
