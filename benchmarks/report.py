"""How long a report of many candidates takes to write, and to open in a browser: 1,035 prompts each, posters for all clips.

    python -m benchmarks.report [CANDIDATES...]

Runs are simulated, written as a run writes them, and read back. Opening is timed in headless Chromium from the start of the
navigation to the end of loading, by which time the list of prompts is drawn; the goal is two seconds.
"""

from __future__ import annotations

import hashlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from benchmarks.gates import FULL
from wanbench import record
from wanbench.scoring import summarise
from wanbench.types import JSONObject, Measurement
from wanbench.weights import weighting

CANDIDATES = (10, 7)
OPENINGS = 5
USUAL = (0.41, 0.72, 0.97, 0.93, 0.86, 0.81, 0.62, 0.38, 0.45, 0.94, 0.84, 0.49, 0.48, 0.82)
"""About the means of the report's Table 2."""
SPREAD = (0.15, 0.2, 0.015, 0.03, 0.15, 0.15, 0.08, 0.03, 0.3, 0.12, 0.25, 0.35, 0.35, 0.2)
NAMES = (
    "wan-14b",
    "hunyuan",
    "mochi",
    "sora-turbo",
    "wan-1.3b",
    "cogvideox-5b",
    "ltx-video",
    "opensora-2",
    "step-video",
    "pyramid",
)
SUITE = {"name": "full", "version": "1.0", "hash": "0f" * 32, "track": "raw", "language": "en"}


def simulate(folder: Path, candidates: int) -> list[Path]:
    """Run directories with every prompt of the full suite measured, but for people who are not there."""
    base, shifts = np.random.default_rng(0), np.random.default_rng(1)
    common = {d: base.normal(m, s, n) for (d, n), m, s in zip(FULL.items(), USUAL, SPREAD, strict=True)}
    runs = []
    for number in range(candidates):
        shift = {d: shifts.normal(0, 0.35) * s for d, s in zip(FULL, SPREAD, strict=True)}
        runs.append(write_run(folder / "runs" / NAMES[number % len(NAMES)], NAMES[number % len(NAMES)], common, shift, number))
    return runs


def write_run(path: Path, name: str, common: dict[str, np.ndarray], shift: dict[str, float], seed: int) -> Path:
    rows = list(_rows(name, common, shift, np.random.default_rng(10 + seed)))
    texts = {
        f"{d}-{k + 1:03}": f"A short scene for {d.replace('_', ' ')}, number {k + 1}" for d, n in FULL.items() for k in range(n)
    }
    with record.RunDirectory(path) as run:
        record.write_json(path / record.RUN, _info(name, texts))
        run.open_record()
        run.append(rows)
        run.finish({row.key: place for place, row in enumerate(rows)})
    record.write_json(path / record.SUMMARY, summarise(rows, {}, weighting.load("table2"), 0))
    _posters(path / record.EVIDENCE, rows, seed)
    return path


def _rows(name: str, common: dict[str, np.ndarray], shift: dict[str, float], own: np.random.Generator) -> Iterator[Measurement]:
    for (dimension, prompts), spread in zip(common.items(), SPREAD, strict=True):
        scores = np.clip(prompts + shift[dimension] + own.normal(0, 0.7 * spread, len(prompts)), 0, 1).round(6)
        for k, score in enumerate(scores.tolist()):
            skipped = dimension == "human_artifacts" and own.random() < 0.02
            prompt = f"{dimension}-{k + 1:03}"
            yield Measurement(
                candidate=name,
                video=f"videos/{name}/{prompt}-0.mp4",
                sha256=hashlib.sha256(f"{name} {prompt}".encode()).hexdigest(),
                prompt_id=prompt,
                seed=0,
                dimension=dimension,
                status="skipped" if skipped else "ok",
                score=None if skipped else score,
                reason="no person" if skipped else None,
                exploratory=False,
                method="simulated",
                fingerprint=hashlib.sha256(dimension.encode()).hexdigest()[:16],
                seconds=0.1,
                raw={},
            )


def _info(name: str, texts: dict[str, str]) -> JSONObject:
    methods = {
        d: {
            **{"dimension": d, "version": 1, "method": "simulated", "settings": {"grid_fps": 8, "lines": 240}},
            **{"checkpoints": {}, "dtype": "float32", "fingerprint": hashlib.sha256(d.encode()).hexdigest()[:16]},
        }
        for d in FULL
    }
    return {
        "schema_version": record.SCHEMA_VERSION,
        "project_version": "0.1.0",
        "command": ["wanbench", "run", "--model", name],
        "profile": "reference",
        "candidates": {name: {"name": name, "settings": {"steps": 50, "size": "720x1280"}}},
        "suite": SUITE,
        "prompts": texts,
        "statistics_seed": 0,
        "declarations": {d: {"id": d, "version": 1, "summary": "", "raw": {}} for d in FULL},
        "methods": methods,
        "environment": {"python": "3.11.9", "device": "cpu"},
        "warnings": [],
        "start": "2026-11-03T09:14:05+00:00",
        "end": "2026-11-03T11:33:47+00:00",
        "status": "complete",
    }


def _posters(folder: Path, rows: list[Measurement], seed: int) -> None:
    """Pictures of about the size that real ones have, a few of them over and over."""
    generator = np.random.default_rng(seed)
    drawn = []
    for k in range(12):
        coarse = generator.integers(40, 220, (12, 20, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (320, 180), interpolation=cv2.INTER_CUBIC)
        grain = generator.normal(0, 6, picture.shape)
        grainy = np.clip(picture + grain, 0, 255).astype(np.uint8)
        cv2.putText(grainy, f"{k}", (140, 100), cv2.FONT_HERSHEY_SIMPLEX, 2, (255, 255, 255), 3, cv2.LINE_AA)
        drawn.append(cv2.imencode(".jpg", grainy, [cv2.IMWRITE_JPEG_QUALITY, 72])[1].tobytes())
    for k, row in enumerate(rows):
        (folder / f"{row.sha256[:16]}-poster.jpg").write_bytes(drawn[k % len(drawn)])


def measure(folder: Path, candidates: int) -> None:
    from wanbench.reports.board import read_board
    from wanbench.reports.board_page import write_board

    runs = simulate(folder, candidates)
    begun = time.process_time()
    board = read_board(runs)
    read = time.process_time() - begun
    page = write_board(board, folder / "report.html")
    written = time.process_time() - begun - read
    opened, acted = openings(page)
    print(
        f"{candidates} candidates: read and compared {read:.1f} s, page {written:.1f} s of processor time, "
        f"{page.stat().st_size / 1e6:.1f} MB; opens in {statistics.median(opened):.2f} s "
        f"[{min(opened):.2f}-{max(opened):.2f}, {len(opened)} times], sorts all prompts anew in {statistics.median(acted):.2f} s",
        flush=True,
    )


def openings(page: Path) -> tuple[list[float], list[float]]:
    """Seconds to load in a fresh browser context, and to draw the list in another order."""
    from playwright.sync_api import sync_playwright

    opened, acted = [], []
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(OPENINGS):
            tab = browser.new_context().new_page()
            begun = time.perf_counter()
            tab.goto(page.as_uri())
            tab.locator("#pairs li").first.wait_for()
            opened.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            tab.locator("#filters [name=order]").select_option("down")
            tab.locator("#pairs li").first.wait_for()
            acted.append(time.perf_counter() - begun)
            tab.context.close()
        browser.close()
    return opened, acted


def main() -> None:
    for candidates in [int(a) for a in sys.argv[1:]] or CANDIDATES:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), candidates)


if __name__ == "__main__":
    main()
