"""`--executor ray`: workers on the nodes of a Ray cluster. Each is a child process of an actor, which relays its messages.

The worker, its protocol and its isolation are those of this machine (`execution.child`); an actor dies with its driver, and its
child with it. Messages are small and name files by path, so that every node must see the same files; that, and the version of
wanbench, is looked at on every node before any work.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from wanbench import __version__
from wanbench.errors import MissingDependency, OutputError, UsageError, WanbenchError
from wanbench.execution.child import Child, ChildDied
from wanbench.execution.executor import Hand, Lost, Need

ADDRESS = "RAY_ADDRESS"
"""Ray's own variable: the cluster, where `--address` does not name it."""
AUTO = "auto"
"""The cluster that this machine is a node of."""
CONNECT_SECONDS = 10.0
HEAD_SECONDS = 20.0
"""[ours] So long may the head be out of reach: a network that hiccups is no loss."""
HEED_SECONDS = 3.0
LOOK_SECONDS = 120.0
"""[ours] A task on every node that only looks for files: starting a Ray worker takes seconds, on a busy node tens of them."""
MESSAGE_BYTES = 16 * 1024**2
"""[ours] More than the texts of ten thousand long prompts, less than any clip's frames: what travels is paths, not videos."""
SLIVER = 0.01
"""[ours] Of a core: all that is booked for a maker, and what every other worker leaves of its cores. So makers find room where
every core measures, as on one machine, but not on a node that was given no core."""
PASSED_ON = ("WANBENCH_", "HF_", "OMP_", "MKL_")
"""Beginnings of the variables that workers find as they are here."""
LAST_WORDS = 300
"""Characters of Ray's explanations that are kept."""
SENDING, RECEIVING = "sending", "receiving"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""What a speaker of HTTP/2, and so of gRPC, opens with: RFC 9113, 3.4, with an empty SETTINGS frame (type 4)."""


def _ray() -> Any:
    """The library, whose own types do not know all that it takes."""
    import ray

    return ray


class ClusterLost(WanbenchError):
    """The head is gone: an interruption, after which the same command goes on."""

    exit_code = 130


class Relay:
    """The actor: on some node, a worker's process and the connection to it. Messages pass through as they are."""

    def __init__(self, target: str, environment: Mapping[str, str], folder: str) -> None:
        os.environ.pop("OMP_NUM_THREADS", None)  # Ray's guess, which would move the numbers of who did not ask for it
        os.chdir(folder)
        self._child = Child(target, environment)

    def where(self) -> str:
        """Ray's name of the node."""
        return str(_ray().get_runtime_context().get_node_id())

    def send(self, message: bytes) -> None:
        connection: Connection[Any, Any] = self._child.connection
        try:
            connection.send_bytes(message)
        except OSError:
            return  # its end is told, with the reason, where messages are received

    def receive(self) -> bytes | str:
        """The next message, or how the worker ended."""
        try:
            message = self._child.connection.recv_bytes()
        except (EOFError, OSError):
            return self._child.obituary()
        if len(message) > MESSAGE_BYTES:
            self._child.kill()
            return f"sent a message of {len(message) / 1e6:.0f} MB; on a cluster {MESSAGE_BYTES / 1e6:.0f} MB is the limit"
        return message


