"""Which model makes the videos, settled and checked before any work."""

from __future__ import annotations

from collections.abc import Sequence

from wanbench.errors import UsageError
from wanbench.making.command import parse
from wanbench.making.crew import VIDEO_SECONDS
from wanbench.making.makers import MakerOptions, MakerSpec, flag
from wanbench.making.pipelines import SEVERAL_NAMES
from wanbench.making.wan import choose_wan
from wanbench.networks import DEVICE

COMMAND, DIFFUSERS = "command:", "diffusers:"
FRAMES_PER_SECOND = 16.0
"""Of a pipeline that does not say at which rate its frames are to be shown: Wan2.1's."""


def choose_maker(name: str, options: MakerOptions) -> MakerSpec:
    """The maker that `--model` names. Raises `UsageError`, `MissingCheckpoints`, `MissingDependency`."""
    if name.startswith(COMMAND):
        command = name.removeprefix(COMMAND)
        parse(command)
        if unused := sorted(options.given()):
            raise UsageError(f"{flag(unused[0])} is the command's own affair: put it into the command")
        return MakerSpec(
            kind="command", name=command, settings={"command": command, "timeout_s": options.video_seconds or VIDEO_SECONDS}
        )
    if name.startswith(DIFFUSERS):
        return _diffusers(name.removeprefix(DIFFUSERS), options)
    return choose_wan(name, options)


def _diffusers(name: str, options: MakerOptions) -> MakerSpec:
    import importlib.util

    from wanbench.errors import MissingDependency

    if importlib.util.find_spec("diffusers") is None:
        raise MissingDependency(f"{DIFFUSERS}{name}", "diffusers")
    if unused := [name for name in options.given() if name not in (*SEVERAL_NAMES, "fps", "dtype")]:
        raise UsageError(f"{flag(unused[0])} is not passed on to diffusers' pipelines")
    if isinstance(options.guidance, tuple):
        raise UsageError("--guidance with two numbers is for networks of low and high noise: give diffusers' pipelines one")
    settings = {
        **options.given(),
        "fps": options.fps or FRAMES_PER_SECOND,
        "dtype": options.dtype or "bfloat16",
    }
    return MakerSpec(kind="diffusers", name=name, settings=settings, circumstances={"offline": options.offline})


def devices_of(device: str) -> Sequence[str]:
    """The devices that videos are made on: every GPU there is for `auto`, else the named ones (`cuda:0,cuda:2`).

    Raises `UsageError`.
    """
    if device != "auto":
        named = [part.strip() for part in device.split(",")]
        if wrong := [name for name in named if not DEVICE.fullmatch(name)]:
            raise UsageError(f"--device takes auto, cpu, mps, or cuda:0,cuda:1 for several, not {wrong[0]!r}")
        if twice := [name for name in named if name.startswith("cuda") and named.count(name) > 1]:
            raise UsageError(f"--device names {twice[0]} twice: one model a GPU")
        return named
    try:
        import torch
    except ImportError:
        return ["cpu"]
    if torch.cuda.is_available():
        return [f"cuda:{k}" for k in range(torch.cuda.device_count())]
    return ["mps" if torch.backends.mps.is_available() else "cpu"]
