"""Dealing tasks to workers: real child processes that answer, die or hang as their task tells them."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from pathlib import Path

import pytest

from wanbench.errors import UsageError
from wanbench.evaluation import runner
from wanbench.evaluation.runner import ATTEMPTS, IN_HAND, Team
from wanbench.evaluation.worker import Done, Ready, Refused, Setup, Started, Task
from wanbench.execution.executor import Local

HERE = Path(__file__)


def obedient(connection):
    """A worker that does what the task's path says; its setup says whether it starts at all."""
    setup = connection.recv()
    if setup.device == "refused":
        connection.send(Refused(reason="this device is not here"))
        return
    if setup.device == "dies":
        os._exit(7)
    if setup.device.startswith("once:"):  # it starts once, and what is to replace it is refused, or dies
        _, how, mark = setup.device.split(":")
        if Path(mark).exists():
            if how == "dies":
                os._exit(7)
            connection.send(Refused(reason="this device is not here"))
            return
        Path(mark).touch()
    connection.send(Ready(environment={"device": setup.device}))
    while True:
        task = connection.recv()
        connection.send(Started(number=task.number))
        word, _, where = task.video.partition(":")
        if word == "die" or (word == "once" and not Path(where).exists()):
            Path(where).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "exit":
            print("a last word")
            os._exit(3)
        while word == "until" and not Path(where).exists():
            time.sleep(0.02)
        if word == "hang":
            time.sleep(3600)
        connection.send(Done(number=task.number, measurements=(), picture_failure=None))


def setup(device="cpu"):
    return Setup(measured={}, folders={}, device=device, dtype="float32", batch_size=1, threads=1,
                 limits=None, evidence=None)  # type: ignore[arg-type]  # fmt: skip


def tasks(*words):
    return deque(
        Task(
            number=k,
            path=HERE,
            candidate="c",
            video=word,
            sha256=str(k),
            prompt=None,
            seed=None,
            dimensions={"camera_control": False},
        )
        for k, word in enumerate(words)
    )


class Obedient(Local):
    """Runs `obedient` in every worker."""

    def __init__(self):
        self.started = []

    def start(self, target, environment, need):
        self.started.append(super().start("test_runner:obedient", {**environment, "PYTHONPATH": str(HERE.parent)}, need))
        return self.started[-1]


@pytest.fixture
def deal(monkeypatch):
    """Number -> reason of failure or None, in the order of arrival."""
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.05)

    def run(pending, count=1, device="cpu"):
        executor = Obedient()
        with Team(setup(device), count, lambda environment: None, executor) as team:
            seen = [(d.number, d.measurements[0].reason if d.measurements else None) for d in team.results(pending)]
        assert all(not Path(f"/proc/{child.pid}").exists() for child in executor.started)
        return seen

    return run


@pytest.mark.parametrize("count", [1, 3])
def test_every_task_is_done_once(deal, count):
    assert sorted(deal(tasks(*["do"] * 20), count)) == [(k, None) for k in range(20)]


def test_a_task_that_fails_once_is_done_by_another(deal, tmp_path):
    assert sorted(deal(tasks("do", f"once:{tmp_path / 'mark'}", "do", "do"))) == [(k, None) for k in range(4)]


@pytest.mark.parametrize(
    ("word", "how"), [("die", "was killed by SIGKILL"), ("exit", "ended with exit code 3 (a last word)")]
)  # fmt: skip
def test_a_task_that_fails_twice_is_given_up_and_the_others_done(deal, word, how):
    seen = dict(deal(tasks("do", f"{word}:/dev/null", *["do"] * (IN_HAND + 1)), 2))
    assert seen.pop(1) == f"crashed the worker process, {ATTEMPTS} times: it {how}"
    assert seen == {k: None for k in range(IN_HAND + 3) if k != 1}


def test_all_tasks_may_fail(deal):
    assert sorted(number for number, reason in deal(tasks(*["die:/dev/null"] * 3), 2) if reason) == [0, 1, 2]


def test_a_task_that_hangs_is_given_up(deal, monkeypatch):
    monkeypatch.setattr(runner, "TASK_SECONDS", 0.3)
    seen = dict(deal(tasks("hang", "do")))
    assert seen[1] is None
    assert "did not finish within" in seen[0]


def test_a_worker_that_cannot_start_ends_the_command(deal):
    with pytest.raises(UsageError, match="this device is not here"):
        deal(tasks("do"), device="refused")
    with pytest.raises(UsageError, match="a worker process could not be started: it ended with exit code 7"):
        deal(tasks("do"), device="dies")


REFUSED = "it said: this device is not here"
DIED = "it ended with exit code 7"


@pytest.mark.parametrize(("how", "says"), [("refused", REFUSED), ("dies", DIED)])
def test_what_is_left_are_errors_when_no_worker_can_be_replaced(deal, tmp_path, how, says):
    seen = deal(tasks("do", "die:/dev/null", "do", "do"), device=f"once:{how}:{tmp_path / 'mark'}")
    assert seen[0] == (0, None)
    assert sorted(number for number, _ in seen) == [0, 1, 2, 3]
    assert {reason for _, reason in seen[1:]} == {f"a worker process could not be started: {says}"}


def test_what_is_made_when_nobody_is_left_to_measure_it_is_an_error_too(tmp_path):
    """Making goes on: videos stay, and the same command measures them."""
    first, *later = tasks("die:/dev/null", "do", "do")
    pending, seen = deque([first]), []

    class Making:
        total, open = 3, True

        def admit(self):
            """A video comes when the one before it is dealt with."""
            if later and len(seen) == 3 - len(later):
                pending.append(later.pop(0))
                self.open = bool(later)

    source = Making()
    with Team(setup(f"once:refused:{tmp_path / 'mark'}"), 1, lambda environment: None, Obedient()) as team:
        for done in team.results(pending, source, source.admit):
            seen.append((done.number, done.measurements[0].reason))
    assert seen == [(number, f"a worker process could not be started: {REFUSED}") for number in range(3)]


class Two(Obedient):
    """The first two workers start, and no other."""

    def __init__(self, marks):
        super().__init__()
        self._marks = marks

    def start(self, target, environment, need):
        if len(self.started) < 2:
            return super().start(target, environment, need)
        environment = {**environment, "PYTHONPATH": str(HERE.parent), "WANBENCH_TEST_MARK": f"{self._marks}-{len(self.started)}"}
        self.started.append(Local.start(self, "test_runner:dying", environment, need))
        return self.started[-1]


def dying(connection):
    Path(os.environ["WANBENCH_TEST_MARK"]).touch()
    os._exit(7)


def test_others_go_on_without_one_that_cannot_be_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.05)
    executor, pending = Two(tmp_path / "mark"), tasks(f"once:{tmp_path / 'died'}", f"until:{tmp_path / 'mark-4'}", *["do"] * 10)
    with Team(setup(), 2, lambda environment: None, executor) as team:
        seen = {d.number: d.measurements for d in team.results(pending)}
    assert seen == dict.fromkeys(range(12), ())
    assert len(executor.started) == 5, "two, and three tries to replace one"
