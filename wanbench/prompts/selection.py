"""Which prompts the smaller suites hold: as varied as the whole, not the first ten of each dimension.

Ours. Inside a dimension every subset gets its share, and inside a subset every camera direction. Then prompts are taken one
after the other, each time the one that lies farthest from all taken (Gonzalez 1985, k-center), where two prompts are close when
they share words and what they show. `python -m wanbench.prompts.selection` writes `data/suites.json`; the file is the
definition, and a test finds it again from the texts.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from wanbench.fourteen import FOURTEEN
from wanbench.prompts.diversity import overlap, words
from wanbench.prompts.rules import needs_judged_camera
from wanbench.prompts.suite import shipped_lines, texts

VERSION = "1.0"
"""Of the shipped prompts: raised when a text, a question or a suite's members change."""
SMOKE_PER_DIMENSION = 1
MINI_PER_DIMENSION = 10
SHOWN = ("style", "action", "event", "place", "subject_kind")
"""Fields that say what a prompt shows."""
SHOWN_WEIGHT = 3
"""What is shown counts as so many words, or else two prompts about one place would seem far apart for their grammar."""


def features(fields: Mapping[str, Any]) -> set[str]:
    """The words of a prompt and, repeated under other names to give them weight, the things it shows."""
    shown = [str(fields[key]) for key in SHOWN if key in fields] + [entry["name"] for entry in fields.get("objects", ())]
    return set(words(texts(fields["text"])["en"])) | {f"{thing}#{i}" for thing in shown for i in range(SHOWN_WEIGHT)}


def spread(prompts: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    """Ids of `count` prompts of one dimension, balanced over subsets and directions, far from each other; in the file's order."""
    known = {str(p["id"]): features(p) for p in prompts}
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for prompt in prompts:
        camera = prompt.get("camera") or {}
        groups[str(prompt.get("subset") or ""), str(camera.get("direction") or "")].append(str(prompt["id"]))
    taken: list[str] = []
    for group in _turns(groups, count):
        taken.append(_farthest([i for i in groups[group] if i not in taken], taken, known))
    return [identity for identity in known if identity in taken]


def _turns(groups: Mapping[tuple[str, str], Sequence[str]], count: int) -> list[tuple[str, str]]:
    """Whose turn it is, `count` times: the group whose share of its subset, and whose subset's share of all, is least served."""
    subsets: dict[str, int] = defaultdict(int)
    for (subset, _), members in groups.items():
        subsets[subset] += len(members)
    served: dict[tuple[str, str], int] = dict.fromkeys(groups, 0)
    turns: list[tuple[str, str]] = []
    for _ in range(min(count, sum(subsets.values()))):
        of_subset = {s: sum(n for (subset, _), n in served.items() if subset == s) for s in subsets}
        open_groups = [g for g in groups if served[g] < len(groups[g])]
        turn = min(
            open_groups,
            key=lambda g: ((of_subset[g[0]] + 0.5) / subsets[g[0]], (served[g] + 0.5) / len(groups[g]), g),
        )
        served[turn] += 1
        turns.append(turn)
    return turns


def _farthest(candidates: Iterable[str], taken: Sequence[str], known: Mapping[str, set[str]]) -> str:
    """The candidate whose nearest taken prompt is farthest; with none taken yet, the one nearest to all others. Ties by id."""
    if not taken:
        return min(candidates, key=lambda i: (-sum(overlap(known[i], other) for other in known.values()), i))
    return min(candidates, key=lambda i: (max(overlap(known[i], known[t]) for t in taken), i))


def choose_suites(lines: Mapping[str, bytes]) -> dict[str, Any]:
    """What `data/suites.json` holds, from id -> line of all prompts."""
    prompts = {identity: msgspec.json.decode(line) for identity, line in lines.items()}
    of = {d: [p for p in prompts.values() if p["dimension"] == d] for d in FOURTEEN}
    members = {
        # A camera that flow can tell: the smoke suite is for machines without a judge too.
        "smoke": [i for d in FOURTEEN for i in spread([p for p in of[d] if not needs_judged_camera(p)], SMOKE_PER_DIMENSION)],
        "mini": [i for d in FOURTEEN for i in spread(of[d], MINI_PER_DIMENSION)],
        "full": list(lines),
    }
    return {
        "version": VERSION,
        "suites": {
            name: {"sha256": hashlib.sha256(b"".join(lines[i] + b"\n" for i in ids)).hexdigest(), "prompts": ids}
            for name, ids in members.items()
        },
    }


def write_suites(path: Path) -> None:
    """Choose the suites from the shipped prompts anew and write them down."""
    path.write_text(json.dumps(choose_suites(shipped_lines()), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    write_suites(Path(__file__).parent / "data" / "suites.json")
