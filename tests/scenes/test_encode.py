"""The writer: what comes back from the file is what went in, the bytes repeat, and failures say which file and why."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from wanbench.errors import OutputError, UsageError
from wanbench.scenes.encode import Encoding, Frame, write_video

UNEVEN = [0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.9]
COMBINATIONS = [
    ("mp4", "libx264", "yuv420p"),
    ("mp4", "libx264", "yuv444p"),
    ("mkv", "libx265", "yuv420p"),
    ("webm", "libvpx-vp9", "yuv420p"),
    ("webm", "libsvtav1", "yuv420p"),
    ("mp4", "mpeg4", "yuv420p"),
    ("mov", "mjpeg", "yuvj420p"),
    ("gif", "gif", "yuv420p"),
    ("avi", "libx264", "yuv420p"),
    ("avi", "mpeg4", "yuv420p"),
    ("avi", "mjpeg", "yuvj420p"),
]


def moving(count: int = 12, size_HW: tuple[int, int] = (96, 160)) -> list[Frame]:
    """A soft picture in muted colours (so that halved colour and a palette cost little), four pixels further in every frame."""
    coarse = np.random.default_rng(0).integers(90, 170, (6, 8, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (size_HW[1], size_HW[0]), interpolation=cv2.INTER_CUBIC)
    return [np.roll(picture, 4 * k, axis=1) for k in range(count)]


def decoded(path: Path) -> tuple[list[float], list[Frame], Any]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pictures = [(float(f.pts * f.time_base), f.to_ndarray(format="rgb24")) for f in container.decode(stream)]
        context = stream.codec_context
        tags = (context.pix_fmt, int(context.color_range), int(context.colorspace), context.name)
    return [t for t, _ in pictures], [f for _, f in pictures], tags


def difference(a: list[Frame], b: list[Frame]) -> float:
    return float(np.mean([np.abs(x.astype(float) - y).mean() for x, y in zip(a, b, strict=True)]))


@pytest.mark.parametrize(("extension", "codec", "pixel_format"), COMBINATIONS)
def test_constant_rate_comes_back(tmp_path: Path, extension: str, codec: str, pixel_format: str) -> None:
    path, frames = tmp_path / f"a.{extension}", moving()
    assert write_video(path, iter(frames), fps=10, encoding=Encoding(codec=codec, pixel_format=pixel_format)) == 12
    times, pictures, _ = decoded(path)
    assert np.diff(times) == pytest.approx([0.1] * 11, abs=1e-3)
    assert difference(pictures, frames) < 4


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(("extension", "codec", "pixel_format"), COMBINATIONS)
def test_few_frames(tmp_path: Path, extension: str, codec: str, pixel_format: str, count: int) -> None:
    """x265 with B-frames gave such clips decoding times from uninitialised memory, and now and then the muxer refused them."""
    path = tmp_path / f"a.{extension}"
    write_video(path, moving(count), fps=10, encoding=Encoding(codec=codec, pixel_format=pixel_format))
    with av.open(str(path)) as container:
        decoding_times = [float(p.dts * p.time_base) for p in container.demux(video=0) if p.dts is not None]
    assert len(decoding_times) == count
    assert all(-0.5 < t < 0.5 for t in decoding_times)


@pytest.mark.parametrize(("extension", "codec", "pixel_format"), [c for c in COMBINATIONS if c[0] != "avi"])
def test_uneven_times_come_back(tmp_path: Path, extension: str, codec: str, pixel_format: str) -> None:
    path, frames = tmp_path / f"a.{extension}", moving()
    write_video(path, frames, times_seconds=UNEVEN, encoding=Encoding(codec=codec, pixel_format=pixel_format))
    times, pictures, _ = decoded(path)
    assert times == pytest.approx(UNEVEN, abs=1e-3)
    assert difference(pictures, frames) < 4


@pytest.mark.parametrize(("extension", "codec", "pixel_format"), COMBINATIONS)
def test_same_frames_same_bytes(tmp_path: Path, extension: str, codec: str, pixel_format: str) -> None:
    """Between the encodings memory is filled with noise: an encoder that reads what it did not write is found out by it."""
    digests, rng, held = set(), np.random.default_rng(1), []
    for number in range(6):
        path = tmp_path / f"{number}.{extension}"
        write_video(path, moving(6), fps=Fraction(30000, 1001), encoding=Encoding(codec=codec, pixel_format=pixel_format))
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
        held.append([rng.integers(0, 255, int(rng.integers(1_000, 900_000)), dtype=np.uint8) for _ in range(3)])
        del held[:-1]
    assert len(digests) == 1
    assert len(list(tmp_path.iterdir())) == 6  # and no temporary file is left


def test_last_frame_of_uneven_times_lasts(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", moving(3), times_seconds=[0.0, 0.1, 0.4])
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(0.6)  # 0.4 + the mean interval of 0.2


@pytest.mark.parametrize("matrix", [None, "bt601", "bt709"])
@pytest.mark.parametrize("full_range", [False, True])
def test_colour_tags_are_written_and_meant(tmp_path: Path, matrix: Any, full_range: bool) -> None:
    path = tmp_path / "a.mp4"
    colours = [(200, 40, 40), (40, 180, 60), (50, 60, 210), (250, 250, 250), (8, 8, 8)]
    frame = np.concatenate([np.full((64, 32, 3), c, np.uint8) for c in colours], axis=1)
    write_video(path, [frame] * 3, fps=5, encoding=Encoding(qp=1, matrix=matrix, full_range=full_range, pixel_format="yuv444p"))
    _, pictures, (_, range_tag, matrix_tag, _) = decoded(path)
    assert matrix_tag == {None: 2, "bt601": 6, "bt709": 1}[matrix]
    assert range_tag == (2 if full_range else 1 if matrix else 0)
    assert np.abs(pictures[0].astype(int) - frame).max() <= 4


def test_a_wrong_matrix_would_show(tmp_path: Path) -> None:
    """Y of pure red is 0.299 in BT.601 and 0.2126 in BT.709: on the limited scale 16 + 219·k."""
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    for matrix, luma in (("bt601", 16 + 219 * 0.299), ("bt709", 16 + 219 * 0.2126)):
        write_video(tmp_path / "r.mp4", [red], fps=1, encoding=Encoding(qp=1, matrix=matrix, pixel_format="yuv444p"))  # type: ignore[arg-type]
        with av.open(str(tmp_path / "r.mp4")) as container:
            plane = next(container.decode(video=0)).to_ndarray()[0]
        assert plane.mean() == pytest.approx(luma, abs=1.5)


def test_rotation_is_written(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", moving(2), fps=5, encoding=Encoding(rotation_degrees=90))
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 90


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv444p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.gif", "gif", "pal8"),
    ],
)
def test_odd_sizes(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    frames = moving(2, (95, 159))
    write_video(tmp_path / name, frames, fps=5, encoding=Encoding(codec=codec, pixel_format=pixel_format))
    _, pictures, _ = decoded(tmp_path / name)
    assert pictures[0].shape == (95, 159, 3)
    assert difference(pictures, frames) < 4


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.mp4", {}, "libx264 cannot write 159x95 as yuv420p; use an even size or pixel_format yuv444p"),
        ("a.xyz", {}, "no video format is known by this extension; use one of .mp4"),
        ("a.gif", {}, "a .gif file holds codec gif"),
        ("a.webm", {"pixel_format": "yuv444p"}, "'webm' format does not support 'libx264' codec"),
        ("a.mp4", {"codec": "nosuch", "pixel_format": "yuv444p"}, "nosuch"),
    ],
)
def test_wrong_use_leaves_no_file(tmp_path: Path, name: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        write_video(tmp_path / name, moving(2, (95, 159)), fps=5, encoding=Encoding(**options))  # type: ignore[arg-type]
    assert str(tmp_path / name) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.0, 0.1], "2 times for more frames"),
        ([0.0, 0.1, 0.2, 0.3], "4 times for 3 frames"),
        ([0.0, 0.2, 0.2], "frame 2 does not come"),
    ],
)
def test_wrong_times(tmp_path: Path, times: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_video(tmp_path / "a.mp4", moving(3), times_seconds=times)
    assert list(tmp_path.iterdir()) == []


def test_no_frames_mixed_sizes_and_avi_times(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no frame to write"):
        write_video(tmp_path / "a.mp4", [], fps=5)
    with pytest.raises(UsageError, match=r"a frame is uint8 \(94, 160, 3\)"):
        write_video(tmp_path / "a.mp4", [moving(1)[0], moving(1)[0][:94]], fps=5)
    with pytest.raises(UsageError, match="AVI file has one constant frame rate"):
        write_video(tmp_path / "a.avi", moving(3), times_seconds=[0, 0.1, 0.3])
    with pytest.raises(UsageError, match="either fps or times_seconds"):
        write_video(tmp_path / "a.mp4", moving(3))


def test_a_failing_source_keeps_its_error_and_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, moving(2), fps=5)
    before = path.read_bytes()

    def source() -> Iterator[Frame]:
        yield from moving(2)
        raise OSError("the source broke")

    with pytest.raises(OSError, match="the source broke"):
        write_video(path, source(), fps=5)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_unwritable_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"none/a\.mp4: cannot be written: No such file"):
        write_video(tmp_path / "none" / "a.mp4", moving(2), fps=5)


def test_full_disk() -> None:
    """/dev/full cannot be a folder, so the limit on file sizes stands in: writing past it fails as a full disk does."""
    import subprocess
    import sys

    script = """
import resource, signal, sys, tempfile
from pathlib import Path
import numpy as np
from wanbench.scenes.encode import Encoding, write_video
from wanbench.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
rng = np.random.default_rng(0)
with tempfile.TemporaryDirectory() as folder:
    try:
        write_video(Path(folder) / "a.mp4", (rng.integers(0, 255, (96, 160, 3), dtype=np.uint8) for _ in range(40)), fps=10)
    except OutputError as error:
        print(error, list(Path(folder).iterdir()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert "cannot be written: File too large []" in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="no such priorities here")
def test_no_thread_is_left_at_real_time_priority(tmp_path: Path) -> None:
    """SVT-AV1 asks for it when root runs it, for its caller too; in a process of its own, whose threads are all told."""
    code = """
import os, sys
from pathlib import Path
import numpy as np
from wanbench.scenes.encode import Encoding, write_video
write_video(Path(sys.argv[1]), (np.zeros((64, 64, 3), np.uint8) for _ in range(3)), fps=8, encoding=Encoding(codec="libsvtav1"))
print({os.sched_getscheduler(int(t)) for t in os.listdir("/proc/self/task")})
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.webm"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"{{{os.sched_getscheduler(0)}}}"]
