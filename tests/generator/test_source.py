"""VACE with a source video: sizes by hand, what stays and what is made, and files that do not do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wanbench.errors import UsageError
from wanbench.generator.known import open_model
from wanbench.generator.making import Generator
from wanbench.generator.models import MODELS
from wanbench.generator.settings import settle
from wanbench.generator.source import Source, prepared, source_size
from wanbench.generator.vace_context import vace_context
from wanbench.making.choice import choose_maker
from wanbench.making.makers import MakerOptions
from wanbench.making.wan import read_source
from wanbench.scenes.encode import write_video

from . import folders


def noise(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def grey(path: Path, count: int, *, fps: float = 16, size: tuple[int, int] = (32, 48)) -> Path:
    """Frame k is grey of 10 k."""
    write_video(path, (np.full((*size, 3), 10 * k, np.uint8) for k in range(count)), fps=fps)
    return path


@pytest.mark.parametrize(
    ("size", "area", "wanted"),
    [
        ((480, 832), 480 * 832, (480, 832)),
        ((1080, 1920), 480 * 832, (480, 832)),  # 1,560 tokens: sqrt(1560 * 9/16) = 29.6 rows, 1560 / 30 = 52 columns
        ((1920, 1080), 480 * 832, (848, 464)),  # sqrt(1560 * 16/9) = 52.7: 53 rows, 1560 // 53 = 29 columns
        ((100, 50), 480 * 832, (96, 48)),
        ((8, 40), 480 * 832, (16, 32)),
    ],
)
def test_sizes_by_hand(size: tuple[int, int], area: int, wanted: tuple[int, int]) -> None:
    assert source_size(size, area) == wanted


def test_a_source_that_fits_is_left_as_it_is() -> None:
    pixels = torch.from_numpy(noise(5, 32, 48))
    white = torch.full_like(pixels, 255)
    frames, mask = prepared(Source(pixels, white), (480, 832))
    assert frames.shape == (3, 5, 32, 48)
    torch.testing.assert_close((frames + 1) * 127.5, pixels.permute(3, 0, 1, 2).float(), atol=1e-3, rtol=0)
    assert mask.shape == (1, 5, 32, 48)
    assert (mask == 1).all()
    assert torch.equal(prepared(Source(pixels, None), (480, 832))[1], mask)


def test_another_shape_is_cropped_in_the_middle() -> None:
    """50 x 100 pixels become 48 x 96: shrunk to 48 x 96 exactly; of 16 x 40 the columns 4 to 36 stay."""
    assert prepared(Source(torch.from_numpy(noise(1, 50, 100)), None), (480, 832))[0].shape == (3, 1, 48, 96)
    pixels = torch.zeros(1, 16, 40, 3, dtype=torch.uint8)
    pixels[:, :, 4:36] = 255
    assert (prepared(Source(pixels, None), (480, 832))[0] == 1).all()


@pytest.mark.parametrize(("fps", "wanted"), [(16, [0, 1, 2, 3, 4]), (32, [0, 2, 4, 6, 8]), (8, [0, 0, 1, 1, 2])])
def test_frames_are_those_shown_at_the_times_of_the_result(tmp_path: Path, fps: int, wanted: list[int]) -> None:
    settings = settle(MODELS["wan-vace-1.3b"], frames=5, video=grey(tmp_path / "a.mp4", 10, fps=fps))
    seen = read_source(settings).frames.float().mean(dim=(1, 2, 3)) / 10
    assert seen.round().int().tolist() == wanted


def vace(tmp_path: Path):
    return open_model(str(folders.write_model(tmp_path / "vace", folders.VACE)))


def made(networks, source: Source | None, **asked) -> np.ndarray:
    settings = settle(networks.model, **{"frames": 5, "steps": 2, "negative": "grey", "size_HW": (32, 48), **asked})
    return np.stack(list(Generator(networks, settings, device="cpu", source=source).frames("a cat", 0)))


def test_source_and_mask_reach_the_network(tmp_path: Path) -> None:
    networks, pixels = vace(tmp_path), torch.from_numpy(noise(5, 48, 32))
    half = torch.zeros_like(pixels)
    half[:, :, 16:] = 255
    seen = [made(networks, source) for source in (Source(pixels, None), Source(pixels, half), Source(255 - pixels, half))]
    assert {one.shape for one in seen} == {(5, 48, 32, 3)}  # the shape follows the source, not the size
    assert len({one.tobytes() for one in seen}) == 3
    whole = Source(pixels, torch.full_like(pixels, 255))
    assert np.array_equal(made(networks, whole), seen[0])


def test_the_context_is_that_of_the_parts(tmp_path: Path) -> None:
    networks, pixels = vace(tmp_path), torch.from_numpy(noise(5, 32, 48))
    settings = settle(networks.model, frames=5, steps=2, size_HW=(32, 48))
    generator = Generator(networks, settings, device="cpu", source=Source(pixels, None))
    vae = networks.vae("cpu")
    frames = pixels.permute(3, 0, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        wanted = vace_context(frames, torch.ones(1, 5, 32, 48), [], lambda video: vae.encode(video[None])[0])
    torch.testing.assert_close(generator._conditions().others["context"], wanted, atol=1e-5, rtol=0)


def test_files_are_checked_and_counted_before_any_work(tmp_path: Path) -> None:
    folder = str(folders.write_model(tmp_path / "vace", folders.VACE))
    video, mask = grey(tmp_path / "a.mp4", 9), tmp_path / "m.png"
    Image.new("RGB", (48, 32), "white").save(mask)

    def choose(**asked):
        return choose_maker(folder, MakerOptions(**{"height": 32, "width": 48, "frames": 9, "device": "cpu", **asked}))

    prints = {choose(**asked).fingerprint for asked in ({}, {"video": video}, {"video": video, "mask": mask})}
    assert len(prints) == 3
    told = choose(video=video, mask=mask).settings
    assert (told["video"], told["mask"], len(told["source_sha256"])) == ("a.mp4", "m.png", 2)
    for asked, says in (
        ({"video": video, "frames": 13}, r"a\.mp4 gives 9 frames at 16 a second, and 13 are to be made: --frames 9, or fewer"),
        ({"video": mask}, "gives 1 frames at 16 a second"),
        ({"video": video, "mask": grey(tmp_path / "b.mp4", 5)}, "gives 5 frames, wanted 1 or 9"),
        ({"mask": mask}, "give the video too"),
        ({"video": tmp_path / "no.mp4"}, "the video .* does not exist"),
    ):
        with pytest.raises(UsageError, match=says):
            choose(**asked)
    (tmp_path / "c.mp4").write_bytes(video.read_bytes()[:300])
    with pytest.raises(UsageError, match="cannot be read"):
        choose(video=tmp_path / "c.mp4")
