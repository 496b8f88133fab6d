"""Prompts and suites through the command: what is measured for whom, and oddly named files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from wanbench.fourteen import FOURTEEN

from .command import LITE, Wanbench, check_run, info, lines, summary, write_clips

SUITE = [
    {"id": "camera_control-001", "dimension": "camera_control", "subset": "pan", "text": "The camera pans left",
     "camera": {"movement": "pan", "direction": "left"}},
    {"id": "camera_control-002", "dimension": "camera_control", "subset": "tilt",
     "text": {"en": "The camera tilts up", "zh": "仰"}, "camera": {"movement": "tilt", "direction": "up"}},
    {"id": "large_motion_generation-001", "dimension": "large_motion_generation", "text": "A walk"},
]  # fmt: skip


@pytest.fixture
def folder(wanbench: Wanbench, clips: Path) -> Path:
    """Videos called after the suite in three ways, and one that is none of it; the suite beside the folder."""
    folder = wanbench.cwd / "model"
    folder.mkdir()
    for source, target in {
        "left": "camera_control-001-0",
        "right": "camera_control-001-1",
        "up": "The camera tilts up-3",
        "walk": "large_motion_generation-001",
        "still": "stranger",
    }.items():
        shutil.copy(clips / f"{source}.mp4", folder / f"{target}.mp4")
    (wanbench.cwd / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in SUITE))
    return folder


def test_with_a_suite_a_sample_counts_in_its_prompts_dimension_only(wanbench: Wanbench, folder: Path) -> None:
    ended = wanbench("score", folder, "--profile", "lite", "--suite", "own.jsonl", "--out", "r")
    assert ended.code == 0
    assert "warning: 1 videos match no prompt of the suite own and are not scored: stranger.mp4" in ended.err.splitlines()
    assert [(r["prompt_id"], r["seed"], r["dimension"], r["exploratory"]) for r in lines(wanbench.cwd / "r")] == [
        ("camera_control-001", 0, "camera_control", False),
        ("camera_control-001", 1, "camera_control", False),
        ("camera_control-002", 3, "camera_control", False),
        ("large_motion_generation-001", None, "large_motion_generation", False),
    ]
    scores = [r["score"] for r in lines(wanbench.cwd / "r")[:3]]
    assert scores[0] > 0.5 > scores[1]
    found = summary(wanbench.cwd / "r")["candidates"]["model"]["dimensions"]
    assert set(found) == {"camera_control", "large_motion_generation"}
    assert set(found["camera_control"]["subsets"]) == {"pan", "tilt"}
    assert found["camera_control"]["score"] == pytest.approx(((scores[0] + scores[1]) / 2 + scores[2]) / 2, abs=1e-6)
    facts = info(wanbench.cwd / "r")
    assert facts["suite"]["name"] == "own"
    assert len(facts["suite"]["hash"]) == 64
    assert facts["seeds"] == [0, 1, 3]
    assert facts["warnings"]
    check_run(wanbench.cwd / "r")


def test_all_dimensions_are_exploratory_rows_outside_the_scores(wanbench: Wanbench, folder: Path) -> None:
    wanbench("score", folder, "--profile", "lite", "--suite", "own.jsonl", "--out", "r")
    ended = wanbench("score", folder, "--profile", "lite", "--suite", "own.jsonl", "--all-dimensions", "--out", "all")
    assert ended.code == 0
    rows = lines(wanbench.cwd / "all")
    assert len(rows) == 4 * len(FOURTEEN)
    own = {("camera_control-001", "camera_control"), ("camera_control-002", "camera_control")}
    own |= {("large_motion_generation-001", "large_motion_generation")}
    assert all(r["exploratory"] != ((r["prompt_id"], r["dimension"]) in own) for r in rows)
    assert any(r["exploratory"] and r["status"] == "ok" for r in rows)
    assert summary(wanbench.cwd / "all") == summary(wanbench.cwd / "r")
    check_run(wanbench.cwd / "all")


def test_prompts_file_and_the_suite_that_a_folder_names(wanbench: Wanbench, folder: Path) -> None:
    (wanbench.cwd / "given.csv").write_text("video,prompt_id,seed\nstranger.mp4,large_motion_generation-001,8\n")
    listing = [{"suite": "../own.jsonl"}, {"video": "stranger.mp4", "prompt_id": "camera_control-002"}]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in listing))
    assert wanbench("score", folder, "--profile", "lite", "--out", "r", "--prompts", "given.csv").code == 0
    assert {(r["prompt_id"], r["seed"]) for r in lines(wanbench.cwd / "r") if "stranger" in r["video"]} == {
        ("large_motion_generation-001", 8)
    }
    assert wanbench("score", folder, "--profile", "lite", "--out", "listed").code == 0
    assert {r["prompt_id"] for r in lines(wanbench.cwd / "listed") if "stranger" in r["video"]} == {"camera_control-002"}
    assert info(wanbench.cwd / "listed")["suite"]["name"] == "own"


def test_a_suite_of_texts_alone_is_measured_in_all_that_applies(wanbench: Wanbench, clips: Path) -> None:
    (wanbench.cwd / "texts.jsonl").write_text('{"text": "a walk"}\n{"text": "another"}\n')
    shutil.copy(clips / "walk.mp4", wanbench.cwd / "a walk-0.mp4")
    assert wanbench("score", "a walk-0.mp4", "--profile", "lite", "--suite", "texts.jsonl", "--out", "r").code == 0
    assert {(r["prompt_id"], r["exploratory"]) for r in lines(wanbench.cwd / "r")} == {("texts-001", False)}
    assert len(lines(wanbench.cwd / "r")) == len(FOURTEEN)
    check_run(wanbench.cwd / "r")


def test_sidecars_without_a_suite(wanbench: Wanbench, clips: Path) -> None:
    folder = wanbench.cwd / "side"
    folder.mkdir()
    for name in ("left", "up", "near"):
        shutil.copy(clips / f"{name}.mp4", folder / f"{name}.mp4")
    (folder / "left.json").write_text(
        json.dumps({"prompt": "pan", "camera": {"movement": "pan", "direction": "left"}, "seed": 5})
    )
    (folder / "up.txt").write_text("a text")
    ended = wanbench("score", folder, "--profile", "lite", "--dimensions", "camera_control", "--out", "r")
    assert "warning: 1 videos have no prompt: near.mp4" in ended.err.splitlines()
    rows = {Path(r["video"]).stem: r for r in lines(wanbench.cwd / "r")}
    assert rows["left"]["status"] == "ok"
    assert rows["left"]["score"] > 0.5
    assert rows["left"]["seed"] == 5
    assert {rows[name]["status"] for name in ("up", "near")} == {"skipped"}
    samples = {Path(s["video"]).stem: s["prompt"] for s in info(wanbench.cwd / "r")["plan"]["samples"]}
    assert samples == {"left": "pan", "up": "a text", "near": None}


NAMES = (
    "-dash-.mp4",
    "sp ace & ünïcødé 視頻 🎬 (1).MP4",
    "new\nline.mp4",
    "a=b.mp4",
    os.fsdecode(b"latin-\xfc.mp4"),
    "<b>&amp;.mp4",
)


def test_odd_names_are_measured_and_reported(wanbench: Wanbench, clips: Path) -> None:
    """In an oddly named folder too, whose name becomes the candidate's; one of the files is damaged and must be named."""
    folder = wanbench.cwd / os.fsdecode(b"m\xfcll\n=")
    folder.mkdir()
    for name, source in zip(NAMES, sorted(clips.iterdir()), strict=True):
        shutil.copy(source, folder / name)
    (folder / os.fsdecode(b"broken\n\xff.mp4")).write_text("no video")
    shutil.copy(folder / "-dash-.mp4", folder / "twin\n.mp4")
    arguments = ("score", b"c=" + os.fsencode(folder), "--profile", "lite", "--out", "r")
    ended = wanbench(*arguments)
    assert ended.code == 3, ended
    assert len(ended.err.splitlines()) == 3  # where the run is, the twin, the broken one
    assert "broken\\n\\xff.mp4: " in ended.err or "broken\\n\\\\xff.mp4: " in ended.err
    rows = lines(wanbench.cwd / "r")
    assert len({r["video"] for r in rows if r["status"] == "ok"}) == len(NAMES)
    assert {r["dimension"] for r in rows if r["status"] == "ok"} >= set(LITE[:2])
    check_run(wanbench.cwd / "r")
    assert wanbench(*arguments, "--json").json["status"] == "partial"
    assert wanbench("export", "r", "--format", "csv").code == 0
    files = [os.fsencode(folder / name) for name in NAMES if "=" not in name]
    assert wanbench("score", "--profile", "lite", "-q", "--name", b"n\xff", "--", *files[:1]).code == 2  # = in the folder's name
    shutil.move(folder, wanbench.cwd / os.fsdecode(b"m\xfcll"))
    assert wanbench("score", b"m\xfcll", "--profile", "lite", "--out", os.fsdecode(b"r\xfc")).code == 3


def test_a_leading_dash_is_a_file_after_two_dashes(wanbench: Wanbench) -> None:
    write_clips(wanbench.cwd, 1)
    (wanbench.cwd / "walk.mp4").rename(wanbench.cwd / "-walk.mp4")
    assert wanbench("score", "--profile", "lite", "--out", "r", "--", "-walk.mp4").code == 0
    assert wanbench("inspect", "--json", "--", "-walk.mp4").json["video"] == "-walk.mp4"
