"""What of `--executor ray` needs no cluster: who is asked, how many work, and what Team and Crew do while a place is awaited."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from wanbench.decoding.process import Limits
from wanbench.errors import UsageError
from wanbench.evaluation import measuring, runner
from wanbench.evaluation.measuring import Ways
from wanbench.evaluation.runner import Team
from wanbench.evaluation.worker import Setup, Task
from wanbench.execution.child import ChildDied
from wanbench.execution.cluster import Cluster, Node, _reach
from wanbench.execution.executor import BESIDE_MAKER, MAKER, Executor, Hand, Local, Lost, Need

from ..cli.command import Wanbench, write_clips

SETUP = Setup(
    measured={}, folders={}, device="cpu", dtype="float32", batch_size=1, threads=1, limits=Limits(), evidence=None
)  # fmt: skip


def cluster(*nodes: tuple[int, int]) -> Cluster:
    """One that knows its nodes' (cores, GPUs) and is connected to nothing."""
    known = object.__new__(Cluster)
    known.version, known.nodes = "2", [Node(id=str(k), name=f"n{k}", cores=c, gpus=g) for k, (c, g) in enumerate(nodes)]
    return known


def test_how_many_work() -> None:
    plain, strong = cluster((8, 0), (8, 0), (4, 0)), cluster((4, 0), (32, 8), (32, 8))
    assert (plain.workers(networks=False, making=False), strong.workers(networks=False, making=True)) == (20, 68)
    assert (plain.workers(networks=True, making=False), plain.workers(networks=True, making=True)) == (3, 3)
    assert (strong.workers(networks=True, making=False), strong.workers(networks=True, making=True)) == (16, 2)
    assert (plain.threads(3), strong.threads(16), strong.threads(2)) == (4, 4, 32)
    assert (plain.makers("auto"), strong.makers("auto"), strong.makers("cpu")) == (["cpu"] * 3, ["cuda"] * 16, ["cpu"] * 3)
    assert str(strong) == "Ray 2: 3 nodes, 68 cores, 16 GPUs"


def test_devices_that_a_cluster_does_not_let_one_choose() -> None:
    for device in ("cuda:0", "mps", "cuda:0,cuda:1"):
        with pytest.raises(UsageError, match="Ray deals the GPUs"):
            cluster((4, 1)).require(device)
    with pytest.raises(UsageError, match="no node of the Ray cluster has a GPU"):
        cluster((4, 0)).require("cuda")


def test_makers_and_those_who_measure_beside_them_always_fit_and_makers_keep_apart() -> None:
    assert MAKER + BESIDE_MAKER <= 1 < 2 * MAKER


def test_ways() -> None:
    with pytest.raises(UsageError, match="unknown executor 'slurm'; known are local and ray"):
        Ways(executor="slurm")
    with pytest.raises(UsageError, match="--address names a cluster: give --executor ray with it"):
        Ways(address="10.0.0.1:6379")


def test_a_cluster_is_joined_once(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = []

    def connect(address: str | None) -> Cluster:
        joined.append(cluster((8, 0), (8, 0)))
        return joined[-1]

    monkeypatch.setattr(measuring, "connect", connect)
    ways = Ways(executor="ray", profile="lite")
    assert (ways.worker_count, ways.threads, ways.executor_name) == (16, 1, "Ray 2: 2 nodes, 16 cores, 0 GPUs")
    assert ways.devices("auto") == ["cpu", "cpu"]
    assert ways.cluster() is ways.cluster() is joined[0]
    assert len(joined) == 1


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "ray://head:10001", "local"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(UsageError, match="--address"):
        _reach(address)


def test_who_does_not_answer_as_a_head_is_left_soon() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(ConnectionError, match="refused"):
            _reach(f"127.0.0.1:{bound.getsockname()[1]}")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def http() -> None:
            caller, _ = server.accept()
            with caller:
                caller.recv(100)
                caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=http, daemon=True).start()
        with pytest.raises(ConnectionError, match="not the head of a cluster"):
            _reach(f"127.0.0.1:{server.getsockname()[1]}")


def test_no_cluster_is_one_line(tmp_path: Path) -> None:
    write_clips(tmp_path / "clips", 1)
    wanbench = Wanbench(tmp_path, tmp_path / "home")
    pytest.importorskip("ray")
    since = time.monotonic()
    ended = wanbench("score", "clips", "--profile", "lite", "--executor", "ray", "--address", "127.0.0.1:1")
    assert ended.code == 2
    assert ended.complaint.startswith(
        "wanbench: no Ray cluster could be joined at 127.0.0.1:1: Connection refused; start one with"
    )
    assert time.monotonic() - since < 60
    ended = wanbench("score", "clips", "--profile", "lite", "--address", "127.0.0.1:1")
    assert (ended.code, "--address names a cluster" in ended.complaint) == (2, True)


def test_without_ray_the_line_says_what_to_install(tmp_path: Path) -> None:
    write_clips(tmp_path / "clips", 1)
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "ray.py").write_text("raise ModuleNotFoundError('No module named ray')\n")
    wanbench = Wanbench(tmp_path, tmp_path / "home")
    for command in (("score", "clips"), ("run", "--model", "wan-tiny", "--suite", "smoke")):
        ended = wanbench(*command, "--profile", "lite", "--executor", "ray", env={"PYTHONPATH": str(blocked)})
        assert ended.code == 2
        assert ended.complaint == "wanbench: --executor ray needs an optional library: pip install 'wanbench[ray]'"


class _Awaiting:
    """A hand that has no machine."""

    placed = False

    def send(self, message: object) -> None:
        pass

    def receive(self) -> object:
        raise Lost("was lost with its node")

    def kill(self) -> None:
        pass


class _Full(Local):
    """Has room for so many; the rest waits, and is lost at once if it is to be."""

    def __init__(self, room: int, *, lost: int = 0) -> None:
        self.room, self.lost, self.started = room, lost, 0

    def start(self, target: str, environment: Mapping[str, str], need: Need) -> Hand:
        self.started += 1
        return super().start(target, environment, need) if self.room >= self.started - self.lost > 0 else _Awaiting()

    def speaking(self, hands: Sequence[Hand], seconds: float) -> Sequence[Hand]:
        found = list(super().speaking(hands, min(seconds, 0.1)))
        if self.lost >= self.started:
            found += [hand for hand in hands if isinstance(hand, _Awaiting)]
        return found


def work(executor: Executor, count: int) -> int:
    """Tasks that come back, of four; no file of theirs can be read, and no dimension is asked for."""
    tasks = deque(
        Task(number=k, path=Path("none"), candidate="c", video="none", sha256="", prompt=None, seed=None, dimensions={})
        for k in range(4)
    )
    with Team(SETUP, count, lambda facts: None, executor) as team:
        return len(list(team.results(tasks)))


def test_a_worker_that_awaits_a_machine_keeps_nobody_from_working(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "START_SECONDS", 30.0)
    assert work(_Full(room=1), count=3) == 4


def test_when_nobody_finds_a_machine_the_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "START_SECONDS", 0.3)
    with pytest.raises(UsageError, match="could not be started: it found no machine with room for it within"):
        work(_Full(room=0), count=2)


def test_a_node_that_is_lost_while_a_worker_starts_is_not_the_worker_s_fault() -> None:
    executor = _Full(room=1, lost=2)
    assert work(executor, count=1) == 4
    assert executor.started == 3


def test_lost_is_a_way_to_die() -> None:
    assert issubclass(Lost, ChildDied)
