"""How far a judge can be trusted on given clips: its bias, its contradictions, what it does not look at, and people's opinion.

Ours. Every question is asked as the dimensions ask it, then again about the same clip shown otherwise: more or fewer frames,
smaller ones, in another order, or the first one at every time. What ought to matter and moves nothing, and what ought not to
matter and moves much, both say that the judge does not do its work.
"""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wanbench import __version__, checkpoints, record
from wanbench.clip import Clip
from wanbench.decoding.process import Decoder, Limits
from wanbench.dimension import digest
from wanbench.errors import OutputError, UndecodableVideo, UsageError
from wanbench.judge import agreement, labels
from wanbench.judge.agreement import Labelled
from wanbench.judge.asking import Judge
from wanbench.judge.choice import JudgeChoice
from wanbench.judge.frames import EVENT_FRAMES, LINES, key_of, spread_over, within_budget
from wanbench.judge.protocol import LEAST_MASS, Answer, Frame, Question, questions_of, sigmoid
from wanbench.types import JSONObject, Sample

AUDITS, CALIBRATIONS = "judge/audits", "judge/calibrations"
"""In the store."""
GENERAL = tuple(
    Question(text=text, contrary=contrary, expect="yes")
    for text, contrary in (
        ("Does something in the video move?", "Does everything in the video stay where it is?"),
        ("Does the camera move?", "Does the camera stand still?"),
        ("Is a person to be seen?", "Are all of the frames free of people?"),
        ("Was the video taken outdoors?", "Was the video taken indoors, or is its place of another kind?"),
        ("Is the picture bright and full of colour?", "Is the picture dark, pale or free of colour?"),
    )
)
"""[ours] For clips whose prompts carry no questions: two about time, three about pictures."""
OTHERWISE = {
    "frames_4": "4 frames instead of 16",
    "frames_8": "8 frames",
    "frames_32": "32 frames",
    "pixels_half": "half the pixels",
    "pixels_quarter": "a quarter of the pixels",
    "reversed": "backwards",
    "shuffled": "in any order",
    "frozen": "the first frame at every time",
}
"""How a clip is shown beside the usual way."""

Shown = Callable[[Clip, Sequence[Frame]], list[Frame]]
Tick = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One question about one clip."""

    clip: str
    usual: Answer
    otherwise: Mapping[str, Answer]
    """How it was shown -> the answer, where that changes what is seen."""


def conduct(
    choice: JudgeChoice,
    judge: Judge,
    samples: Sequence[Sample],
    *,
    labels_file: Path | None = None,
    calibration: str | None = None,
    seed: int = 0,
    tick: Tick = lambda done, total: None,
) -> JSONObject:
    """Ask, sum up and keep: the audit as its file holds it.

    Raises `UsageError` for a clip that cannot be decoded, labels that do not fit or are too few; `JudgeFailed`, `ServerError`.
    """
    told = labels.read(labels_file) if labels_file else None
    if calibration is not None and told is None:
        raise UsageError("a calibration is fitted to people's answers: give --labels FILE")
    asked = {sample.path: _questions(sample, told) for sample in samples}
    if told:
        told.all_belong_to(asked)
    cases = list(_cases(judge, asked, seed, tick))
    circumstances = choice.circumstances()
    found: JSONObject = {
        "schema_version": record.SCHEMA_VERSION,
        "project_version": __version__,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "judge": circumstances,
        "judge_fingerprint": digest(circumstances),
        "seed": seed,
        "clips_fingerprint": digest({"clips": sorted(sample.sha256 for sample in samples)}),
        **findings(cases),
        "labels": None,
    }
    if told:
        pairs = [
            Labelled(clip=case.clip, log_odds=case.usual.half_difference, label=label)
            for case in cases
            if (label := told.of(Path(case.clip), case.usual.question.text)) is not None
        ]
        found["labels"] = _labelled(pairs, told, [float(case.usual.half_difference >= 0) for case in cases])
        if calibration is not None:
            found["calibration"] = keep_calibration(calibration, pairs, told, circumstances)
    record.write_json(_made(AUDITS) / f"{found['judge_fingerprint']}.json", found)
    return found


def _questions(sample: Sample, told: labels.Labels | None) -> list[Question]:
    """The prompt's, or the general ones; and those that people were asked with a contrary beside them."""
    own = questions_of(sample.prompt.fields) if sample.prompt else []
    asked = own or list(GENERAL)
    extra = told.questions(sample.path) if told else []
    return [*asked, *(q for q in extra if q.text not in {a.text for a in asked})]