class RayHand:
    """A worker somewhere in the cluster."""

    def __init__(self, cluster: Cluster, actor: Any) -> None:
        self._cluster = cluster
        self._actor = actor
        self._where = actor.where.options(concurrency_group=SENDING).remote()
        self._node: str | None = None
        self._ask()

    def _ask(self) -> None:
        self.coming = self._actor.receive.options(concurrency_group=RECEIVING).remote()

    @property
    def placed(self) -> bool:
        """Whether a node had room for it."""
        ray = _ray()
        if self._node is None and ray.wait([self._where], timeout=0)[0]:
            try:
                self._node = ray.get(self._where)
            except ray.exceptions.RayError:
                return True  # its end is told where messages are received
        return self._node is not None

    def send(self, message: Any) -> None:
        """Raises `UsageError` for one that is too large to travel."""
        packed = pickle.dumps(message)
        if len(packed) > MESSAGE_BYTES:
            raise UsageError(
                f"a worker would have to be sent {len(packed) / 1e6:.0f} MB, and {MESSAGE_BYTES / 1e6:.0f} MB is the limit on a "
                "cluster: choose fewer prompts with --limit or --dimensions"
            )
        self._actor.send.options(concurrency_group=SENDING).remote(packed)

    def receive(self) -> Any:
        ray = _ray()
        try:
            message = ray.get(self.coming)
        except ray.exceptions.RayError as error:
            raise self._end(error) from error
        if isinstance(message, str):
            raise ChildDied(message)
        self._ask()
        return pickle.loads(message)

    def kill(self) -> None:
        if not self._cluster.lost:  # else nobody would hear it
            _ray().kill(self._actor)

    def _end(self, error: Exception) -> ChildDied:
        """The relay is gone, and nothing is known of the worker but that; or it never came to be."""
        ray = _ray()
        self._cluster.heed(grace_seconds=0.0)
        alive = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
        if "creation task" in str(error):
            return ChildDied(f"could not be placed ({_last_line(error)})")
        if self.placed and self._node not in alive:
            return Lost("was lost with its node")
        where = f" on {alive[self._node]}" if self._node in alive else ""
        return Lost(f"was lost{where} ({_last_line(error)})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A node that can be given work."""

    id: str
    name: str
    cores: int
    gpus: int


class Cluster:
    """An `Executor` on the cluster that this process is connected to."""

    def __init__(self) -> None:
        ray = _ray()
        self.version = ray.__version__
        self.nodes = _nodes()
        self.lost = False
        """Whether the head is gone."""
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        self._head = host.strip("[]"), int(port)
        self._looked = self._heard = time.monotonic()
        self._relay = ray.remote(concurrency_groups={SENDING: 1, RECEIVING: 1})(Relay)
        if not self.nodes:
            raise UsageError("no node of the Ray cluster has a core to work with: ray start --address=HEAD:6379 on some machine")

    @property
    def cores(self) -> int:
        return sum(node.cores for node in self.nodes)

    @property
    def gpus(self) -> int:
        return sum(node.gpus for node in self.nodes)

    def __str__(self) -> str:
        return f"Ray {self.version}: {len(self.nodes)} nodes, {self.cores} cores, {self.gpus} GPUs"

    def workers(self, networks: bool, making: bool) -> int:
        """How many measure: one a core; with networks one a GPU or, where there is none or makers hold them, one a node."""
        if not networks:
            return self.cores
        return self.gpus if self.gpus and not making else len(self._strong)

    def threads(self, workers: int) -> int:
        """Cores for each of so many workers with networks."""
        return max(1, min(node.cores for node in self._strong) // math.ceil(workers / len(self._strong)))

    @property
    def _strong(self) -> Sequence[Node]:
        """Nodes for networks: those with GPUs, where there are any."""
        return [node for node in self.nodes if node.gpus] or self.nodes

    def makers(self, device: str) -> Sequence[str]:
        """A device for each maker: every GPU there is; without GPUs, each node. Raises `UsageError`."""
        self.require(device)
        return ["cuda"] * self.gpus if self.gpus and device != "cpu" else ["cpu"] * len(self.nodes)

    def require(self, device: str) -> None:
        """Raises `UsageError` for a device that cannot be had."""
        if device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"--device {device} cannot be chosen on a cluster, where Ray deals the GPUs; give auto, cpu or cuda")
        if device == "cuda" and not self.gpus:
            raise UsageError("no node of the Ray cluster has a GPU: start one with ray start --num-gpus, or give --device cpu")

    def start(self, target: str, environment: Mapping[str, str], need: Need) -> Hand:
        gpu = math.floor(need.gpu * 10_000) / 10_000 if self.gpus else 0.0  # Ray counts in parts of ten thousand
        options: dict[str, Any] = {
            "num_cpus": max(SLIVER, need.cores - SLIVER),
            "num_gpus": gpu,
            "max_restarts": 0,  # who deals the work starts another, and knows what the lost one was doing
            "scheduling_strategy": "DEFAULT" if gpu else "SPREAD",
        }
        passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        if "WANBENCH_HOME" in passed:
            passed["WANBENCH_HOME"] = str(Path(passed["WANBENCH_HOME"]).expanduser().absolute())
        return RayHand(self, self._relay.options(**options).remote(target, {**passed, **environment}, str(Path.cwd())))

    def speaking(self, hands: Sequence[Hand], seconds: float) -> Sequence[Hand]:
        ray = _ray()
        self.heed(HEAD_SECONDS)
        coming = {hand.coming: hand for hand in hands if isinstance(hand, RayHand)}
        if not coming:
            time.sleep(seconds)
            return []
        ray.wait(list(coming), timeout=seconds)
        ready, _ = ray.wait(list(coming), num_returns=len(coming), timeout=0)  # all of them, so that none is heard before others
        return [coming[one] for one in ready]

    def heed(self, grace_seconds: float) -> None:
        """Raises `ClusterLost` when the head has not been there for so long; Ray would end the process with a code of its own."""
        if grace_seconds and time.monotonic() - self._looked < HEED_SECONDS:
            return
        try:
            socket.create_connection(self._head, timeout=HEED_SECONDS).close()
        except OSError as error:
            if time.monotonic() - self._heard >= grace_seconds:
                self.lost = True
                raise ClusterLost(
                    f"the head of the Ray cluster, {self._head[0]}:{self._head[1]}, is gone; what was made and measured is kept: "
                    "give the same command when it is there again"
                ) from error
        else:
            self._heard = time.monotonic()
        self._looked = time.monotonic()

    def look(self, run: Path, needed: Iterable[Path]) -> None:
        """Every node has this wanbench and sees the run, the working folder and what is `needed`. Raises `UsageError`."""
        ray = _ray()
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        with _probe(run) as probe:
            paths = [str(path) for path in (probe, Path.cwd(), *needed)]
            task = ray.remote(num_cpus=0, max_retries=1)(_looker())
            placed = {node: NodeAffinitySchedulingStrategy(node.id, soft=False) for node in self.nodes}
            answers = {node: task.options(scheduling_strategy=place).remote(__version__, paths) for node, place in placed.items()}
            ready, _ = ray.wait(list(answers.values()), num_returns=len(answers), timeout=LOOK_SECONDS)
            for node, answer in answers.items():
                if answer not in ready:
                    raise UsageError(f"node {node.name} of the Ray cluster gave no answer for {LOOK_SECONDS:.0f} s")
                try:
                    lack = ray.get(answer)
                except ray.exceptions.RayError as error:
                    raise UsageError(f"node {node.name} of the Ray cluster cannot be used: {_last_line(error)}") from error
                if lack:
                    raise UsageError(f"node {node.name} of the Ray cluster {lack.replace(str(probe), str(run))}")


def connect(address: str | None) -> Cluster:
    """The cluster at this address, else the one that RAY_ADDRESS names, else the one that this machine belongs to.

    Raises `UsageError`, `MissingDependency`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # else an address that is gone is waited for for minutes
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "600")  # when the head is gone, `heed` ends the command
    address = address or os.environ.get(ADDRESS) or AUTO
    try:
        with _signals_kept():
            ray = _ray()
            if not ray.is_initialized():
                _reach(address)
                ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False)
                # What nodes complain of goes to standard output, which carries results; it is in Ray's own logs too.
                ray._private.worker.print_to_stdstream = lambda *args, **kwargs: None
    except ImportError as error:
        raise MissingDependency("--executor ray", "ray") from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = "on this machine" if address == AUTO else f"at {address}"
        raise UsageError(
            f"no Ray cluster could be joined {where}: {_last_line(error)}; start one with `ray start --head`, "
            "join it here with `ray start --address=HEAD:6379`, and name it with --address"
        ) from error
    return Cluster()


def _reach(address: str) -> None:
    """Raises `UsageError` where nobody answers as Ray does: Ray itself would try for minutes."""
    if address == AUTO:
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise UsageError(f"--address takes HOST:PORT of the cluster's head, such as 10.0.0.1:6379, or auto, not {address!r}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS) as head:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return
            head.sendall(PREFACE)
            answer = head.recv(4)
    except (OSError, OverflowError) as error:
        raise ConnectionError(getattr(error, "strerror", None) or str(error)) from error
    if len(answer) < 4 or answer[3] != PREFACE[-6]:
        raise ConnectionError("what answers there is not the head of a cluster")


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself when it is joined: it is given back."""
    kept = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, kept)


