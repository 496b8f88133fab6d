"""How a run came about: methods with their checkpoints, candidates, environment, and the words a reader needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wanbench.fourteen import title
from wanbench.reports.reasons import dimension_order
from wanbench.reports.wording import facts, number
from wanbench.types import JSONObject

UNPINNED = "unpinned"

TERMS = {
    "Score": "between 0 and 1, higher is better; what it means in each dimension stands beside the dimension",
    "Interval": "95 % interval of the mean over prompts; videos of one prompt count as one observation",
    "Prompt mean": "seeds of one prompt are averaged first, then prompts; without prompts each video counts by itself",
    "Skipped": "the dimension does not apply to the clip or was not asked for; it is not in the mean and not a zero",
    "Error": "something that should have worked and did not; it is not in the mean and not a zero",
    "Partial score": "a weighted mean over the named dimensions only; never comparable with one over all fourteen",
    "Exploratory": "a clip measured outside its prompt's own dimension; shown in the table, never part of scores",
    "Raw value": "what was measured, before it was brought to [0, 1]; its name ends in its unit",
    "Fingerprint": "a digest of all that can move a number; scores with different fingerprints are never compared",
    "Checkpoint": "a file of network parameters, named with its SHA-256; unpinned where no checksum can be cited",
    "Camera words": "how the camera turns or moves: pan-left turns it left, and the picture's content moves right",
    "Axis": "runs from 0 to 1 unless marked as cut, where close scores would be one blot; its ends are written under it",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodLine:
    """How one dimension was measured."""

    title: str
    method: str
    version: str
    fingerprint: str
    dtype: str
    settings: tuple[tuple[str, str], ...]
    checkpoints: tuple[tuple[str, str | None], ...]
    """(name, SHA-256 or None when unpinned)."""


def methods(run: JSONObject) -> list[MethodLine]:
    """Methods that ran, in the order of the fourteen; those skipped as a whole are told elsewhere, with their reason."""
    found: Mapping[str, Any] = run.get("methods") or {}
    ran = [name for name in dimension_order(found) if isinstance(found[name], Mapping) and not found[name].get("skipped")]
    return [_method(name, found[name], (run.get("declarations") or {}).get(name) or {}) for name in ran]


def _method(name: str, entry: Mapping[str, Any], declaration: Mapping[str, Any]) -> MethodLine:
    checkpoints: Mapping[str, Any] = entry.get("checkpoints") or {}
    return MethodLine(
        title=title(name),
        method=number(entry.get("method")),
        version=number(declaration.get("version")),
        fingerprint=number(entry.get("fingerprint")),
        dtype=number(entry.get("dtype")),
        settings=tuple(facts(entry.get("settings") or {})),
        checkpoints=tuple((key, None if sha in (None, "", UNPINNED) else str(sha)) for key, sha in checkpoints.items()),
    )


def candidates(run: JSONObject) -> list[tuple[str, list[tuple[str, str]]]]:
    """(candidate, facts about it)."""
    found: Mapping[str, Any] = run.get("candidates") or {}
    return [(name, facts(about) if isinstance(about, Mapping) else [("", number(about))]) for name, about in found.items()]


def environment(run: JSONObject) -> list[tuple[str, str]]:
    return facts(run.get("environment") or {})


def suite_text(run: JSONObject) -> str:
    """`full 1.0`, or `none`."""
    suite = run.get("suite")
    if isinstance(suite, Mapping):
        return " ".join(str(suite[key]) for key in ("name", "version") if suite.get(key) is not None)
    return str(suite) if suite else "none"
