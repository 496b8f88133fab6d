"""Profile `reference` as users run it: real videos, every network of the report, small random parameters in the official layouts.

Says that the path from files to record is right and repeatable; not what trained parameters would measure.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from wanbench import checkpoints
from wanbench.checkpoint_table import TABLE
from wanbench.decoding.process import Limits
from wanbench.evaluation import worker
from wanbench.evaluation.plan import NEEDS_JUDGE, choose
from wanbench.fourteen import FOURTEEN
from wanbench.scenes.encode import write_video
from wanbench.scenes.render import Scene, Subject, render
from wanbench.types import Measurement, Prompt

from .cli.command import Ended, Wanbench, info, lines, summary, untimed, wait_for_lines
from .reference_store import TENSOR_FILES, person_parameters, perturb, tensors_of, write_store, write_tensors

pytest.importorskip("torch")
pytest.importorskip("pyiqa")
pytest.importorskip("ultralytics")

FLOW = ("large_motion_generation", "pixel_level_stability", "camera_control")
VISION = (*FLOW, "human_artifacts", "id_consistency", "comprehensive_image_quality", "scene_generation_quality")
USERS_OF = {
    "raft-large": FLOW,
    "dino-vitb16": ("id_consistency",),
    "clip-vit-l14": ("comprehensive_image_quality", "scene_generation_quality"),
    "laion-aesthetic": ("comprehensive_image_quality",),
    "maniqa": ("comprehensive_image_quality",),
    "musiq": ("comprehensive_image_quality",),
    "person-detector": ("human_artifacts",),
    "yolov3-artifacts": ("human_artifacts",),
}
PROMPT = Prompt(id=None, text="a quiet bay", fields={"camera": "pan-left"})
FIVE_FRAMES, THREE_FRAMES, TWO_FRAMES = 5 / 8, 3 / 8, 2 / 8

NO_NETWORK = """
import socket
def refuse(self, address, *rest):
    if self.family != socket.AF_UNIX:
        open({log!r}, "a").write(f"{{address}}\\n")
        raise OSError("this test has no network")
    return connect(self, address, *rest)
connect, socket.socket.connect, socket.socket.connect_ex = socket.socket.connect, refuse, refuse
def getaddrinfo(host, *rest, **more):
    open({log!r}, "a").write(f"{{host}}\\n")
    raise OSError("this test has no network")
socket.getaddrinfo = getaddrinfo
"""
"""A `sitecustomize` that lets no process out, and notes who tried."""


@pytest.fixture(scope="module", autouse=True)
def _own_parameters() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANBENCH_ANY_CHECKPOINT", "1")
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store; tests that change it take a copy."""
    return write_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five frames of a pan with a prompt; three of a walk upright, noisy, without one."""
    folder = tmp_path_factory.mktemp("clips") / "clips"
    folder.mkdir()
    walk = Scene(size_HW=(80, 64), subjects=(Subject(size=0.5, velocity_XY=(0.3, 0.1)),), noise_sigma=3.0)
    film(folder / "pan.mp4", Scene(size_HW=(64, 96), movement="pan-left", speed=0.3), FIVE_FRAMES)
    film(folder / "walk.mp4", walk, THREE_FRAMES)
    (folder / "pan.json").write_text(json.dumps({"prompt": PROMPT.text, **PROMPT.fields}))
    return folder


@pytest.fixture(scope="module")
def blink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two frames: all that most dimensions need, and quick."""
    path = tmp_path_factory.mktemp("blink") / "blink.mp4"
    film(path, Scene(size_HW=(64, 96), movement="pan-left", speed=0.3), TWO_FRAMES)
    return path


