"""Making a suite's videos with real processes: what is made once, made again, tried elsewhere and given up."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest

from wanbench.errors import UsageError
from wanbench.execution.executor import Hand, Local, Need
from wanbench.making import worker
from wanbench.making.choice import choose_maker
from wanbench.making.crew import Crew, Event, Finished, GivenUp, Stopped, Underway
from wanbench.making.makers import Maker, MakerOptions, MakerSpec, Tick
from wanbench.making.shelf import Request, Shelf, checksum, requests_for
from wanbench.prompts.suite import load_suite

SCRIPT = Path(__file__).parent / "maker.py"


@pytest.fixture
def spec(tmp_path: Path) -> MakerSpec:
    return choose_maker(
        f"command:{sys.executable} {SCRIPT} {{prompt_file}} {{out}} {{seed}} {tmp_path / 'marks'}", MakerOptions()
    )


def requests(tmp_path: Path, *texts: str, seeds: tuple[int, ...] = (0,)) -> list[Request]:
    path = tmp_path / "own.txt"
    path.write_text("".join(text + "\n" for text in texts))
    return requests_for(load_suite(str(path)), seeds, "en")


def made(tmp_path: Path) -> list[str]:
    marks = tmp_path / "marks"
    return marks.read_text().splitlines() if marks.exists() else []


def work(crew: Crew, asked: list[Request], limit: float = 300.0) -> list[Event]:
    """All events up to the end, those about steps left out."""
    crew.start(asked)
    seen: list[Event] = []
    until = time.monotonic() + limit
    while not seen or not isinstance(seen[-1], Stopped):
        assert time.monotonic() < until
        event = crew.events.get(timeout=limit)
        if not isinstance(event, Underway):
            seen.append(event)
    crew.end()
    return seen


def wait_for(there: Callable[[], object], limit: float = 60.0) -> None:
    until = time.monotonic() + limit
    while not there():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_videos_are_made_once_and_described(tmp_path: Path, spec: MakerSpec) -> None:
    asked = requests(tmp_path, "a fox", "a hen", seeds=(0, 7))
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    seen = work(Crew(spec, shelf, ["cpu", "cpu"]), asked)
    assert sorted(e.request.name for e in seen if isinstance(e, Finished)) == ["own-001-0", "own-001-7", "own-002-0", "own-002-7"]
    sidecar = json.loads((shelf.folder / "own-001-7.json").read_text())
    assert sidecar["prompt"] == "a fox"
    assert sidecar["sha256"] == checksum(shelf.folder / "own-001-7.mp4")
    assert (sidecar["seed"], sidecar["prompt_id"], sidecar["fingerprint"]) == (7, "own-001", spec.fingerprint)
    assert sidecar["size_HW"] == [48, 64]
    again = work(Crew(spec, shelf, ["cpu"]), asked)
    assert all(e.seconds is None for e in again if isinstance(e, Finished))
    assert len(made(tmp_path)) == 4


@pytest.mark.parametrize("spoil", ["truncated", "no sidecar", "torn sidecar", "gone"])
def test_a_broken_video_is_made_again_and_the_others_are_not(tmp_path: Path, spec: MakerSpec, spoil: str) -> None:
    asked = requests(tmp_path, "a fox", "a hen")
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    work(Crew(spec, shelf, ["cpu"]), asked)
    video, sidecar = shelf.folder / "own-001-0.mp4", shelf.folder / "own-001-0.json"
    whole = video.read_bytes()
    if spoil == "truncated":
        video.write_bytes(whole[:-9])
    elif spoil == "no sidecar":
        sidecar.unlink()
    elif spoil == "torn sidecar":
        sidecar.write_bytes(sidecar.read_bytes()[:-40])
    else:
        video.unlink()
    work(Crew(spec, shelf, ["cpu"]), asked)
    assert made(tmp_path) == ["a fox 0", "a hen 0", "a fox 0"]
    assert video.read_bytes() == whole


def test_what_fails_is_tried_three_times_and_the_rest_goes_on(tmp_path: Path, spec: MakerSpec) -> None:
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    seen = work(Crew(spec, shelf, ["cpu", "cpu"]), requests(tmp_path, "this fails", "this once-fails", "this lies", "a hen"))
    given_up = {e.request.text: e.reason for e in seen if isinstance(e, GivenUp)}
    assert given_up.keys() == {"this fails", "this lies"}
    assert given_up["this fails"].startswith("could not be made, 3 times: ")
    assert given_up["this fails"].endswith("ended with exit code 5: a last word")
    assert "no video was written" in given_up["this lies"]
    assert {e.request.text for e in seen if isinstance(e, Finished)} == {"this once-fails", "a hen"}
    assert made(tmp_path).count("this fails 0") == 3
    assert not list(shelf.folder.glob(".*"))


def test_what_failed_everywhere_is_tried_again_though_all_are_idle(tmp_path: Path, spec: MakerSpec) -> None:
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    seen = work(Crew(spec, shelf, ["cpu", "cpu"]), requests(tmp_path, "this fails", "a hen"))
    assert [e.request.text for e in seen if isinstance(e, GivenUp)] == ["this fails"]
    assert made(tmp_path).count("this fails 0") == 3


def never_opens(connection: Connection[Any, Any]) -> None:
    """A maker that loads and loads."""
    connection.recv()
    time.sleep(3600)


def breaks(connection: Connection[Any, Any]) -> None:
    """A model that an unforeseen error breaks for good: after it, nothing can be made in this process."""
    broken = False
    open_as_ever = worker.open_maker

    class Breaking:
        notes = ()

        def __init__(self, maker: Maker) -> None:
            self.maker = maker

        def make(self, request: Request, path: Path, tick: Tick) -> Mapping[str, Any]:
            nonlocal broken
            broken = broken or "breaks" in request.text
            if broken:
                raise RuntimeError("device-side assert triggered")
            return self.maker.make(request, path, tick)

    def open_maker(spec: MakerSpec, device: str, texts: Sequence[str]) -> Maker:
        return Breaking(open_as_ever(spec, device, texts))

    worker.open_maker = open_maker  # type: ignore[assignment]
    worker.serve(connection)


def opens_once(connection: Connection[Any, Any]) -> None:
    """A model that can be opened once, and no more: it is refused, or its process dies."""
    before = Path(os.environ["WANBENCH_TEST_MARK"])
    try:
        before.touch(exist_ok=False)
    except FileExistsError:
        connection.recv()
        if os.environ["WANBENCH_TEST_END"] == "refused":
            connection.send(worker.Unopened(reason="the folder of the model is gone"))
            return
        os._exit(7)
    worker.serve(connection)


class Started(Local):
    """Runs a function of this file in every maker's process."""

    def __init__(self, function: Callable[[Connection[Any, Any]], None], **environment: str) -> None:
        self.count = 0
        self._target = f"test_crew:{function.__name__}"
        self._environment = environment

    def start(self, target: str, environment: Mapping[str, str], need: Need) -> Hand:
        self.count += 1
        return super().start(self._target, {**self._environment, "PYTHONPATH": str(Path(__file__).parent)}, need)


