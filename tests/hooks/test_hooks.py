"""Logging to W&B, MLflow and TensorBoard: the real libraries without a network, and what was logged read back with them."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import wanbench
from wanbench.decoding.process import Limits
from wanbench.errors import UsageError
from wanbench.evaluation.outcome import Listener, Run
from wanbench.hooks.entry import SAMPLES_LOGGED, Entry, entries
from wanbench.hooks.hook import log_run, open_hook, open_hooks
from wanbench.hooks.tensorboard import FPS, LINES

from ..cli.command import LITE, Wanbench, write_clips

MEASURED = LITE[:2]
"""Without a prompt nobody asked for a camera movement."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("hooks") / "clips", 3)


@pytest.fixture(scope="module")
def run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of two candidates."""
    out = tmp_path_factory.mktemp("run") / "r"
    return wanbench.score(f"one two={clips}", f"b={clips / 'walk.mp4'}", profile="lite", out=out, workers=1)


@pytest.fixture
def anew(run: Run, tmp_path: Path) -> Run:
    """The same plan run elsewhere, with another outcome."""
    shutil.copytree(run.path, tmp_path / "anew")
    path = tmp_path / "anew" / "summary.json"
    summary = json.loads(path.read_bytes())
    summary["candidates"]["b"]["partial"]["score"] = 0.25
    path.write_text(json.dumps(summary))
    return wanbench.load(tmp_path / "anew")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Every library writes below this folder and finds no server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    yield tmp_path
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # else it remembers this folder


def silent(warning: str) -> None:
    raise AssertionError(warning)


def test_entries_say_what_the_summary_says(run: Run) -> None:
    first, second = entries(run)
    plan = run.info["plan"]["hash"]
    assert (first.id, second.id) == (f"b-{plan}", f"one-two-{plan}")
    assert second.candidate == "one two"
    found = run.summary["candidates"]["one two"]
    for name in MEASURED:
        for part in ("score", "low", "high", "n"):
            assert second.scores[f"dimensions/{name}/{part}"] == found["dimensions"][name][part]
    assert {f"partial/{part}" for part in ("score", "low", "high")} <= second.scores.keys()
    assert "weighted/score" not in second.scores, "there is none: eleven dimensions are missing"
    assert (second.scores["errors"], second.scores["skipped"]) == (0, sum(d["skipped"] for d in found["dimensions"].values()))
    assert second.config["profile"] == "lite"
    assert second.config["plan"] == plan
    assert second.config[f"method.{LITE[0]}"].startswith("dis ")
    assert [s.name for s in second.samples] == ["left", "right", "walk"]
    assert all(s.path.is_file() for s in second.samples)
    assert len({e.digest for e in (first, second)}) == 2


def test_a_candidate_that_was_made_here_brings_suite_and_settings(tmp_path: Path) -> None:
    """The identity of a run of `wanbench run`: model, settings and suite, as `run.json` has them."""
    videos = tmp_path / "runs"
    ended = Wanbench(tmp_path, tmp_path / "home")("run", "--model", "wan-tiny", "--suite", "smoke", "--profile", "lite",
        "--limit", "2", "--steps", "1", "--frames", "5", "--device", "cpu", "--log-to", f"tensorboard:{tmp_path / 'board'}",
        "--out", videos / "a")  # fmt: skip
    assert ended.code in (0, 3), ended
    (entry,) = entries(wanbench.load(videos / "a"))
    assert (entry.config["model.kind"], entry.config["model.settings.steps"]) == ("wan", 1)
    assert (entry.config["suite.name"], entry.config["suite.version"]) == ("smoke", "1.0")
    assert len(entry.config["suite.hash"]) == 64
    assert (tmp_path / "board" / entry.id).is_dir(), "the command logged it"


def test_samples_are_few_and_of_every_dimension(run: Run) -> None:
    many = json.loads(json.dumps(run.info))
    rows = [row for row in run.records() if row.candidate == "b" and row.status == "ok"]
    for k in range(30):
        (run.path / f"{k}.mp4").touch()
    try:
        from wanbench.hooks.entry import _samples

        made = [replace(rows[k % len(rows)], video=f"{k}.mp4", prompt_id="p", seed=k) for k in range(30)]
        chosen = _samples(Run(path=run.path, info=many, summary=run.summary), made)
        assert [s.name for s in chosen] == [f"p-{k}" for k in range(SAMPLES_LOGGED)]
        assert _samples(Run(path=run.path, info=many, summary=run.summary), [replace(made[0], video="gone.mp4")]) == ()
    finally:
        for k in range(30):
            (run.path / f"{k}.mp4").unlink()


def test_tensorboard_reads_it(run: Run, anew: Run, offline: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log_run(run, [open_hook("tensorboard:board")], silent)
    log_run(run, [open_hook("tensorboard:board")], silent)
    first, second = entries(run)
    for entry in (first, second):
        assert len(list((offline / "board" / entry.id).iterdir())) == 1, "logged once"
        board = EventAccumulator(str(offline / "board" / entry.id)).Reload()
        told = {tag: [event.value for event in board.Scalars(tag)] for tag in board.Tags()["scalars"]}
        assert told == {tag: [pytest.approx(value)] for tag, value in entry.scores.items()}
        (image,) = board.Images("samples/walk")
        picture = Image.open(io.BytesIO(image.encoded_image_string))
        assert (picture.format, picture.n_frames) == ("GIF", int(FPS)), "a second of video"
        assert picture.size == (image.width, image.height) == (96, 64), "never enlarged"
        (text,) = board.Tensors("config")
        assert "| profile | lite |" in text.tensor_proto.string_val[0].decode()
    log_run(anew, [open_hook("tensorboard:board")], silent)
    board = EventAccumulator(str(offline / "board" / first.id)).Reload()
    assert [event.value for event in board.Scalars("partial/score")] == [0.25]
    assert sorted(p.name for p in (offline / "board").iterdir()) == sorted([first.id, second.id])
    assert LINES < 480


def test_mlflow_reads_it(run: Run, anew: Run, offline: Path) -> None:
    import mlflow

    mlflow.set_tracking_uri(None)
    log_run(run, [open_hook("mlflow:wan bench")], silent)
    log_run(run, [open_hook("mlflow:wan bench")], silent)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("wan bench").experiment_id

    def logged() -> dict[str, Any]:
        return {r.info.run_name: r for r in client.search_runs([experiment])}

    assert len(client.search_runs([experiment])) == 2
    for entry in entries(run):
        found = logged()[entry.candidate]
        assert found.info.status == "FINISHED"
        assert found.data.metrics == pytest.approx(dict(entry.scores))
        assert found.data.params == {key: str(value) for key, value in entry.config.items()}
        assert found.data.tags["wanbench.status"] == "complete"
        (sample,) = client.list_artifacts(found.info.run_id, "samples/walk")
        assert Path(client.download_artifacts(found.info.run_id, sample.path)).read_bytes() == entry.samples[-1].path.read_bytes()
        assert len(client.get_metric_history(found.info.run_id, "partial/score")) == 1, "logged once"
    log_run(anew, [open_hook("mlflow:wan bench")], silent)
    assert len(client.search_runs([experiment])) == 2
    assert logged()["b"].data.metrics["partial/score"] == 0.25


@pytest.fixture
def complete(anew: Run) -> Run:
    """As when the dimensions that were missing have come: a weighted score in place of a partial one."""
    path = anew.path / "summary.json"
    summary = json.loads(path.read_bytes())
    told = summary["candidates"]["b"]
    told["weighted"] |= {"score": 0.5, "low": 0.4, "high": 0.6, "complete": True}
    del told["partial"]
    path.write_text(json.dumps(summary))
    return wanbench.load(anew.path)


@pytest.fixture
def upgraded(run: Run, tmp_path: Path) -> Run:
    """The same run, reported by another version."""
    shutil.copytree(run.path, tmp_path / "upgraded")
    path = tmp_path / "upgraded" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"project_version": "99.0"}))
    return wanbench.load(tmp_path / "upgraded")


def test_mlflow_shows_no_score_of_a_former_outcome(run: Run, upgraded: Run, complete: Run, offline: Path) -> None:
    import mlflow

    mlflow.set_tracking_uri(None)
    for told in (run, upgraded, complete, complete):
        log_run(told, [open_hook("mlflow")], silent)
    client = mlflow.MlflowClient()
    found = client.search_runs([client.get_experiment_by_name("wanbench").experiment_id])
    of_b = [r for r in found if r.data.params["candidate"] == "b"]
    assert len(found) == 3, "another version goes to the same run; only what cannot be brought up to date gets another"
    (old,) = [r for r in of_b if "partial/score" in r.data.metrics]
    (new,) = [r for r in of_b if "weighted/score" in r.data.metrics]
    assert old.data.tags["wanbench.superseded_by"] == new.info.run_id
    assert old.info.run_name == "b (superseded)"
    assert old.data.tags["wanbench.project_version"] == "99.0"
    assert (new.info.run_name, "wanbench.superseded_by" in new.data.tags) == ("b", False)
    (entry,) = [e for e in entries(complete) if e.candidate == "b"]
    assert new.data.metrics == pytest.approx(dict(entry.scores))


def test_wandb_forgets_scores_of_a_former_outcome(run: Run, complete: Run, offline: Path) -> None:
    import wandb

    from wanbench.hooks.wandb import settle

    (before,) = [e for e in entries(run) if e.candidate == "b"]
    (after,) = [e for e in entries(complete) if e.candidate == "b"]
    with wandb.init(project="mine", settings=wandb.Settings(silent=True)) as mine:
        mine.summary.update({**before.scores, "theirs": 1.0})
        settle(mine.summary, after)
        left = {key: mine.summary[key] for key in mine.summary.keys() if not key.startswith("_")}  # noqa: SIM118
    assert left == pytest.approx({**after.scores, "theirs": 1.0})


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of an offline run, which its own library can write and upload but not read: LevelDB's log format.

    A header of 7 bytes, then blocks of 32 KiB with pieces (checksum 4, length 2, kind 1; a record's last piece has kind 1 or 4).
    """
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, piece = file.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        piece += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield Record.FromString(piece)
            piece = b""


