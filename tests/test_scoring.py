"""From measurements to a summary, by hand: seeds, prompts, dimensions, pillars, totals, and what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from wanbench import scoring
from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN
from wanbench.types import Measurement
from wanbench.weights import weighting


def row(dimension: str, prompt: str | None, score: float | None, **fields: Any) -> Measurement:
    status = fields.pop("status", "ok" if score is not None else "skipped")
    defaults: dict[str, Any] = {
        "candidate": "a",
        "video": f"/{prompt}-{fields.get('seed')}.mp4",
        "sha256": "0" * 64,
        "prompt_id": prompt,
        "seed": None,
        "dimension": dimension,
        "status": status,
        "score": score,
        "reason": None if status == "ok" else "because",
        "exploratory": False,
        "method": "m",
        "fingerprint": "f",
        "seconds": 0.1,
        "raw": {},
    }
    return Measurement(**{**defaults, **fields})


def summarise(rows: list[Measurement], subsets: dict[str, str] | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = scoring.summarise(rows, subsets or {}, weighting.load("table2"), 0)["candidates"]["a"]
    return entry


def full_run(score: float = 0.5, prompts: int = 5) -> list[Measurement]:
    return [row(d, f"{d}-{n:03}", score + 0.01 * n) for d in FOURTEEN for n in range(prompts)]


def test_seeds_are_averaged_before_prompts() -> None:
    """Prompt 1 with seeds 0.2 and 0.4, prompt 2 with 0.9: (0.3 + 0.9) / 2 = 0.6, not (0.2 + 0.4 + 0.9) / 3 = 0.5."""
    d = "camera_control"
    entry = summarise([row(d, "1", 0.2, seed=0), row(d, "1", 0.4, seed=1), row(d, "2", 0.9, seed=0)])
    assert entry["dimensions"][d]["score"] == 0.6
    assert (entry["dimensions"][d]["n"], entry["dimensions"][d]["prompts"], entry["dimensions"][d]["expected"]) == (3, 2, 3)


def test_a_complete_run_has_a_total_by_the_published_weights() -> None:
    """Every dimension has the mean 0.52, so every total is 0.52 whatever the weights."""
    entry = summarise(full_run())
    assert entry["weighted"]["complete"] is True
    assert entry["weighted"]["weights"] == "table2"
    for total in (entry["weighted"], entry["uniform"], *entry["pillars"].values()):
        assert total["score"] == pytest.approx(0.52, abs=1e-6)
        assert total["low"] < 0.52 < total["high"]
    assert "partial" not in entry


def test_a_missing_dimension_takes_the_total_with_it() -> None:
    rows = [r for r in full_run() if r.dimension != "smoothness"]
    entry = summarise(rows)
    assert entry["weighted"] == {"score": None, "low": None, "high": None, "weights": "table2", "complete": False}
    assert entry["pillars"]["dynamic"]["score"] is None
    assert entry["pillars"]["image"]["score"] == pytest.approx(0.52)
    assert entry["partial"]["dimensions"] == [d for d in FOURTEEN if d != "smoothness"]
    assert entry["partial"]["score"] == pytest.approx(0.52)


def test_partial_weights_are_renormalised() -> None:
    """0.2 with weight a and 0.8 with weight b: (0.2 a + 0.8 b) / (a + b)."""
    entry = summarise([row("smoothness", "1", 0.2), row("camera_control", "2", 0.8)])
    a, b = (weighting.TABLE_2_WEIGHTS[d] for d in ("smoothness", "camera_control"))
    assert entry["partial"]["score"] == pytest.approx((0.2 * a + 0.8 * b) / (a + b), abs=1e-6)


@pytest.mark.parametrize(("measured", "counts"), [(8, True), (7, False)])
def test_a_dimension_counts_with_eight_tenths_of_its_prompts(measured: int, counts: bool) -> None:
    rows = [row("smoothness", str(n), 0.5 if n < measured else None) for n in range(10)]
    entry = summarise(rows)
    assert ("partial" in entry) is counts
    assert entry["dimensions"]["smoothness"]["score"] == 0.5
    assert entry["dimensions"]["smoothness"]["skipped"] == 10 - measured


def test_exploratory_rows_and_errors_never_enter_a_score() -> None:
    d = "smoothness"
    rows = [row(d, "1", 0.5), row(d, "2", 0.9, exploratory=True), row(d, "3", None, status="error")]
    entry = summarise(rows)["dimensions"][d]
    assert (entry["score"], entry["n"], entry["errors"], entry["expected"]) == (0.5, 1, 1, 2)


def test_subsets_have_scores_of_their_own() -> None:
    d = "id_consistency"
    rows = [row(d, "h1", 0.9), row(d, "h2", 0.7), row(d, "a1", 0.5)]
    subsets = summarise(rows, {"h1": "human", "h2": "human", "a1": "animal"})["dimensions"][d]["subsets"]
    assert {name: (s["score"], s["n"]) for name, s in subsets.items()} == {"animal": (0.5, 1), "human": (0.8, 2)}


def test_without_prompts_every_video_is_its_own_prompt() -> None:
    d = "smoothness"
    rows = [row(d, None, 0.2, video="/x.mp4"), row(d, None, 0.6, video="/y.mp4")]
    assert summarise(rows)["dimensions"][d]["score"] == 0.4


@pytest.mark.parametrize("field", ["fingerprint", "method"])
def test_different_circumstances_are_never_averaged(field: str) -> None:
    rows = [row("smoothness", "1", 0.2), row("smoothness", "2", 0.3, **{field: "other"})]
    with pytest.raises(UsageError, match="cannot be averaged"):
        summarise(rows)


def test_order_of_rows_does_not_matter() -> None:
    rows = full_run()
    assert summarise(rows) == summarise(rows[::-1])


def test_a_dimension_counts_by_the_suites_prompts() -> None:
    """Four videos of five prompts are 80 %; of six they are not, whichever two a candidate left out."""
    rows = full_run(prompts=4)
    for asked, complete in ((5, True), (6, False)):
        told = scoring.summarise(rows, {}, weighting.load("table2"), 0, dict.fromkeys(FOURTEEN, asked))["candidates"]["a"]
        assert told["weighted"]["complete"] is complete
        assert ("partial" in told) is False
        assert told["dimensions"]["smoothness"]["score"] == pytest.approx(0.515)


def test_uniform_weights_stand_beside_a_partial_score() -> None:
    """0.2 and 0.8 weigh the same in one, and by their shares in the other."""
    partial = summarise([row("smoothness", "1", 0.2), row("camera_control", "2", 0.8)])["partial"]
    assert partial["uniform"]["score"] == 0.5
    weights = weighting.load("table2").weights
    motion, camera = weights["smoothness"], weights["camera_control"]
    assert partial["score"] == pytest.approx((0.2 * motion + 0.8 * camera) / (motion + camera), abs=1e-6)
