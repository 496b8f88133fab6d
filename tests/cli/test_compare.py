"""`wanbench compare`: two sides in every spelling, the table, JSON, and what is refused."""

from __future__ import annotations

import pytest

from ..synthetic import SUITE, rows, simulated, write_run
from .command import Wanbench

D = "camera_control"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Wanbench:
    """A command in whose folder are runs: `a`, `b` (0.03 lower), `ab` of both, `abc` of three, `other` with another suite."""
    folder = tmp_path_factory.mktemp("made")
    measured = {name: rows(name, simulated(-0.03 * k, seed=k, prompts=12)) for k, name in enumerate("abc")}
    write_run(folder / "a", measured["a"])
    write_run(folder / "b", measured["b"])
    write_run(folder / "ab", measured["a"] + measured["b"])
    write_run(folder / "abc", sum(measured.values(), []))  # noqa: RUF017 -- three lists
    write_run(folder / "other", measured["b"], suite=SUITE | {"name": "mini", "hash": "1" * 64})
    write_run(folder / "cut", measured["b"], status="interrupted")
    write_run(folder / "old", measured["b"], schema_version=0)
    return Wanbench(folder, folder / "home")


def test_a_table(made: Wanbench) -> None:
    ended = made("compare", "a", "b")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[:2] == ["a  a (a)", "b  b (b)"]
    assert lines[2].split() == [
        "a",
        "b",
        "a",
        "−",
        "b",
        "95",
        "%",
        "interval",
        "p",
        "p",
        "Holm",
        "a",
        "wins",
        "shows",
        "from",
        "n",
    ]
    assert lines[3].startswith("Weighted score, table2")
    assert sum(line.split()[-1:] == ["12"] for line in lines) == 14
    assert "a higher than b" in lines
    assert max(map(len, made("compare", "a", "b", env={"COLUMNS": "72"}).out.splitlines())) <= 72


def test_every_spelling_of_two_sides_is_the_same(made: Wanbench) -> None:
    assert made("baseline", "save", "b", "b.json").code == 0
    wanted = made("compare", "a", "b", "--json").json
    for sides in (("ab",), ("ab:a", "ab:b"), ("abc:a", "b"), ("a", "b.json"), ("a:a", "b.json:b")):
        found = made("compare", *sides, "--json").json
        for key in ("dimensions", "totals", "wins", "gained", "lost"):
            assert found[key] == wanted[key], sides
    turned = made("compare", "b", "a", "--json").json
    assert turned["totals"]["weighted"]["difference"] == -wanted["totals"]["weighted"]["difference"]


def test_it_says_what_the_summary_says(made: Wanbench) -> None:
    import json

    summary = json.loads((made.cwd / "ab" / "summary.json").read_bytes())
    found = made("compare", "ab", "--json").json
    for line in summary["comparisons"]:
        told = found["dimensions"][line["dimension"]]
        assert {k: told[k] for k in ("difference", "low", "high", "p", "p_holm", "n", "minimum_detectable")} == {
            k: v for k, v in line.items() if k not in ("a", "b", "dimension")
        }


def test_dimensions_weights_and_seed(made: Wanbench) -> None:
    found = made("compare", "a", "b", "--dimensions", f"{D}, smoothness", "--weights", "uniform", "--json").json
    assert list(found["dimensions"]) == ["smoothness", D]
    assert list(found["totals"]) == ["weighted", "dynamic", "image", "instruction"]
    assert found["totals"]["weighted"]["complete"] is False
    assert found["totals"]["dynamic"]["difference"] is None
    seeds = [made("compare", "a", "b", "--seed", seed, "--json").out for seed in ("0", "0", "1")]
    assert seeds[0] == seeds[1] != seeds[2]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("a", "other"), "different suites: full 1.0 (0f0f0f0f) and mini 1.0 (11111111); --allow-mismatch overrides this"),
        (("a", "gone"), "gone is neither a run nor a baseline file"),
        (("a", "ab"), "ab has 2 candidates; name one: ab:a, ab:b"),
        (("a", "ab:x"), "ab has no candidate x; it has a, b"),
        (("abc",), "abc has 3 candidates; name two"),
        (("a",), "a has 1 candidates; name two"),
        (("a", "cut"), "cut was interrupted: give its command again to finish it"),
        (("a", "old"), "old was written by another version of wanbench"),
        (("a", "."), "run.json does not exist: is . a wanbench run?"),
        (("a", "b", "--dimensions", "speed"), "unknown dimension 'speed'"),
        (("a", "b", "--weights", "heavy"), "heavy"),
        (("a", "a/run.json"), "a/run.json is not a baseline: write one with wanbench baseline save"),
    ],
)
def test_what_is_refused(made: Wanbench, arguments: tuple[str, ...], complaint: str) -> None:
    ended = made("compare", *arguments)
    assert (ended.code, complaint in ended.complaint) == (2, True), ended


def test_an_override_is_shown(made: Wanbench) -> None:
    ended = made("compare", "a", "other", "--allow-mismatch")
    assert ended.code == 0
    assert "Compared all the same, as asked: different suites" in ended.out
    assert len(made("compare", "a", "other", "--allow-mismatch", "--json").json["mismatches"]) == 1
