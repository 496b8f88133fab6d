"""`wanbench fid` on tiny videos and pictures, with random parameters in the published file's layout."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from wanbench.metrics.nets import inception

from .command import Wanbench, write_clips

OWN = {"WANBENCH_ANY_CHECKPOINT": "1", "OMP_NUM_THREADS": "1"}
"""The parameters are random, not the published ones."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the network's parameters."""
    torch = pytest.importorskip("torch")
    from wanbench.metrics.nets._inception_blocks import FidInception

    home = tmp_path_factory.mktemp("home")
    where = home / "checkpoints" / inception.CHECKPOINT
    where.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(FidInception().state_dict(), where / inception.FILE)
    return home


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of four frames in `videos`, three pictures in `pictures` and folders inside it."""
    folder = tmp_path_factory.mktemp("sets")
    write_clips(folder / "videos", 2, seconds=0.5)
    rng = np.random.default_rng(0)
    (folder / "pictures" / "deep").mkdir(parents=True)
    for name in ("a.png", "b.JPG", "deep/c.webp"):
        cv2.imwrite(str(folder / "pictures" / name), rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    (folder / "pictures" / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def fid(tmp_path: Path, store: Path) -> Wanbench:
    cwd = tmp_path / "fid"
    cwd.mkdir()
    wanbench = Wanbench(cwd, store)
    wanbench.env |= OWN
    return wanbench


def test_videos_against_pictures_and_saved_statistics(fid: Wanbench, sets: Path) -> None:
    ended = fid("fid", "--real", sets / "pictures", "--generated", sets / "videos", "--save-real", "real.npz", "--json")
    assert ended.code == 0, ended.err
    result = ended.json
    assert result["fid"] > 0
    assert result["fid"] == pytest.approx(result["mean_part"] + result["covariance_part"])
    assert result["real"] | {"source": ""} == {"source": "", "files": 3, "pictures": 3}
    assert result["generated"] | {"source": ""} == {"source": "", "files": 2, "pictures": 8}
    assert ["fewer than 2048 features" in w for w in result["warnings"]] == [True, True]
    assert ended.err.count("warning: ") == 2
    assert len(result["circumstances"]["checkpoint"]) == 64
    again = fid("fid", "--real", "real.npz", "--generated", sets / "videos", "--json", "--batch-size", "3")
    assert again.json["fid"] == pytest.approx(result["fid"], rel=1e-4)
    assert again.json["real"]["files"] == 0


def test_files_that_cannot_be_read_are_named(fid: Wanbench, sets: Path) -> None:
    folder = fid.cwd / "set"
    folder.mkdir()
    for name in ("a.png", "b.JPG"):
        (folder / name).write_bytes((sets / "pictures" / name).read_bytes())
    (folder / "z.png").write_bytes(b"no picture")
    (folder / "z.mp4").write_bytes(b"")
    ended = fid("fid", "--real", folder, "--generated", folder)
    assert ended.code == 3
    assert ended.out.startswith("FID 0.0000 (means 0.0000, covariances 0.0000; 2 real and 2 generated pictures)")
    assert ended.err.count("error: ") == 2
    assert "z.png: not a picture" in ended.err
    assert "z.mp4: the file is empty" in ended.err


def test_wrong_use(wanbench: Wanbench, fid: Wanbench, sets: Path) -> None:
    missing = wanbench("fid", "--real", sets / "pictures", "--generated", sets / "videos")
    assert missing.code == 2
    assert "wanbench checkpoints pull inception-fid" in missing.complaint
    other = wanbench("fid", "--real", sets / "pictures", "--generated", sets / "gone")
    assert other.code == 2
    assert "gone is no folder" in other.complaint
    nothing = sets / "pictures" / "notes.txt"
    assert "no folder of pictures" in wanbench("fid", "--real", nothing, "--generated", nothing).complaint
    np.savez(fid.cwd / "theirs.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    foreign = fid("fid", "--real", "theirs.npz", "--generated", sets / "videos")
    assert foreign.code == 2
    assert "does not say how its features were made" in foreign.complaint
    suffix = fid("fid", "--real", sets / "videos", "--generated", sets / "videos", "--save-real", "real.txt")
    assert suffix.code == 2


def test_statistics_of_another_checkpoint_are_refused(fid: Wanbench, sets: Path) -> None:
    from wanbench.decoding.prepare import SETTINGS
    from wanbench.fid import Statistics, save_statistics

    made = {**SETTINGS, **inception.SETTINGS, "checkpoint": "0" * 64, "dtype": "float32"}
    save_statistics(
        fid.cwd / "old.npz",
        Statistics(mean_D=np.zeros(2048), covariance_DD=np.eye(2048), count=9, circumstances=json.loads(json.dumps(made))),
    )
    ended = fid("fid", "--real", "old.npz", "--generated", sets / "videos")
    assert ended.code == 2
    assert "checkpoint: '0000" in ended.complaint