def wandb_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Folder -> what an offline run holds: id, name, project, config, summary and the lines of its history."""
    import wandb

    wandb.teardown()  # as when the program ends: until then the last lines may not be on disk

    def values(items: Any) -> dict[str, Any]:
        return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}

    found = {}
    for file in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        told: dict[str, Any] = {"config": {}, "summary": {}, "history": []}
        for record in wandb_records(file):
            if record.HasField("run"):
                told |= {"id": record.run.run_id, "name": record.run.display_name, "project": record.run.project}
                told["config"] |= values(record.run.config.update)
            told["config"] |= values(record.config.update)
            told["summary"] |= values(record.summary.update)
            told["history"] += [values(record.history.item)] if record.HasField("history") else []
        found[file.parent.name] = told
    return found


def test_wandb_reads_it(run: Run, anew: Run, offline: Path) -> None:
    log_run(run, [open_hook("wandb:team/bench")], silent)
    log_run(run, [open_hook("wandb:team/bench")], silent)
    found = {told["name"]: told for told in wandb_runs(offline).values()}
    assert len(wandb_runs(offline)) == 2, "logged once"
    for entry in entries(run):
        told = found[entry.candidate]
        assert (told["id"], told["project"]) == (entry.id, "bench")
        assert told["config"].items() >= {**entry.config, **entry.notes}.items()
        (line,) = told["history"]
        assert {key: line[key] for key in entry.scores} == pytest.approx(dict(entry.scores))
        assert {key: told["summary"][key] for key in entry.scores} == pytest.approx(dict(entry.scores))
        assert line["samples/walk/_type"] == "video-file"
        files = (offline / "wandb").glob(f"offline-run-*-{entry.id}*/files/{line['samples/walk/path']}")
        assert [p.read_bytes() for p in files] == [entry.samples[-1].path.read_bytes()]
    log_run(anew, [open_hook("wandb:team/bench")], silent)
    ids = [told["id"] for told in wandb_runs(offline).values()]
    assert (len(ids), len(set(ids))) == (4, 2), "another outcome of the same plan goes to the same run"


def test_a_run_of_the_calling_program_stays_open(run: Run, offline: Path) -> None:
    import wandb

    with wandb.init(project="mine", settings=wandb.Settings(silent=True)) as mine:
        log_run(run, [open_hook("wandb")], silent)
        mine.log({"loss": 1.0})
    told = [t for t in wandb_runs(offline).values() if t["project"] == "mine"]
    assert [line["loss"] for line in told[0]["history"]] == [1.0]
    assert len(wandb_runs(offline)) == 3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("comet", r"--log-to takes wandb\[:PROJECT\], .*, not 'comet'"),
        ("wandb:", r"not 'wandb:'"),
        ("wandb:a?b", r"Invalid project name"),
        ("tensorboard:file/x", r"file/x cannot be written"),
    ],
)
def test_wrong_places_are_refused_at_once(text: str, complaint: str, offline: Path) -> None:
    (offline / "file").touch()
    with pytest.raises(UsageError, match=complaint):
        open_hooks(["tensorboard", text])


def test_wandb_without_a_key_is_refused_at_once(offline: Path) -> None:
    """In a process of its own, for the library remembers how it was set up."""
    code = "from wanbench.hooks.hook import open_hook; open_hook('wandb')"
    env = {"HOME": str(offline), "PATH": "", "WANDB_DIR": str(offline)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert "UsageError: --log-to wandb: No API key configured." in done.stderr, done.stderr
    allowed = "from wanbench.hooks.hook import open_hook; open_hook('wandb', offline=True)"
    done = subprocess.run([sys.executable, "-c", allowed], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr


def test_mlflow_without_a_store_is_refused_at_once(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    mlflow.set_tracking_uri(None)
    (offline / "mlruns").write_text("no folder")
    with pytest.raises(UsageError, match=r"the store file:.* cannot be used .*; set MLFLOW_TRACKING_URI"):
        open_hook("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UsageError, match=r"the store http://127\.0\.0\.1:9 cannot be used"):
        open_hook("mlflow")
    with pytest.raises(UsageError, match=r"on the network, which --offline forbids"):
        open_hook("mlflow", offline=True)


@pytest.mark.parametrize("library", ["wandb", "mlflow", "tensorboard"])
def test_a_missing_library_names_its_extra(library: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None\nfrom wanbench.hooks.hook import open_hook; open_hook({library!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    told = f"MissingDependency: --log-to {library} needs an optional library: pip install 'wanbench[{library}]'"
    assert told in done.stderr, done.stderr


def test_the_command_checks_before_work_and_a_failure_at_the_end_costs_nothing(clips: Path, offline: Path) -> None:
    command = Wanbench(offline, offline / "home")
    refused = command("score", clips, "--profile", "lite", "--out", "r", "--log-to", "nowhere")
    assert refused.code == 2
    assert "--log-to takes wandb" in refused.complaint
    assert not (offline / "r").exists()

    heard: list[str] = []
    spoilt = Listener(started=lambda _: spoil(offline / "board"), warning=heard.append)
    run = wanbench.score(clips, profile="lite", out="r", workers=1, log_to=["tensorboard:board"], listener=spoilt)
    assert run.info["status"] == "complete"
    assert (run.path / "report.html").exists()
    (warning,) = heard
    assert warning.startswith("the run is written, but logging it to tensorboard:board failed (")

    (offline / "board").unlink()
    ended = command("score", clips, "--profile", "lite", "--out", "r", "--log-to", "tensorboard:board", "--json")
    assert ended.code == 0
    assert ended.json["status"] == "complete", "nothing else is on standard output"
    assert [p.name for p in (offline / "board").iterdir()] == [e.id for e in entries(run)]


def spoil(folder: Path) -> None:
    """A file stands where the folder stood."""
    folder.rmdir()
    folder.write_text("in the way")


def test_a_file_that_cannot_be_decoded_any_more_is_told_and_the_rest_logged(
    run: Run, anew: Run, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is decoded in a process of its own, within limits."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from wanbench.hooks import tensorboard

    entry = entries(run)[1]
    broken = offline / "broken.mp4"
    broken.write_text("no video")
    samples = (replace(entry.samples[0], path=broken), *entry.samples[1:])
    open_hook("tensorboard:board").log(replace(entry, samples=samples))
    board = EventAccumulator(str(offline / "board" / entry.id)).Reload()
    assert board.Tags()["images"] == [f"samples/{s.name}" for s in entry.samples[1:]]
    (text,) = board.Tensors("config")
    assert f"| samples/{samples[0].name} | not shown: " in text.tensor_proto.string_val[0].decode()

    monkeypatch.setattr(tensorboard, "Limits", lambda: Limits(memory_bytes=1))
    open_hook("tensorboard:small").log(entry)
    board = EventAccumulator(str(offline / "small" / entry.id)).Reload()
    assert board.Tags()["images"] == []
    assert set(board.Tags()["scalars"]) == set(entry.scores)


def test_a_run_that_cannot_be_told_of_is_a_warning(run: Run, offline: Path) -> None:
    """Whatever happens after the run is written costs a warning."""
    heard: list[str] = []
    damaged = replace(run, info={**run.info, "methods": None})
    assert log_run(damaged, [open_hook("tensorboard:board")], heard.append) is damaged
    assert heard[0].startswith("the run is written, but logging it to tensorboard:board failed (AttributeError")


def test_nothing_is_imported_that_is_not_asked_for() -> None:
    code = "import wanbench.api, sys; print(sorted({'wandb', 'mlflow', 'tensorboard'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_an_entry_is_the_same_for_the_same_plan(run: Run, anew: Run) -> None:
    mine, theirs = entries(run), entries(anew)
    assert [e.id for e in mine] == [e.id for e in theirs]
    assert [e.config for e in mine] == [e.config for e in theirs]
    assert mine[0].digest != theirs[0].digest
    assert isinstance(mine[0], Entry)
