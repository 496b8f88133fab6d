"""Every prompt of a comparative report with the videos made from it, as data that the page's script draws a few at a time.

The page opens with ten candidates and a thousand prompts, so a prompt costs a line of numbers, a video a place in its folder, and
posters are embedded only for the prompts that changed most, as far as a few megabytes reach.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wanbench.fourteen import title
from wanbench.reports.board import Board, Entry
from wanbench.reports.clips import prompt_texts
from wanbench.reports.reasons import dimension_order
from wanbench.types import Measurement

POSTER_BYTES = 3_000_000
"""Of JPEG files, before they grow by a third in base64: some three hundred posters, read in a moment (ours)."""
CHANGED_WITH_POSTERS = 20
"""In either direction and comparison, at most (ours)."""


class _Places:
    """Values said once and pointed at."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}

    def of(self, value: str) -> int:
        return self.values.setdefault(value, len(self.values))


def prompts_data(board: Board, page: Path) -> dict[str, Any]:
    """What the script reads; empty `lines` where no clip has a prompt. `page` is the folder that the page lies in.

    `lines`: [dimension, prompt, [score of each candidate or null]], the first two being places in lists of these names; `videos`
    of each prompt: [candidate, seed, folder, name or 0 for PROMPT-SEED.mp4, poster or -1].
    """
    prompts, folders, posters = _Places(), _Places(), _Places()
    means = _means(board)
    lines = [
        [d, prompts.of(prompt), [of.get(prompt) for of in scores]]
        for d, (_, scores) in enumerate(means.items())
        for prompt in dict.fromkeys(p for of in scores for p in of)
    ]
    embedded = _posters(board, posters)
    videos: list[list[Any]] = [[] for _ in prompts.values]
    for number, entry in enumerate(board.entries):
        for row in _clips(entry):
            if row.prompt_id in prompts.values:
                folder, _, encoded = entry.view.video_link(row.video, page).rpartition("/")
                usual = encoded == f"{row.prompt_id}-{row.seed}.mp4"
                poster = posters.values.get(f"{number} {row.sha256}", -1)
                videos[prompts.of(row.prompt_id)].append([number, row.seed, folders.of(folder), 0 if usual else encoded, poster])
    texts = {p: text for view in board.runs for p, text in prompt_texts(view.run).items()}
    return {
        "candidates": [e.name for e in board.entries],
        "baseline": board.entries.index(board.baseline),
        "dimensions": [title(d) for d in means],
        "prompts": [[p, texts.get(p, "")] for p in prompts.values],
        "lines": lines,
        "folders": list(folders.values),
        "videos": videos,
        "posters": embedded,
    }


def _means(board: Board) -> dict[str, list[dict[str, float]]]:
    """Dimension -> of each candidate: prompt -> mean over seeds, as the comparison has them."""
    names = dimension_order(d for e in board.entries for d, m in e.side.dimensions.items() if m.scores)
    return {
        d: [
            {p: round(v, 6) for p, v in e.side.dimensions[d].means.items()} if d in e.side.dimensions else {}
            for e in board.entries
        ]
        for d in names
    }


def _clips(entry: Entry) -> Iterator[Measurement]:
    """One row of each clip that has a prompt."""
    seen = set()
    for row in entry.rows:
        key = (row.prompt_id, row.seed, row.video)
        if row.prompt_id is not None and key not in seen:
            seen.add(key)
            yield row


def _posters(board: Board, places: _Places) -> list[str]:
    """Pictures of the prompts that changed most, the worst of each comparison first; of the lowest where none is compared."""
    by_prompt: dict[str, list[tuple[int, Measurement]]] = {}
    for number, entry in enumerate(board.entries):
        for row in _clips(entry):
            by_prompt.setdefault(str(row.prompt_id), []).append((number, row))
    uris: list[str] = []
    left = POSTER_BYTES
    for prompt in dict.fromkeys(_interesting(board)):
        for number, row in by_prompt.get(prompt, ()):
            data = board.entries[number].view.pictures(row.sha256, "poster")
            if data is None or f"{number} {row.sha256}" in places.values:
                continue
            left -= len(data)
            if left < 0:
                return uris
            places.of(f"{number} {row.sha256}")
            uris.append("data:image/jpeg;base64," + base64.b64encode(data).decode())
    return uris


def _interesting(board: Board) -> Iterator[str]:
    found = [c.comparison.changed(CHANGED_WITH_POSTERS) for c in board.contrasts if c.comparison]
    for rank in range(CHANGED_WITH_POSTERS):
        yield from (lost[rank].prompt for _, lost in found if rank < len(lost))
        yield from (gained[rank].prompt for gained, _ in found if rank < len(gained))
    if not found:
        lowest = sorted((v, p) for of in _means(board).values() for p, v in of[0].items())
        yield from (p for _, p in lowest[:CHANGED_WITH_POSTERS])


def video_links(board: Board, page: Path) -> dict[tuple[str, str], str]:
    """(candidate's name, prompt) -> link to the first of its videos."""
    return {
        (e.name, str(row.prompt_id)): e.view.video_link(row.video, page)
        for e in board.entries
        for row in reversed(list(_clips(e)))
    }
