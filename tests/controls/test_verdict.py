"""Expectations and verdicts: rules by hand, intervals against SciPy, and what every dimension declares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy import stats

from wanbench.controls.record import failures, noise_floors
from wanbench.controls.verdict import effect, judge_dimension, noise_floor
from wanbench.dimension import Dimension, load_all
from wanbench.errors import UsageError
from wanbench.expectations import CONTROL_NAMES, SAME, Expectation, Keeps, Lowers, NotAbove, Skips

CLIPS = ("a", "b", "c", "d", "e")


def rows(original: list[float | None], **controls: list[float | None]):
    """Rows of dimension `d` for the clips a, b, ...; None is a skipped row."""
    return {
        (clip, control, "d"): {
            "status": "ok" if score is not None else "skipped",
            "score": score,
            "reason": None if score is not None else "why",
            "raw": {"asked": clip},
        }
        for control, scores in {"original": original, **controls}.items()
        for clip, score in zip(CLIPS, scores, strict=False)
    }


def verdict(expectation: Expectation, original: list[float | None], scores: list[float | None]) -> dict:
    made = rows(original, **{expectation.control: scores})
    return judge_dimension("d", [expectation], CLIPS, made)["results"][0]


HALF = [0.5, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("expectation", "scores", "wanted"),
    [
        (Lowers("noise", by=0.1), [0.4, 0.4, 0.4, 0.5, 0.5], "pass"),  # to the very tolerance
        (Lowers("noise", by=0.1), [0.4, 0.4, 0.41, 0.5, 0.5], "fail"),
        (Lowers("noise", to_share=0.5), [0.25, 0.25, 0.25, 0.5, 0.5], "pass"),
        (Lowers("noise", to_share=0.5), [0.25, 0.25, 0.26, 0.5, 0.5], "fail"),
        (Keeps("noise", within=0.1), [0.6, 0.4, 0.5, 0.8, 0.2], "pass"),
        (Keeps("noise", within=0.1), [0.61, 0.39, 0.5, 0.8, 0.2], "fail"),
        (Keeps("noise", within=0.1), [0.6, 0.6, 0.6, 0.9, 0.9], "pass"),
        (Keeps("noise", within=0.0), [0.5, 0.5, 0.5, 0.5, 0.500001], "pass"),  # the sixth decimal may be rounded otherwise
        (Keeps("noise", within=0.0), [0.5, 0.5, 0.5, 0.5, 0.500002], "fail"),  # of exactness every clip is asked
        (NotAbove("noise", within=0.1), [0.0, 0.0, 0.6, 0.9, 0.9], "pass"),
        (NotAbove("noise", within=0.1), [0.0, 0.0, 0.61, 0.9, 0.9], "fail"),
        (Skips("noise"), [None] * 5, "pass"),
        (Skips("noise"), [None, None, None, None, 0.5], "fail"),
        (Keeps("noise", within=0.1), [None, None, None, 0.5, 0.5], "fail"),  # scores that are lost are not kept
        (Lowers("noise", by=0.1), [None, None, None, 0.1, 0.1], "fail"),
        (Keeps("noise", within=0.1), [], "not measured"),
    ],
)
def test_the_median_clip_decides(expectation, scores, wanted):
    assert verdict(expectation, HALF, scores)["verdict"] == wanted


def test_a_mean_that_contradicts_fails():
    """Nineteen of forty clips rise by 0.3, the others by the tolerated 0.1: the median clip obeys, the mean is 0.195 ± 0.032."""
    clips = [f"clip {n}" for n in range(40)]
    made = {}
    for n, clip in enumerate(clips):
        made[clip, "original", "d"] = {"status": "ok", "score": 0.5, "reason": None, "raw": None}
        made[clip, "noise", "d"] = {"status": "ok", "score": 0.6 if n < 21 else 0.8, "reason": None, "raw": None}
    expectations = [NotAbove("noise", within=0.1), NotAbove("noise", within=0.17)]
    strict, generous = judge_dimension("d", expectations, clips, made)["results"]
    assert (strict["obeying"], strict["verdict"]) == (21, "fail")
    assert strict["effect"]["mean"] == pytest.approx(0.195)
    assert strict["effect"]["low"] == pytest.approx(0.195 - 0.0323, abs=1e-4)
    assert generous["verdict"] == "pass"
    assert Keeps("noise", within=0.1).contradicted(0.11, 0.2)
    assert Keeps("noise", within=0.1).contradicted(-0.2, -0.11)
    assert not Keeps("noise", within=0.1).contradicted(0.09, 0.2)
    assert Lowers("noise", by=0.1).contradicted(-0.09, 0.0)
    assert not Lowers("noise", by=0.1).contradicted(-0.11, 0.0)
    assert not NotAbove("noise", within=0.1).contradicted(-0.5, 0.2)
    assert NotAbove("noise", within=0.1).contradicted(0.11, 0.2)


def test_which_clips_count():
    scores = [0.0, 0.5, 0.5, 0.5, 0.5]
    assert verdict(Lowers("noise", by=0.1, where_at_least=0.6), [0.7, *HALF[1:]], scores)["clips"] == 1
    assert verdict(Lowers("noise", by=0.1, unless=("asked", "a")), HALF, scores)["clips"] == 4
    result = verdict(Lowers("noise", by=0.1), [None, 0.5, 0.5, 0.5, 0.5], scores)  # it had no score before
    assert (result["clips"], result["obeying"], result["disobeying"]) == (4, 0, ["b", "c", "d", "e"])


def test_errors_are_counted_apart():
    made = rows(HALF, noise=HALF)
    made["a", "noise", "d"] = {"status": "error", "score": None, "reason": "broke", "raw": None}
    result = judge_dimension("d", [Keeps("noise")], CLIPS, made)["results"][0]
    assert (result["verdict"], result["clips"], result["errors"]) == ("pass", 4, 1)


def test_the_effect_agrees_with_scipy():
    differences = [0.1, -0.2, 0.05, 0.3, 0.0, -0.07]
    made = effect(differences)
    low, high = stats.t.interval(0.95, 5, loc=sum(differences) / 6, scale=stats.sem(differences))
    assert (made.low, made.high) == (pytest.approx(low), pytest.approx(high))
    assert (made.clips, made.mean, made.median, made.largest) == (6, pytest.approx(0.03), pytest.approx(0.025), 0.3)
    assert effect([0.1]).low is None
    assert effect([]).median is None


def test_the_noise_floor_by_hand():
    """Means 0.5 ± nothing again; +0.01 and +0.03 at CRF 18: mean 0.02, half width t(1) * 0.01 = 12.706 * 0.01."""
    made = rows([0.5, 0.5], again=[0.5, 0.5], reencode_crf18=[0.51, 0.53], reencode_crf28=[0.5, 0.5])
    floor = noise_floor("d", CLIPS, made)
    assert floor["clips"] == 2
    assert floor["mean"] == pytest.approx(0.02 + 12.7062 * 0.01, abs=1e-5)
    assert floor["clip"] == 0.03  # of 0, 0, 0.01, 0.03
    assert floor["controls"]["again"]["largest"] == 0
    assert noise_floor("d", CLIPS, rows([0.5], again=[0.5]))["mean"] is None


def test_what_reports_and_gates_read(tmp_path: Path):
    made = rows(HALF, noise=HALF, blur=HALF, again=HALF, reencode_crf18=HALF, reencode_crf28=[0.6] * 5)
    expectations = [Lowers("noise", "it is noise", by=0.1), Keeps("blur", within=0.1)]
    entry = {"fingerprint": "f", **judge_dimension("d", expectations, CLIPS, made)}
    content = {"kind": "controls", "schema_version": 1, "dimensions": {"d": entry}, "clips": {}, "end": "2026-11-02T08:00:00"}
    (tmp_path / "controls.json").write_text(json.dumps(content))
    (failed,) = failures(tmp_path, {"d": "f", "other": "g"})["d"]
    assert (failed.control, failed.expected, failed.reason) == ("noise", "falls by 0.1", "it is noise")
    assert (failed.clips, failed.obeying, failed.median) == (5, 0, 0.0)
    assert failures(tmp_path / "controls.json", {"d": "changed"}) == {}  # it was not this method that was checked
    assert noise_floors(tmp_path, {"d": "f"}) == {"d": 0.1}
    (tmp_path / "controls.json").write_text("{}")
    with pytest.raises(UsageError, match="no result of `wanbench controls`"):
        failures(tmp_path, {})


def test_an_expectation_is_one_thing():
    with pytest.raises(ValueError, match="either by or to_share"):
        Lowers("noise")
    with pytest.raises(ValueError, match="either by or to_share"):
        Lowers("noise", by=0.1, to_share=0.5)


DECLARED = {name: dimension for name, dimension in load_all().items() if dimension.controls}


@pytest.mark.parametrize("dimension", DECLARED.values(), ids=list(DECLARED))
def test_what_a_dimension_declares(dimension: Dimension):
    controls = [e.control for e in dimension.controls]
    assert len(controls) == len(set(controls))
    assert set(SAME) | {"other_prompt", "empty_prompt"} <= set(controls) <= set(CONTROL_NAMES)
    assert all(e.reason for e in dimension.controls if e.control != "again")
    assert any(isinstance(e, Lowers | NotAbove) for e in dimension.controls)
    for expectation in dimension.controls:
        if expectation.unless is not None:
            assert expectation.unless[0] in dimension.raw


def test_dimensions_without_a_judge_declare_their_controls():
    unjudged = [d for d in load_all().values() if any(m.judge != "needed" for m in d.methods)]
    assert len(unjudged) >= 7
    assert all(d.controls for d in unjudged)
