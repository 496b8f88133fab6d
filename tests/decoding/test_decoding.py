"""The decoder as a process: what it costs, and that a file which kills, stops or bloats it costs only itself."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import wanbench
from wanbench.decoding.prepare import prepare
from wanbench.decoding.process import Decoder, Limits
from wanbench.errors import UndecodableVideo
from wanbench.execution.child import Child, ChildDied

from ..footage import file, moving, repeat_packets

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and limits address space, which are Linux's")


@contextlib.contextmanager
def decoder(*lines: int, **limits: float) -> Iterator[Decoder]:
    made = Decoder(lines, Limits(**limits))  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "wanbench.decoding.process:serve" in " ".join(p.cmdline())]


def the_child() -> psutil.Process:
    (child,) = children()
    return child


def peak_mib(process: psutil.Process) -> float:
    """The most memory that the process ever held, as the kernel counts it."""
    status = Path(f"/proc/{process.pid}/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return file(tmp_path_factory.mktemp("small") / "small.mp4", moving(12))


def test_the_process_gives_what_decoding_here_gives(small: Path) -> None:
    here = prepare(small, [64, 480])
    with decoder(64, 480) as made:
        there = made.take(small)
    assert there.facts == here.facts
    assert np.array_equal(there.frames, here.frames)
    assert np.array_equal(there.thumbnails, here.thumbnails)
    assert np.array_equal(there.times, here.times)
    assert np.array_equal(there.grid, here.grid)
    assert there.views.keys() == here.views.keys() == {64, 480}
    assert all(np.array_equal(there.views[n], here.views[n]) for n in here.views)
    assert not there.frames.flags.writeable  # one dimension cannot spoil another's frames


def test_clips_outlive_their_decoder(small: Path) -> None:
    with decoder() as made:
        first, second = made.take(small), made.take(small)
        before = int(first.frames.sum())
    assert int(first.frames.sum()) == int(second.frames.sum()) == before


def test_asking_ahead(small: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    with decoder() as made:
        for path in (small, bad, small):
            made.ask(path)
            made.ask(path)
            if path == bad:
                with pytest.raises(UndecodableVideo, match="not a video"):
                    made.take(path)
            else:
                assert made.take(path).facts.frames_decoded == 12


# ---- memory


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds of 1080p."""
    folder = tmp_path_factory.mktemp("large")
    frames = moving(4, (1080, 1920))
    return repeat_packets(file(folder / "0.mp4", frames, fps=4, codec_options={"preset": "ultrafast"}), folder / "10s.mp4", 10)


@linux_only
@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_memory_does_not_grow_with_length(large: Path, tmp_path: Path, extension: str) -> None:
    """Twenty minutes need no more than ten seconds, within a tenth; measured in the real process by the kernel."""
    peaks = {}
    for turns in (1, 120):
        path = repeat_packets(large, tmp_path / f"{turns}.{extension}", turns)
        with decoder(480) as made:
            clip = made.take(path)
            peaks[turns] = peak_mib(the_child())
        assert clip.facts.duration_seconds == pytest.approx(10 * turns, abs=0.3)
        assert len(clip.grid) == 21
    assert peaks[120] < 1.1 * peaks[1], peaks


@linux_only
def test_memory_over_many_clips(small: Path) -> None:
    """The fortieth clip needs no more than the fifth."""
    with decoder(480) as made:
        for _ in range(5):
            made.take(small)
        early = peak_mib(the_child())
        for _ in range(35):
            made.take(small)
        assert peak_mib(the_child()) < 1.05 * early + 2


