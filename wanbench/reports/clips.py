"""Single clips: the best and the worst of each dimension with their evidence, and every sample as a line of the table."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from wanbench.fourteen import title
from wanbench.reports.reasons import counted_dimensions, dimension_order
from wanbench.reports.scores import slots
from wanbench.reports.transcripts import Asked, Looked, asked, looked
from wanbench.reports.view import RunView
from wanbench.reports.wording import facts
from wanbench.types import JSONObject, Measurement

SHOWN_AT_EACH_END = 4
"""Clips shown as worst and as best of a dimension: a row on a desk, and pictures stay under a megabyte or two."""
KEY_VALUES = 4
"""Raw values shown openly on a card; the others are one click away."""
UNREMARKABLE = {"repeated_share": 0, "frozen": False}
"""What every measurement says of its clip, and the values that need no place on a card (`effective_fps` never does)."""
EVIDENCE = {
    "large_motion_generation": (("flow", "Optical flow: hue is direction, strength is speed"),),
    "camera_control": (("flow", "Optical flow: hue is direction, strength is speed"),),
    "pixel_level_stability": (("static", "Static regions, where noise was looked for"),),
    "human_artifacts": (("artifacts", "Boxes around the artifacts found"),),
}
"""Dimension -> kinds of pictures that show what it saw, with their captions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An embedded picture."""

    uri: str
    caption: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One clip in one dimension."""

    name: str
    link: str
    candidate: str
    slot: int
    prompt: str
    seed: int | None
    score: str
    poster: Picture | None
    evidence: tuple[Picture, ...]
    key_values: tuple[tuple[str, str, str], ...]
    """(key, text, what it is)."""
    raw: tuple[tuple[str, str], ...]
    """All raw values."""
    asked: tuple[Asked, ...]
    """What a judge was asked, and answered."""
    looked: tuple[Looked, ...]
    """What a judge found, frame by frame."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """Both ends of one dimension; `best` is empty for a dimension with a single clip."""

    dimension: str
    title: str
    worst: tuple[Card, ...]
    best: tuple[Card, ...]


def prompt_texts(run: JSONObject) -> dict[str, str]:
    """Prompt id -> English text, where `run.json` gives it under `prompts`."""
    texts = {}
    for name, prompt in (run.get("prompts") or {}).items():
        text = prompt.get("text") if isinstance(prompt, Mapping) else prompt
        texts[name] = str(text.get("en", "")) if isinstance(text, Mapping) else str(text or "")
    return texts


def file_name(video: str) -> str:
    return PurePath(video).name or video


def galleries(view: RunView) -> list[Gallery]:
    """Both ends of every dimension that has scores."""
    scored: dict[str, list[Measurement]] = defaultdict(list)
    for row in view.measurements:
        if row.status == "ok" and not row.exploratory:
            scored[row.dimension].append(row)
    maker = _CardMaker(view)
    found = []
    for dimension in dimension_order(scored):
        rows = sorted(scored[dimension], key=lambda row: (row.score, row.candidate, row.video))
        best = min(SHOWN_AT_EACH_END, len(rows) // 2)
        worst = min(SHOWN_AT_EACH_END, len(rows) - best)
        found.append(
            Gallery(
                dimension=dimension,
                title=title(dimension),
                worst=tuple(maker.card(row) for row in rows[:worst]),
                best=tuple(maker.card(row) for row in reversed(rows[len(rows) - best :])),
            )
        )
    return found


class _CardMaker:
    """Makes cards; holds what all of them look up."""

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._slots = slots(view.summary)
        self._texts = prompt_texts(view.run)

    def card(self, row: Measurement) -> Card:
        kinds = EVIDENCE.get(row.dimension, ())
        evidence = (self._picture(row, kind, caption) for kind, caption in kinds)
        return Card(
            name=file_name(row.video),
            link=self._view.video_link(row.video),
            candidate=row.candidate,
            slot=self._slots.get(row.candidate, 0),
            prompt=self._texts.get(row.prompt_id or "") or row.prompt_id or "",
            seed=row.seed,
            score=f"{row.score:.3f}",
            poster=self._picture(row, "poster", "Frame of the clip"),
            evidence=tuple(picture for picture in evidence if picture),
            key_values=self._key_values(row),
            raw=tuple(facts(self._unsaid(row.raw or {}))),
            asked=asked(row.raw or {}),
            looked=looked(row.raw or {}),
        )

    @staticmethod
    def _unsaid(raw: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raw values without the transcript, which has a place of its own."""
        evidence = raw.get("evidence")
        if not isinstance(evidence, Mapping) or not (asked(raw) or looked(raw)):
            return raw
        return {**raw, "evidence": {k: v for k, v in evidence.items() if k not in ("transcript", "frames")}}

    def _picture(self, row: Measurement, kind: str, caption: str) -> Picture | None:
        data = self._view.pictures(row.sha256, kind)
        return Picture(uri="data:image/jpeg;base64," + base64.b64encode(data).decode(), caption=caption) if data else None

    def _key_values(self, row: Measurement) -> tuple[tuple[str, str, str], ...]:
        declared = ((self._view.run.get("declarations") or {}).get(row.dimension) or {}).get("raw") or {}
        raw = row.raw or {}
        told = [(key, *fact) for key in self._telling(raw, declared) for fact in facts({key: raw[key]})]
        return tuple((name, text, str(declared.get(key, ""))) for key, name, text in told[:KEY_VALUES])

    @staticmethod
    def _telling(raw: Mapping[str, Any], declared: Mapping[str, Any]) -> list[str]:
        """Keys in the order in which they deserve a place: what is odd about the clip, then the dimension's own."""
        common = {*UNREMARKABLE, "effective_fps", "evidence"}
        own = [key for key in declared if key in raw and key not in common] or [key for key in raw if key not in common]
        return [key for key, plain in UNREMARKABLE.items() if raw.get(key, plain) != plain] + own