def _cases(judge: Judge, asked: Mapping[Path, list[Question]], seed: int, tick: Tick) -> Iterator[Case]:
    decoder = Decoder((LINES,), Limits())
    paths = list(asked)
    try:
        for k, path in enumerate(paths):
            try:
                clip = decoder.take(path)
            except UndecodableVideo as error:
                raise UsageError(f"{path} cannot be decoded ({error}): leave it out") from error
            if k + 1 < len(paths):
                decoder.ask(paths[k + 1])
            yield from _of_clip(judge, record.as_text(path), clip, asked[path], seed)
            tick(k + 1, len(paths))
    finally:
        decoder.close()


def _of_clip(judge: Judge, name: str, clip: Clip, questions: Sequence[Question], seed: int) -> Iterator[Case]:
    usual = spread_over(clip, EVENT_FRAMES)
    answers = judge.consider(usual, questions)
    otherwise: dict[str, list[Answer]] = {}
    for how in OTHERWISE:
        shown = show(how, clip, usual, seed)
        if [f.key for f in shown] != [f.key for f in usual]:  # a frozen clip has no order
            otherwise[how] = judge.consider(shown, questions)
    for k, answer in enumerate(answers):
        yield Case(clip=name, usual=answer, otherwise={how: found[k] for how, found in otherwise.items()})


def show(how: str, clip: Clip, usual: Sequence[Frame], seed: int) -> list[Frame]:
    """The clip as one of `OTHERWISE` says; times always go forwards."""
    kind, _, much = how.partition("_")
    if kind == "frames":
        return spread_over(clip, int(much))
    if kind == "pixels":
        return [_smaller(frame, {"half": 2, "quarter": 4}[much]) for frame in usual]
    order = {
        "reversed": np.arange(len(usual))[::-1],
        "shuffled": np.random.default_rng(seed).permutation(len(usual)),
        "frozen": np.zeros(len(usual), int),
    }[kind]
    return [replace(usual[n], seconds=frame.seconds) for n, frame in zip(order, usual, strict=True)]


