"""`--executor ray` on a real cluster of two nodes on this machine: the same record, a node lost, an end without left-overs."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from wanbench.errors import UsageError
from wanbench.execution.child import ChildDied
from wanbench.execution.cluster import MESSAGE_BYTES, Cluster, connect
from wanbench.execution.executor import Hand, Lost, Need

from ..cli.command import Wanbench, end, info, lines, summary, untimed, write_clips
from .ray_nodes import Nodes, lose, nodes, relays, until, workers

pytestmark = pytest.mark.full
RUN = ("run", "--model", "wan-tiny", "--suite", "smoke", "--limit", "6", "--profile", "lite", "--device", "cpu")
ECHO = "ray_nodes:echo"
HERE = {"PYTHONPATH": str(Path(__file__).parent)}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    """Two nodes of one core."""
    with nodes() as started:
        started.join()
        yield started


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def local(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as this machine makes it."""
    folder = tmp_path_factory.mktemp("local")
    assert Wanbench(folder, home)(*RUN, "--out", "r").code == 0
    return folder / "r"


@pytest.fixture
def joined(cluster: Nodes) -> Iterator[Cluster]:
    """This process as a driver."""
    import ray

    yield connect(cluster.address)
    ray.shutdown()


def children(cluster: Nodes) -> list[psutil.Process]:
    started = [psutil.Process(p.pid) for p in cluster._started if p.poll() is None]
    return [p for node in started for p in (*relays(node), *workers(node))]


def answer(executor: Cluster, hand: Hand, seconds: float = 60.0) -> Any:
    assert executor.speaking([hand], seconds)
    return hand.receive()


def test_a_run_that_loses_a_node_in_the_middle_ends_as_the_local_one(local: Path, home: Path, tmp_path: Path) -> None:
    with nodes() as started:
        victim = started.join()
        process = Wanbench(tmp_path, home).start(*RUN, "--executor", "ray", "--address", started.address, "--out", "r")
        until(lambda: len(workers(victim)) >= 2 and list((tmp_path / "r" / "videos").glob("*/*.mp4")))
        lose(victim)
        assert len(lines(tmp_path / "r")) < len(lines(local))  # there was something left to lose
        since = time.monotonic()
        ended = end(process)
        print(f"ended {time.monotonic() - since:.0f} s after the node was lost")
    assert ended.code == 0, ended.err
    assert untimed(tmp_path / "r") == untimed(local)
    assert (tmp_path / "r" / "summary.json").read_bytes() == (local / "summary.json").read_bytes()
    assert info(tmp_path / "r")["plan"]["hash"] == info(local)["plan"]["hash"]
    assert info(tmp_path / "r")["environment"]["executor"].startswith("Ray ")
    assert not list((tmp_path / "r").glob(".probe*"))


def test_without_its_head_a_run_ends_as_interrupted_and_goes_on_elsewhere(local: Path, home: Path, tmp_path: Path) -> None:
    wanbench = Wanbench(tmp_path, home)
    with nodes() as started:
        process = wanbench.start(*RUN, "--executor", "ray", "--address", started.address, "--out", "r", "-q")
        until(lambda: list((tmp_path / "r" / "videos").glob("*/*.mp4")))
        there = workers(started.head)
        lose(started.head)
        ended = end(process)
        until(lambda: not any(p.is_running() for p in there), 20)
    assert ended.code == 130
    assert "is gone; what was made and measured is kept" in ended.err
    assert wanbench(*RUN, "--out", "r").code == 0
    assert summary(tmp_path / "r") == summary(local)


