"""`controls.json`: what a report, a comparison and a gate read of a controls run (light half)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wanbench import checkpoints
from wanbench.errors import UsageError
from wanbench.record import make_folder, read_json, write_json
from wanbench.types import JSONObject

SCHEMA_VERSION = 1
CONTROLS, ROWS = "controls.json", "controls.jsonl"
STORE = "controls"
"""Folder in the store: the last entry of each dimension and fingerprint."""
Entries = Mapping[str, JSONObject]
"""Dimension -> its part of `controls.json`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """An expectation that a dimension declared and does not keep."""

    control: str
    expected: str
    """Such as `falls by 0.05`."""
    reason: str
    """Why that is expected; may be empty."""
    clips: int
    obeying: int
    median: float | None
    """Median difference that the control made; None where it left no score."""


def read_controls(path: Path) -> JSONObject:
    """A finished `controls.json`, or the one in a folder. Raises `UsageError`."""
    path = path / CONTROLS if path.is_dir() else path
    content = read_json(path)
    if content.get("kind") != "controls" or content.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(f"{path} is no result of `wanbench controls` in this version's form")
    return content


def failures(controls: Path, fingerprints: Mapping[str, str]) -> dict[str, tuple[Failure, ...]]:
    """Dimension -> the controls it failed, empty for none, of those dimensions that were checked with this very fingerprint.

    A dimension that is missing in the answer was not checked by this method. Raises `UsageError`.
    """
    return failures_in(checked(controls, fingerprints))


def noise_floors(controls: Path, fingerprints: Mapping[str, str]) -> dict[str, float]:
    """Dimension -> the difference between two means that re-encoding alone can make, where checked with this very fingerprint.

    Raises `UsageError`.
    """
    return noise_floors_in(checked(controls, fingerprints))


def checked(controls: Path, fingerprints: Mapping[str, str]) -> Entries:
    """What was found of dimensions that were checked in just this way, with the number of `clips` and the `date`.

    Raises `UsageError`.
    """
    content = read_controls(controls)
    told = {"clips": len(content["clips"]), "date": content["end"]}
    return {d: {**told, **e} for d, e in content["dimensions"].items() if fingerprints.get(d) == e["fingerprint"]}


def remember(content: JSONObject) -> None:
    """Keep what `controls.json` holds in the store, by fingerprint, for reports that are given none. Raises `OutputError`."""
    folder = checkpoints.home() / STORE
    make_folder(folder)
    told = {"schema_version": SCHEMA_VERSION, "date": content["end"], "clips": len(content["clips"])}
    for dimension, entry in content["dimensions"].items():
        write_json(folder / f"{dimension}-{entry['fingerprint'][:16]}.json", {**told, "entry": entry})


def remembered(fingerprints: Mapping[str, str]) -> Entries:
    """The last that `checked` would have told on this machine. Raises `UsageError`."""
    found = {}
    for dimension, fingerprint in fingerprints.items():
        path = checkpoints.home() / STORE / f"{dimension}-{fingerprint[:16]}.json"
        if path.is_file() and (kept := read_json(path)).get("schema_version") == SCHEMA_VERSION:
            found[dimension] = {"clips": kept.get("clips"), "date": kept.get("date"), **kept["entry"]}
    return found


def failures_in(entries: Entries) -> dict[str, tuple[Failure, ...]]:
    """Dimension -> the controls it failed."""
    return {
        dimension: tuple(
            Failure(
                control=r["control"],
                expected=r["expectation"]["words"],
                reason=r["expectation"]["reason"],
                clips=r["clips"],
                obeying=r["obeying"],
                median=r["effect"]["median"],
            )
            for r in entry["results"]
            if r["verdict"] == "fail"
        )
        for dimension, entry in entries.items()
    }


def noise_floors_in(entries: Entries) -> dict[str, float]:
    """Dimension -> noise floor of means, where it is known."""
    return {d: floor for d, entry in entries.items() if (floor := entry["noise_floor"]["mean"]) is not None}
