"""Sizes, masks, images and audio: numbers worked by hand."""

from __future__ import annotations

import pytest
import torch

from wanbench.errors import UsageError
from wanbench.generator import images, sizes
from wanbench.generator.conditioning import given_mask, image_condition
from wanbench.generator.pipeline import draw_noise, token_times
from wanbench.generator.s2v import MotionPacker
from wanbench.generator.speech import audio_clips, resample
from wanbench.generator.vace_context import mask_channels, vace_context

from . import tiny


def test_latent_size_by_hand() -> None:
    """832x480 pixels in a square: side 631.9, 78 cells of 8, even. 1280x720 in its own shape: 90 by 160."""
    assert sizes.latent_size((512, 512), 832 * 480) == (78, 78)
    assert sizes.latent_size((720, 1280), 1280 * 720) == (90, 160)


def test_the_root_of_480_squared_falls_short() -> None:
    """480 / 832 * 832 * 480 is a little less than 480^2 in floating point: two rows of cells fewer, as in the official code."""
    assert sizes.latent_size((480, 832), 832 * 480) == (58, 104)


def test_covering_fit_by_hand() -> None:
    """A 16:9 image in 1280x704 pixels: 1265 wide, so 1248x704 (1.773 to 1) or 1280x704 (1.818), the first being nearer to 1.778.

    To cover it, 1280x720 becomes 1252x704 (1251.6 rounded), of which two columns are cut off on either side.
    """
    assert sizes.covering_fit((720, 1280), 1280 * 704) == sizes.Fit((704, 1248), (704, 1252), 0, 2)


def test_speech_size_by_hand() -> None:
    """512x512 fits as it is, twice that in pixels does not: the largest multiple of 64 that fits is 832x832."""
    assert sizes.speech_size((512, 512), 704 * 1024) == (512, 512)
    height, width = sizes.speech_size((1024, 1024), 704 * 1024)
    assert height == width == 832


@pytest.mark.parametrize("rule", [sizes.latent_size, sizes.covering_fit])
def test_an_image_too_narrow_is_refused(rule) -> None:
    with pytest.raises(UsageError, match="4000x2 pixels is too narrow for a video of 4096 pixels"):
        rule((2, 4000), 4096)


def test_bytes_are_cut_not_rounded() -> None:
    video = torch.tensor([-2.0, -1, 0, 0.999, 1, 2]).view(1, 1, 1, 6).expand(3, -1, -1, -1)
    assert images.to_bytes(video)[0, 0, :, 0].tolist() == [0, 0, 127, 254, 255, 255]
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 256, 1).expand(2, -1, 3)
    assert images.to_tensor(pixels).aminmax() == (-1, 1)


def test_an_image_is_inscribed_in_white() -> None:
    black = -torch.ones(3, 4, 4)
    assert images.inscribe(black, (4, 8))[0, 0].tolist() == [1, 1, -1, -1, -1, -1, 1, 1]
    assert images.inscribe(black, (4, 4)) is black


def test_centre_crops_and_pads() -> None:
    image = torch.arange(3.0).view(1, 1, 3).expand(3, 1, 3)
    assert images.centre(image, (1, 1))[0].tolist() == [[1]]
    assert images.centre(image, (2, 1))[0].tolist() == [[1], [0]]


def test_cover_is_cut_in_the_middle() -> None:
    """Six columns shown as they are, four of them kept."""
    pixels = (torch.arange(6, dtype=torch.uint8) * 51).view(1, 6, 1).repeat(2, 1, 3)
    kept = images.cover(pixels, sizes.Fit((2, 4), (2, 6), 0, 1))
    torch.testing.assert_close(kept[0, 0], torch.tensor([-0.6, -0.2, 0.2, 0.6]))


def test_masks_by_hand() -> None:
    mask = given_mask(9, (1, 1))[..., 0, 0]
    assert mask.tolist() == [[1, 0, 0]] * 4
    mask = given_mask(9, (1, 1), last=True)[..., 0, 0]
    assert mask.tolist() == [[1, 0, 0]] * 3 + [[1, 0, 1]]
    assert given_mask(1, (2, 3)).shape == (4, 1, 2, 3)


