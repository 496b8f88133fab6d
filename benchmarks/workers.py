"""Two workers against one, `wanbench score --profile lite`, whole command. Goal: 0.588 of the time, 1.7 times the throughput.

    python -m benchmarks.workers [CLIPS...] [--repeats 5]

A worker is a decoder and a scorer on one core: one worker gets one core, two get two, and the machine should have nothing else to
do. Without clips, candidate-like ones are rendered, as in `benchmarks.lite`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.lite import files_of
from benchmarks.timing import alternate

GOAL = 1 / 1.7


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two workers need two cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = files_of(arguments.clips, folder)

        def score(workers: int) -> None:
            shutil.rmtree(folder / "run", ignore_errors=True)
            options = ["--profile", "lite", "--workers", str(workers), "--out", str(folder / "run"), "-q"]
            os.sched_setaffinity(0, set(cores[:workers]))  # children inherit it
            try:
                command = [sys.executable, "-m", "wanbench", "score", *map(str, files), *options]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            finally:
                os.sched_setaffinity(0, set(cores))

        names = ("two workers", "one worker")
        found = alternate(lambda: score(2), lambda: score(1), repeats=arguments.repeats, names=names, goal=round(GOAL, 3))
        for cost, of in ((found.theirs, 1), (found.ours, 2)):
            seconds = sorted(c.wall for c in cost)[len(cost) // 2]
            print(f"{of} worker(s): {len(files) / seconds:.2f} clips/s")


if __name__ == "__main__":
    main()
