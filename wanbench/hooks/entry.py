"""What a hook is told: one entry a candidate of a finished run. Ours: names, order and number of samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from wanbench.dimension import digest
from wanbench.evaluation.outcome import Run
from wanbench.evaluation.plan import slug
from wanbench.record import REPORT, as_text
from wanbench.types import Measurement

SAMPLES_LOGGED = 8
"""Videos of a candidate that are logged: a page one can look through, and an upload of megabytes, not gigabytes."""
NONE = "none"
PARTS = ("score", "low", "high", "n")
"""Numbers of a summary's object that are logged, where they are there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleVideo:
    """One video of a candidate, which was measured."""

    name: str
    """`PROMPT_ID-SEED` where they are known, else the file's stem; unique in its entry."""
    path: Path
    caption: str
    """The prompt's text, as far as it is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One candidate of one run."""

    id: str
    """The same for the same plan and candidate, whenever and wherever it was run: `[A-Za-z0-9._-]+`."""
    candidate: str
    plan: str
    """The plan's hash, which all entries of a run share."""
    config: Mapping[str, str | int | float | bool]
    """What was measured and how: flat, settled by the plan, so that an entry logged again has the same."""
    notes: Mapping[str, str]
    """What may differ when the run is summarised anew: where it lies, its status, weights, version. Always the same keys, so that
    none of an earlier outcome is left."""
    scores: Mapping[str, float]
    """`weighted/score`, `pillars/ID/low`, `dimensions/ID/n`, ..., `errors`, `skipped`; what is missing has no key."""
    samples: tuple[SampleVideo, ...]

    @property
    def digest(self) -> str:
        """Of all that is logged: an equal one has nothing new to say."""
        samples = [[sample.name, sample.caption] for sample in self.samples]
        return digest({"facts": [dict(self.config), dict(self.notes)], "scores": dict(self.scores), "samples": samples})


def entries(run: Run) -> list[Entry]:
    """One entry a candidate, in the order of the summary."""
    rows: dict[str, list[Measurement]] = defaultdict(list)
    for row in run.records():
        rows[row.candidate].append(row)
    plan, ids = str(run.info["plan"]["hash"]), _unique(slug(name) for name in run.summary["candidates"])
    return [
        Entry(
            id=f"{name_in_id}-{plan}",
            candidate=name,
            plan=plan,
            config=_config(run, name),
            notes=_notes(run, summary),
            scores=_scores(summary, rows[name]),
            samples=_samples(run, rows[name]),
        )
        for name_in_id, (name, summary) in zip(ids, run.summary["candidates"].items(), strict=True)
    ]


def _unique(names: Iterable[str]) -> list[str]:
    """`a, b, a` -> `a, b, a-2`."""
    found: list[str] = []
    for name in names:
        number, unique = 1, name
        while unique in found:
            number += 1
            unique = f"{name}-{number}"
        found.append(unique)
    return found


def _config(run: Run, candidate: str) -> dict[str, str | int | float | bool]:
    info = run.info
    facts = info["candidates"][candidate]
    known: dict[str, Any] = {
        "candidate": candidate,
        "plan": info["plan"]["hash"],
        "profile": info["profile"],
        "suite": info["suite"],
        "model": {k: facts.get(k) for k in ("name", "kind", "fingerprint", "settings")},
        "judge": {k: v for k, v in (info.get("judge") or {}).items() if k != "audit"},
        "method": {d: f"{m['method']} {m['fingerprint']}" for d, m in info["methods"].items() if "method" in m},
    }
    return dict(_flat(known))


def _flat(tree: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, str | int | float | bool]]:
    """`{"a": {"b": 1}}` -> `a.b`, 1; lists as text, None left out."""
    for key, value in tree.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, str | int | float | bool):
            yield name, value
        elif value is not None:
            yield name, ", ".join(map(str, value)) if isinstance(value, Sequence) else str(value)


def _notes(run: Run, summary: Mapping[str, Any]) -> dict[str, str]:
    weights = (summary.get("weighted") or {}).get("weights")
    over = (summary.get("partial") or {}).get("dimensions") or ()
    told = {
        "status": run.info["status"],
        "run": as_text(run.path),
        "report": as_text(run.path / REPORT),
        "weights": weights,
        "partial_over": ", ".join(over),
        "statistics_seed": run.info.get("statistics_seed"),
        "made": run.info.get("start"),
        "project_version": run.info["project_version"],
    }
    return {key: str(value) if value not in (None, "") else NONE for key, value in told.items()}


def _scores(summary: Mapping[str, Any], rows: Sequence[Measurement]) -> dict[str, float]:
    objects = {kind: summary.get(kind) or {} for kind in ("weighted", "uniform", "partial")}
    for kind in ("pillars", "dimensions"):
        objects |= {f"{kind}/{name}": found for name, found in (summary.get(kind) or {}).items()}
    scores = {
        f"{name}/{part}": float(found[part])
        for name, found in objects.items()
        if found.get("score") is not None
        for part in PARTS
        if found.get(part) is not None
    }
    counted = [row for row in rows if not row.exploratory]
    errors, skipped = (sum(row.status == status for row in counted) for status in ("error", "skipped"))
    return {**scores, "errors": float(errors), "skipped": float(skipped)}


def _samples(run: Run, rows: Sequence[Measurement]) -> tuple[SampleVideo, ...]:
    """At most `SAMPLES_LOGGED` measured videos: the first of each dimension, then the second of each, ..."""
    by_dimension: dict[str, list[Measurement]] = defaultdict(list)
    for row in rows:
        if row.status == "ok":
            by_dimension[row.dimension].append(row)
    in_turn = chain.from_iterable(zip_longest(*by_dimension.values()))
    first = {row.video: row for row in reversed([row for row in in_turn if row]) if (run.path / row.video).is_file()}
    chosen = list(reversed(first.values()))[:SAMPLES_LOGGED]
    texts = run.info.get("prompts") or {}
    names = _unique(slug(_sample_name(row)) for row in chosen)
    return tuple(
        SampleVideo(name=name, path=run.path / row.video, caption=_text(texts.get(row.prompt_id)))
        for name, row in zip(names, chosen, strict=True)
    )


def _sample_name(row: Measurement) -> str:
    known = [str(part) for part in (row.prompt_id, row.seed) if part is not None]
    return "-".join(known) if row.prompt_id else Path(row.video).stem


def _text(text: Any) -> str:
    return str(text.get("en") or next(iter(text.values()), "")) if isinstance(text, Mapping) else str(text or "")
