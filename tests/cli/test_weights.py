"""`wanbench weights`: shipped sets, files, what the published table leaves open, and fitting."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from wanbench.fourteen import FOURTEEN
from wanbench.published import TABLE_2, TABLE_2_MODELS, TABLE_2_WEIGHTED

from ..synthetic import SUITE, Outcomes, rows, write_run
from .command import Wanbench


def whole(*scores: float) -> dict[str, dict[str, dict[str, float]]]:
    """Candidates m0, m1, ...: the given score in every dimension, four prompts each."""
    return {f"m{i}": {d: {f"{d}-{n:03}": s for n in range(4)} for d in FOURTEEN} for i, s in enumerate(scores)}


def published(path: Path) -> Path:
    """A run in which every model of Table 2 has its published scores."""
    scores = {m: {d: {f"{d}-001": TABLE_2[d][i]} for d in FOURTEEN} for i, m in enumerate(TABLE_2_MODELS)}
    return write_scores(path, scores)


def write_scores(path: Path, scores: Mapping[str, Mapping[str, Outcomes]], **fields: Any) -> Path:
    """A run of these candidates."""
    suite = fields.pop("suite", SUITE)
    return write_run(path, [m for name, found in scores.items() for m in rows(name, found, **fields)], suite)


def test_list_names_the_shipped_sets(wanbench: Wanbench) -> None:
    out = wanbench("weights", "list").out
    assert [line.split()[0] for line in out.splitlines()] == ["table2", "uniform"]
    assert "(headline)" in out.splitlines()[0]
    assert [w["name"] for w in wanbench("weights", "list", "--json").json] == ["table2", "uniform"]


@pytest.mark.parametrize("name", ["table2", "uniform"])
def test_show_gives_fourteen_weights_that_make_one(wanbench: Wanbench, name: str) -> None:
    told = wanbench("weights", "show", name, "--json").json
    assert list(told)[:2] == ["name", "weights"]
    assert told["name"] == name
    assert list(told["weights"]) == list(FOURTEEN)
    assert sum(told["weights"].values()) == pytest.approx(1)
    assert len(wanbench("weights", "show", name).out.splitlines()) == 2 + len(FOURTEEN)


def test_shown_table2_gives_the_published_totals(wanbench: Wanbench) -> None:
    weights = wanbench("weights", "show", "table2", "--json").json["weights"]
    for model, total in enumerate(TABLE_2_WEIGHTED):
        assert f"{sum(w * TABLE_2[d][model] for d, w in weights.items()):.3f}" == f"{total:.3f}"


def test_what_show_prints_is_a_weight_file(wanbench: Wanbench) -> None:
    value = wanbench("weights", "show", "uniform", "--json").json
    (wanbench.cwd / "mine.json").write_text(json.dumps({**value, "name": "mine"}))
    told = wanbench("weights", "show", "mine.json", "--json").json
    assert told == {**value, "name": "mine"}


def test_wrong_weights_are_one_line(wanbench: Wanbench) -> None:
    ended = wanbench("weights", "show", "mine")
    assert (ended.code, "unknown weights 'mine'; known are table2, uniform" in ended.complaint) == (2, True)
    (wanbench.cwd / "broken.json").write_text("{")
    ended = wanbench("weights", "show", "broken.json")
    assert (ended.code, "broken.json is not valid JSON" in ended.complaint) == (2, True)


def test_range_without_runs(wanbench: Wanbench) -> None:
    told = wanbench("weights", "range", "--json").json
    camera = told["weights"]["camera_control"]
    assert (round(camera["low"], 3), round(camera["high"], 3)) == (0.077, 0.355)
    assert "candidates" not in told
    ended = wanbench("weights", "range")
    assert ended.code == 0
    assert "uniform is none of them" in ended.out
    assert "20 of 21 orders of two hold" in ended.out


def test_range_of_a_run_with_the_published_scores_is_that_of_the_table(wanbench: Wanbench) -> None:
    published(wanbench.cwd / "r")
    told = wanbench("weights", "range", "r", "--json").json
    assert told["candidates"]["rankings_complete"]
    assert {tuple(r) for r in told["candidates"]["rankings"]} == {tuple(r) for r in told["published"]["rankings"]}
    for name, total in zip(TABLE_2_MODELS, TABLE_2_WEIGHTED, strict=True):
        entry = told["candidates"]["scores"][name]
        assert total - 0.001001 <= entry["low"] <= entry["table2"] <= entry["high"] <= total + 0.001001


def test_range_of_several_runs(wanbench: Wanbench) -> None:
    """0.5 and 0.6 everywhere are 0.5 and 0.6 whatever the weights; the same name twice is told apart by its run."""
    write_scores(wanbench.cwd / "one", whole(0.5))
    write_scores(wanbench.cwd / "two", whole(0.6))
    told = wanbench("weights", "range", "one", "two", "--json").json["candidates"]
    assert {n: (e["low"], e["high"]) for n, e in told["scores"].items()} == {"m0 (one)": (0.5, 0.5), "m0 (two)": (0.6, 0.6)}
    assert told["rankings"] == [["m0 (two)", "m0 (one)"]]
    assert told["scores"]["m0 (two)"]["first_share"] == 1
    assert "rankings possible: 1" in wanbench("weights", "range", "one", "two").out


def test_range_leaves_out_what_is_not_complete(wanbench: Wanbench) -> None:
    scores = whole(0.5, 0.6, 0.7)
    del scores["m2"]["smoothness"]
    write_scores(wanbench.cwd / "r", scores)
    ended = wanbench("weights", "range", "r")
    assert "left out: m2, where smoothness does not count" in ended.out
    told = wanbench("weights", "range", "r", "--json").json
    assert (list(told["candidates"]["scores"]), told["incomplete"]) == (["m0", "m1"], {"m2": ["smoothness"]})
    lite = {"m": {"camera_control": {"1": 0.5}}}
    write_scores(wanbench.cwd / "lite", lite)
    ended = wanbench("weights", "range", "lite")
    assert (ended.code, "m has no weighted score" in ended.complaint) == (2, True)


def test_range_refuses_what_was_measured_differently(wanbench: Wanbench) -> None:
    write_scores(wanbench.cwd / "a", whole(0.5))
    write_scores(wanbench.cwd / "b", whole(0.6), fingerprint="g")
    write_scores(wanbench.cwd / "c", whole(0.6), suite=None)
    for other, reason in (("b", "m0 (a) and m0 (b) cannot be compared: measured in different ways"), ("c", "m0 (c) on none")):
        ended = wanbench("weights", "range", "a", other)
        assert (ended.code, reason in ended.complaint) == (2, True), ended.err
        assert wanbench("weights", "range", "a", other, "--allow-mismatch").code == 0
    ended = wanbench("weights", "range", "gone")
    assert (ended.code, "is gone a wanbench run?" in ended.complaint) == (2, True)


PROMPTS = [f"p{k:02}" for k in range(16)]
HEAD = "candidate_a,candidate_b,prompt_id,preference,annotator"


def voted(folder: Path, models: str = "xyz") -> list[str]:
    """A run `r` of random scores in every dimension, and the lines of votes that follow smoothness, sometimes."""
    generator = random.Random(1)
    scores = {m: {d: {p: round(generator.random(), 6) for p in PROMPTS} for d in FOURTEEN} for m in models}
    write_scores(folder / "r", scores)
    lines = []
    for (a, b), p, n in itertools.product(itertools.combinations(models, 2), PROMPTS, "nm"):
        by = scores[a]["smoothness"][p] - scores[b]["smoothness"][p] + generator.gauss(0, 0.3)
        lines.append(f"{a},{b},{p},{'tie' if abs(by) < 0.1 else 'a' if by > 0 else 'b'},{n}")
    return lines


def write_votes(folder: Path, lines: list[str], head: str = HEAD) -> None:
    (folder / "human.csv").write_text("\n".join([head, *lines]) + "\n")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Wanbench:
    """A command in whose folder `r` is a run and `human.csv` holds votes on it."""
    folder = tmp_path_factory.mktemp("fitted")
    write_votes(folder, voted(folder))
    return Wanbench(folder, folder / "home")


def test_fit_finds_what_the_votes_follow_and_writes_a_weight_file(fitted: Wanbench) -> None:
    ended = fitted("weights", "fit", "human.csv", "r", "--out", "w.json", "--name", "mine")
    assert ended.code == 0, ended.err
    for words in ("Krippendorff's alpha", "x over y", "Bradley-Terry with ties", "Without one model", "fitted without it"):
        assert words in ended.out
    told = fitted("weights", "show", "w.json", "--json").json
    assert max(told["weights"], key=told["weights"].get) == "smoothness"
    assert (told["name"], sum(told["weights"].values())) == ("mine", pytest.approx(1))
    assert set(told["leave_one_out"]) == set("xyz")
    assert told["data"]["votes"] == 96
    assert "Correlation" in fitted("weights", "show", "w.json").out


def test_fit_as_json_is_the_file_and_what_the_votes_say(fitted: Wanbench) -> None:
    ended = fitted("weights", "fit", "human.csv", "r", "--json", "--out", "w2.json", "--seed", "3")
    told = ended.json
    said = told.pop("preferences")
    assert told == json.loads((fitted.cwd / "w2.json").read_text())
    assert (told["name"], told["data"]["seed"]) == ("human", 3)
    (gap,) = [g for g in said["overall"]["gaps"] if (g["a"], g["b"]) == ("x", "y")]
    assert gap["gap"] == pytest.approx((gap["wins"] - gap["losses"]) / 32, abs=1e-6)
    assert set(said["overall"]["bradley_terry"]["log_strengths"]) == set("xyz")
    again = fitted("weights", "fit", "human.csv", "r", "--json", "--seed", "3").json
    assert {**again, "date": told["date"]} == {**told, "preferences": said}


def test_fit_without_runs_tells_of_the_votes_alone(fitted: Wanbench) -> None:
    ended = fitted("weights", "fit", "human.csv")
    assert ended.code == 0
    assert "no weights: they are fitted to the scores of runs" in ended.out
    assert fitted("weights", "fit", "human.csv", "--json").json["weights"] is None
    ended = fitted("weights", "fit", "human.csv", "--out", "none.json")
    assert (ended.code, "give the runs that hold them" in ended.complaint) == (2, True)
    assert not (fitted.cwd / "none.json").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("gone.csv", "r"), "gone.csv cannot be read"),
        (("human.csv", "gone"), "is gone a wanbench run?"),
        (("human.csv", "r", "--name", "table2"), "table2 is the name of a shipped weight set"),
        (("human.csv", "r", "--aspect", "look", "--dimensions", "smoothness"), "--aspect takes overall"),
        (("human.csv", "r", "--dimensions", "speed"), "'speed' is none of the fourteen"),
    ],
)
def test_fit_refuses(fitted: Wanbench, arguments: tuple[str, ...], complaint: str) -> None:
    ended = fitted("weights", "fit", *arguments)
    assert (ended.code, complaint in ended.complaint) == (2, True), ended.err


def test_fit_names_the_bad_line(wanbench: Wanbench) -> None:
    lines = voted(wanbench.cwd)
    for bad, complaint in (
        ("x,y,p00,better,k", "human.csv line 98: preference must be a, b or tie, not 'better'"),
        ("x,y,p99,a,k", "line 98 of the votes is about the prompt 'p99'"),
        ("x,w,p00,a,k", "'w', and no run has it; known are x, y, z"),
    ):
        write_votes(wanbench.cwd, [*lines, bad])
        ended = wanbench("weights", "fit", "human.csv", "r")
        assert (ended.code, complaint in ended.complaint) == (2, True), ended.err


def test_fit_by_aspect(wanbench: Wanbench) -> None:
    lines = voted(wanbench.cwd)
    turned: Any = {"a": "b", "b": "a", "tie": "tie"}
    other = [",".join([*cells[:3], turned[cells[3]], cells[4]]) for cells in (line.split(",") for line in lines)]
    write_votes(wanbench.cwd, [f"{v},motion" for v in lines] + [f"{v},look" for v in other], f"{HEAD},aspect")
    ended = wanbench("weights", "fit", "human.csv", "r")
    assert (ended.code, "--aspect takes motion, look" in ended.complaint) == (2, True)
    told = wanbench("weights", "fit", "human.csv", "r", "--aspect", "motion", "--json").json
    gaps = [[g["gap"] for g in told["preferences"][about]["gaps"]] for about in ("motion", "look")]
    assert gaps[0] == [-g for g in gaps[1]]
    assert told["data"]["aspect"] == "motion"
    assert max(told["weights"], key=told["weights"].get) == "smoothness"
    looked = wanbench("weights", "fit", "human.csv", "r", "--aspect", "look", "--json").json
    assert looked["correlations"]["smoothness"]["r"] == -told["correlations"]["smoothness"]["r"]
    assert looked["weights"]["smoothness"] == 0


def test_a_fitted_file_cannot_be_written(fitted: Wanbench) -> None:
    ended = fitted("weights", "fit", "human.csv", "r", "--out", "gone/w.json")
    assert (ended.code, "cannot write gone/w.json" in ended.complaint) == (74, True)
