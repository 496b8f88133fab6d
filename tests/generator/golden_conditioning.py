"""Checks of what goes into the networks and of what comes out at the end against reference tensors, by family."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from wanbench.generator.conditioning import given_mask, image_condition
from wanbench.generator.images import to_bytes
from wanbench.generator.pipeline import draw_noise
from wanbench.generator.sizes import covering_fit, latent_size, speech_size
from wanbench.generator.speech import audio_clips, resample
from wanbench.generator.text import clean
from wanbench.generator.vace_context import mask_channels, vace_context

from .golden import Case, load_vae


def i2v_cond(case: Case) -> None:
    matrix = case.inputs["We"]

    def encode(video: Tensor) -> Tensor:
        """The toy autoencoder of the file: every fourth frame, 8x8 means, a matrix over channels."""
        return torch.einsum("zc,cthw->zthw", matrix, functional.avg_pool3d(video[:, ::4], (1, 8, 8)))

    for i, run in enumerate(case.config["runs"]):
        last = case.inputs[f"image.{run['image2']}"] if "image2" in run else None
        made = image_condition(case.inputs[f"image.{run['image']}"], run["frame_num"], run["max_area"], encode, last)
        case.equal(f"run{i}.mask", made.y[:4])
        case.close(f"run{i}.y", made.y, 2e-5)
        case.equal(f"run{i}.vae_input_shape", made.video.shape)
        case.close(f"run{i}.vae_input_first_frame", made.video[:, :1], 1e-5)
        between = made.video[:, 1:-1] if last is not None else made.video[:, 1:]
        assert not between.any()
        if last is not None:
            case.close(f"run{i}.vae_input_last_frame", made.video[:, -1:], 1e-5)
        if run["kind"].endswith("21"):
            for k, image in enumerate(made.images):
                case.close(f"run{i}.clip_input.{k}", image[:, None], 1e-5)
        _, f, h, w = made.y.shape
        case.equal(f"run{i}.noise", draw_noise((len(matrix), f, h, w), case.config["seed"]))
        case.equal(f"run{i}.seq_len", f * h * w // 4)


def i2v_mask(case: Case) -> None:
    size = tuple(case.config["lat_hw"])
    for name in case.outputs:
        kind, frames = name.split(".frames")
        case.equal(name, given_mask(int(frames), size, last=kind.startswith("flf2v")))


def size_fit(case: Case) -> None:
    squeezed = []
    for image, area in case.config["i2v_cases"]:
        rows, columns = latent_size(tuple(image), area)
        squeezed.append([*image, area, rows, columns, rows * 8, columns * 8])
    case.equal("i2v.h_w_area_lath_latw_outh_outw", squeezed)
    covered = []
    for image, area in case.config["ti2v_cases"]:
        fit = covering_fit(tuple(image), area)
        covered.append([*image, area, *fit.size, *fit.resize, fit.left, fit.top])
    case.equal("ti2v.h_w_area_outh_outw_resizeh_resizew_cropx_cropy", covered)


def vace_ctx(case: Case) -> None:
    vae = load_vae(case.config["vae"], case.weights, case.inputs["latent_mean"], case.inputs["latent_std"])
    frames, mask = case.inputs["frames"], case.inputs["mask"]
    for count in case.config["ref_counts"]:
        references = [case.inputs[f"ref.{i}"][:, 0] for i in range(count)]
        context = vace_context(frames, mask, references, lambda video: vae.encode(video[None])[0])
        case.close(f"refs{count}.vace_context", context, 2e-5)
        case.equal(f"refs{count}.mask_latent", mask_channels(mask, count))
        assert torch.equal(context[-64:], case.outputs[f"refs{count}.mask_latent"])
        case.equal(f"refs{count}.target_shape", [vae.config.z_dim, *context.shape[1:]])


def s2v_aux(case: Case) -> None:
    for i, run in enumerate(case.config["runs"]):
        resampled = resample(case.inputs["features"][:, : run["t50"]])
        case.close(f"run{i}.interp30", resampled, 1e-5)
        clips = audio_clips(resampled, run["batch_frames"])
        case.equal(f"run{i}.num_repeat", len(clips))
        case.close(f"run{i}.audio_input", torch.cat(list(clips), dim=2)[None], 1e-5)
    sizes = [[*image, area, *speech_size(tuple(image), area)] for image, area in case.config["sizes"]]
    case.equal("size.h_w_area_outh_outw", sizes)


def frames(case: Case) -> None:
    case.equal("frames_u8_fhwc", to_bytes(case.inputs["video"]))


def text_clean(case: Case) -> None:
    for raw, cleaned in case.config["cases"]:
        assert clean(raw) == cleaned, raw
        case.compared.add(raw)