def test_an_error_that_nobody_foresaw_costs_no_other_video(tmp_path: Path, spec: MakerSpec) -> None:
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    started = Started(breaks)
    seen = work(Crew(spec, shelf, ["cpu"], executor=started), requests(tmp_path, "this breaks", "a fox", "a hen", "a cat"))
    assert {e.request.text: e.reason for e in seen if isinstance(e, GivenUp)} == {
        "this breaks": "could not be made, 3 times: RuntimeError: device-side assert triggered"
    }
    assert {e.request.text for e in seen if isinstance(e, Finished)} == {"a fox", "a hen", "a cat"}
    assert sorted(made(tmp_path)) == ["a cat 0", "a fox 0", "a hen 0"], "each at its first try"
    assert started.count == 3, "one that broke is replaced as long as there is something to make"


@pytest.mark.parametrize(("end", "says"), [("refused", "it said: the folder of the model is gone"), ("died", "exit code 7")])
def test_what_is_left_is_given_up_when_no_maker_can_be_replaced(tmp_path: Path, spec: MakerSpec, end: str, says: str) -> None:
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    started = Started(opens_once, WANBENCH_TEST_MARK=str(tmp_path / "mark"), WANBENCH_TEST_END=end)
    crew = Crew(spec, shelf, ["cpu"], executor=started)
    asked = requests(tmp_path, "a fox", "this hangs", "a hen")
    crew.start(asked)
    wait_for(lambda: "this hangs 0" in made(tmp_path))
    (process,) = (p for p in psutil.Process().children() if "test_crew:opens_once" in p.cmdline())
    process.kill()
    seen: list[Event] = []
    while not seen or not isinstance(seen[-1], Stopped):
        seen.append(crew.events.get(timeout=60))
    crew.end()
    assert seen[-1] == Stopped(error=None)
    assert [e.request.text for e in seen if isinstance(e, Finished)] == ["a fox"]
    given_up = {e.request.text: e.reason for e in seen if isinstance(e, GivenUp)}
    assert given_up.keys() == {"this hangs", "a hen"}
    assert all(f"the model {spec.name} could not be started on cpu: it " in reason for reason in given_up.values())
    assert all(says in reason for reason in given_up.values())
    assert started.count == 4, "one, and three that were to replace it"


@pytest.mark.parametrize(("end", "says"), [("refused", "the folder of the model is gone"), ("died", "exit code 7")])
def test_a_model_that_cannot_be_started_to_begin_with_is_wrong_use(
    tmp_path: Path, spec: MakerSpec, end: str, says: str
) -> None:  # fmt: skip
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    (tmp_path / "mark").touch()
    started = Started(opens_once, WANBENCH_TEST_MARK=str(tmp_path / "mark"), WANBENCH_TEST_END=end)
    (stopped,) = work(Crew(spec, shelf, ["cpu"], executor=started), requests(tmp_path, "a fox"))
    assert isinstance(stopped, Stopped)
    assert isinstance(stopped.error, UsageError)
    assert says in str(stopped.error)
    assert started.count == 1


