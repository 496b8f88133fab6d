"""The same inputs give the same record and summary: worker counts, order of arguments, batch sizes; for networks within 1e-5."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from .command import Wanbench, lines, summary, untimed, write_clips

NETWORK_TOLERANCE = 1e-5


def test_lite_is_bit_for_bit_the_same(wanbench: Wanbench, clips: Path) -> None:
    files = sorted(clips.iterdir())
    shuffled = random.Random(1).sample(files, len(files))
    runs = {
        "one": (clips, "--workers", "1", "--batch-size", "16"),
        "four": (clips, "--workers", "4", "--batch-size", "1"),
        "shuffled": (*shuffled, "--workers", "2", "--dtype", "float32", "--device", "cpu"),
        "elsewhere": ("-q", "--name", "clips", *reversed(shuffled), "--workers", "1"),
    }
    for out, arguments in runs.items():
        ended = wanbench("score", *arguments, "--profile", "lite", "--out", out, env={"OMP_NUM_THREADS": str(len(out))})
        assert ended.code == 0, ended
    for out in runs:
        assert untimed(wanbench.cwd / out) == untimed(wanbench.cwd / "one"), out
        assert summary(wanbench.cwd / out) == summary(wanbench.cwd / "one"), out
    pictures = {out: _pictures(wanbench.cwd / out) for out in runs}
    assert pictures["four"] == pictures["one"]
    assert len(pictures["one"]) >= len(files)


def _pictures(run: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (run / "evidence").iterdir()}


@pytest.mark.full
def test_networks_agree_over_batch_sizes_and_workers(wanbench: Wanbench) -> None:
    """RAFT at full size with random parameters, through the store and the loader that the published ones go through."""
    torch = pytest.importorskip("torch")
    from torchvision.models.optical_flow import raft_large

    from wanbench import checkpoints

    (name,) = [n for n in checkpoints.TABLE if n.startswith("raft")]
    folder = Path(wanbench.env["WANBENCH_HOME"]) / "checkpoints" / name
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(raft_large(weights=None).state_dict(), folder / checkpoints.TABLE[name].required[0].path)
    clips = write_clips(wanbench.cwd / "clips", 2, seconds=0.5)
    own = {"WANBENCH_ANY_CHECKPOINT": "1"}
    asked = ("--dimensions", "large_motion_generation,pixel_level_stability,camera_control")
    refused = wanbench("score", clips, *asked)
    assert refused.code == 2
    assert "is not the published file" in refused.complaint
    for out, options in {
        "a": ("--batch-size", "16"),
        "again": ("--batch-size", "16"),
        "b": ("--batch-size", "1"),
        "c": ("--workers", "2", "--batch-size", "3"),
    }.items():
        ended = wanbench("score", clips, *asked, *options, "--out", out, "--device", "cpu", env=own)
        assert ended.code == 0, ended
    assert untimed(wanbench.cwd / "again") == untimed(wanbench.cwd / "a")
    reference = lines(wanbench.cwd / "a")
    assert {r["method"] for r in reference if r["dimension"] == "large_motion_generation"} == {"raft"}
    for out in ("b", "c"):
        for row, other in zip(reference, lines(wanbench.cwd / out), strict=True):
            assert (row["video"], row["dimension"], row["status"]) == (other["video"], other["dimension"], other["status"])
            assert row["score"] == pytest.approx(other["score"], abs=NETWORK_TOLERANCE)


@pytest.mark.skipif("WANBENCH_CLIPS" not in os.environ, reason="WANBENCH_CLIPS names no folder of real clips")
@pytest.mark.full
def test_real_clips_are_bit_for_bit_the_same(wanbench: Wanbench) -> None:
    folder = Path(os.environ["WANBENCH_CLIPS"]) / "generated"
    files = sorted(p for p in folder.iterdir() if p.is_file())
    for out, arguments in {"one": (folder, "--workers", "1"), "two": (*reversed(files), "--workers", "2")}.items():
        assert wanbench("score", *arguments, "--profile", "lite", "--out", out).code == 0
    assert untimed(wanbench.cwd / "one") == untimed(wanbench.cwd / "two")
    assert summary(wanbench.cwd / "one") == summary(wanbench.cwd / "two")
