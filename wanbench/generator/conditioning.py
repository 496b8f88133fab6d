"""What conditions image-to-video and first-last-frame-to-video: the mask and latents that follow the noise on channels.

Wan2.1 (arXiv 2503.20314, section 5.1) and the two-expert networks of Wan2.2. The given frames stand in a video that is otherwise
grey (0, not black) in pixels, and that video is encoded as one clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from wanbench.generator.images import centre, squeeze, to_tensor
from wanbench.generator.sizes import Size, latent_size

Encode = Callable[[Tensor], Tensor]
"""Video [3, T, H, W] in [-1, 1] -> normalised latents [z, (T-1)//4+1, H/8, W/8]."""


@dataclass(frozen=True)
class ImageCondition:
    """Image-to-video, ready for the network."""

    size: Size
    """Pixels of the video."""
    video: Tensor
    """[3, T, H, W]: what is encoded; the given frames, grey between."""
    y: Tensor
    """[4 + z, F, H/8, W/8]: mask, then latents."""
    images: tuple[Tensor, ...]
    """[3, h, w] each, in [-1, 1], at their own size: what the image tower of Wan2.1 sees."""


def image_condition(first: Tensor, frames: int, area: int, encode: Encode, last: Tensor | None = None) -> ImageCondition:
    """From one image, or two for first-last-frame: uint8 [h, w, 3] each; frames = 4k+1; about `area` pixels."""
    images = [to_tensor(first)]
    if last is not None:
        images.append(_matched(to_tensor(last), first.shape[:2]))
    rows, columns = latent_size((first.shape[0], first.shape[1]), area)
    size = (rows * 8, columns * 8)
    video = given_video([squeeze(image, size) for image in images], frames)
    mask = given_mask(frames, (rows, columns), last=last is not None)
    latents = encode(video)
    return ImageCondition(size, video, torch.cat((mask.to(latents), latents)), tuple(images))


def _matched(last: Tensor, size: torch.Size) -> Tensor:
    """The last image [3, h, w] where its size is not the first's [h, w]: the official code's crop, kept with its slips.

    Nothing is resized here, and (width, height) is taken for (height, width): a smaller image is surrounded by grey. Images of
    one size are left alone.
    """
    if last.shape[1:] == size:
        return last
    ratio = max(size[1] / last.shape[2], size[0] / last.shape[1])
    return centre(last, (round(last.shape[2] * ratio), round(last.shape[1] * ratio)))


def given_video(images: list[Tensor], frames: int) -> Tensor:
    """One or two images [3, H, W] -> [3, frames, H, W]: at the start (and the end), zeros between."""
    video = images[0].new_zeros(3, frames, *images[0].shape[1:])
    video[:, 0] = images[0]
    if len(images) > 1:
        video[:, -1] = images[1]
    return video


def given_mask(frames: int, size: Size, *, last: bool = False) -> Tensor:
    """Which frames are given: [4, F, *size], 1 = given; frames = 4k+1.

    A latent frame has four channels for its four pixel frames; the first, which has one, gets four copies. So with a last image
    only channel 3 of the last latent frame is 1.
    """
    given = torch.zeros(frames)
    given[0] = 1
    if last:
        given[-1] = 1
    channels = torch.cat((given[:1].repeat(4), given[1:])).view(-1, 4).T
    return channels[:, :, None, None].expand(-1, -1, *size).contiguous()