def test_a_crew_that_still_loads_is_ended_at_once(tmp_path: Path, spec: MakerSpec) -> None:
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    crew = Crew(spec, shelf, ["cpu"], executor=Started(never_opens))
    crew.start(requests(tmp_path, "a fox"))
    time.sleep(0.2)
    ending = threading.Thread(target=crew.end)
    ending.start()
    ending.join(timeout=30)
    assert not ending.is_alive()


def test_a_maker_that_is_killed_is_replaced(tmp_path: Path, spec: MakerSpec) -> None:
    asked = requests(tmp_path, *(f"prompt {n}" for n in range(4)))
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    crew = Crew(spec, shelf, ["cpu"])
    crew.start(asked)
    first = crew.events.get(timeout=60)
    assert isinstance(first, Finished | Underway)
    children = [p for p in psutil.Process().children() if "wanbench.making.worker" in " ".join(p.cmdline())]
    os.kill(children[0].pid, signal.SIGKILL)
    seen: list[Event] = [first]
    while not isinstance(seen[-1], Stopped):
        seen.append(crew.events.get(timeout=60))
    crew.end()
    assert {e.request.name for e in seen if isinstance(e, Finished)} == {r.name for r in asked}


def test_what_a_command_started_ends_with_the_crew(tmp_path: Path) -> None:
    """A shell script that starts another process, and waits for it."""
    script = tmp_path / "make.sh"
    script.write_text(f"#!/bin/sh\nsleep 3600 &\necho $! > {tmp_path / 'pid'}\nwait\n")
    script.chmod(0o755)
    spec = choose_maker(f"command:{script} {{prompt_file}} {{out}}", MakerOptions())
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    crew = Crew(spec, shelf, ["cpu"])
    crew.start(requests(tmp_path, "a fox"))
    until = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < until
        time.sleep(0.02)
    sleeper = psutil.Process(int((tmp_path / "pid").read_text()))
    crew.end()
    _, alive = psutil.wait_procs([sleeper], timeout=10)
    assert not alive


def test_a_command_ends_with_its_maker(tmp_path: Path, spec: MakerSpec) -> None:
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    crew = Crew(spec, shelf, ["cpu"])
    crew.start(requests(tmp_path, "this hangs"))
    wait_for(lambda: made(tmp_path))
    (maker,) = (p for p in psutil.Process().children() if "wanbench.making.worker" in " ".join(p.cmdline()))
    (command,) = maker.children()
    maker.kill()
    _, alive = psutil.wait_procs([command], timeout=10)
    crew.end()
    assert not alive


def test_a_video_that_takes_too_long_is_given_up(tmp_path: Path, spec: MakerSpec) -> None:
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    work(Crew(spec, shelf, ["cpu"]), requests(tmp_path, "a hen"))  # however long that takes here
    seen = work(Crew(spec, shelf, ["cpu", "cpu"], video_seconds=1.5), requests(tmp_path, "a hen", "this hangs"))
    reason = next(e.reason for e in seen if isinstance(e, GivenUp))
    assert "did not finish within 1.5 s" in reason
    assert [e.request.text for e in seen if isinstance(e, Finished)] == ["a hen"]


def test_another_models_videos_are_not_taken_for_ones_own(tmp_path: Path, spec: MakerSpec) -> None:
    asked = requests(tmp_path, "a fox")
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    work(Crew(spec, shelf, ["cpu"]), asked)
    other = work(Crew(spec, Shelf(shelf.folder, "another"), ["cpu"]), asked)
    assert isinstance(other[-1], Stopped)
    assert isinstance(other[-1].error, UsageError)
    assert "was made with another model or other settings" in str(other[-1].error)


@pytest.mark.parametrize("end", ["ended", "timed out"])
@pytest.mark.parametrize("name", ["own", "a-name-of-a-prompt-that-is-longer-than-forty-letters"])
def test_a_maker_that_is_cut_while_it_writes_leaves_no_half_video(tmp_path: Path, spec: MakerSpec, end: str, name: str) -> None:
    """Not even the encoder's own temporary file, which lies beside the one that was asked for."""
    (tmp_path / "own.jsonl").write_text(json.dumps({"id": name, "dimension": "camera_control", "text": "this stalls"}) + "\n")
    shelf = Shelf(tmp_path / "v", spec.fingerprint)
    shelf.folder.mkdir()
    crew = Crew(spec, shelf, ["cpu"], video_seconds=600.0)
    crew.start(requests_for(load_suite(str(tmp_path / "own.jsonl")), (0,), "en"))
    wait_for(lambda: list(shelf.folder.iterdir()))
    if end == "timed out":
        crew._video_seconds = 0.1
        while not isinstance(crew.events.get(timeout=60), Stopped):
            pass
    crew.end()
    assert list(shelf.folder.iterdir()) == []
