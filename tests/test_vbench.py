"""VBench's totals by hand and against the published table; its files read, and ours in its shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wanbench import exporting, vbench
from wanbench.errors import UsageError
from wanbench.published import TABLE_4

from .synthetic import row, write_run

ENDS = {**vbench.QUALITY, **vbench.SEMANTIC}


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def entry(mean: float, *results: Any) -> list[Any]:
    return [mean, [{"video_path": f"v{k}.mp4", "video_results": r} for k, r in enumerate(results)]]


@pytest.mark.parametrize("model", list(TABLE_4))
def test_published_totals_follow_from_the_columns(model: str) -> None:
    quality, semantic, published = TABLE_4[model]
    assert vbench.total(quality, semantic) == pytest.approx(published, abs=0.01)
    assert (4 * quality + semantic) / 5 == pytest.approx(published, abs=0.01)


def test_the_ends_of_every_scale_are_0_and_1() -> None:
    for value, end in ((0.0, "low"), (1.0, "high")):
        found = vbench.totals({d: getattr(scale, end) for d, scale in ENDS.items()})
        assert (found.quality, found.semantic, found.total) == (pytest.approx(value), pytest.approx(value), pytest.approx(value))


def test_totals_by_hand() -> None:
    """All at their lower end but four. Quality: dynamic degree 0.4 counts half, motion smoothness half way counts 1/2:
    (0.2 + 0.5) / 6.5. Semantic: scene at 0.8222 counts 1, colour 0.25: 1.25 / 9."""
    means = {d: scale.low for d, scale in ENDS.items()}
    means |= {"dynamic_degree": 0.4, "motion_smoothness": (0.706 + 0.9975) / 2, "scene": 0.8222, "color": 0.25}
    found = vbench.totals({**means, "x_own": 0.9})
    assert found.quality == pytest.approx(0.7 / 6.5)
    assert found.semantic == pytest.approx(1.25 / 9)
    assert found.total == pytest.approx((4 * 0.7 / 6.5 + 1.25 / 9) / 5)
    assert found.missing == []


def test_what_lies_beyond_the_scale_is_not_clipped() -> None:
    means = {d: scale.low for d, scale in ENDS.items()} | {"temporal_style": 0.728}
    assert vbench.totals(means).semantic == pytest.approx(2 / 9)


def test_a_missing_dimension_takes_its_totals_with_it() -> None:
    means = {d: scale.high for d, scale in ENDS.items() if d != "color"}
    found = vbench.totals(means)
    assert (found.quality, found.semantic, found.total) == (pytest.approx(1), None, None)
    assert found.missing == ["color"]
    assert found.to_json() == {"quality": 1.0, "semantic": None, "total": None, "missing": ["color"]}


def test_files_of_single_dimensions_are_put_together(tmp_path: Path) -> None:
    written(tmp_path / "one_eval_results.json", {"imaging quality": entry(0.61, 58.2, 63.8)})
    written(tmp_path / "two_eval_results.json", {"dynamic_degree": entry(0.5, True, False)})
    written(tmp_path / "two_full_info.json", [{"prompt_en": "not a result"}])
    found = vbench.read([tmp_path])
    assert {d: r.mean for d, r in found.items()} == {"imaging_quality": 0.61, "dynamic_degree": 0.5}
    assert [v["video_results"] for v in found["imaging_quality"].videos] == [58.2, 63.8]


def test_a_whole_evaluation_from_files(tmp_path: Path) -> None:
    for d, scale in ENDS.items():
        written(tmp_path / f"{d}{vbench.SUFFIX}", {d: entry((scale.low + scale.high) / 2)})
    found = vbench.totals({d: r.mean for d, r in vbench.read([tmp_path]).items()})
    assert found.total == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"color": 0.5}, r"color should be \[mean"),
        ({"color": [0.5]}, r"color should be \[mean"),
        ({"color": [0.5, ["v.mp4"]]}, r"color should be \[mean"),
        ({"color": [True, []]}, r"color should be \[mean"),
        ({"imaging_quality": [61.0, []]}, r"is 61.0, over 1 \(a percentage\?"),
        ([1], "is not a JSON object"),
        ({}, "hold no dimension"),
    ],
)
def test_what_is_no_result_file_is_named(tmp_path: Path, value: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        vbench.read([written(tmp_path / "r_eval_results.json", value)])


def test_files_that_are_not_there_or_contradict(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        vbench.read([tmp_path / "gone.json"])
    with pytest.raises(UsageError, match=r"holds no \*_eval_results.json"):
        vbench.read([tmp_path])
    for name in ("a", "b"):
        written(tmp_path / f"{name}_eval_results.json", {"color": entry(0.5)})
    with pytest.raises(UsageError, match="both hold color"):
        vbench.read([tmp_path])


def test_what_we_export_is_read_back(tmp_path: Path) -> None:
    """Means of 0.2 and 0.4, and of 0.9 alone; skipped and exploratory rows are not results."""
    rows = [
        row("m", "smoothness", "1", 0.2),
        row("m", "smoothness", "2", 0.4),
        row("m", "smoothness", "3", "skipped"),
        row("m", "camera_control", "4", 0.9),
        row("m", "camera_control", "5", 0.1, exploratory=True),
        row("m", "human_artifacts", "6", "skipped"),
    ]
    run = write_run(tmp_path / "r", rows)
    path = tmp_path / f"ours{vbench.SUFFIX}"
    path.write_bytes(exporting.export(run, "vbench"))
    found = vbench.read([path])
    assert {d: r.mean for d, r in found.items()} == {"smoothness": pytest.approx(0.3), "camera_control": 0.9}
    assert [v["video_path"] for v in found["smoothness"].videos] == ["/videos/m/1-0.mp4", "/videos/m/2-0.mp4"]
    assert vbench.totals({d: r.mean for d, r in found.items()}).missing == list(ENDS)
