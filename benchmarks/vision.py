"""All dimensions of profile `reference` in one pass, against the sum of the bare networks on the same frames. Goal: at most 1.15.

    python -m benchmarks.vision [--device cpu] [--frames 5] [--lines 128] [--networks raft-large,dino-vitb16] [--repeats 5]

Ours is what a worker does with a clip in the middle of a run: take the frames that the decoder's process prepared meanwhile, let
it begin with the next clip, measure every dimension, keep the pictures for the report. "Bare" is nothing but the networks: the
very tensors that ours gave to them, recorded once and already on the device, run through the same modules in the same batches.
What remains is all that is not a network: uploading and resizing frames, cuts, coherent speed, camera, static regions, boxes.

Parameters are random, of the published sizes (3 GB in a temporary folder) or small with `--small`; time does not depend on
their values, but that the detectors are biased to find something.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.timing import Ratio, alternate
from wanbench.dimension import Method, load_all
from wanbench.types import Measured, Prompt

if TYPE_CHECKING:
    from wanbench.evaluation.worker import Bench

GOAL = 1.15
PROMPT = Prompt(id=None, text="A balloon drifts over quiet hills", fields={"camera": {"movement": "pan", "direction": "left"}})


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One use of a network's module, as it was recorded."""

    run: Callable[..., Any]
    positional: tuple[Any, ...]
    named: Mapping[str, Any]
    autocast: str | None
    """Type of arithmetic that was asked for around the call, or None."""


class Recorder:
    """Stands in for a module, and keeps what it is called with."""

    def __init__(self, module: Any, calls: list[Call]) -> None:
        self._module, self._calls = module, calls

    def __call__(self, *positional: Any, **named: Any) -> Any:
        return self._kept(self._module)(*positional, **named)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        return self._kept(value) if name.startswith("encode_") else value

    def _kept(self, run: Callable[..., Any]) -> Callable[..., Any]:
        import torch

        def record(*positional: Any, **named: Any) -> Any:
            device = next(self._module.parameters()).device.type
            dtype = str(torch.get_autocast_dtype(device)).removeprefix("torch.")
            autocast = dtype if torch.is_autocast_enabled(device) else None
            self._calls.append(Call(run=run, positional=positional, named=named, autocast=autocast))
            return run(*positional, **named)

        return record


def recorded(bench: Bench, networks: Sequence[Any], measure: Callable[[], object]) -> list[Call]:
    """Every call of a module that `measure` makes, in order."""
    calls: list[Call] = []
    built = [bench._pool.get(network) for network in networks]
    modules = [face._module for face in built]
    for face in built:
        face._module = Recorder(face._module, calls)
    try:
        measure()
    finally:
        for face, module in zip(built, modules, strict=True):
            face._module = module
    return calls


def replay(calls: Sequence[Call], device: str) -> None:
    """The bare networks: nothing is prepared and nothing brought back."""
    import torch

    from wanbench.metrics.nets._pictures import inference

    kind = torch.device(device).type
    with inference():
        for call in calls:
            with ExitStack() as stack:
                if call.autocast:
                    stack.enter_context(torch.autocast(kind, getattr(torch, call.autocast)))
                call.run(*call.positional, **call.named)
    if kind == "cuda":
        torch.cuda.synchronize()


def write_clips(folder: Path, frames: int, lines: int) -> list[Path]:
    """Two different clips, so that one is decoded while the other is measured; all that is asked of them is there."""
    from wanbench.scenes.encode import Encoding, write_video
    from wanbench.scenes.render import Scene, Subject, render

    height, width = lines, round(lines * 832 / 480 / 2) * 2
    subject = Subject(kind="balloon", size=0.4, velocity_XY=(0.3, 0.1))
    paths = []
    for number in range(2):
        path = folder / f"{number}.mp4"
        scene = Scene(size_HW=(height, width), picture="hills", subjects=(subject,), noise_sigma=1.0)
        # Sixteen frames a second, as Wan's, of which every other one stands on the grid.
        pictures = (f for _, f in render(scene, fps=16, seconds=(2 * frames - 1) / 16, seed=number))
        write_video(path, pictures, fps=16, encoding=Encoding(crf=20))
        paths.append(path)
    return paths


def chosen(names: Sequence[str] | None) -> dict[str, Method]:
    """Dimension -> its reference method, of those that use only the named networks (None: all)."""
    methods = {d.id: m for d in load_all().values() if (m := d.method_for("reference")) and m.networks}
    if names is None:
        return methods
    known = {n.name for m in methods.values() for n in m.networks}
    if unknown := set(names) - known:
        sys.exit(f"unknown networks {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
    kept = {d: m for d, m in methods.items() if {n.name for n in m.networks} <= set(names)}
    return kept or sys.exit(f"no dimension uses only {', '.join(names)}")


def compare(folder: Path, arguments: argparse.Namespace) -> Ratio:
    """Build everything in `folder`, record one pass, and time."""
    from tests.reference_store import write_store
    from wanbench.decoding.process import Limits
    from wanbench.evaluation.worker import Bench, Setup, Task

    methods = chosen(arguments.networks.split(",") if arguments.networks else None)
    networks = {n.name: n for m in methods.values() for n in m.networks}
    names = sorted({c for n in networks.values() for c in n.checkpoints})
    write_store(folder, full=not arguments.small, only=names)
    (folder / "pictures").mkdir()
    setup = Setup(
        measured={d: Measured(method=m.name, label=m.name, fingerprint="none") for d, m in methods.items()},
        folders={name: folder / "checkpoints" / name for name in names},
        device=arguments.device,
        dtype=arguments.dtype,
        batch_size=arguments.batch_size,
        threads=arguments.threads,
        limits=Limits(),
        evidence=folder / "pictures",
    )
    bench = Bench(setup)
    paths = write_clips(folder, arguments.frames, arguments.lines)
    turn = 0

    def ours() -> None:
        nonlocal turn
        path, following = paths[turn % 2], paths[(turn + 1) % 2]
        task = Task(
            number=turn, path=path, candidate="c", video=path.name, sha256=f"{turn:064}", prompt=PROMPT, seed=None,
            dimensions=dict.fromkeys(methods, False),
        )  # fmt: skip
        done = bench.measure(task, next_path=following)
        turn += 1
        if failed := [f"{m.dimension}: {m.reason}" for m in done.measurements if m.status == "error"]:
            raise RuntimeError("; ".join(failed))
        statuses.update({m.dimension: m.reason or "measured" for m in done.measurements})

    statuses: dict[str, str] = {}
    try:
        calls = recorded(bench, list(networks.values()), ours)
        where = f"{arguments.frames} grid frames of {arguments.lines} lines on {bench.placement.device}"
        print(f"{where}, {len(calls)} calls of modules")
        for dimension, status in statuses.items():
            print(f"  {dimension}: {status}")
        return alternate(
            ours,
            lambda: replay(calls, bench.placement.device),
            repeats=arguments.repeats,
            names=("all dimensions", "bare networks"),
            goal=GOAL,
        )
    finally:
        bench.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--frames", type=int, default=5, help="on the grid; motion needs five")
    parser.add_argument("--lines", type=int, default=128, help="short side of the clips")
    parser.add_argument("--networks", help="only dimensions that need no others, separated by commas")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="small parameters: to see that it runs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wanbench-benchmark-") as name:
        compare(Path(name), arguments)


if __name__ == "__main__":
    main()
