"""A stand-in for somebody's model: `maker.py PROMPT_FILE OUT SEED [MARKS [fast]]` renders a small clip, or misbehaves as told.

The prompt's words say how: `fails` ends with an error, `hangs` never ends, `stalls` never ends and has begun to write, `lies`
writes no video, `once-fails` fails the first time. Every start leaves a line in MARKS. With `fast`, the camera rushes along.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from wanbench.scenes.encode import Frame, write_video
from wanbench.scenes.render import Scene, Subject, render

prompt, out, seed = Path(sys.argv[1]).read_text("utf-8"), Path(sys.argv[2]), int(sys.argv[3])
marks = Path(sys.argv[4]) if len(sys.argv) > 4 else None
before = marks.read_text() if marks and marks.exists() else ""
if marks:
    with marks.open("a") as file:
        file.write(f"{prompt.strip()} {seed}\n")
if "hangs" in prompt:
    time.sleep(3600)
if "fails" in prompt and not ("once-fails" in prompt and f"{prompt.strip()} {seed}" in before):
    print("a last word", file=sys.stderr)
    sys.exit(5)
if "lies" in prompt:
    sys.exit(0)
number = int(hashlib.sha256(f"{prompt}{seed}".encode()).hexdigest()[:6], 16)
rushing = Scene(size_HW=(48, 64), movement="pan-left", speed=0.8)
walking = Scene(size_HW=(48, 64), subjects=(Subject(size=0.5, velocity_XY=(0.3, 0.1)),))
scene = rushing if "fast" in sys.argv[5:] else walking


def frames() -> Iterator[Frame]:
    for _, frame in render(scene, fps=8, seconds=0.75, seed=number):
        yield frame
        if "stalls" in prompt:
            time.sleep(3600)


write_video(out, frames(), fps=8)
