"""What is told before a run: time by a probe, memory by a sum, disk by a guess; and what ends the command there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from wanbench.errors import OutputError, UsageError
from wanbench.evaluation.commission import Commission, commission
from wanbench.evaluation.measuring import Ways
from wanbench.making import forecast as forecasting
from wanbench.making.choice import choose_maker, devices_of
from wanbench.making.forecast import forecast, note_rate
from wanbench.making.makers import MakerOptions
from wanbench.making.probe import host_bytes, probe
from wanbench.prompts.suite import load_suite

pytest.importorskip("torch")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commission:
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path / "home"))
    spec = choose_maker("wan-tiny", MakerOptions(steps=3, device="cpu"))
    return commission(spec, load_suite("smoke"), Ways(profile="lite", device="cpu"), devices=["cpu"], out=tmp_path / "r")


def test_time_is_operations_over_a_rate_until_a_video_was_made(asked: Commission) -> None:
    """Three steps of two passes; a video that was made here tells better."""
    found = forecast(asked)
    assert found.probed is not None
    half = probe(choose_maker("wan-tiny", MakerOptions(steps=3, guidance=1.0, device="cpu")), "cpu")
    assert half is not None
    assert half.operations == found.probed.operations / 2
    assert found.probed.operations % 6 == 0
    assert found.seconds_a_video == found.probed.operations / found.probed.operations_per_s
    assert any(line.startswith("time: at least") and "as probed" in line for line in found.lines())
    note_rate(asked.spec, "cpu", 12.5)
    again = forecast(asked)
    assert (again.seconds_a_video, again.probed) == (12.5, None)
    assert again.device_hours == pytest.approx(14 * 12.5 / 3600)
    assert any(line.startswith("time: about") and "as last time" in line for line in again.lines())


def test_a_model_that_memory_cannot_hold_is_told_before_any_work(asked: Commission, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = host_bytes(asked.spec, "cpu")
    assert needed is not None
    assert needed > 1_000_000
    monkeypatch.setattr(forecasting.psutil, "virtual_memory", lambda: SimpleNamespace(available=needed - 1))
    with pytest.raises(UsageError, match=r"wan-tiny needs about .* MB of memory on cpu, and .* MB are free: choose a smaller"):
        forecast(asked)
    monkeypatch.setattr(forecasting.psutil, "virtual_memory", lambda: SimpleNamespace(available=needed))
    assert forecast(asked).videos == 14


def test_what_is_there_already_is_not_counted(asked: Commission, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that only wants its report needs neither disk nor memory."""
    asked.shelf.folder.mkdir(parents=True)
    for request in asked.requests[:4]:
        asked.shelf.path(request).touch()
        asked.shelf.path(request).with_suffix(".json").touch()
    asked.shelf.path(asked.requests[4]).touch()  # without a sidecar: not finished
    note_rate(asked.spec, "cpu", 36.0)
    found = forecast(asked)
    assert (found.videos, found.finished, found.device_hours) == (14, 4, pytest.approx(0.1))
    assert found.disk_bytes == 10 * forecasting.BYTES_A_VIDEO
    assert "14 videos of 14 prompts (4 are there) on cpu" in next(iter(found.lines()))
    usage = SimpleNamespace(free=found.disk_bytes - 1)
    monkeypatch.setattr(forecasting.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match=r"10 videos may need 30 MB, and .* has 30 MB free"):
        forecast(asked)
    for request in asked.requests:
        asked.shelf.path(request).touch()
        asked.shelf.path(request).with_suffix(".json").touch()
    monkeypatch.setattr(forecasting.psutil, "virtual_memory", lambda: SimpleNamespace(available=1))
    assert forecast(asked).finished == 14


def test_a_store_that_cannot_be_written_is_told(asked: Commission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot write"):
        note_rate(asked.spec, "cpu", 1.0)


@pytest.mark.parametrize("wrong", [",", "", "gpu", "cuda:0,cuda:0", "cpu,", "cuda:x"])
def test_devices_are_named_or_refused(wrong: str) -> None:
    assert list(devices_of("cuda:0, cuda:2")) == ["cuda:0", "cuda:2"]
    assert list(devices_of("cpu,cpu")) == ["cpu", "cpu"]
    with pytest.raises(UsageError, match="--device"):
        devices_of(wrong)


def test_somebody_elses_model_is_not_counted() -> None:
    spec = choose_maker("command:./make.sh {prompt_file} {out}", MakerOptions())
    assert probe(spec, "cpu") is None
    assert host_bytes(spec, "cpu") is None
