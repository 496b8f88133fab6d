"""`wanbench report`: where each format goes, what is refused, and that every format reads back."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from ..synthetic import SUITE, rows, simulated, write_run
from .command import Wanbench

NAMES = {"html": "report.html", "markdown": "report.md", "json": "report.json", "latex": "report.tex", "csv": "report.csv"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Wanbench:
    """A command in whose folder are runs: `a`, `b` (0.03 lower), `ab` of both, `other` with another suite."""
    folder = tmp_path_factory.mktemp("made")
    measured = {name: rows(name, simulated(-0.03 * k, seed=k, prompts=12)) for k, name in enumerate("ab")}
    write_run(folder / "a", measured["a"])
    write_run(folder / "b", measured["b"])
    write_run(folder / "ab", measured["a"] + measured["b"])
    write_run(folder / "other", measured["b"], suite=SUITE | {"name": "mini", "hash": "1" * 64})
    write_run(folder / "cut", measured["b"], status="interrupted")
    return Wanbench(folder, folder / "home")


def test_a_page_goes_to_a_file_and_everything_else_to_standard_output(made: Wanbench) -> None:
    ended = made("report", "a", "b")
    assert (ended.code, ended.out, ended.err) == (0, "report: report.html\n", "")
    assert (made.cwd / "report.html").read_text().startswith("<!doctype html>")
    assert made("report", "a", "b", "--format", "markdown").out.startswith("# 2 candidates compared\n")
    assert "\\toprule" in made("report", "a", "b", "--format", "latex").out
    assert next(csv.reader(io.StringIO(made("report", "a", "b", "--format", "csv").out)))[0] == "kind"
    told = made("report", "a", "b", "--json")
    assert told.json["baseline"] == "a"
    assert told.out == made("report", "a", "b", "--format", "json").out


@pytest.mark.parametrize("format", NAMES)
def test_out_is_a_file_or_a_folder(made: Wanbench, tmp_path: Path, format: str) -> None:
    assert made("report", "ab", "--format", format, "--out", tmp_path / "new" / "deep").code == 0
    assert made("report", "ab", "--format", format, "--out", tmp_path / "one.x").code == 0
    in_folder, named = tmp_path / "new" / "deep" / NAMES[format], tmp_path / "one.x"
    assert in_folder.stat().st_size > 1000
    if format == "json":
        assert json.loads(in_folder.read_text()) == json.loads(named.read_text())
    if format == "csv":
        read = list(csv.DictReader(io.StringIO(in_folder.read_text(), newline="")))
        assert {line["candidate"] for line in read if line["run"]} == {"a", "b"}


def test_one_run_and_a_run_of_several(made: Wanbench) -> None:
    assert [c["name"] for c in made("report", "a", "--json").json["candidates"]] == ["a"]
    together, apart = made("report", "ab", "--json").json, made("report", "a", "b", "--json").json
    for one, other in zip(together["candidates"], apart["candidates"], strict=True):
        assert {k: v for k, v in one.items() if k != "run"} == {k: v for k, v in other.items() if k != "run"}
    assert together["sensitivity"] == apart["sensitivity"]
    assert together["comparisons"]["b"]["dimensions"] == apart["comparisons"]["b"]["dimensions"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("a", "other"), "cannot stand in one report: different suites"),
        (("a", "b", "--baseline", "c"), "the baseline 'c' is no candidate here; known are a, b"),
        (("a", "gone"), "gone/run.json does not exist"),
        (("a", "cut"), "cut was interrupted: give its command again to finish it"),
        (("a", "--controls", "a/run.json"), "a/run.json is no result of `wanbench controls`"),
        (("a", "--weights", "heavy"), "unknown weights 'heavy'"),
        (("a", "--out", "a/report.html"), "a/report.html is the run's own page: write this one somewhere else"),
        (("a", "--out", "a"), "a/report.html is the run's own page"),
    ],
)
def test_what_is_refused(made: Wanbench, arguments: tuple[str, ...], complaint: str) -> None:
    ended = made("report", *arguments)
    assert (ended.code, complaint in ended.complaint) == (2, True), ended


def test_unknown_formats_and_no_run_are_wrong_use(made: Wanbench) -> None:
    assert made("report", "a", "--format", "pdf").code == 2
    assert made("report").code == 2


def test_an_override_is_shown(made: Wanbench) -> None:
    ended = made("report", "a", "other", "--allow-mismatch", "--format", "markdown")
    assert ended.code == 0
    assert "Compared all the same, as asked: different suites" in ended.out
    assert len(made("report", "a", "other", "--allow-mismatch", "--json").json["mismatches"]) == 1


def test_what_cannot_be_written_is_exit_74(made: Wanbench) -> None:
    (made.cwd / "file").write_text("")
    for out in ("file/report.html", "file/x/y"):
        ended = made("report", "a", "--out", out)
        assert (ended.code, "cannot write" in ended.complaint) == (74, True), ended
