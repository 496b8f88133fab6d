"""Weights: what each dimension's score is multiplied by in the total. Light half.

The report fits its weights to human preferences and does not publish them; its Table 2 gives fourteen scores and the total
for seven models. `table2` is the maximum-entropy point of the weightings that reproduce the table (w >= 0, sum w = 1,
X w = y); it is unique, with w proportional to exp(X' lambda). Found by `maximum_entropy`; the stored numbers are checked
against it and the table. Other sets are files (`docs/weights.md`); `load` takes a name or a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wanbench import record
from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN
from wanbench.published import TABLE_2, TABLE_2_WEIGHTED
from wanbench.types import JSONObject

Floats = npt.NDArray[np.float64]

LARGEST_SUM_ERROR = 1e-6
"""Weights are written with a finite number of decimals; a sum further from 1 is a mistake (ours)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weighting:
    """A named set of weights."""

    name: str
    provenance: str
    weights: Mapping[str, float]
    """Dimension -> weight, all fourteen; non-negative, together 1."""
    date: str | None = None
    """ISO date on which the weights were found."""
    versions: Mapping[str, int] = field(default_factory=dict)
    """Dimension -> version of the measurements that the weights were fitted to; empty where they were fitted to none of ours."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """Of a fitted set: `data` (the comparisons' SHA-256 and counts), `correlations` with their intervals, and what stands
    beside them; more keys are kept as they are."""

    def to_json(self) -> JSONObject:
        """The content of a weight file."""
        about = {"provenance": self.provenance, "date": self.date, "versions": dict(self.versions)}
        return {"name": self.name, "weights": dict(self.weights), **about, **self.evidence}

    def mismatched(self, versions: Mapping[str, int]) -> list[str]:
        """Dimensions that these weights were fitted to in another version than the given ones."""
        return [d for d, version in self.versions.items() if self.weights[d] > 0 and versions.get(d, version) != version]


def maximum_entropy(scores: Floats, totals: Floats) -> Floats:
    """The weights of largest entropy with `scores @ w = totals`: scores (models, dimensions), totals (models,).

    Solves the dual: minimise log sum exp(X' lambda) - y' lambda, which is convex; its gradient is X w - y.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp, softmax

    def dual(multipliers: Floats) -> tuple[float, Floats]:
        exponents = scores.T @ multipliers
        return float(logsumexp(exponents) - totals @ multipliers), scores @ softmax(exponents) - totals

    best = minimize(dual, np.zeros(len(totals)), jac=True, method="BFGS", options={"gtol": 1e-12, "maxiter": 20000})
    return np.asarray(softmax(scores.T @ best.x))


def table_2() -> tuple[Floats, Floats]:
    """(scores (7, 14), totals (7,)) of the report's Table 2."""
    return np.array([TABLE_2[d] for d in FOURTEEN]).T, np.array(TABLE_2_WEIGHTED)


TABLE_2_WEIGHTS: dict[str, float] = {
    "large_motion_generation": 0.038019232,
    "human_artifacts": 0.046211946,
    "pixel_level_stability": 0.007933534,
    "id_consistency": 0.023911775,
    "physical_plausibility": 0.123898797,
    "smoothness": 0.117065879,
    "comprehensive_image_quality": 0.152494443,
    "scene_generation_quality": 0.012823012,
    "stylization_ability": 0.031979473,
    "single_object_accuracy": 0.065332928,
    "multiple_object_accuracy": 0.067293456,
    "spatial_position_accuracy": 0.047358386,
    "camera_control": 0.199524895,
    "action_instruction_following": 0.066152243,
}
"""What `maximum_entropy(*table_2())` gives, to nine decimals."""

FOUND = "2026-11-20"
"""The day the shipped sets were written down."""

WEIGHTINGS: dict[str, Weighting] = {
    "table2": Weighting(
        name="table2",
        provenance="maximum-entropy weights that reproduce the totals of the Wan report's Table 2 (arXiv 2503.20314)",
        weights=TABLE_2_WEIGHTS,
        date=FOUND,
    ),
    "uniform": Weighting(
        name="uniform",
        provenance="every dimension alike",
        weights=dict.fromkeys(FOURTEEN, 1 / len(FOURTEEN)),
        date=FOUND,
    ),
}
HEADLINE = "table2"
KEYS = ("name", "provenance", "weights", "date", "versions")


def load(name: str | Path) -> Weighting:
    """A weight set by name, or from a file as `Weighting.to_json` writes it. Raises `UsageError`."""
    if str(name) in WEIGHTINGS:
        return WEIGHTINGS[str(name)]
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"unknown weights {str(name)!r}; known are {', '.join(WEIGHTINGS)}, and files that "
                         "`wanbench weights fit` writes")  # fmt: skip
    found = _checked(record.read_json(path), path)
    shipped = WEIGHTINGS.get(found.name)
    if shipped and any(abs(found.weights[d] - w) > LARGEST_SUM_ERROR for d, w in shipped.weights.items()):
        raise UsageError(f"{path} calls itself {found.name}, which is a shipped set with other weights: give it another name")
    return found


def _checked(value: JSONObject, path: Path) -> Weighting:
    name, weights, versions = value.get("name"), value.get("weights"), value.get("versions") or {}
    if not isinstance(name, str) or not name.strip() or not isinstance(weights, dict):
        raise UsageError(f"{path} is not a weight set: it needs what `wanbench weights show table2 --json` prints")
    if not isinstance(versions, dict) or not all(type(v) is int and d in FOURTEEN for d, v in versions.items()):
        raise UsageError(f"{path}: versions must give whole numbers to dimensions")
    if unknown := [d for d in weights if d not in FOURTEEN]:
        raise UsageError(f"{path} weighs {unknown[0]!r}, which is none of the fourteen dimensions")
    if missing := [d for d in FOURTEEN if d not in weights]:
        raise UsageError(f"{path} gives no weight to {', '.join(missing)}: write 0 for what is not to count")
    for dimension, weight in weights.items():
        if type(weight) not in (int, float) or not math.isfinite(weight) or weight < 0:
            raise UsageError(f"{path}: the weight of {dimension} must be a number from 0 to 1, not {weight!r}")
    whole = math.fsum(weights.values())
    if abs(whole - 1) > LARGEST_SUM_ERROR:
        raise UsageError(f"{path}: the weights add up to {whole:.6f}, not to 1")
    return Weighting(
        name=name,
        provenance=str(value.get("provenance") or "not said"),
        weights={d: float(weights[d]) for d in FOURTEEN},
        date=str(value["date"]) if value.get("date") else None,
        versions=versions,
        evidence={k: v for k, v in value.items() if k not in KEYS},
    )