def samples(measurements: Iterable[Measurement]) -> dict[tuple[Any, ...], list[Measurement]]:
    """Rows of the record by sample, in the order of the record."""
    found: dict[tuple[Any, ...], list[Measurement]] = defaultdict(list)
    for row in measurements:
        found[row.key[:-1]].append(row)
    return found


class _Pool:
    """Texts said once and pointed at: ten thousand lines share a handful of folders, prompts and reasons."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def place(self, text: str | None) -> int:
        return -1 if not text else self.texts.setdefault(text, len(self.texts))


def table_json(view: RunView) -> str:
    """The data of the table, safe inside `<script>`.

    A line is `[candidate, folder, name, encoded name or 0, prompt, seed, camera, cells]`, where candidate, folder, prompt, camera
    and reasons are places in lists (-1: none), and a cell is a score, `null` (no such row), `[score]` (exploratory),
    `[0, reason]` (skipped) or `[1, reason]` (error).
    """
    by_sample = samples(view.measurements)
    columns = dimension_order(
        {*counted_dimensions(view.summary), *(row.dimension for row in view.measurements if row.status != "skipped")}
    )
    place = {name: index for index, name in enumerate(columns)}
    texts = prompt_texts(view.run)
    candidates, folders, prompts, cameras, reasons = (_Pool() for _ in range(5))
    lines = []
    for (candidate, _, prompt_id, seed, video), rows in by_sample.items():
        cells: list[Any] = [None] * len(columns)
        for row in rows:
            if row.dimension in place:
                cells[place[row.dimension]] = _cell(row, reasons)
        folder, _, encoded = view.video_link(video).rpartition("/")
        name = file_name(video)
        text = " · ".join(filter(None, [prompt_id, texts.get(prompt_id or "")]))
        lines.append(
            (
                *(candidates.place(candidate), folders.place(folder), name, 0 if encoded == name else encoded),
                *(prompts.place(text), seed, cameras.place(_camera(rows)), cells),
            )
        )
    pools = {"candidates": candidates, "folders": folders, "prompts": prompts, "cameras": cameras, "reasons": reasons}
    payload = {"columns": [title(name) for name in columns], "lines": lines, **{k: list(p.texts) for k, p in pools.items()}}
    return script_safe(payload)


def script_safe(value: Any) -> str:
    """JSON in which nothing can end a `<script>` element or be read as markup; lone surrogates survive as escapes."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _cell(row: Measurement, reasons: _Pool) -> Any:
    if row.status == "ok":
        return [row.score] if row.exploratory else row.score
    return [1 if row.status == "error" else 0, reasons.place(row.reason)]


def _camera(rows: Iterable[Measurement]) -> str:
    """The camera movement named by whichever dimension looked for it."""
    for row in rows:
        camera = (row.raw or {}).get("camera")
        if isinstance(camera, Mapping) and isinstance(camera.get("movement"), str):
            return str(camera["movement"])
    return ""