def test_frames_between_are_grey_and_the_mask_comes_first() -> None:
    white = torch.full((16, 16, 3), 255, dtype=torch.uint8)
    made = image_condition(white, 5, 16 * 16, lambda video: video[:1, ::4, ::8, ::8], last=white)
    assert made.size == (16, 16)
    assert made.video[:, [0, 4]].eq(1).all()
    assert not made.video[:, 1:4].any()
    assert made.y.shape == (5, 2, 2, 2)
    assert made.y[:4, 0].eq(1).all()
    assert len(made.images) == 2


def test_vace_mask_channels_by_hand() -> None:
    """Channel = 8 * row + column; of 81 frames, the first latent frame reads number 1."""
    mask = torch.zeros(1, 81, 16, 8)
    mask[0, 1, 8 + 2, 5] = 1
    cells = mask_channels(mask, references=1)
    assert cells.shape == (64, 22, 2, 1)
    assert cells.nonzero().tolist() == [[8 * 2 + 5, 1, 1, 0]]


def test_vace_references_stand_in_front() -> None:
    frames, mask = torch.full((3, 5, 8, 8), 0.5), torch.ones(1, 5, 8, 8)
    mask[:, :, :4] = 0
    references = [torch.full((3, 8, 8), value) for value in (0.1, 0.2)]
    context = vace_context(frames, mask, references, lambda video: video[:1, ::4, ::8, ::8])
    assert context.shape == (2 + 64, 4, 1, 1)
    torch.testing.assert_close(context[0].flatten(), torch.tensor([0.1, 0.2, 0.5, 0.5]))  # kept: the upper half is sampled
    assert not context[1].any()
    assert context[2:, 2:, 0, 0].sum(dim=0).tolist() == [32, 32]
    assert not context[2:, :2].any()


def test_tokens_of_the_given_frame_have_time_zero() -> None:
    free = torch.ones(2, 4, 4)
    free[0] = 0
    assert token_times(free, 813).tolist() == [0] * 4 + [813] * 4


def test_noise_is_of_its_seed() -> None:
    one, same, other = (draw_noise((2, 3, 4, 5), seed) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.dtype == torch.float32


def test_audio_reads_the_nearest_state() -> None:
    """Frame k reads state round(1.875 k), halves to even; nothing beyond the end."""
    states = torch.arange(1.0, 31.0).view(1, 30, 1)
    clips = audio_clips(states, 8)
    assert clips.shape == (3, 1, 1, 8)
    assert clips[0].flatten().tolist() == [1, 3, 5, 7, 9, 10, 12, 14]
    assert clips[1].flatten()[:2].tolist() == [16, 18]
    assert not clips[2].any()


def test_resampling_keeps_both_ends() -> None:
    """A line of 50 states: 30 on the same line."""
    made = resample(torch.arange(50.0).view(1, 50, 1)).flatten()
    assert len(made) == 30
    torch.testing.assert_close(made, torch.linspace(0, 49, 30))


def test_motion_is_packed_by_age() -> None:
    packer = MotionPacker(2, 6)
    motion = tiny.draw(1, 2, 21, 8, 16)
    with torch.no_grad():
        tokens, positions = packer(motion)
        assert torch.equal(packer(motion[:, :, 2:])[0], tokens)  # only the latest 19 count
        few = packer(motion[:, :, -1:])[0]
    assert tokens.shape == (1, 4 * 8 + 2 * 4 + 4 * (1 * 2), 6)
    assert positions[:, 0].tolist() == [-1] * 32 + [-3] * 8 + [t for t in (-19, -14, -9, -4) for _ in range(2)]
    assert sorted(set(positions[32:40, 2].tolist())) == [0, 2, 4, 7]
    torch.testing.assert_close(few[:, :32], tokens[:, :32])
    torch.testing.assert_close(few[0, 32:40], packer.proj_2x.bias.expand(8, -1))