def gif_claiming(path: Path, height: int, width: int) -> Path:
    """A whole GIF with one tiny image on a canvas of the claimed size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    image = b"\x2c" + struct.pack("<HHHHB", 0, 0, 2, 2, 0) + b"\x02\x02\x44\x01\x00"
    path.write_bytes(screen + image + b"\x3b")
    return path


def mp4_claiming(path: Path, source: Path, height: int, width: int) -> Path:
    data = bytearray(source.read_bytes())
    struct.pack_into(">HH", data, data.index(b"avc1") + 4 + 24, width, height)
    path.write_bytes(data)
    return path


def jpegs_claiming(path: Path, height: int, width: int) -> Path:
    """Real JPEG pictures whose start-of-frame segments state another size."""
    data = bytearray(file(path, moving(4), "mjpeg", "yuvj420p").read_bytes())
    at = -1
    while (at := data.find(b"\xff\xc0\x00\x11\x08", at + 1)) >= 0:
        struct.pack_into(">HH", data, at + 5, height, width)
    path.write_bytes(data)
    return path


@linux_only
def test_frames_too_large_for_anybody(small: Path, tmp_path: Path) -> None:
    """A claim of 30,000 x 30,000 pixels is not believed: nobody asks for 2.7 GB, and the same process takes the next file."""
    with decoder() as made:
        made.take(small)
        pid = the_child().pid
        for path in (gif_claiming(tmp_path / "a.gif", 30_000, 30_000), jpegs_claiming(tmp_path / "a.avi", 30_000, 30_000)):
            with pytest.raises(UndecodableVideo, match=r"broke off after 0 decoded frames|over the limit of 67 megapixels"):
                made.take(path)
        header_only = mp4_claiming(tmp_path / "a.mp4", small, 30_000, 30_000)
        assert made.take(header_only).facts.size_HW == (96, 160)  # the stream in it knows better
        assert made.take(small).facts.frames_decoded == 12
        assert the_child().pid == pid
        assert peak_mib(the_child()) < 200


@linux_only
@pytest.mark.parametrize("budget_mib", [8, 24, 60])
def test_more_memory_than_allowed(large: Path, small: Path, budget_mib: int) -> None:
    """Whatever meets the limit first, the file is an error that says so, and the next file is fine if it can be."""
    with decoder(1080, memory_bytes=budget_mib * 2**20) as made:
        with pytest.raises(UndecodableVideo, match="needs more memory than the decoder's budget"):
            made.take(large)
        assert budget_mib < 60 or made.take(small).facts.frames_decoded == 12


# ---- killed, stopped


class Saboteur:
    """A thread that does something to every new decoder process while it works on `path`'s clip."""

    def __init__(self, deed: Callable[[psutil.Process], None], times: int) -> None:
        self.victims: list[int] = []
        self._deed, self._times, self._stop = deed, times, threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Saboteur:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set() and len(self.victims) < self._times:
            with contextlib.suppress(psutil.Error):
                for child in children():
                    if child.pid not in self.victims and any(f.path.endswith(".mp4") for f in child.open_files()):
                        self._deed(child)
                        self.victims.append(child.pid)
            time.sleep(0.002)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that takes a while to decode: five seconds of 1440p at 60 fps, so that a saboteur on a busy core is in time."""
    folder = tmp_path_factory.mktemp("slow")
    frames = moving(12, (1440, 2560))
    return repeat_packets(file(folder / "0.mp4", frames, fps=60, codec_options={"preset": "ultrafast"}), folder / "slow.mp4", 25)


KILL, FAULT, STOP = psutil.Process.kill, lambda p: p.send_signal(signal.SIGSEGV), psutil.Process.suspend


@linux_only
@pytest.mark.parametrize("deed", [KILL, FAULT, STOP], ids=["kill", "fault", "stop"])
def test_a_decoder_lost_once(slow: Path, deed: Callable[[psutil.Process], None]) -> None:
    """The cause is gone at the second try."""
    with decoder(silence_seconds=4) as made, Saboteur(deed, times=1) as saboteur:
        assert made.take(slow).facts.frames_decoded == 300
    assert len(saboteur.victims) == 1
    assert not psutil.pid_exists(saboteur.victims[0])


@linux_only
@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        pytest.param(KILL, "crashes the decoder, 2 times: it was killed by SIGKILL", id="kill"),
        pytest.param(FAULT, "crashes the decoder, 2 times: it was killed by SIGSEGV", id="fault"),
        pytest.param(STOP, "hangs the decoder, 2 times: it gave no answer for 4 s", id="stop", marks=pytest.mark.full),
    ],
)
def test_a_decoder_lost_every_time(slow: Path, small: Path, deed: Callable[[psutil.Process], None], reason: str) -> None:
    """The file is an error after two tries, and the next one is fine."""
    with decoder(silence_seconds=4) as made:
        with Saboteur(deed, times=9) as saboteur, pytest.raises(UndecodableVideo, match=reason):
            made.take(slow)
        assert len(saboteur.victims) == 2
        assert made.take(small).facts.frames_decoded == 12
    assert not any(psutil.pid_exists(pid) for pid in saboteur.victims)


@linux_only
def test_killed_between_two_files(small: Path) -> None:
    with decoder() as made:
        for _ in range(3):
            made.take(small)
            the_child().kill()
        assert made.take(small).facts.frames_decoded == 12
        made.ask(small)
        the_child().kill()
        assert made.take(small).facts.frames_decoded == 12


@linux_only
def test_nothing_leaks(small: Path, tmp_path: Path) -> None:
    """Descriptors, mapped memory and processes of this process and of the decoder, after good, bad and fatal files."""
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(small.read_bytes()[:-300])

    def mapped() -> int:
        gc.collect()
        return Path("/proc/self/maps").read_text("utf-8").count("memfd:wanbench")

    with decoder(64) as made:

        def work(count: int) -> None:
            for _ in range(count):
                made.take(small)
                with pytest.raises(UndecodableVideo):
                    made.take(bad)

        work(2)
        before = psutil.Process().num_fds(), mapped(), the_child().num_fds()
        assert before[1] == 0
        work(20)
        kept = [made.take(small) for _ in range(3)]
        assert mapped() == 6  # frames and one view of each clip that is still held
        del kept
        assert (psutil.Process().num_fds(), mapped(), the_child().num_fds()) == before
        inside = [f for f in Path(f"/proc/{the_child().pid}/fd").iterdir() if "memfd" in str(f.readlink())]
        assert inside == []
        the_child().kill()
        made.take(small)
        assert psutil.Process().num_fds() == before[0]
    assert children() == []
    assert all(p.status() != psutil.STATUS_ZOMBIE for p in psutil.Process().children())


PARENT = """
import sys, time
from pathlib import Path
from wanbench.decoding.process import Decoder, Limits
decoder = Decoder((), Limits())
decoder.take(Path(sys.argv[1]))
print(decoder._child.pid, flush=True)
time.sleep(60)
"""


@linux_only
def test_a_decoder_dies_with_its_parent(small: Path) -> None:
    """Also when the parent had no chance to say goodbye."""
    with subprocess.Popen([sys.executable, "-c", PARENT, str(small)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.ppid() == parent.pid
        parent.kill()
        _, alive = psutil.wait_procs([child], timeout=10)
    assert alive == []


@linux_only
def test_a_child_whose_parent_is_gone_does_not_start() -> None:
    """It compares the parent it has with the one it was told of; 1 is a fine parent in a container."""
    child = [sys.executable, "-m", "wanbench.execution.child", "0", "wanbench.nowhere:nothing"]
    assert subprocess.run([*child, "1"], check=False, capture_output=True, timeout=30).returncode == 0
    told_rightly = subprocess.run([*child, str(os.getpid())], check=False, capture_output=True, timeout=30)
    assert b"wanbench.nowhere" in told_rightly.stderr


def test_the_last_words_of_a_child() -> None:
    child = Child("wanbench.nowhere:nothing")
    with pytest.raises(ChildDied, match=r"ended with exit code 1 \(ModuleNotFoundError: No module named 'wanbench\.nowhere'\)"):
        child.receive(30)
    child.kill()  # harmless now


# ---- one open, one read

IN_OPEN, IN_CLOSE_NOWRITE = 0x20, 0x10


class Watch:
    """What the kernel sees happening to one file (inotify)."""

    def __init__(self, path: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self._libc.inotify_init1(os.O_NONBLOCK)
        assert self.descriptor >= 0
        assert self._libc.inotify_add_watch(self.descriptor, os.fsencode(path), IN_OPEN | IN_CLOSE_NOWRITE) >= 0

    def count(self) -> tuple[int, int]:
        """(opens, closes) since the last call."""
        masks = []
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.descriptor, 65536):
                offset = 0
                while offset < len(data):
                    _, mask, _, length = struct.unpack_from("iIII", data, offset)
                    masks.append(mask)
                    offset += 16 + length
        return sum(bool(m & IN_OPEN) for m in masks), sum(bool(m & IN_CLOSE_NOWRITE) for m in masks)


@linux_only
@pytest.mark.parametrize("dimensions", [["large_motion_generation"], None])
def test_a_run_opens_a_file_twice(small: Path, tmp_path: Path, dimensions: list[str] | None) -> None:
    """Once for the hash that names it and once to decode it, whatever the number of dimensions: counted by the kernel."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(small.read_bytes())
    watch = Watch(path)
    run = wanbench.score(path, out=tmp_path / "run", profile="lite", dimensions=dimensions, workers=1)
    assert watch.count() == (2, 2)
    measured = [m for m in run.records() if m.status == "ok"]
    assert measured
    assert len(run.records()) == (1 if dimensions else 14)
    wanbench.score(path, out=tmp_path / "run", profile="lite", dimensions=dimensions, workers=1)
    assert watch.count() == (1, 1)  # a finished run is found again by the hash alone
    os.close(watch.descriptor)


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text("ascii").split("rchar:")[1].split()[0])


@linux_only
@pytest.mark.parametrize("extension", ["mp4", "mkv", "avi"])
def test_a_file_is_read_once(tmp_path: Path, extension: str) -> None:
    """The decoder asks the kernel for hardly more bytes than the file has (an index may lie at the end)."""
    path = file(tmp_path / f"a.{extension}", moving(60, (360, 640)), "mjpeg", "yuvj420p", qp=1)
    assert path.stat().st_size > 900_000
    prepare(path)  # imports and caches
    before = bytes_read()
    prepare(path)
    assert bytes_read() - before < 1.1 * path.stat().st_size + 300_000
