"""A file that was cut is an error that says how far it went; a whole one never is, however strangely it was written."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import av
import pytest

from wanbench.decoding.prepare import prepare
from wanbench.errors import UndecodableVideo

from ..footage import file, moving, mux, read

FASTSTART = {"movflags": "+faststart"}
FRAGMENTS = {"movflags": "+frag_keyframe+empty_moov"}
CUT_FORMATS = [
    ("mp4", "libx264", "yuv420p", FASTSTART),
    ("mp4", "libx264", "yuv420p", {}),
    ("mp4", "libx264", "yuv420p", FRAGMENTS),
    ("mov", "libx265", "yuv420p", FASTSTART),
    ("mp4", "mpeg4", "yuv420p", FASTSTART),
    ("mov", "mjpeg", "yuvj420p", FASTSTART),
    ("mkv", "libx264", "yuv420p", {}),
    ("mkv", "libx264", "yuv420p", {"live": "1"}),
    ("mkv", "mjpeg", "yuvj420p", {}),
    ("webm", "libvpx-vp9", "yuv420p", {}),
    ("webm", "libsvtav1", "yuv420p", {}),
    ("avi", "libx264", "yuv420p", {}),
    ("avi", "mpeg4", "yuv420p", {}),
    ("avi", "mjpeg", "yuvj420p", {}),
    ("gif", "gif", "pal8", {}),
]
HOW_FAR = re.compile(r"^(truncated: .*(\b\d+ (promised )?frames|no frame can be reached)|broke off after \d+ decoded frames)")
AT_OPEN = re.compile(r"^(not a video|its codec is unknown|no video stream|the file is empty|no frame could be decoded)")


def picture_ends(path: Path) -> tuple[int, int]:
    """Where the bytes of the first and of the last frame end in the file."""
    data = path.read_bytes()
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(container.streams.video[0]) if p.size]
    ends = [data.rindex(p) + len(p) for p in packets]
    return ends[0], max(ends)


def outcome(path: Path) -> str:
    try:
        clip = prepare(path)
    except UndecodableVideo as error:
        return str(error)
    return f"measured {clip.facts.frames_decoded}"


@pytest.mark.parametrize(("extension", "codec", "pixel_format", "options"), CUT_FORMATS)
def test_cut_anywhere(tmp_path: Path, extension: str, codec: str, pixel_format: str, options: dict[str, str]) -> None:
    """Cuts all over the file and at each of the last bytes before the last frame is whole."""
    path = file(tmp_path / f"whole.{extension}", moving(16, (64, 96)), codec, pixel_format, container_options=options)
    assert outcome(path) == "measured 16"
    data, (first, end) = path.read_bytes(), picture_ends(path)
    if extension in ("mp4", "mov") and not options:
        first, end = len(data), len(data) - 1  # `moov` comes last, and without it nothing can be said
    cut = tmp_path / f"cut.{extension}"
    for size in [*range(0, end, end // 40), *range(end - 12, end)]:
        cut.write_bytes(data[:size])
        said = outcome(cut)
        clean = options == FRAGMENTS and data[size + 4 : size + 8] == b"moof"  # between fragments nothing shows
        assert HOW_FAR.search(said) or (size < first and AT_OPEN.search(said)) or clean, (size, said)


@pytest.mark.parametrize(("extension", "codec", "pixel_format", "options"), CUT_FORMATS)
def test_padding_after_the_end_is_no_damage(
    tmp_path: Path, extension: str, codec: str, pixel_format: str, options: dict[str, str]
) -> None:
    path = file(tmp_path / f"a.{extension}", moving(8, (64, 96)), codec, pixel_format, container_options=options)
    path.write_bytes(path.read_bytes() + bytes(100))
    assert outcome(path) == "measured 8"


def test_a_cut_outside_the_measured_window_counts(tmp_path: Path) -> None:
    """Only five seconds are decoded, but a file that lacks its eighth second is not whole."""
    path = file(tmp_path / "a.mp4", moving(80, (64, 96)), container_options=FASTSTART)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.9)])
    assert re.match(r"truncated|broke off after 51 decoded frames of 80 promised \(5\.00 s\)", outcome(path))


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_cut_within_the_sound(tmp_path: Path, extension: str) -> None:
    """All pictures are there, but the sound that was written after them is not: the file is still not whole."""
    options = {**FASTSTART, "max_interleave_delta": "1"} if extension == "mp4" else {}
    path = mux(tmp_path / f"a.{extension}", [moving(6, (64, 96))], audio_seconds=4, options=options)
    assert outcome(path) == "measured 6"
    path.write_bytes(path.read_bytes()[:-2000] if extension == "mp4" else path.read_bytes()[:-40_000])
    assert HOW_FAR.search(outcome(path)), outcome(path)


@pytest.mark.parametrize("options", [{}, FASTSTART])
@pytest.mark.parametrize(("skip", "shown"), [(0, 20), (0, 10), (8, 12), (8, 5), (0, 60)])
def test_edit_lists_are_no_truncation(tmp_path: Path, options: dict[str, str], skip: int, shown: int) -> None:
    """What a stream copy leaves: samples of 20 frames, of which the edit list shows some; or a list that promises too much."""
    path = file(tmp_path / "a.mp4", moving(20), container_options=options)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    duration_ms, start = struct.unpack_from(">Ii", data, at)
    assert duration_ms == 2000
    struct.pack_into(">Ii", data, at, 100 * shown, start + 1024 * skip)  # 1/10240 s is a tick, so a frame has 1,024
    path.write_bytes(data)
    times, _, _ = read(path)
    assert times == pytest.approx([k / 10 for k in range(min(shown, 20 - skip))])


def test_trailing_empty_places_of_an_avi(tmp_path: Path) -> None:
    """A recorder that drops frames at the very end writes empty chunks there: the header counts them, nothing is missing."""
    path = file(tmp_path / "a.avi", moving(10, (64, 96)), "mpeg4")
    data = bytearray(path.read_bytes())
    for tag, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        at = data.index(tag) + offset
        assert struct.unpack_from("<I", data, at)[0] == 10
        struct.pack_into("<I", data, at, 13)
    path.write_bytes(data)
    assert outcome(path) == "measured 10"


def test_bad_clips_say_what_is_wrong(clips: Path) -> None:
    """The collection's damaged files, as its index describes them."""
    expected = {
        "-video-with-dash-.mp4": "measured 5",
        "sp ace & ünïcødé 視頻 🎬 (1).mp4": "measured 3",
        "audio_only.mp4": "no video stream in it (it holds audio)",
        "zero_bytes.mp4": "the file is empty",
        "text_file.mp4": "not a video in a known container",
        "truncated_head.mp4": "not a video in a known container",
        "truncated_tail.mp4": "truncated: at least 330400 bytes are missing at its end, and no frame can be reached",
        "truncated_tail_decodable.webm": "truncated: at least",
    }
    found = {p.name: outcome(p) for p in (clips / "bad").iterdir()}
    assert found.keys() == expected.keys()
    for name, beginning in expected.items():
        assert found[name].startswith(beginning), (name, found[name])
    assert "holds 73 frames" in found["truncated_tail_decodable.webm"]
