"""Reading real files: frames, times, sizes, turned and squeezed pictures, colour, and which stream is the video."""

from __future__ import annotations

import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from wanbench.decoding.prepare import prepare
from wanbench.decoding.video import Video
from wanbench.errors import UndecodableVideo
from wanbench.scenes.encode import Encoding, write_video

from ..footage import FORMATS, difference, file, moving, mux, read

ROUGH = ("mpeg4", "mjpeg", "gif")
UNEVEN = [0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.9]


@pytest.mark.parametrize(("extension", "codec", "pixel_format"), FORMATS)
def test_every_format(tmp_path: Path, extension: str, codec: str, pixel_format: str) -> None:
    frames = moving()
    path = file(tmp_path / f"a.{extension}", frames, codec, pixel_format, crf=None if codec in ROUGH else 12)
    times, pictures, facts = read(path)
    assert times == pytest.approx([k / 10 for k in range(12)], abs=1e-3)
    assert difference(pictures, frames) < (6 if codec in ROUGH else 3)
    assert facts.size_HW == (96, 160)
    assert facts.frames_decoded == 12
    assert facts.measured_seconds == pytest.approx(1.1, abs=1e-3)
    assert facts.duration_seconds == pytest.approx(1.2, abs=2e-3)
    assert facts.nominal_fps == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize(
    ("extension", "codec", "pixel_format"),
    [
        ("mp4", "libx264", "yuv444p"),
        ("webm", "libvpx-vp9", "yuv420p"),
        ("avi", "mjpeg", "yuvj420p"),
        ("avi", "mpeg4", "yuv420p"),
        ("gif", "gif", "pal8"),
    ],
)
def test_odd_sizes(tmp_path: Path, extension: str, codec: str, pixel_format: str) -> None:
    frames = moving(4, (95, 159))
    _, pictures, facts = read(file(tmp_path / f"a.{extension}", frames, codec, pixel_format))
    assert facts.size_HW == (95, 159)
    assert difference(pictures, frames) < 6


@pytest.mark.parametrize(
    ("extension", "codec", "pixel_format"),
    [("mp4", "libx264", "yuv420p10le"), ("mkv", "libx265", "yuv420p10le"), ("webm", "libsvtav1", "yuv420p10le")],
)
def test_ten_bits(tmp_path: Path, extension: str, codec: str, pixel_format: str) -> None:
    _, pictures, facts = read(file(tmp_path / f"a.{extension}", moving(4), codec, pixel_format))
    assert facts.pixel_format == "yuv420p10le"
    assert difference(pictures, moving(4)) < 4


@pytest.mark.parametrize(("extension", "codec"), [("mp4", "libx264"), ("mkv", "libx265"), ("webm", "libvpx-vp9"), ("gif", "gif")])
def test_variable_rate(tmp_path: Path, extension: str, codec: str) -> None:
    path = tmp_path / f"a.{extension}"
    write_video(path, moving(), times_seconds=UNEVEN, encoding=Encoding(codec=codec))
    times, _, _ = read(path)
    assert times == pytest.approx(UNEVEN, abs=1e-3)


def test_window(tmp_path: Path) -> None:
    """The frame at the window's very end is in it; what follows is demuxed and counted, not decoded."""
    path = file(tmp_path / "a.mp4")
    times, _, facts = read(path, window_seconds=0.5)
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert (facts.frames_decoded, facts.frames_promised) == (6, 12)
    assert facts.duration_seconds == pytest.approx(1.2)


def test_thinning(tmp_path: Path) -> None:
    """At 10 fps with at least 0.25 s between frames: every third one."""
    with Video(file(tmp_path / "a.mp4")) as video:
        times = [t for t, _ in video.frames(window_seconds=5, min_interval_seconds=0.25)]
        assert video.facts().frames_decoded == 12
    assert times == pytest.approx([0.0, 0.3, 0.6, 0.9])


