"""`wanbench controls` on tiny rendered clips, and on real ones in the full tests."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from wanbench.controls.record import failures, noise_floors

from ..judge.lines import write_prompts
from ..judge.serving import serving
from .command import LITE, Wanbench, end, family, write_clips

DIMENSIONS = "pixel_level_stability,camera_control"


def timeless(content: dict[str, Any]) -> dict[str, Any]:
    """What must not change from run to run."""
    return {k: v for k, v in content.items() if k not in ("start", "end", "environment")}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips `walk`, `left` and `right` in `clips`, and in `out` what the command made of them."""
    folder = tmp_path_factory.mktemp("controls")
    write_clips(folder / "clips", 3)
    wanbench = Wanbench(folder, folder / "home")
    ended = wanbench("controls", "clips", "--profile", "lite", "--dimensions", DIMENSIONS, "--out", "out", "--workers", "2")
    assert ended.code == 0, ended.err
    (folder / "text").write_text(ended.out)
    return folder


@pytest.fixture
def folder(checked: Path, wanbench: Wanbench) -> Path:
    """A copy to work in."""
    shutil.copytree(checked, wanbench.cwd, dirs_exist_ok=True)
    return wanbench.cwd


def content(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "out" / "controls.json").read_bytes()))


def test_what_is_said(checked: Path) -> None:
    made = content(checked)
    assert list(made["dimensions"]) == DIMENSIONS.split(",")
    assert [c["camera_found_and_asked"] for c in made["clips"]] == ["pan-left", "pan-right", "static"]
    results = {r["control"]: r for r in made["dimensions"]["camera_control"]["results"]}
    assert (results["reversed"]["verdict"], results["reversed"]["clips"]) == ("pass", 2)  # a still camera has no contrary
    assert results["empty_prompt"]["skipped"] == 3
    assert results["again"]["effect"]["largest"] == 0
    assert results["other_prompt"]["effect"]["median"] < -0.5
    assert made["dimensions"]["pixel_level_stability"]["noise_floor"]["controls"]["again"]["largest"] == 0
    assert made["errors"] == []
    assert made["environment"]["opencv"]
    text = (checked / "text").read_text()
    for part in ("camera_control: ", "falls by 0.5", "pass", "noise floor: means", "controls.json"):
        assert part in text


def test_for_reports_and_gates(checked: Path) -> None:
    made = content(checked)
    fingerprints = {d: e["fingerprint"] for d, e in made["dimensions"].items()}
    found = failures(checked / "out", fingerprints)
    assert set(found) == set(fingerprints)
    for dimension, entry in made["dimensions"].items():
        assert [f.control for f in found[dimension]] == entry["failed"]
    assert noise_floors(checked / "out", fingerprints)["camera_control"] >= 0