def _smaller(frame: Frame, times: int) -> Frame:
    height, width = frame.picture.shape[:2]
    picture = within_budget(frame.picture, max(1, height * width // times))
    return replace(frame, picture=picture, key=key_of(picture))


def findings(cases: Sequence[Case]) -> JSONObject:
    """Everything that can be said without people."""
    usual = [case.usual for case in cases]
    by_clip: dict[str, list[Answer]] = {}
    by_text: dict[str, list[Answer]] = {}
    for case in cases:
        by_clip.setdefault(case.clip, []).append(case.usual)
        by_text.setdefault(case.usual.question.text, []).append(case.usual)
    bias = [0.5 * (a.log_odds + a.contrary_log_odds) for a in usual]
    return {
        "clips": len(by_clip),
        "questions": len(cases),
        "yes_rate": agreement.share(
            [statistics.fmean(_yes_rate(a) for a in group) for group in by_clip.values()], "nothing was asked"
        ),
        "yes_to_both_share": _mean([float(min(a.log_odds, a.contrary_log_odds) > 0) for a in usual]),
        "no_to_both_share": _mean([float(max(a.log_odds, a.contrary_log_odds) < 0) for a in usual]),
        "bias_mean_log_odds": _mean(bias),
        "bias_spread_log_odds": statistics.stdev(bias) if len(bias) > 1 else None,
        "inconsistency_mean_0_1": _mean([a.inconsistency for a in usual]),
        "low_mass_share": _mean([float(a.mass < LEAST_MASS) for a in usual]),
        "uninformative_share": _mean([float(a.uninformative) for a in usual]),
        "uninformative_questions": sorted(text for text, group in by_text.items() if all(a.uninformative for a in group)),
        "shown_otherwise": {how: _moved(cases, how) for how in OTHERWISE},
    }


def _yes_rate(answer: Answer) -> float:
    """Of a question and its contrary, one of which is true, how often the judge says yes: a half without a bias."""
    return 0.5 * ((answer.log_odds > 0) + (answer.contrary_log_odds > 0))


def _moved(cases: Sequence[Case], how: str) -> JSONObject:
    """What it does to the probability of the expected answer to be shown a clip in another way."""
    pairs = [(case.usual, case.otherwise[how]) for case in cases if how in case.otherwise]
    shifts = [other.expected - usual.expected for usual, other in pairs]
    return {
        "what": OTHERWISE[how],
        "questions": len(pairs),
        "mean_shift": _mean(shifts),
        "mean_absolute_shift": _mean([abs(s) for s in shifts]),
        "changed_answers_share": _mean([float((a.probability >= 0.5) != (b.probability >= 0.5)) for a, b in pairs]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _labelled(pairs: Sequence[Labelled], told: labels.Labels, said: Sequence[float]) -> JSONObject:
    """`said`: 1 for each question, labelled or not, that the judge answers with yes."""
    found = agreement.agreement(pairs)
    rate = statistics.fmean(said)
    return {
        "file_sha256": told.sha256,
        "undecided": told.undecided,
        **found,
        "said_yes_rate": rate,
        "corrected_yes_rate": agreement.corrected_rate(rate, len(said), found),
    }


def keep_calibration(name: str, pairs: Sequence[Labelled], told: labels.Labels, circumstances: Mapping[str, Any]) -> JSONObject:
    """Fit Platt's two numbers and write them into the store under a name. Raises `UsageError`, `OutputError`."""
    if not labels.NAME.fullmatch(name):
        raise UsageError(f"a calibration's name is made of letters, digits, dots, dashes and underscores, not {name!r}")
    fitted = agreement.fit(pairs)
    content = {
        "name": name,
        "judge": dict(circumstances),
        "judge_fingerprint": digest(circumstances),
        "labels_sha256": told.sha256,
        "labels": len(pairs),
        "slope": fitted.slope,
        "offset": fitted.offset,
        "brier_before": agreement.mean_square([sigmoid(p.log_odds) for p in pairs], [p.label for p in pairs]),
        "brier_after": agreement.mean_square([fitted(p.log_odds) for p in pairs], [p.label for p in pairs]),
        "brier_held_out": agreement.held_out_brier(pairs),
    }
    content["fingerprint"] = digest(content)
    record.write_json(_made(CALIBRATIONS) / f"{name}.json", content)
    return content


def last(circumstances: Mapping[str, Any]) -> JSONObject | None:
    """The last audit of the judge with these circumstances, in the few numbers that a run keeps of it; None without one."""
    path = checkpoints.home() / AUDITS / f"{digest(circumstances)}.json"
    if not path.is_file():
        return None
    found = record.read_json(path)
    shown, people = found["shown_otherwise"], found["labels"] or {}
    return {
        **{
            k: found[k] for k in ("date", "clips", "questions", "inconsistency_mean_0_1", "uninformative_share", "low_mass_share")
        },
        "yes_rate": found["yes_rate"]["value"],
        **{f"{how}_mean_shift": shown[how]["mean_shift"] for how in ("reversed", "shuffled", "frozen")},
        "labels": people.get("labels", 0),
        "accuracy": (people.get("accuracy") or {}).get("value"),
        "kappa": (people.get("kappa") or {}).get("value"),
    }


def _made(folder: str) -> Path:
    path = checkpoints.home() / folder
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {path}: {error.strerror}; set WANBENCH_HOME") from error
    return path