def test_scores_are_those_of_the_local_run(cluster: Nodes, home: Path, tmp_path: Path) -> None:
    write_clips(tmp_path / "clips", 6)
    wanbench = Wanbench(tmp_path, home)
    assert wanbench("score", "clips", "--profile", "lite", "--out", "l").code == 0
    ended = wanbench(
        "score", "clips", "--profile", "lite", "--out", "r", "--executor", "ray", "--address", cluster.address, "--json"
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.json["summary"] == summary(tmp_path / "l")
    assert untimed(tmp_path / "r") == untimed(tmp_path / "l")
    assert info(tmp_path / "r")["environment"]["workers"] == 2
    until(lambda: not children(cluster), 20)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupt_leaves_nothing_behind_and_a_run_that_goes_on(
    cluster: Nodes, local: Path, home: Path, tmp_path: Path, how: signal.Signals
) -> None:
    wanbench, command = Wanbench(tmp_path, home), (*RUN, "--executor", "ray", "--address", cluster.address, "--out", "r")
    process = wanbench.start(*command)
    until(lambda: lines(tmp_path / "r") and len(children(cluster)) >= 4)
    there = children(cluster)
    process.send_signal(how)
    ended = end(process)
    assert ended.code == (-how if how == signal.SIGKILL else 130)
    until(lambda: not any(p.is_running() for p in there), 20)
    assert not children(cluster)
    if how != signal.SIGKILL:  # on the cluster, and on this machine alone
        resumed = command if how == signal.SIGTERM else (*RUN, "--out", "r")
        assert wanbench(*resumed).code == 0
        assert summary(tmp_path / "r") == summary(local)


def test_a_worker_s_end_is_told_with_its_last_word_and_a_lost_node_as_such(cluster: Nodes, joined: Cluster) -> None:
    hand = joined.start(ECHO, HERE, Need())
    hand.send("good day")
    assert answer(joined, hand)[0] == "good day"
    assert hand.placed
    hand.send("die")
    with pytest.raises(ChildDied, match=r"exit code 1 \(a last word\)") as told:
        answer(joined, hand)
    assert not isinstance(told.value, Lost)
    hand.kill()
    hand = joined.start(ECHO, HERE, Need())
    hand.send("good day")
    assert answer(joined, hand)[0] == "good day"
    next(p for p in children(cluster) if "Relay" in p.cmdline()[0]).kill()
    with pytest.raises(Lost, match=f"was lost on {socket.gethostname()}"):
        answer(joined, hand)
    until(lambda: not children(cluster), 20)


def test_all_who_speak_are_heard(joined: Cluster) -> None:
    hands = [joined.start(ECHO, HERE, Need()) for _ in range(2)]
    for hand in hands:
        hand.send("good day")
        hand.send("good night")
    until(lambda: len(joined.speaking(hands, 0.1)) == 2)
    assert [hand.receive()[0] for hand in hands] == ["good day"] * 2
    assert [answer(joined, hand)[0] for hand in hands] == ["good night"] * 2
    for hand in hands:
        hand.kill()


def test_who_finds_no_room_waits_until_there_is_some(cluster: Nodes, joined: Cluster) -> None:
    hands = [joined.start(ECHO, HERE, Need()) for _ in range(3)]
    until(lambda: sum(hand.placed for hand in hands) == 2)
    waiting = next(hand for hand in hands if not hand.placed)
    waiting.send("good day")
    assert not joined.speaking([waiting], 1.0)
    next(hand for hand in hands if hand is not waiting).kill()
    assert answer(joined, waiting)[0] == "good day"
    maker = joined.start(ECHO, HERE, Need(cores=0))  # finds room where every core is taken
    maker.send("good day")
    assert answer(joined, maker)[0] == "good day"
    for hand in (*hands, maker):
        hand.kill()
    until(lambda: not children(cluster), 20)


def test_videos_do_not_travel(joined: Cluster) -> None:
    hand = joined.start(ECHO, HERE, Need())
    with pytest.raises(UsageError, match="limit on a cluster"):
        hand.send(bytes(MESSAGE_BYTES + 1))
    hand.send(MESSAGE_BYTES + 1)
    with pytest.raises(ChildDied, match="sent a message of 17 MB"):
        answer(joined, hand)
    hand.kill()


def test_gpus_are_shared_by_a_maker_and_those_who_measure_and_by_no_two_makers(home: Path, tmp_path: Path) -> None:
    """GPUs that Ray is told of, and are not there: what is tested is who is dealt which."""
    import ray

    from wanbench.execution.executor import BESIDE_MAKER, MAKER

    with nodes() as started:
        started.join("--num-cpus=4", "--num-gpus=2")
        executor = connect(started.address)
        try:
            assert (executor.gpus, executor.cores) == (2, 5)
            assert executor.makers("auto") == ["cuda", "cuda"]
            assert executor.makers("cpu") == ["cpu", "cpu"]
            makers = [executor.start(ECHO, HERE, Need(cores=0, gpu=MAKER)) for _ in range(2)]
            scorers = [executor.start(ECHO, HERE, Need(cores=1, gpu=BESIDE_MAKER / 3)) for _ in range(3)]
            for hand in (*makers, *scorers):
                hand.send("where?")
            assert sorted(answer(executor, hand)[1] for hand in makers) == ["0", "1"]
            assert all(answer(executor, hand)[1] in ("0", "1") for hand in scorers)
        finally:
            ray.shutdown()


def test_a_node_that_does_not_see_the_files_is_named(joined: Cluster, tmp_path: Path) -> None:
    joined.look(tmp_path, [tmp_path])
    with pytest.raises(UsageError, match=rf"node {socket.gethostname()} .* does not see /nowhere: it must lie on a file system"):
        joined.look(tmp_path, [Path("/nowhere")])
    assert not list(tmp_path.iterdir())


def test_another_version_is_refused(joined: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wanbench.execution.cluster.__version__", "0.0.1")
    with pytest.raises(UsageError, match=r"has wanbench \S+, and here is 0\.0\.1: they must be the same"):
        joined.look(tmp_path, [])


def test_wrong_use_is_told_in_one_line(cluster: Nodes, home: Path, tmp_path: Path) -> None:
    write_clips(tmp_path / "clips", 1)
    score = ("score", "clips", "--profile", "lite", "--executor", "ray", "--address", cluster.address)
    ended = Wanbench(tmp_path, home)(*score, "--device", "cuda")
    assert (ended.code, "no node of the Ray cluster has a GPU" in ended.complaint) == (2, True)
    ended = Wanbench(tmp_path, home)(*score, "--device", "cuda:1")
    assert (ended.code, "Ray deals the GPUs" in ended.complaint) == (2, True)
