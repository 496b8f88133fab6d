"""A controls run: unchanged clips first, then what is derived of each, dealt to worker processes; then the verdicts.

Its folder holds `controls.jsonl`, one control of one clip a line, written as it is measured, and `controls.json` at the end. The
same command given again goes on where it was cut.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from wanbench import __version__
from wanbench.controls import derive
from wanbench.controls.crew import Crew
from wanbench.controls.measure import Assignment, Reaction, asking
from wanbench.controls.record import CONTROLS, ROWS, SCHEMA_VERSION, remember
from wanbench.controls.verdict import ORIGINAL, judge_dimension
from wanbench.dimension import Dimension, digest, load_all
from wanbench.errors import OutputError, RunLocked, UsageError
from wanbench.evaluation.measuring import Ways
from wanbench.evaluation.plan import Choice
from wanbench.evaluation.runner import Progress
from wanbench.evaluation.samples import candidates, find
from wanbench.expectations import CONTROL_NAMES, SAME
from wanbench.judge.choice import JudgeChoice
from wanbench.metrics.camera_control import asked_movement
from wanbench.record import as_text, write_json
from wanbench.types import JSONObject, Profile, Prompt, Sample

BATCH_SIZE = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """What a caller hears while controls are measured."""

    progress: Callable[[Progress], None] = lambda progress: None
    warning: Callable[[str], None] = lambda text: None
    started: Callable[[Path], None] = lambda folder: None


@dataclass(slots=True)
class _Run:
    """A controls run under way."""

    samples: Sequence[Sample]
    choices: Mapping[str, Choice]
    declared: Mapping[str, Dimension]
    ways: Ways
    seed: int
    listener: Listener
    rows: dict[tuple[str, str, str], JSONObject] = field(default_factory=dict)
    """(clip's SHA-256, control, dimension) -> row."""
    cameras: dict[str, str] = field(default_factory=dict)
    """Clip's SHA-256 -> the movement that is asked for because it was found."""
    environment: dict[str, Any] = field(default_factory=dict)
    record: int = -1

    @property
    def measured(self) -> list[str]:
        return [d for d, choice in self.choices.items() if choice.fingerprint]

    def hash(self) -> str:
        """Eight hexadecimal digits of clips, prompts, methods, what controls do, and seed."""
        return digest(
            {
                "samples": [[s.sha256, s.prompt.content if s.prompt else None] for s in self.samples],
                "methods": {d: self.choices[d].fingerprint for d in self.measured},
                "derivation": derive.SETTINGS,
                "seed": self.seed,
            }
        )[:8]

    def prompt(self, sample: Sample) -> Prompt | None:
        camera = self.cameras.get(sample.sha256)
        return asking(sample.prompt, camera) if camera else sample.prompt


def check_controls(
    clips: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    profile: Profile = "reference",
    dimensions: Sequence[str] | None = None,
    prompts: str | Path | None = None,
    limit: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    judge: JudgeChoice | None = None,
    seed: int = 0,
    listener: Listener | None = None,
) -> tuple[Path, JSONObject]:
    """Measure what is not on record yet and judge it: (folder, what `controls.json` there holds).

    `clips` are files or folders. Raises `UsageError` before any work, `OutputError` when something could not be written.
    """
    ways = Ways(profile=profile, dimensions=dimensions, device=device, batch_size=BATCH_SIZE, workers=workers, judge=judge)
    choices = ways.choices()
    chosen = candidates([str(c) for c in clips], "clips")
    found = find(chosen, suite=None, prompts_file=Path(prompts) if prompts else None, limit=limit)
    if found.unreadable:
        path, reason = next(iter(found.unreadable.items()))
        raise UsageError(f"{path} {reason}")
    first = {sample.sha256: sample for sample in reversed(found.samples)}  # of a clip that is there twice
    run = _Run(
        samples=[sample for sample in found.samples if first[sample.sha256] is sample],
        choices=choices,
        declared=load_all(),
        ways=ways,
        seed=seed,
        listener=listener or Listener(),
    )
    folder = Path(out) if out else Path("runs") / f"controls-{run.hash()}"
    for text in found.warnings:
        run.listener.warning(text)
    with _record(folder, run):
        run.listener.started(folder)
        begun = _now()
        _measure(run)
        content = _content(run, begun)
        write_json(folder / CONTROLS, content)
        try:
            remember(content)
        except OutputError as error:
            run.listener.warning(f"{folder} is written, but could not be kept for reports: {error}")
    return folder, content


@contextlib.contextmanager
def _record(folder: Path, run: _Run) -> Iterator[None]:
    """Take in what a run that was cut has left, and hold the record open. Raises `UsageError`, `OutputError`."""
    path = folder / ROWS
    head = json.dumps({"schema_version": SCHEMA_VERSION, "plan": run.hash()}).encode() + b"\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty and holds no controls; choose another --out")
        run.record = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}; choose another place with --out") from error
    try:
        fcntl.flock(run.record, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        os.ftruncate(run.record, len(whole))
        if not whole:
            _write(run, head)
        elif not whole.startswith(head):
            raise UsageError(f"{folder} holds controls of other clips or methods; choose another --out")
        for line in whole.splitlines()[1:]:
            _take(run, msgspec.json.decode(line))
        yield
    except BlockingIOError as error:
        raise RunLocked(f"another process is writing {folder}; wait for it or choose another --out") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is damaged ({error}); remove it") from error
    finally:
        os.close(run.record)


def _put(run: _Run, line: JSONObject) -> None:
    """On record first, then taken in."""
    _write(run, json.dumps(line, separators=(",", ":")).encode() + b"\n")
    _take(run, line)


def _write(run: _Run, line: bytes) -> None:
    try:
        written = os.write(run.record, line)
    except OSError as error:
        raise OutputError(f"cannot write the controls' record: {error.strerror}; free some space and run again") from error
    if written != len(line):
        raise OutputError("cannot write the controls' record: the disk is full; free some space and run again")


def _take(run: _Run, line: JSONObject) -> None:
    if "environment" in line:
        run.environment |= line["environment"]
        return
    for dimension, row in line["rows"].items():
        run.rows[line["clip"], line["control"], dimension] = row
    if line["camera"]:
        run.cameras[line["clip"]] = line["camera"]


def _measure(run: _Run) -> None:
    """Unchanged clips, then controls: another clip's prompt may be the movement that was found in it."""
    numbers = range(len(run.samples))
    done = 0

    def tell() -> None:
        errors = sum(row["status"] == "error" for row in run.rows.values())
        run.listener.progress(Progress(done=done, total=len(numbers), errors=errors))

    def keep(assignment: Assignment, reaction: Reaction) -> None:
        rows, camera = dict(reaction.rows), reaction.camera
        _put(run, {"clip": assignment.sha256, "control": reaction.control, "rows": rows, "camera": camera})

    def environment(facts: Mapping[str, Any]) -> None:
        if not facts.items() <= run.environment.items():
            _put(run, {"environment": dict(facts)})

    setup = run.ways.setup({d: run.choices[d] for d in run.measured}, evidence=None)
    with contextlib.closing(Crew(setup, run.ways.worker_count, keep, environment)) as crew:
        tell()
        for _ in crew.work([a for n in numbers if (a := _assignment(run, n, [ORIGINAL])).dimensions]):
            tell()
        controls = [a for n in numbers if (a := _assignment(run, n, CONTROL_NAMES)).dimensions]
        done = len(numbers) - len(controls)
        tell()
        for _ in crew.work(controls):
            done += 1
            tell()


def _assignment(run: _Run, number: int, controls: Sequence[str]) -> Assignment:
    """What is not on record of these controls; an error on record is tried again."""
    sample = run.samples[number]
    others = [run.samples[(number + k) % len(run.samples)] for k in range(1, len(run.samples))]
    prompt = run.prompt(sample)
    other_prompt = _other_prompt(prompt, [p for o in others if (p := run.prompt(o)) is not None])
    wanted = {}
    for control in controls:
        if (control == "cut" and not others) or (control == "other_prompt" and other_prompt is None):
            continue  # there is nothing to derive it from, and its verdict is `not measured`
        open_still = tuple(d for d in run.measured if _is_wanted(run, sample, control, d))
        if control == "other_prompt" and not _moves_otherwise(other_prompt, prompt):
            open_still = tuple(d for d in open_still if d != "camera_control")
        if open_still:
            wanted[control] = open_still
    return Assignment(
        number=number,
        path=sample.path,
        sha256=sample.sha256,
        prompt=prompt,
        other_prompt=other_prompt,
        other_path=others[0].path if others else None,
        dimensions=wanted,
        seed=run.seed,
    )


def _other_prompt(prompt: Prompt | None, others: Sequence[Prompt]) -> Prompt | None:
    """The first of the others that asks for something else: another movement and another text, if there is one; and of the same
    dimension, for it may else ask for another kind of thing."""
    if prompt is None:
        return next(iter(others), None)
    asked = [p for p in others if _moves_otherwise(p, prompt) or p.text != prompt.text]

    def unlikeness(p: Prompt) -> tuple[bool, bool, bool]:
        return p.dimension == prompt.dimension, _moves_otherwise(p, prompt), p.text != prompt.text

    return max(asked, key=unlikeness, default=None)


def _moves_otherwise(one: Prompt | None, other: Prompt | None) -> bool:
    """Whether one asks for a movement of the camera that the other does not ask for."""
    asked, own = (asked_movement(p.fields.get("camera")) if p else None for p in (one, other))
    return asked is not None and asked != own


def _is_wanted(run: _Run, sample: Sample, control: str, dimension: str) -> bool:
    known = run.rows.get((sample.sha256, control, dimension))
    if known is not None and known["status"] != "error":
        return False
    if control == ORIGINAL:
        return True
    original = run.rows.get((sample.sha256, ORIGINAL, dimension))
    if original is None or original["status"] != "ok":
        return False  # without a score of its own a clip says nothing under a control
    return control in SAME or any(e.control == control for e in run.declared[dimension].controls)


def _content(run: _Run, begun: str) -> JSONObject:
    """What `controls.json` holds."""
    clips = [s.sha256 for s in run.samples]
    names = {s.sha256: as_text(s.path.name) for s in run.samples}
    judged = {d: judge_dimension(d, run.declared[d].controls, clips, run.rows) for d in run.measured}
    for entry in judged.values():
        for result in entry["results"]:
            result["disobeying"] = [names[clip] for clip in result["disobeying"]]
    errors = [
        {"video": names[clip], "control": control, "dimension": dimension, "reason": row["reason"]}
        for (clip, control, dimension), row in sorted(run.rows.items())
        if row["status"] == "error"
    ]
    return {
        "kind": "controls",
        "schema_version": SCHEMA_VERSION,
        "project_version": __version__,
        "profile": run.ways.profile,
        "plan": run.hash(),
        "seed": run.seed,
        "derivation": derive.SETTINGS,
        "clips": [
            {
                "video": names[s.sha256],
                "sha256": s.sha256,
                "prompt": s.prompt.text if s.prompt else None,
                "camera_found_and_asked": run.cameras.get(s.sha256),
            }
            for s in run.samples
        ],
        "dimensions": {
            d: {"fingerprint": run.choices[d].fingerprint, "method": dict(run.choices[d].circumstances or {}), **judged[d]}
            for d in run.measured
        },
        "not_measured": {d: choice.skip for d, choice in run.choices.items() if choice.skip},
        "errors": errors,
        "environment": {**run.environment, "workers": run.ways.worker_count},
        "start": begun,
        "end": _now(),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