def display_matrix(path: Path, clockwise_degrees: int) -> None:
    """Write the turn into the track header by hand (ISO 14496-12, 8.3.2): (a b u, c d v, x y w), x' = ax + cy, y' = bx + dy.

    With y downwards, clockwise by 90 degrees sends right to down and down to left: b = 1, c = -1.
    """
    a, b, c, d = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[clockwise_degrees]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    one = 0x10000
    assert struct.unpack_from(">9i", data, at) == (one, 0, 0, 0, one, 0, 0, 0, 0x40000000)
    struct.pack_into(">9i", data, at, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 0x40000000)
    path.write_bytes(data)


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("extension", ["mp4", "mov"])
def test_rotation(tmp_path: Path, extension: str, degrees: int) -> None:
    frames = moving(3)
    path = file(tmp_path / f"a.{extension}", frames)
    display_matrix(path, degrees)
    _, pictures, facts = read(path)
    assert facts.rotation_degrees == (-degrees) % 360  # counter-clockwise
    assert facts.size_HW == ((160, 96) if degrees != 180 else (96, 160))
    assert difference(pictures, [np.rot90(f, -degrees // 90) for f in frames]) < 4


def test_a_phone_held_upright_is_the_same_clip(tmp_path: Path) -> None:
    """Stored sideways with a matrix that turns it back, a film is what it was, all through `prepare`."""
    frames = moving(8, (360, 480))
    upright = prepare(file(tmp_path / "upright.mp4", frames, qp=4), lines=[300])
    for quarter_turns in (1, 2, 3):
        stored = [np.ascontiguousarray(np.rot90(f, quarter_turns)) for f in frames]
        path = file(tmp_path / "turned.mp4", stored, qp=4)
        display_matrix(path, 90 * quarter_turns)
        turned = prepare(path, lines=[300])
        assert turned.frames.shape == upright.frames.shape == (8, 240, 320, 3)
        assert turned.views[300].shape == (7, 300, 400, 3)
        assert difference(turned.frames, upright.frames) < 0.8


def sample_aspect(ratio: str) -> Any:
    def prepare(number: int, stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(ratio)

    return prepare


@pytest.mark.parametrize(
    ("ratio", "degrees", "size_HW"),
    [("2", 0, (100, 320)), ("1/2", 0, (200, 160)), ("2", 90, (320, 100)), ("1/2", 270, (160, 200))],
)
def test_squeezed_pixels(tmp_path: Path, ratio: str, degrees: int, size_HW: tuple[int, int]) -> None:
    """200 x 320 samples twice as wide as high are shown in the shape 1 : 3.2; nothing is enlarged, so lines are merged."""
    path = mux(tmp_path / "a.mp4", [moving(3, (200, 320))], prepare=sample_aspect(ratio))
    if degrees:
        display_matrix(path, degrees)
    clip = prepare(path)
    assert clip.frames.shape[1:3] == size_HW
    shown = float(Fraction(ratio))
    assert clip.facts.sample_aspect_ratio == pytest.approx(shown if degrees == 0 else 1 / shown)


COLOURS = [(200, 40, 40), (40, 180, 60), (50, 60, 210), (250, 250, 250), (8, 8, 8), (128, 128, 128)]


@pytest.mark.parametrize(
    ("extension", "codec", "matrix", "full_range"),
    [(e, c, m, f) for e, c in (("mp4", "libx264"), ("mkv", "libx265")) for m in (None, "bt601", "bt709") for f in (False, True)]
    + [("webm", "libvpx-vp9", m, False) for m in ("bt601", "bt709")],
)
def test_colour(tmp_path: Path, extension: str, codec: str, matrix: Any, full_range: bool) -> None:
    """By whatever matrix and range the picture was written, it is the same picture."""
    frame = np.concatenate([np.full((64, 32, 3), c, np.uint8) for c in COLOURS], axis=1)
    quality: dict[str, Any] = {"crf": 2, "codec_options": {"b": "0"}} if codec == "libvpx-vp9" else {"crf": 1}
    encoding = {"matrix": matrix, "full_range": full_range, **quality}
    _, pictures, _ = read(
        file(tmp_path / f"a.{extension}", [frame] * 2, codec, "yuv420p" if extension == "webm" else "yuv444p", **encoding)
    )
    inside = np.arange(192) % 32 // 4 % 7 > 0  # half resolution of colour blurs the seams
    assert np.abs(pictures[0].astype(int) - frame)[:, inside].max() <= 5


@pytest.mark.parametrize(
    ("piped_as", "codec", "options", "audio_seconds"),
    [
        ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}, 0),
        ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}, 1.2),
        ("matroska", "libx264", {}, 0),
        ("matroska", "libx264", {"live": "1"}, 0),
        ("matroska", "libx264", {"live": "1"}, 1.2),
        ("webm", "libvpx-vp9", {"live": "1"}, 0),
        ("avi", "mpeg4", {}, 0),
        ("avi", "mjpeg", {}, 1.2),
    ],
)
def test_streams_that_promise_nothing(
    tmp_path: Path, piped_as: str, codec: str, options: dict[str, str], audio_seconds: float
) -> None:
    """Written to a pipe, a header knows neither duration nor number of frames: measured to its clean end."""
    frames = moving(40)
    path = tmp_path / f"a.{piped_as.replace('matroska', 'mkv')}"
    mux(path, [frames], codec=codec, piped_as=piped_as, options=options, audio_seconds=audio_seconds)
    times, pictures, facts = read(path, window_seconds=2.5)
    assert times == pytest.approx([k / 10 for k in range(26)], abs=1e-3)
    assert facts.frames_promised is None
    assert facts.duration_seconds == pytest.approx(4.0, abs=0.21)
    assert difference(pictures, frames[:26]) < 8


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg", "libx264"])
def test_avi_with_empty_places(tmp_path: Path, codec: str) -> None:
    """An AVI has a rate and no times: a frame that was dropped is an empty chunk, and the next one comes later."""
    places = [0, 1, 2, 5, 6, 9, 10, 11, 12, 20, 21, 22]
    times, _, facts = read(mux(tmp_path / "a.avi", [moving()], codec=codec, places=places))
    assert times == pytest.approx([p / 10 for p in places])
    assert facts.frames_promised == 23