@contextmanager
def _probe(run: Path) -> Iterator[Path]:
    """A file in the run directory that nobody has seen before."""
    path = run.absolute() / f".probe-{uuid.uuid4().hex}"
    try:
        path.touch()
    except OSError as error:
        raise OutputError(f"cannot write {run}: {error.strerror}") from error
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _looker() -> Any:
    """The task that looks: made anew, so that it travels as code to nodes that have no wanbench."""

    def look(version: str, paths: list[str]) -> str | None:
        from pathlib import Path

        try:
            import wanbench
        except ImportError:
            return f"has no wanbench: pip install 'wanbench[ray]=={version}' there"
        if wanbench.__version__ != version:
            return f"has wanbench {wanbench.__version__}, and here is {version}: they must be the same"
        for path in paths:
            if not Path(path).exists():
                return f"does not see {path}: it must lie on a file system that all nodes share"
        return None

    return look


def _nodes() -> list[Node]:
    """Those that are alive and have a core to give."""
    ray = _ray()

    found = []
    for node in ray.nodes():
        has = node["Resources"]
        if node["Alive"] and has.get("CPU", 0) >= 1:
            found.append(
                Node(id=node["NodeID"], name=node["NodeManagerHostname"], cores=int(has["CPU"]), gpus=int(has.get("GPU", 0)))
            )
    return sorted(found, key=lambda node: (node.name, node.id))


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:LAST_WORDS] if lines else type(error).__name__
