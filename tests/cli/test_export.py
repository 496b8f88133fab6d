"""`wanbench export`: the numbers in other tools' formats."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from .command import Wanbench, lines


@pytest.fixture(scope="module")
def scored(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Wanbench:
    """A command in whose folder `r` is a run and `two` one of two candidates."""
    folder = tmp_path_factory.mktemp("scored")
    wanbench = Wanbench(folder, folder / "home")
    assert wanbench("score", clips, "--profile", "lite", "--out", "r").code == 0
    arguments = (f"a={clips / 'left.mp4'}", f"b={clips / 'up.mp4'}")
    assert wanbench("score", *arguments, "--profile", "lite", "--out", "two").code == 0
    return wanbench


def test_jsonl_is_the_record(scored: Wanbench) -> None:
    ended = scored("export", "r", "--format", "jsonl")
    assert ended.code == 0
    assert [json.loads(line) for line in ended.out.splitlines()] == lines(scored.cwd / "r")


def test_csv_has_a_row_a_measurement_and_raw_as_columns(scored: Wanbench) -> None:
    assert scored("export", "r", "--format", "csv", "--out", "r.csv").out == ""
    rows = list(csv.DictReader(io.StringIO((scored.cwd / "r.csv").read_bytes().decode(), newline="")))
    record = lines(scored.cwd / "r")
    assert len(rows) == len(record)
    for row, line in zip(rows, record, strict=True):
        assert (row["video"], row["status"], row["exploratory"]) == (line["video"], line["status"], str(line["exploratory"]))
        assert row["score"] == ("" if line["score"] is None else str(line["score"]))
        if line["raw"] and "flow_top5_diag_per_s" in line["raw"]:
            assert float(row["raw.flow_top5_diag_per_s"]) == line["raw"]["flow_top5_diag_per_s"]


def test_parquet_holds_the_same(scored: Wanbench) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    assert scored("export", "r", "--format", "parquet", "--out", "r.parquet").code == 0
    frame = pd.read_parquet(scored.cwd / "r.parquet")
    assert frame["dimension"].tolist() == [line["dimension"] for line in lines(scored.cwd / "r")]
    assert frame["score"].count() == sum(line["score"] is not None for line in lines(scored.cwd / "r"))
    ended = scored("export", "r", "--format", "parquet")
    assert (ended.code, "give --out FILE" in ended.complaint) == (2, True)


def test_vbench_has_means_and_videos(scored: Wanbench) -> None:
    ended = scored("export", "r", "--format", "vbench")
    for dimension, (mean, videos) in json.loads(ended.out).items():
        scores = [
            line["score"] for line in lines(scored.cwd / "r") if line["dimension"] == dimension and line["score"] is not None
        ]
        assert [v["video_results"] for v in videos] == scores
        assert mean == pytest.approx(sum(scores) / len(scores))
    ended = scored("export", "two", "--format", "vbench")
    assert (ended.code, "holds one candidate, and this run has a, b" in ended.complaint) == (2, True)


def test_what_cannot_be_exported(scored: Wanbench) -> None:
    (scored.cwd / "file").touch()
    for run in ("gone", ".", "file"):
        ended = scored("export", run, "--format", "csv")
        assert (ended.code, "is not a wanbench run" in ended.complaint) == (2, True)
    for out in ("gone/r.csv", "r", "file/r.csv"):
        ended = scored("export", "r", "--format", "csv", "--out", out)
        assert (ended.code, f"cannot write {out}" in ended.complaint) == (74, True), ended
    assert scored("export", "r", "--format", "xml").code == 2
    assert scored("export", "r").code == 2


def test_vbenchs_results_get_their_totals(wanbench: Wanbench) -> None:
    """All sixteen dimensions at the middle of their scale: both sums, and the total, are a half."""
    from wanbench.vbench import QUALITY, SEMANTIC

    folder = wanbench.cwd / "evaluation"
    folder.mkdir()
    for name, scale in {**QUALITY, **SEMANTIC}.items():
        result = [(scale.low + scale.high) / 2, [{"video_path": "a.mp4", "video_results": 0.5}]]
        (folder / f"{name}_eval_results.json").write_text(json.dumps({name: result}))
    ended = wanbench("export", "evaluation", "--format", "jsonl")
    assert ended.code == 0, ended
    rows = {row["name"]: row for row in map(json.loads, ended.out.splitlines())}
    assert len(rows) == 16 + 3
    assert {rows[name]["value"] for name in ("Quality", "Semantic", "Total")} == {0.5}
    assert rows["dynamic_degree"] | {"normalised": 0.5, "weight": 0.5, "total": "quality", "videos": 1} == rows["dynamic_degree"]
    (folder / "scene_eval_results.json").unlink()
    ended = wanbench("export", "evaluation", "--format", "csv")
    assert ended.out.splitlines()[-1] == "Total,,,,,"
    assert ended.out.splitlines()[-3].startswith("Quality,0.5,")
    assert (
        "written as csv or jsonl, not as parquet"
        in wanbench("export", "evaluation", "--format", "parquet", "--out", "x").complaint
    )
