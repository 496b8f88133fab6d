"""The measured figures of `docs/definitions.md`, on given clips, as a Markdown table.

    python -m benchmarks.definitions CLIPS... [--labels index.jsonl]

Each file is decoded once; damage is done in memory, to the frames as every dimension sees them (240 lines), and what comes out
is measured like any clip. Ratios are of sums over the clips: a mean of ratios would be decided by those that hardly move. With
labels (lines with `file` and `camera`), camera movements are checked too. About five minutes for fifty clips on one core.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from wanbench.clip import Clip
from wanbench.decoding.prepare import prepare, prepare_frames
from wanbench.dimension import Tools, load_all
from wanbench.errors import UndecodableVideo
from wanbench.evaluation.worker import ClipTools
from wanbench.metrics import _shots, camera_control
from wanbench.networks import NetworkPool, Placement
from wanbench.scenes import damage
from wanbench.scenes.damage import Timed
from wanbench.scenes.encode import CONTAINERS, Encoding, write_video
from wanbench.types import Reading

LARGE_MOTION_DIAGONALS_PER_SECOND = 0.2
"""A large-motion clip is one whose plain flow is at least this fast; half of the mixed clips we have are."""
CUT_DISTANCES = (1, 5, 11, 17)
"""A clip is cut to the one so many places further on."""
SIGMAS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
AMPLITUDES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
SHAKE_PX = JITTER_PX = 8.0
NOISE_SIGMA = 20.0
CRF = 38
PILLAR = 0.2
SECONDS_OF_SPOILING = 1.5
"""Noise and flicker are done to this much of a clip."""

Damage = Callable[[Iterable[Timed]], Iterable[Timed]]
Row = tuple[str, str]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


STILLS: Mapping[str, Damage] = {
    "frames shuffled": lambda frames: damage.shuffle(frames, rng=rng()),
    f"first frame, shaken by {SHAKE_PX:g} px": lambda f: damage.shake(damage.freeze(f), amplitude_px=SHAKE_PX, rng=rng()),
    f"first frame, jittered by {JITTER_PX:g} px": lambda f: damage.jitter(damage.freeze(f), amplitude_px=JITTER_PX, rng=rng()),
    f"first frame, noise of sigma {NOISE_SIGMA:g}": lambda f: damage.noise(damage.freeze(f), sigma=NOISE_SIGMA, rng=rng()),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Footage:
    """One readable file."""

    name: str
    clip: Clip

    def frames(self, seconds: float = np.inf) -> list[Timed]:
        kept = self.clip.times < seconds
        return list(zip(self.clip.times[kept].tolist(), self.clip.frames[kept], strict=True))


class Measures:
    """The `lite` dimensions of a clip, features shared between them as in a run."""

    def __init__(self) -> None:
        self._dimensions = load_all()
        self._pool = NetworkPool({}, Placement(device="cpu", dtype="float32", batch_size=1))

    def tools(self, clip: Clip, dimension: str) -> Tools:
        method = self._dimensions[dimension].method_for("lite")
        assert method is not None
        return cast(Tools, ClipTools(clip, method, self._pool, {}))

    def reading(self, clip: Clip, dimension: str) -> Reading | None:
        found = self._dimensions[dimension].measure(clip, None, self.tools(clip, dimension))
        return found if isinstance(found, Reading) else None

    def speeds(self, clip: Clip) -> tuple[float, float] | None:
        """(R, the same of plain flow), both in diagonals per second."""
        reading = self.reading(clip, "large_motion_generation")
        if reading is None or clip.frozen:
            return None if reading is None else (0.0, 0.0)
        return float(reading.raw["flow_top5_diag_per_s"]), float(reading.raw["plain_top5_diag_per_s"])

    def stability(self, clip: Clip) -> float | None:
        reading = self.reading(clip, "pixel_level_stability")
        return None if reading is None else reading.score

    def movement(self, clip: Clip) -> str:
        found = camera_control.observe(clip, self.tools(clip, "camera_control"))
        return found if isinstance(found, str) else found.movement


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path, help="files and folders")
    parser.add_argument("--labels", type=Path, help="JSONL with file and camera; default: index.jsonl above the first folder")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    footage = list(read(arguments.clips))
    labels = read_labels(arguments.labels or arguments.clips[0].parent / "index.jsonl")
    sys.stdout.write(f"| on {len(footage)} clips | measured |\n|---|---|\n")
    for what, measured in figures(footage, labels):
        sys.stdout.write(f"| {what} | {measured} |\n")
        sys.stdout.flush()


def read(paths: Sequence[Path]) -> Iterator[Footage]:
    """Every video that can be decoded, in order of name; the others are named on standard error."""
    files = [f for p in paths for f in (sorted(p.rglob("*")) if p.is_dir() else [p]) if f.suffix.lower() in CONTAINERS]
    for file in files:
        try:
            yield Footage(name=file.name, clip=prepare(file))
        except UndecodableVideo as error:
            sys.stderr.write(f"{file}: {error}\n")


def read_labels(path: Path) -> dict[str, str]:
    """File name -> movement by name, of those that flow decides."""
    if not path.is_file():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {Path(n["file"]).name: n["camera"] for n in lines if n.get("camera") in camera_control.DECIDED}


def figures(footage: Sequence[Footage], labels: Mapping[str, str]) -> Iterator[Row]:
    measures = Measures()
    yield from motion_figures(footage, measures)
    yield from stability_figures(footage, labels, measures)
    yield from cut_figures(footage)
    yield from camera_figures(footage, labels, measures)


def motion_figures(footage: Sequence[Footage], measures: Measures) -> Iterator[Row]:
    found = {f.name: measures.speeds(f.clip) for f in footage}
    speeds = {name: pair for name, pair in found.items() if pair is not None}
    large = [r for r, plain in speeds.values() if plain >= LARGE_MOTION_DIAGONALS_PER_SECOND]
    yield "R: clips measured; the others are too short", f"{len(speeds)}"
    yield (
        f"clips with plain flow over {LARGE_MOTION_DIAGONALS_PER_SECOND:g} diagonals/s: number, median R, median score",
        f"{len(large)}, {np.median(large):.3f}, {1 - np.exp(-np.median(large) / 0.4):.3f}",
    )
    moving = [f for f in footage if f.name in speeds]
    whole, plain_whole = (sum(pair[k] for pair in speeds.values()) for k in (0, 1))
    for name, spoil in STILLS.items():
        pairs = [measures.speeds(prepare_frames(spoil(f.frames()))) or (0.0, 0.0) for f in moving]
        r, plain = (sum(pair[k] for pair in pairs) for k in (0, 1))
        yield f"{name}: R, and plain flow, as shares of the clips' own", f"{r / whole:.3f}, {plain / plain_whole:.2f}"
    for times in (2, 3):
        again = {f.name: measures.speeds(prepare_frames(damage.repeat(f.frames(), times=times))) for f in moving}
        change = max(abs(pair[0] - speeds[name][0]) for name, pair in again.items() if pair is not None)
        yield f"each frame {times} times: largest change of R in one clip, diagonals/s", f"{change:.5f}"


def stability_figures(footage: Sequence[Footage], labels: Mapping[str, str], measures: Measures) -> Iterator[Row]:
    found = {f.name: measures.stability(f.clip) for f in footage}
    scores = {name: s for name, s in found.items() if s is not None}
    low, middle, high = np.quantile(list(scores.values()), (0.25, 0.5, 0.75))
    yield "stability: clips measured; the others show no static region", f"{len(scores)}"
    yield "stability: median (quartiles)", f"{middle:.3f} ({low:.3f}, {high:.3f})"
    changes = [measures.stability(encoded(f)) for f in footage if f.name in scores]
    rises = [after - before for after, before in zip(changes, scores.values(), strict=True) if after is not None]
    yield f"stability: median change when encoded once more at CRF {CRF}", f"{np.median(rises):+.4f}"
    at_rest = [f for f in footage if labels.get(f.name) == "static" and f.name in scores and len(f.clip.times) > 3]
    spoilings: tuple[tuple[str, Sequence[float], Callable[[list[Timed], float], Iterable[Timed]]], ...] = (
        ("noise of sigma", SIGMAS, lambda frames, a: damage.noise(frames, sigma=a, rng=rng())),
        ("flicker of amplitude", AMPLITUDES, lambda frames, a: damage.flicker(frames, amplitude=a, rng=rng())),
    )
    for name, amounts, spoil in spoilings if at_rest else ():
        rows = [
            [measures.stability(prepare_frames(spoil(f.frames(SECONDS_OF_SPOILING), a))) or 0.0 for a in amounts] for f in at_rest
        ]
        falling = sum(all(a > b for a, b in itertools.pairwise(row)) for row in rows)
        medians = ", ".join(f"{m:.3f}" for m in np.median(rows, axis=0))
        steps = ", ".join(f"{a:g}" for a in amounts)
        yield f"camera at rest, {name} {steps}: clips that fall at every step; medians", f"{falling} of {len(rows)}; {medians}"


def encoded(footage: Footage) -> Clip:
    """The frames after one more compression."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "again.mp4"
        frames, times = footage.clip.frames, footage.clip.times.tolist()
        if len(times) < 2:
            return footage.clip
        write_video(path, frames, times_seconds=times, encoding=Encoding(crf=CRF, pixel_format="yuv444p"))
        return prepare(path)


