"""How long it takes to read and summarise a record: ten candidates, 1,035 prompts, a million lines by default.

    python -m benchmarks.summary [LINES]

Two shapes of the same size: the full suite (every prompt in its own dimension, many seeds), and no suite (every clip in all
fourteen dimensions), where a bootstrap has the most to do. Processor seconds of this process, all threads; intervals and
comparisons of every two candidates included.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.gates import FULL
from wanbench import record
from wanbench.comparison.as_json import in_one_run
from wanbench.scoring import summarise
from wanbench.weights import weighting

CANDIDATES = 10
RAW = (
    '{"flow_top5_diag_per_s":0.213412,"plain_top5_diag_per_s":0.31213,"coherence_ratio":0.68,"low_coherence":false,'
    '"camera_diag_per_s":0.1021,"cuts_count":0,"repeated_share":0.0,"effective_fps":16.0,"frozen":false,'
    '"evidence":{"time_seconds":1.25}}'
)


def lines(count: int, with_suite: bool) -> Iterator[str]:
    """`count` lines of a record, as they are written."""
    generator = np.random.default_rng(0)
    prompts = [(f"{d}-{k:03}", (d,) if with_suite else tuple(FULL)) for d, n in FULL.items() for k in range(n)]
    seeds = -(-count // (CANDIDATES * sum(len(dimensions) for _, dimensions in prompts)))
    scores = iter(np.clip(generator.normal(0.6, 0.15, CANDIDATES * len(prompts) * len(FULL) * seeds), 0, 1).round(6).tolist())
    made = (
        f'{{"candidate":"model-{c}","video":"/data/videos/model-{c}/{prompt}-{seed}.mp4","sha256":"{c:032x}{seed:032x}",'
        f'"prompt_id":"{prompt}","seed":{seed},"dimension":"{dimension}","status":"ok","score":{next(scores)},"reason":null,'
        f'"exploratory":false,"method":"m","fingerprint":"0123456789abcdef","seconds":0.1234,"raw":{RAW}}}\n'
        for c in range(CANDIDATES)
        for prompt, dimensions in prompts
        for seed in range(seeds)
        for dimension in dimensions
    )
    return (line for _, line in zip(range(count), made, strict=False))


def measure(path: Path) -> None:
    begun = time.process_time()
    with record.uncollected():
        rows = record.read_all(path)
        read = time.process_time() - begun
        weights = weighting.load("table2")
        summary = summarise(rows, {}, weights, 0)
        summarised = time.process_time() - begun - read
        summary |= in_one_run(rows, weights, 0)
    compared = time.process_time() - begun - read - summarised
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{len(rows):,} lines, {path.stat().st_size / 1e6:.0f} MB: read {read:.1f} s, summarised {summarised:.1f} s, "
        f"{len(summary['comparisons'])} comparisons {compared:.1f} s; together {read + summarised + compared:.1f} s of "
        f"processor time; {len(json.dumps(summary)) / 1e6:.1f} MB of summary, {peak:.1f} GB of memory at most",
        flush=True,
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for with_suite in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "measurements.jsonl"
            with path.open("w") as file:
                file.writelines(lines(count, with_suite))
            print("full suite" if with_suite else "no suite", end=": ")
            measure(path)


if __name__ == "__main__":
    main()
