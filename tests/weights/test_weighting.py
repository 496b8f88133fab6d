"""The weights that reproduce the published totals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN
from wanbench.published import TABLE_2, TABLE_2_MODELS, TABLE_2_WEIGHTED
from wanbench.weights import weighting


def test_stored_weights_are_what_the_code_finds() -> None:
    found = weighting.maximum_entropy(*weighting.table_2())
    assert list(weighting.TABLE_2_WEIGHTS.values()) == pytest.approx(list(found), abs=2e-7)
    assert list(weighting.TABLE_2_WEIGHTS) == list(FOURTEEN)


@pytest.mark.parametrize(("model", "total"), list(enumerate(TABLE_2_WEIGHTED)), ids=TABLE_2_MODELS)
def test_published_totals_as_strings_of_three_decimals(model: int, total: float) -> None:
    score = sum(weight * TABLE_2[dimension][model] for dimension, weight in weighting.TABLE_2_WEIGHTS.items())
    assert f"{score:.3f}" == f"{total:.3f}"


def test_no_other_admissible_weighting_has_more_entropy() -> None:
    """Moving along any direction that keeps every total and the sum lowers the entropy."""
    scores, _ = weighting.table_2()
    constraints = np.vstack([scores, np.ones(len(FOURTEEN))])
    directions = np.linalg.svd(constraints)[2][len(constraints) :]
    weights = np.array(list(weighting.TABLE_2_WEIGHTS.values()))

    def entropy(w: np.ndarray) -> float:
        return float(-(w * np.log(w)).sum())

    for direction in directions:
        for step in (1e-3, -1e-3):
            assert entropy(weights + step * direction) < entropy(weights)


@pytest.mark.parametrize("name", list(weighting.WEIGHTINGS))
def test_weights_are_a_weighting(name: str) -> None:
    weights = weighting.load(name).weights
    assert sum(weights.values()) == pytest.approx(1, abs=1e-8)
    assert min(weights.values()) > 0
    assert list(weights) == list(FOURTEEN)


def test_unknown_weights_name_the_known_ones() -> None:
    with pytest.raises(UsageError, match="table2, uniform"):
        weighting.load("mine")


def written(path: Path, **changes: Any) -> Path:
    """`uniform` under the name `mine`, changed."""
    value = {**weighting.load("uniform").to_json(), "name": "mine", **changes}
    path.write_text(json.dumps({k: v for k, v in value.items() if v is not None}))
    return path


def changed(**weights: Any) -> dict[str, Any]:
    return {**weighting.load("uniform").weights, **weights}


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = weighting.load(written(tmp_path / "w.json", versions={"smoothness": 2}, date="2026-01-02", correlations={"x": 1}))
    assert (found.name, found.date, found.versions, found.evidence) == (
        "mine", "2026-01-02", {"smoothness": 2}, {"correlations": {"x": 1}}
    )  # fmt: skip
    again = tmp_path / "again.json"
    again.write_text(json.dumps(found.to_json()))
    assert weighting.load(again) == found


def test_a_file_in_another_order_is_put_in_order(tmp_path: Path) -> None:
    path = written(tmp_path / "w.json", weights=dict(reversed(changed().items())))
    assert list(weighting.load(path).weights) == list(FOURTEEN)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": None}, "is not a weight set"),
        ({"weights": [1]}, "is not a weight set"),
        ({"weights": changed(smoothnes=0.0)}, "'smoothnes', which is none of the fourteen"),
        ({"weights": dict.fromkeys(list(FOURTEEN)[1:], 1 / 13)}, "no weight to large_motion_generation: write 0"),
        ({"weights": changed(smoothness=-0.1)}, "weight of smoothness must be a number from 0 to 1, not -0.1"),
        ({"weights": changed(smoothness="much")}, "not 'much'"),
        ({"weights": changed(smoothness=True)}, "not True"),
        ({"weights": changed(smoothness=1 / 14 + 0.02)}, "add up to 1.020000, not to 1"),
        ({"versions": {"smoothness": "2"}}, "versions must give whole numbers"),
        ({"name": "table2"}, "calls itself table2"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    path = written(tmp_path / "w.json", **changes)
    with pytest.raises(UsageError, match=complaint) as raised:
        weighting.load(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_dimensions_of_another_version_are_named(tmp_path: Path) -> None:
    zero = {**changed(smoothness=0.0), "camera_control": 2 / 14}
    found = weighting.load(written(tmp_path / "w.json", weights=zero, versions={"camera_control": 2, "smoothness": 1}))
    assert found.mismatched({"camera_control": 2, "smoothness": 5}) == []  # without weight its version does not matter
    assert found.mismatched({"camera_control": 3}) == ["camera_control"]
    assert weighting.load("table2").mismatched({"camera_control": 3}) == []
