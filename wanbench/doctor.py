"""What works on this machine and what is missing, each with the command that mends it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wanbench import checkpoints
from wanbench.checkpoints import TABLE
from wanbench.dimension import Method, load_all
from wanbench.errors import WanbenchError
from wanbench.evaluation.plan import LIBRARIES
from wanbench.fourteen import FOURTEEN, title
from wanbench.judge.choice import DEFAULT, NAMES, VARIABLE

LEAST_MEMORY_BYTES = 4 * 1024**3
LEAST_DISK_BYTES = 2 * 1024**3
EXTRAS = {
    **LIBRARIES,
    "judge": ("openai", "llguidance", "transformers"),
    "generate": ("torch", "transformers", "ftfy"),
    "diffusers": ("diffusers",),
}
"""Install extra -> what it must bring."""
OPENCV_BUILDS = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at."""

    section: str
    name: str
    state: Literal["ok", "missing", "wrong"]
    """`missing` is something one may do without; `wrong` is not."""
    text: str
    mend: str | None = None
    """The command, or the step, that mends it."""


def examine() -> list[Finding]:
    """Everything, in the order of reading."""
    return [*_machine(), *_decoder(), *_networks(), *_dimensions()]


def _machine() -> Iterator[Finding]:
    yield _finding("machine", "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield _finding("machine", "cores", f"{os.cpu_count()}")
    import psutil

    memory = psutil.virtual_memory()
    enough = memory.available >= LEAST_MEMORY_BYTES
    text = f"{_gigabytes(memory.available)} free of {_gigabytes(memory.total)}"
    yield _finding(
        "machine", "memory", text, None if enough else "close other programs, or give fewer --workers", wrong=not enough
    )
    for what, folder in (("disk here", Path.cwd()), ("disk of the store", _existing(checkpoints.home()))):
        free = shutil.disk_usage(folder).free
        low = free < LEAST_DISK_BYTES
        mend = "free some space, or choose another place with --out or WANBENCH_HOME" if low else None
        yield _finding("machine", what, f"{_gigabytes(free)} free in {folder}", mend, wrong=low)


def _decoder() -> Iterator[Finding]:
    try:
        import av

        yield _finding("decoder", "PyAV", f"{av.__version__} with FFmpeg {av.ffmpeg_version_info}")
    except ImportError as error:
        yield _finding("decoder", "PyAV", f"cannot be imported: {error}", "pip install --force-reinstall av", wrong=True)
    builds = [b for b in OPENCV_BUILDS if importlib.util.find_spec("cv2") and _version(b)]
    if len(builds) > 1:
        text = f"{len(builds)} builds fill one folder: {', '.join(f'{b} {_version(b)}' for b in builds)}"
        mend = f"pip uninstall -y {' '.join(builds)} && pip install --force-reinstall opencv-python-headless"
        yield _finding("decoder", "OpenCV", text, mend, wrong=True)
        return
    try:
        import cv2

        yield _finding("decoder", "OpenCV", f"{cv2.__version__} ({builds[0] if builds else 'not from the registry'})")
    except ImportError as error:
        mend = "pip uninstall -y opencv-python && pip install --force-reinstall opencv-python-headless"
        yield _finding("decoder", "OpenCV", f"cannot be imported: {error}", mend, wrong=True)


def _networks() -> Iterator[Finding]:
    if importlib.util.find_spec("torch") is None:
        yield Finding(
            section="networks", name="torch", state="missing", text="not installed", mend="pip install 'wanbench[score]'"
        )  # fmt: skip
        return
    try:
        import torch
    except (ImportError, OSError) as error:
        yield _finding("networks", "torch", f"cannot be imported: {error}", "pip install --force-reinstall torch", wrong=True)
        return
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    yield _finding("networks", "torch", f"{torch.__version__}, device {device}")
    for extra, libraries in EXTRAS.items():
        absent = [library for library in libraries if importlib.util.find_spec(library) is None]
        state: Literal["ok", "missing"] = "missing" if absent else "ok"
        text = f"{', '.join(absent)} not installed" if absent else ", ".join(libraries)
        mend = f"pip install 'wanbench[{extra}]'" if absent else None
        yield Finding(section="networks", name=f"extra {extra}", state=state, text=text, mend=mend)


def _dimensions() -> Iterator[Finding]:
    declared = load_all()
    for name in FOURTEEN:
        able, lacks, mends = [], [], []
        for method in declared[name].methods:
            lack, mend = _lack(method)
            where = method.profile or "every profile"
            (lacks.append(f"{where}: {lack}") if lack else able.append(f"{where} ({method.name})"))
            mends += [mend] if mend else []
        text = "; ".join((["runs in " + ", ".join(able)] if able else []) + lacks)
        state: Literal["ok", "missing"] = "ok" if able else "missing"
        yield Finding(section="dimensions", name=title(name), state=state, text=text, mend="; ".join(mends) or None)


def _lack(method: Method) -> tuple[str | None, str | None]:
    """(what the method lacks, the command that mends it)."""
    if method.judge == "needed":
        return (None, None) if _judges() else ("no judge", f"wanbench checkpoints pull {DEFAULT}, or --judge URL")
    absent = [library for library in LIBRARIES.get(method.extra or "", ()) if importlib.util.find_spec(library) is None]
    if absent:
        return f"{', '.join(absent)} not installed", f"pip install 'wanbench[{method.extra}]'"
    names = list(dict.fromkeys(n for network in method.networks for n in network.checkpoints))
    try:
        missing = checkpoints.missing(names)
        wrong = [s.checkpoint for n in names for s in checkpoints.verify(n) if s.state == "wrong"]
    except WanbenchError as error:
        return str(error), None
    if missing:
        own = [checkpoints.checkpoint(n).made_by for n in missing if checkpoints.checkpoint(n).made_by]
        pulled = [n for n in missing if not checkpoints.checkpoint(n).made_by]
        steps = ([f"wanbench checkpoints pull {' '.join(pulled)}"] if pulled else []) + [step for step in own if step]
        return f"no checkpoint {', '.join(missing)}", "; ".join(steps)
    if wrong:
        return f"checkpoint {', '.join(wrong)} is not the published file", f"wanbench checkpoints pull {' '.join(wrong)}"
    return None, None


def _judges() -> list[str]:
    """The judge that the environment names, and those in the store."""
    return (
        [os.environ[VARIABLE]] if os.environ.get(VARIABLE) else [n for n in NAMES if n in TABLE and not checkpoints.missing([n])]
    )


def _finding(section: str, name: str, text: str, mend: str | None = None, *, wrong: bool = False) -> Finding:
    return Finding(section=section, name=name, state="wrong" if wrong else "ok", text=text, mend=mend)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(f for f in (folder.absolute(), *folder.absolute().parents) if f.is_dir())


def _gigabytes(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB"