@pytest.fixture
def store(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A store like the shared one, with a copy of its own of the named checkpoint."""

    def copy(name: str) -> Path:
        ours = tmp_path / "own"
        (ours / "checkpoints").mkdir(parents=True)
        for folder in (home / "checkpoints").iterdir():
            if folder.name == name:
                shutil.copytree(folder, ours / "checkpoints" / name)
            else:
                (ours / "checkpoints" / folder.name).symlink_to(folder)
        monkeypatch.setenv("WANBENCH_HOME", str(ours))
        return ours

    return copy


def film(path: Path, scene: Scene, seconds: float) -> None:
    write_video(path, (frame for _, frame in render(scene, fps=8, seconds=seconds, seed=3)), fps=8)


class Reference:
    """`wanbench score CLIPS --profile reference --device cpu`, with an empty home folder and no network."""

    def __init__(self, folder: Path, home: Path, clips: Path) -> None:
        self.user, self.attempts, site = folder / "user", folder / "attempts", folder / "site"
        for path in (self.user, site, folder / "cwd"):
            path.mkdir(parents=True)
        (site / "sitecustomize.py").write_text(NO_NETWORK.format(log=str(self.attempts)))
        self.run, self._clips = folder / "run", clips
        self._wanbench = Wanbench(folder / "cwd", home)
        kept = {k: v for k, v in self._wanbench.env.items() if not k.startswith(("XDG_", "YOLO_", "HF_", "TORCH_", "OMP_"))}
        self._wanbench.env = {**kept, "HOME": str(self.user), "PYTHONPATH": str(site), "WANBENCH_ANY_CHECKPOINT": "1"}
        self.env = self._wanbench.env

    def arguments(self, *options: str) -> tuple[str, ...]:
        return ("score", str(self._clips), "--profile", "reference", "--device", "cpu", "--out", str(self.run), *options)

    def __call__(self, *options: str) -> Ended:
        return self._wanbench(*self.arguments(*options), **ON_ONE_CORE)

    def killed(self, when_lines: int, *options: str) -> int:
        """Start, kill when the record has so many lines, and return how many it has."""
        process = self._wanbench.start(*self.arguments(*options), **ON_ONE_CORE)
        assert wait_for_lines(process, self.run, when_lines)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return len(lines(self.run))


def _one_core() -> None:
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})


ON_ONE_CORE: dict[str, Any] = {"preexec_fn": _one_core} if hasattr(os, "sched_setaffinity") else {}
"""Two threads of torch that wait for each other, where others share the cores, are ten times slower than one."""


@pytest.fixture
def reference(tmp_path: Path, home: Path, clips: Path) -> Reference:
    return Reference(tmp_path, home, clips)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, home: Path, clips: Path) -> tuple[Reference, Ended]:
    """The run that others are compared with."""
    reference = Reference(tmp_path_factory.mktemp("first"), home, clips)
    return reference, reference("--batch-size", "2", "--json")


def measured(
    video: Path, batch_size: int = 16, dtype: str = "float32", dimensions: tuple[str, ...] = VISION
) -> dict[str, Measurement]:
    """Dimension -> row, measured in this process by what a worker runs, with the store that WANBENCH_HOME names."""
    choices = choose(dimensions, "reference", dtype)
    names = {n for c in choices.values() if c.method for network in c.method.networks for n in network.checkpoints}
    bench = worker.Bench(
        worker.Setup(
            measured={d: c.measured for d, c in choices.items() if c.measured},
            folders={n: checkpoints.folder(n) for n in names},
            device="cpu",
            dtype=dtype,
            batch_size=batch_size,
            threads=1,
            limits=Limits(),
            evidence=None,
        )
    )
    try:
        task = worker.Task(
            number=0, path=video, candidate="c", video="v", sha256="0" * 64, prompt=PROMPT, seed=None,
            dimensions=dict.fromkeys(dimensions, False),
        )  # fmt: skip
        return {row.dimension: row for row in bench.measure(task).measurements}
    finally:
        bench.close()


def rows(run: Path, video: str) -> dict[str, dict[str, Any]]:
    return {line["dimension"]: line for line in lines(run) if line["video"].endswith(video)}


# ---- one run ----


def test_every_dimension_is_measured_or_says_why_not(first: tuple[Reference, Ended]) -> None:
    reference, ended = first
    assert ended.code == 0, ended.err
    assert ended.json["status"] == "complete"
    pan, walk = rows(reference.run, "pan.mp4"), rows(reference.run, "walk.mp4")
    assert list(pan) == list(walk) == list(FOURTEEN)
    for dimension in VISION:
        assert pan[dimension]["status"] == "ok", pan[dimension]
        assert 0 <= pan[dimension]["score"] <= 1
    assert {d: row["reason"] for d, row in walk.items() if d in VISION and row["status"] != "ok"} == {
        "large_motion_generation": "too short: 3 distinct frames on the grid, 5 needed",
        "scene_generation_quality": "no prompt",
        "camera_control": "no prompt that names a camera movement",
    }
    judged = [row for table in (pan, walk) for d, row in table.items() if d not in VISION]
    assert {(row["status"], row["reason"]) for row in judged} == {("skipped", NEEDS_JUDGE)}


def test_every_row_differs_between_the_clips(first: tuple[Reference, Ended]) -> None:
    """Numbers come from the frames."""
    pan, walk = rows(first[0].run, "pan.mp4"), rows(first[0].run, "walk.mp4")
    for dimension in ("human_artifacts", "pixel_level_stability", "id_consistency", "comprehensive_image_quality"):
        assert pan[dimension]["score"] != walk[dimension]["score"]


def test_the_run_says_what_it_was_made_with(first: tuple[Reference, Ended], home: Path) -> None:
    written = info(first[0].run)
    assert written["environment"]["device"] == "cpu"
    assert written["environment"]["batch_size"] == 2
    for name, dimensions in USERS_OF.items():
        required = [home / "checkpoints" / name / f.path for f in TABLE[name].required]
        alone = len([p for p in required[0].parent.iterdir() if not p.name.startswith(".")]) == 1
        for dimension in dimensions:
            circumstances = written["methods"][dimension]
            assert set(circumstances["checkpoints"]) == {n for n, users in USERS_OF.items() if dimension in users}
            if alone:
                assert circumstances["checkpoints"][name] == hashlib.sha256(required[0].read_bytes()).hexdigest()
            assert rows(first[0].run, "pan.mp4")[dimension]["fingerprint"] == circumstances["fingerprint"]


def test_the_page_shows_flow_and_boxes(first: tuple[Reference, Ended]) -> None:
    kinds = {path.stem.rpartition("-")[2] for path in first[0].run.rglob("*.jpg")}
    assert kinds == {"poster", "flow", "static", "artifacts"}
    assert (first[0].run / "report.html").stat().st_size > 10_000


def test_neither_network_nor_home_folder_is_touched(first: tuple[Reference, Ended], home: Path) -> None:
    reference, _ = first
    assert not reference.attempts.exists(), reference.attempts.read_text()
    assert list(reference.user.rglob("*")) == []
    ask = [sys.executable, "-P", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9', timeout=5)"]
    assert subprocess.run(ask, env=reference.env, capture_output=True).returncode != 0
    assert "127.0.0.1" in reference.attempts.read_text(), "the guard does not guard"
    assert {p.name for p in home.iterdir()} == {"checkpoints"}


# ---- the same again ----


def test_a_killed_and_resumed_run_is_the_same_bit_for_bit(first: tuple[Reference, Ended], reference: Reference) -> None:
    """Each clip by another process; the configuration is that of the first run, or bits might differ."""
    planned = 2 * (len(FOURTEEN) - len(VISION))
    had = reference.killed(planned + 1, "--batch-size", "2")
    assert planned < had < len(lines(first[0].run))
    assert reference("--batch-size", "2").code == 0
    assert untimed(reference.run) == untimed(first[0].run)
    assert summary(reference.run) == summary(first[0].run)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_batch_sizes_agree(
    first: tuple[Reference, Ended], home: Path, clips: Path, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within 1e-5, against the run with batches of 2; numbers of other scales within as much of their size."""
    monkeypatch.setenv("WANBENCH_HOME", str(home))
    given = rows(first[0].run, "pan.mp4")
    for dimension, row in measured(clips / "pan.mp4", batch_size).items():
        assert row.fingerprint == given[dimension]["fingerprint"]
        assert row.score == pytest.approx(given[dimension]["score"], abs=1e-5)
        assert plain(row.raw) == pytest.approx(plain(given[dimension]["raw"]), rel=1e-5, abs=1e-5)


def plain(raw: Mapping[str, Any] | None) -> dict[str, float]:
    """The numbers on the first level."""
    assert raw
    return {k: v for k, v in raw.items() if isinstance(v, int | float)}


# ---- other parameters ----


@pytest.fixture(scope="module")
def before(home: Path, blink: Path) -> dict[str, Measurement]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANBENCH_HOME", str(home))
        return measured(blink)


@pytest.mark.parametrize("name", USERS_OF)
def test_one_changed_tensor_moves_its_dimensions_and_no_other(
    name: str, store: Callable[[str], Path], before: dict[str, Measurement], blink: Path
) -> None:
    perturb(store(name), name)
    after = measured(blink)
    assert {d for d in VISION if after[d].fingerprint != before[d].fingerprint} == set(USERS_OF[name])
    moved = {d for d in VISION if (after[d].score, after[d].raw) != (before[d].score, before[d].raw)}
    too_short = {"large_motion_generation"}
    assert moved == set(USERS_OF[name]) - too_short


def test_nobody_in_the_clip(store: Callable[[str], Path], blink: Path) -> None:
    """A detector that believes in nobody."""
    path, _ = tensors_of(store("person-detector"), "person-detector")
    write_tensors(path, person_parameters(full=False, bias=-8.0)[0])
    row = measured(blink, dimensions=("human_artifacts",))["human_artifacts"]
    assert (row.status, row.reason) == ("skipped", "no person")
    assert row.raw
    assert row.raw["person_probability_0_1"] < 0.1


def test_half_precision_runs_and_is_told_apart(home: Path, blink: Path, before: dict[str, Measurement], monkeypatch: Any) -> None:
    monkeypatch.setenv("WANBENCH_HOME", str(home))
    half = measured(blink, dtype="bfloat16")
    for dimension, row in half.items():
        assert row.fingerprint != before[dimension].fingerprint
        assert row.status == before[dimension].status, row.reason
        if row.score is not None:
            assert row.score == pytest.approx(before[dimension].score, abs=0.1)
    assert half["id_consistency"].score != before["id_consistency"].score


# ---- what cannot be loaded ----


def test_without_the_users_detector_only_artifacts_are_skipped(
    store: Callable[[str], Path], reference: Reference, clips: Path
) -> None:
    home = store("yolov3-artifacts")
    shutil.rmtree(home / "checkpoints" / "yolov3-artifacts")
    reference.env["WANBENCH_HOME"] = str(home)
    assert reference("--dimensions", "human_artifacts,id_consistency", "--dtype", "bfloat16").code == 0
    pan = rows(reference.run, "pan.mp4")
    assert pan["human_artifacts"]["status"] == "skipped"
    assert "wanbench train artifacts DATA" in pan["human_artifacts"]["reason"]
    assert pan["id_consistency"]["status"] == "ok"
    assert info(reference.run)["environment"]["dtype"] == "bfloat16"


@pytest.mark.parametrize("damage", ["tensor", "bytes"])
def test_parameters_that_do_not_fit_end_it_before_any_work(
    store: Callable[[str], Path], reference: Reference, damage: str
) -> None:
    home = store("dino-vitb16")
    path, tensors = tensors_of(home, "dino-vitb16")
    if damage == "tensor":
        write_tensors(path, {n: t for n, t in tensors.items() if n != "layernorm.weight"})
    else:
        path.write_bytes(path.read_bytes()[:-2000])
    reference.env["WANBENCH_HOME"] = str(home)
    ended = reference("--dimensions", "id_consistency", "-q")
    assert ended.code == 2
    assert str(path) in ended.complaint
    assert ("1 missing (layernorm.weight)" if damage == "tensor" else "cannot be read") in ended.complaint
    assert lines(reference.run) == []


def test_a_missing_file_is_named_with_size_and_remedies(store: Callable[[str], Path], reference: Reference) -> None:
    home = store("raft-large")
    (home / "checkpoints" / "raft-large" / TENSOR_FILES["raft-large"]).unlink()
    reference.env["WANBENCH_HOME"] = str(home)
    ended = reference()
    assert ended.code == 2
    for words in (TENSOR_FILES["raft-large"], "21 MB", "wanbench checkpoints pull raft-large", "--profile lite"):
        assert words in ended.complaint
    assert not reference.run.exists()


def test_parameters_of_ones_own_must_be_asked_for(reference: Reference) -> None:
    del reference.env["WANBENCH_ANY_CHECKPOINT"]
    ended = reference()
    assert ended.code == 2
    assert "is not the published file" in ended.complaint
    assert "WANBENCH_ANY_CHECKPOINT=1" in ended.complaint
    assert not reference.run.exists()


@pytest.mark.full
def test_full_size(tmp_path: Path, blink: Path) -> None:
    """Every network as large as the published one: 3 GB of random parameters, two frames."""
    write_store(tmp_path / "store", full=True)
    reference = Reference(tmp_path / "run", tmp_path / "store", blink)
    ended = reference("--dimensions", ",".join(VISION), "--batch-size", "1", "--json")
    assert ended.code == 0, ended.err
    found = rows(reference.run, "blink.mp4")
    measured_here = {d for d, row in found.items() if row["status"] == "ok"}
    assert measured_here >= {"human_artifacts", "id_consistency", "comprehensive_image_quality", "pixel_level_stability"}
