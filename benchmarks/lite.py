"""`wanbench score --profile lite`, whole command, against the pure cost of decoding plus flow. Goal: at most 1.2 times.

    python -m benchmarks.lite [CLIPS...] [--repeats 5]

Both run on one core, in processes of their own, over the same files. "Pure" decodes the first five seconds of each file to RGB
with PyAV, resizes the frames of the 8-per-second grid to 240 lines and computes DIS flow both ways between neighbours; nothing
else. Ours adds everything: hashing, child processes, distinct frames, cuts, coherent speed, camera, stability, pictures, record,
report. (Its processor time leaves the decoder out, which ends with its parent and is nobody's to account: read the elapsed one.)
Without clips, candidate-like ones are rendered: 5 s of 480x832 at 16 frames a second, as Wan's.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.timing import alternate

CLIPS = 40
SIZE_HW = (480, 832)
FPS = 16
SECONDS = 5.0
WINDOW_SECONDS = 5.0
LINES = 240


def pure(files: list[Path]) -> None:
    """Decode and compute flow, as plainly as it can be written."""
    import av
    import cv2

    cv2.setNumThreads(1)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    nothing = np.empty(0, np.float32)
    for file in files:
        grid: list[npt.NDArray[np.uint8]] = []
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for frame in container.decode(stream):
                if frame.time is not None and frame.time > WINDOW_SECONDS:
                    break
                rgb = frame.to_ndarray(format="rgb24")
                if frame.time is None or frame.time >= len(grid) / 8 - 1e-6:
                    scale = min(1.0, LINES / min(rgb.shape[:2]))
                    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
                    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
                    grid.append(np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8))
        for first, second in itertools.pairwise(grid):
            flow.calc(first, second, nothing)
            flow.calc(second, first, nothing)


def render_clips(folder: Path) -> None:
    """Scenes with moving subjects and cameras, one file each."""
    from wanbench.scenes.encode import Encoding, write_video
    from wanbench.scenes.render import MOVEMENTS, Scene, Subject, render

    for number in range(CLIPS):
        movement = MOVEMENTS[number % len(MOVEMENTS)]
        subject = Subject(kind="balloon", size=0.3, start_XY=(0.3, 0.5), velocity_XY=(0.1, 0.02 * (number % 5)))
        speed = 0.0 if movement == "static" else 0.1
        scene = Scene(movement=movement, speed=speed, size_HW=SIZE_HW, picture="hills", subjects=(subject,))
        frames = (frame for _, frame in render(scene, fps=FPS, seconds=SECONDS, seed=number // len(MOVEMENTS)))
        write_video(folder / f"{number:02}.mp4", frames, fps=FPS, encoding=Encoding(crf=20))


def files_of(clips: Sequence[Path], folder: Path) -> list[Path]:
    """The files named, those of folders among them; without any, clips rendered into `folder`."""
    files = [f for c in clips for f in (sorted(c.iterdir()) if c.is_dir() else [c])]
    if not files:
        (folder / "clips").mkdir()
        render_clips(folder / "clips")
        files = sorted((folder / "clips").iterdir())
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pure:
        pure(arguments.clips)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = files_of(arguments.clips, folder)
        _compare(files, folder / "run", arguments.repeats)


def _compare(files: list[Path], out: Path, repeats: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # children inherit it: both sides get one core
    names = [str(f) for f in files]

    def ours() -> None:
        shutil.rmtree(out, ignore_errors=True)
        options = ["--profile", "lite", "--workers", "1", "--out", str(out), "-q"]
        subprocess.run([sys.executable, "-m", "wanbench", "score", *names, *options], check=True, stdout=subprocess.DEVNULL)

    def theirs() -> None:
        subprocess.run([sys.executable, "-m", "benchmarks.lite", "--pure", *names], check=True)

    alternate(ours, theirs, repeats=repeats, names=("wanbench score, lite", "decoding + DIS flow"), goal=1.2)


if __name__ == "__main__":
    main()