def cut_figures(footage: Sequence[Footage]) -> Iterator[Row]:
    false = sum(len(_shots.cuts(f.clip)) for f in footage)
    yield "cuts found inside clips, pairs of frames", f"{false} in {sum(len(f.clip.times) - 1 for f in footage)}"
    planted = missed = more = 0
    names = []
    for distance, (place, one) in itertools.product(CUT_DISTANCES, enumerate(footage)):
        other = footage[(place + distance) % len(footage)]
        if len(one.clip.times) < 6 or other is one:
            continue
        size_WH = one.clip.frames.shape[2:0:-1]
        following = [(t, np.asarray(cv2.resize(x, size_WH, interpolation=cv2.INTER_AREA), np.uint8)) for t, x in other.frames()]
        at = float(one.clip.times[len(one.clip.times) // 2])
        clip = prepare_frames(damage.cut(one.frames(), following, at_seconds=at))
        found = [abs(float(clip.times[n]) - at) < 1e-6 for n in _shots.cuts(clip)]
        planted, missed, more = planted + 1, missed + (not any(found)), more + found.count(False)
        names += [] if any(found) else [f"{one.name} to {other.name}"]
    yield "cuts planted between two clips: found, and others found beside them", f"{planted - missed} of {planted}, {more}"
    if names:
        yield "cuts missed", "; ".join(names)


def camera_figures(footage: Sequence[Footage], labels: Mapping[str, str], measures: Measures) -> Iterator[Row]:
    labelled = [f for f in footage if f.name in labels and len(f.clip.times) > 1]
    if not labelled:
        return
    named = {f.name: measures.movement(f.clip) for f in labelled}
    wrong = [f"{name}: {movement}, labelled {labels[name]}" for name, movement in named.items() if movement != labels[name]]
    yield "camera movements named as labelled", f"{len(named) - len(wrong)} of {len(named)}" + "".join(f"; {w}" for w in wrong)
    shares = (0.0, 0.0, PILLAR, PILLAR)
    barred = {f.name: measures.movement(prepare_frames(damage.bars(f.frames(), shares_TBLR=shares))) for f in labelled}
    same = sum(barred[name] == movement for name, movement in named.items())
    yield f"the same name with black pillars over {PILLAR:.0%} on each side", f"{same} of {len(named)}"


if __name__ == "__main__":
    main()
