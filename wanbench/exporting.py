"""The numbers of a run in formats of other tools. Light half."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wanbench import record, vbench
from wanbench.errors import MissingDependency, UsageError
from wanbench.stats import mean
from wanbench.types import SCORE_DECIMALS, Measurement

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def export(run: Path, format: str) -> bytes:
    """The content of the exported file; `format` is one of `FORMATS`. Raises `UsageError`."""
    if not (run / record.RUN).is_file() and vbench.is_result(run):
        return _vbench_results(run, format)
    if not (run / record.RUN).is_file():
        raise UsageError(f"{run} is not a wanbench run: it has no {record.RUN}")
    record.read_info(run)
    rows = list(record.read_measurements(run / record.RECORD))
    if not rows:
        raise UsageError(f"{run / record.RECORD} is missing or empty: there is nothing to export")
    return FORMATS[format](rows)


def _vbench_results(path: Path, format: str) -> bytes:
    """VBench's own results with its three totals, as a table."""
    rows = vbench.table(vbench.read([path]))
    if format == "csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    if format == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    raise UsageError(f"{path} holds VBench's results: they are written as csv or jsonl, not as {format}")


def _flat(measurement: Measurement) -> dict[str, Any]:
    """`raw` becomes columns `raw.KEY`, nested keys joined by dots, lists as JSON."""
    row = measurement.to_json()
    for key, value in _leaves("raw", row.pop("raw") or {}):
        row[key] = value
    return row


def _leaves(prefix: str, value: dict[str, Any]) -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, inner in value.items():
        name = f"{prefix}.{key}"
        if isinstance(inner, dict):
            leaves += _leaves(name, inner)
        else:
            leaves.append((name, json.dumps(inner) if isinstance(inner, list) else inner))
    return leaves


def inert_cell(value: Any) -> Any:
    """A text from outside as a spreadsheet may hold it: one that begins as a formula does gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in FORMULA_STARTS else value


def _csv(rows: Sequence[Measurement]) -> bytes:
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(key for row in flat for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows({key: inert_cell(value) for key, value in row.items()} for row in flat)
    return text.getvalue().encode()


def _jsonl(rows: Sequence[Measurement]) -> bytes:
    return "".join(json.dumps(row.to_json()) + "\n" for row in rows).encode()


def _parquet(rows: Sequence[Measurement]) -> bytes:
    import pandas as pd

    buffer = io.BytesIO()
    try:
        pd.DataFrame([_flat(row) for row in rows]).to_parquet(buffer, engine="pyarrow", index=False)
    except ImportError as error:
        raise MissingDependency("writing parquet", "parquet") from error
    return buffer.getvalue()


def _vbench(rows: Sequence[Measurement]) -> bytes:
    """VBench's `*_eval_results.json`: dimension -> [mean, [{video_path, video_results}, ...]]; one candidate only."""
    names = sorted({row.candidate for row in rows})
    if len(names) > 1:
        raise UsageError(f"VBench's file holds one candidate, and this run has {', '.join(names)}")
    results: dict[str, Any] = {}
    for dimension in dict.fromkeys(row.dimension for row in rows):
        scored = [row for row in rows if row.dimension == dimension and row.score is not None and not row.exploratory]
        if scored:
            videos = [{"video_path": row.video, "video_results": row.score} for row in scored]
            results[dimension] = [round(mean([row.score or 0.0 for row in scored]), SCORE_DECIMALS), videos]
    return json.dumps(results, indent=2).encode() + b"\n"


FORMATS: dict[str, Callable[[Sequence[Measurement]], bytes]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "vbench": _vbench,
}