def test_a_run_that_was_cut_goes_on(folder: Path, wanbench: Wanbench) -> None:
    """Half the record and half a line: the same verdicts, and what was whole is not measured again."""
    before, record = content(folder), folder / "out" / "controls.jsonl"
    lines = record.read_bytes().splitlines(keepends=True)
    kept = lines[: len(lines) // 2]
    record.write_bytes(b"".join(kept) + lines[len(kept)][:20])
    (folder / "out" / "controls.json").unlink()
    ended = wanbench("controls", "clips", "--profile", "lite", "--dimensions", DIMENSIONS, "--out", "out", "--json")
    assert ended.code == 0, ended.err
    assert timeless(ended.json) == timeless(before) == timeless(content(folder))
    after = record.read_bytes().splitlines(keepends=True)
    assert after[: len(kept)] == kept
    assert sorted(after) == sorted(lines)


def test_a_finished_run_is_only_judged_again(folder: Path, wanbench: Wanbench) -> None:
    before, record = content(folder), (folder / "out" / "controls.jsonl").read_bytes()
    ended = wanbench("controls", "clips", "--profile", "lite", "--dimensions", DIMENSIONS, "--out", "out", "--json", "-q")
    assert (ended.code, ended.err) == (0, "")
    assert timeless(ended.json) == timeless(before)
    assert ended.json["environment"] | {"workers": 0} == before["environment"] | {"workers": 0}
    assert (folder / "out" / "controls.jsonl").read_bytes() == record


def test_a_clip_that_cannot_be_decoded_is_named(folder: Path, wanbench: Wanbench) -> None:
    (folder / "few").mkdir()
    shutil.copy(folder / "clips" / "left.mp4", folder / "few")
    (folder / "few" / "broken.mp4").write_bytes(b"no video")
    ended = wanbench("controls", "few", "--profile", "lite", "--dimensions", "camera_control", "--json", "--workers", "1")
    assert ended.code == 3
    assert "error: broken.mp4 original camera_control: not a video" in ended.err
    results = {r["control"]: r for r in ended.json["dimensions"]["camera_control"]["results"]}
    assert results["reversed"]["clips"] == 1
    assert results["other_prompt"]["verdict"] == "not measured"  # nobody else asks for anything
    (run,) = (folder / "runs").iterdir()
    assert (run / "controls.json").is_file()


def test_a_worker_that_dies_is_an_error_and_the_rest_goes_on(folder: Path, wanbench: Wanbench) -> None:
    """The only worker is killed in the middle: what it had not sent are errors, and the same command mends them."""
    arguments = (
        "controls",
        "clips",
        "--profile",
        "lite",
        "--dimensions",
        DIMENSIONS,
        "--out",
        "again",
        "--workers",
        "1",
        "--json",
    )
    process, record = wanbench.start(*arguments), folder / "again" / "controls.jsonl"
    while process.poll() is None and (not record.exists() or record.read_bytes().count(b'"noise"') < 1):
        time.sleep(0.001)
    for child in family(process):
        if any("controls.measure" in word for word in child.cmdline()):
            child.kill()
    ended = end(process)
    assert ended.code == 3, ended.err
    assert {e["reason"] for e in ended.json["errors"]} == {"crashed the worker process: it was killed by SIGKILL"}
    assert len({e["video"] for e in ended.json["errors"]}) == 1
    mended = wanbench(*arguments)
    assert (mended.code, mended.json["errors"]) == (0, [])
    assert mended.json["dimensions"] == content(folder)["dimensions"]


def test_with_a_judge(folder: Path, wanbench: Wanbench) -> None:
    """One whose answers mean nothing: it says the same again, is not asked where nothing was asked for, and fails controls."""
    pytest.importorskip("openai")
    write_prompts(folder / "prompts.jsonl", ["left.mp4", "right.mp4"])
    (folder / "clips" / "walk.mp4").unlink()
    judged = ("--prompts", "prompts.jsonl", "--dimensions", "physical_plausibility", "--profile", "lite", "--json")
    with serving(folder / "server") as server:
        ended = wanbench("controls", "clips", "--judge", server.url, *judged)
    assert ended.code == 0, ended.err
    entry = ended.json["dimensions"]["physical_plausibility"]
    assert entry["method"]["judge"]["kind"] == "server"
    verdicts = {r["control"]: (r["verdict"], r["clips"]) for r in entry["results"]}
    assert verdicts["again"] == verdicts["empty_prompt"] == ("pass", 2)
    assert entry["failed"]


def test_wrong_use(folder: Path, wanbench: Wanbench) -> None:
    for arguments, words in (
        (("clips", "--dimensions", "beauty"), "unknown dimension"),
        (("gone",), "does not exist"),
        (("clips", "--out", "clips"), "holds no controls"),
        (("clips", "--out", "out"), "other clips or methods"),
        (("clips", "--profile", "reference", "--dimensions", "id_consistency"), "missing checkpoints"),
    ):
        profile = () if "--profile" in arguments else ("--profile", "lite")
        ended = wanbench("controls", *arguments, *profile, "-q")
        assert ended.code == 2, arguments
        assert words in ended.complaint


@pytest.mark.full
def test_every_lite_dimension_passes_on_real_clips(wanbench: Wanbench) -> None:
    """Takes some minutes. A dimension that fails here fails in every report: mend it, or change its declaration with a reason."""
    folder = os.environ.get("WANBENCH_CLIPS")
    if not folder:
        pytest.skip("no clips: set WANBENCH_CLIPS to their folder")
    started = wanbench.start("controls", Path(folder) / "real", "--profile", "lite", "--json")
    out, _ = started.communicate()
    assert started.returncode == 0
    made = json.loads(out)
    assert set(made["dimensions"]) == set(LITE)
    failed = {d: e["failed"] for d, e in made["dimensions"].items() if e["failed"]}
    assert failed == {}
    assert all(e["noise_floor"]["controls"]["again"]["largest"] == 0 for e in made["dimensions"].values())