def test_the_first_video_stream_counts(tmp_path: Path) -> None:
    first, second = moving(6, seed=1), moving(6, (64, 64), seed=2)
    _, pictures, facts = read(mux(tmp_path / "a.mkv", [first, second]))
    assert facts.size_HW == (96, 160)
    assert difference(pictures, first) < 4


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    """An MP3's or a song's cover is a stream of one picture in FFmpeg's eyes."""

    def as_cover(number: int, stream: Any) -> None:
        if number == 0:
            stream.disposition = av.stream.Disposition.attached_pic

    cover, film = moving(1, (64, 64)), moving(6)
    both = mux(tmp_path / "both.mp4", [cover, film], codec="mjpeg", prepare=as_cover)
    with av.open(str(both)) as container:
        assert len(container.streams.video) == 2
    _, pictures, facts = read(both)
    assert facts.size_HW == (96, 160)
    assert len(pictures) == 6
    song = mux(tmp_path / "song.mp4", [cover], codec="mjpeg", audio_seconds=1, prepare=as_cover)
    with pytest.raises(UndecodableVideo, match=r"no video stream in it \(it holds a cover picture, audio\)"):
        read(song)


def test_sound_alone_is_an_error(tmp_path: Path) -> None:
    for extension in ("mp4", "mkv", "avi"):
        with pytest.raises(UndecodableVideo, match=r"no video stream in it \(it holds audio\)"):
            read(mux(tmp_path / f"a.{extension}", [], audio_seconds=1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"A prompt that somebody saved under the wrong name.\n" * 9, "not a video in a known container"),
        (b"#EXTM3U\n#EXTINF:5,\nfile:///etc/hostname\n", "not a video in a known container"),
        (b"ffconcat version 1.0\nfile '/etc/hostname'\n", "not a video in a known container"),
    ],
)
def test_no_video_at_all(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(UndecodableVideo, match=message):
        read(tmp_path / "a.mp4")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UndecodableVideo, match="cannot be read: No such file"):
        read(tmp_path / "none.mp4")
    with pytest.raises(UndecodableVideo, match="not a regular file"):
        read(tmp_path)


def test_repeated_stamps_still_count_on(tmp_path: Path) -> None:
    """Sample durations of zero (stts patched by hand) put all frames at one moment: the nominal rate spreads them."""
    path = file(tmp_path / "a.mp4", codec="mpeg4")
    data = bytearray(path.read_bytes())
    at = data.index(b"stts") + 12
    assert struct.unpack_from(">I", data, at)[0] == 12
    struct.pack_into(">I", data, at + 4, 0)
    path.write_bytes(data)
    times, _, _ = read(path)
    assert len(times) == 12
    assert all(a < b for a, b in pairwise(times))


def test_endless_frames_in_no_time_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wanbench.decoding.video.MAX_FRAMES_IN_WINDOW", 8)
    with pytest.raises(UndecodableVideo, match=r"broke off after 9 decoded frames of 12 promised .* more than 8 frames"):
        read(file(tmp_path / "a.mp4"))


def test_the_size_may_not_change_within_a_file(tmp_path: Path) -> None:
    """MJPEG pictures carry their own size: the last frames of one file are put into another, of the same byte lengths."""
    large, small = (
        file(tmp_path / "l.avi", moving(6), "mjpeg", "yuvj420p"),
        file(tmp_path / "s.avi", moving(6, (64, 64)), "mjpeg", "yuvj420p"),
    )
    with av.open(str(large)) as into, av.open(str(small)) as source:
        places = [(p.pos, p.size) for p in into.demux() if p.size]
        other = [bytes(p) for p in source.demux() if p.size]
    data = bytearray(large.read_bytes())
    start, size = places[3][0] + 8, places[3][1]
    data[start : start + size] = other[3].ljust(size, b"\0")
    large.write_bytes(data)
    with pytest.raises(UndecodableVideo, match=r"broke off after 4 decoded frames of 6 promised .*\(96, 160\) to \(64, 64\)"):
        read(large)


def test_real_clips_of_every_kind(clips: Path) -> None:
    """Every camera and model clip decodes with the frames and the shape that its index states."""
    import json

    for line in (clips / "index.jsonl").read_text("utf-8").splitlines():
        facts = json.loads(line)
        if facts["kind"] == "bad":
            continue
        clip = prepare(clips / facts["file"])
        whole = facts["seconds"] <= 5
        assert not whole or clip.facts.frames_decoded == facts["frames"], facts["file"]
        turned = facts.get("rotation") in (90, 270, -90)
        size = (facts["width"], facts["height"]) if turned else (facts["height"], facts["width"])
        assert clip.facts.size_HW == size, facts["file"]
        assert clip.facts.duration_seconds == pytest.approx(facts["seconds"], abs=0.12), facts["file"]
