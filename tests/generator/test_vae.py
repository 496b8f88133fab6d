"""The autoencoders: cut anywhere, the same video; nothing is remembered but what is passed."""

from __future__ import annotations

import pytest
import torch

from wanbench.generator.causal import CausalConv3d, ChannelNorm
from wanbench.generator.configurations import VAE_21, VAE_22
from wanbench.generator.vae import fold, unfold
from wanbench.generator.vae22 import average_down, repeat_up

from . import tiny

releases = pytest.mark.parametrize("release", ["2.1", "2.2"])


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Random parameters make values of any size: rounding is judged against the largest."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@releases
@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_decoding_in_chunks_equals_the_whole(release: str, chunk: int) -> None:
    vae = tiny.vae(release)
    latents = tiny.draw(1, 3, 5, 2, 3)
    whole, _ = vae.decode_chunk(latents)
    assert whole.shape[2:] == (17, 2 * vae.config.stride[1], 3 * vae.config.stride[2])
    state, parts = None, []
    for part in torch.split(latents, chunk, dim=2):
        pixels, state = vae.decode_chunk(part, state)
        parts.append(pixels)
    close(torch.cat(parts, dim=2), whole)
    assert parts[0].shape[2] == 4 * chunk - 3


@releases
@pytest.mark.parametrize("chunk", [4, 8])
def test_encoding_in_chunks_equals_the_whole(release: str, chunk: int) -> None:
    vae = tiny.vae(release)
    video = tiny.draw(1, 3, 17, 32, 64)
    whole = vae.normalise(vae.encode_chunk(video)[0])
    assert whole.shape[1:] == vae.config.latent_shape(17, 32, 64)
    close(vae.encode(video, chunk=chunk), whole)


@releases
def test_frames_beyond_4k_plus_1_are_left_out(release: str) -> None:
    vae, video = tiny.vae(release), tiny.draw(1, 3, 8, 32, 32)
    assert torch.equal(vae.encode(video), vae.encode(video[:, :, :5]))


@releases
def test_two_videos_in_turn_do_not_haunt_each_other(release: str) -> None:
    vae = tiny.vae(release)
    one, two = (tiny.draw(1, 3, 3, 2, 2, seed=seed) for seed in (1, 2))
    streams = [vae.decode_stream(one), vae.decode_stream(two)]
    in_turn = list(zip(*streams, strict=True))
    assert torch.equal(torch.cat([a for a, _ in in_turn], dim=2), vae.decode(one))
    assert torch.equal(torch.cat([b for _, b in in_turn], dim=2), vae.decode(two))


@releases
def test_the_past_does_not_see_the_future(release: str) -> None:
    vae = tiny.vae(release)
    latents = tiny.draw(1, 3, 3, 2, 2)
    other = latents.clone()
    other[:, :, 2] += 1
    before, after = vae.decode_chunk(latents)[0], vae.decode_chunk(other)[0]
    assert torch.equal(before[:, :, :5], after[:, :, :5])
    assert not torch.equal(before[:, :, 5:], after[:, :, 5:])


def test_state_holds_no_more_than_two_frames() -> None:
    conv = CausalConv3d(1, 1)
    _, past = conv(torch.zeros(1, 1, 9, 4, 4))
    assert past.shape[2] == 2
    assert past.untyped_storage().nbytes() == past.nbytes


def test_strides_and_shapes() -> None:
    assert (VAE_21.stride, VAE_22.stride) == ((4, 8, 8), (4, 16, 16))
    assert VAE_21.latent_shape(81, 480, 832) == (16, 21, 60, 104)
    assert VAE_22.latent_shape(121, 704, 1280) == (48, 31, 44, 80)
    assert len(VAE_21.latent_mean) == len(VAE_21.latent_std) == 16
    assert len(VAE_22.latent_mean) == len(VAE_22.latent_std) == 48


def test_a_convolution_looks_back_only() -> None:
    """All ones over time: sums of this frame and the two before it."""
    conv = CausalConv3d(1, 1, (3, 1, 1))
    conv.weight.fill_(1)
    conv.bias.zero_()
    frames = torch.tensor([1.0, 2, 4, 8]).view(1, 1, 4, 1, 1)
    assert conv(frames)[0].flatten().tolist() == [1, 3, 7, 14]
    first, past = conv(frames[:, :, :1])
    assert first.flatten().tolist() == [1]
    assert conv(frames[:, :, 1:], past)[0].flatten().tolist() == [3, 7, 14]


def test_channel_norm_by_hand() -> None:
    """(3, 4) has length 5; times the root of two channels."""
    normed = ChannelNorm(2)(torch.tensor([3.0, 4]).view(1, 2, 1, 1, 1)).flatten()
    torch.testing.assert_close(normed, torch.tensor([0.6, 0.8]) * 2**0.5)
    tiny_one = ChannelNorm(2)(torch.tensor([3e-6, 4e-6]).view(1, 2, 1, 1, 1)).flatten()
    torch.testing.assert_close(tiny_one, normed)  # no epsilon that would show
    assert ChannelNorm(2)(torch.zeros(1, 2, 1, 1, 1)).tolist() == torch.zeros(1, 2, 1, 1, 1).tolist()


def test_fold_puts_the_column_before_the_row() -> None:
    square = torch.tensor([[1.0, 2], [3, 4]]).view(1, 1, 1, 2, 2)
    assert fold(square, 2).flatten().tolist() == [1, 3, 2, 4]
    video = tiny.draw(2, 3, 2, 4, 6)
    assert torch.equal(unfold(fold(video, 2), 2), video)
    assert torch.equal(fold(video, 1), video)


def test_average_down_by_hand() -> None:
    """One channel to two, in time and space: the earlier frame's mean, then the later one's; a first frame has none before it."""
    frame = torch.tensor([[1.0, 2], [3, 6]])
    two = torch.stack((frame, frame * 10)).view(1, 1, 2, 2, 2)
    assert average_down(two, 2, 2, 2).flatten().tolist() == [3, 30]
    assert average_down(two[:, :, :1], 2, 2, 2).flatten().tolist() == [0, 3]
    assert average_down(two, 1, 1, 1).equal(two)


def test_repeat_up_by_hand() -> None:
    """Two channels to one, in space: the rows of each cell come from the two channels."""
    x = torch.tensor([5.0, 7]).view(1, 2, 1, 1, 1)
    assert repeat_up(x, 1, 1, 2)[0, 0, 0].tolist() == [[5, 5], [7, 7]]
    assert repeat_up(x[:, :1], 1, 2, 1).flatten().tolist() == [5, 5]
