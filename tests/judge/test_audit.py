"""The audit: numbers worked by hand or by statsmodels, planted faults that it must find, and what it keeps."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wanbench.errors import UsageError
from wanbench.evaluation.samples import candidates, find
from wanbench.judge import agreement, audit, labels
from wanbench.judge.agreement import Labelled
from wanbench.judge.asking import Judge
from wanbench.judge.choice import JudgeChoice
from wanbench.judge.frames import EVENT_FRAMES
from wanbench.judge.protocol import Frame, sigmoid
from wanbench.scenes.encode import write_video
from wanbench.scenes.render import Scene, render

from .lines import ONE, write_prompts
from .scripted import Opinion, Scripted, between_marks
from .serving import serving

CHOICE = JudgeChoice(facts={"kind": "server", "model": "scripted"})


def labelled(*cells: tuple[float, bool, int]) -> list[Labelled]:
    """(log-odds, people's answer, how many)"""
    pairs = [(x, label) for x, label, many in cells for _ in range(many)]
    return [Labelled(clip=f"{k}", log_odds=x, label=label) for k, (x, label) in enumerate(pairs)]


FORTY = labelled((1.0, True, 16), (1.0, False, 6), (-1.0, True, 4), (-1.0, False, 14))


# ---- agreement ----


def test_agreement_by_hand() -> None:
    """30 of 40 right, 16 of 20 yes, 14 of 20 no; by chance 0.55/2 + 0.45/2 = 0.5, so kappa = (0.75 - 0.5) / 0.5."""
    found = agreement.agreement(FORTY)
    assert [found[k]["value"] for k in ("accuracy", "sensitivity", "specificity", "kappa")] == pytest.approx(
        [0.75, 0.8, 0.7, 0.5]
    )
    assert [found[f"said_{a}_people_{b}"] for a in ("yes", "no") for b in ("yes", "no")] == [16, 6, 4, 14]
    for key in ("accuracy", "sensitivity", "specificity", "kappa"):
        assert found[key]["low"] < found[key]["value"] < found[key]["high"]
    hits, misses = (sigmoid(1.0) - 1) ** 2, sigmoid(1.0) ** 2
    assert found["brier"] == pytest.approx((30 * hits + 10 * misses) / 40)


@pytest.mark.parametrize("cells", [(16, 6, 4, 14), (30, 1, 2, 7), (5, 5, 5, 5), (1, 9, 12, 3), (50, 3, 0, 2)])
def test_kappa_is_that_of_statsmodels(cells: tuple[int, int, int, int]) -> None:
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    said = [s for s, n in zip((True, True, False, False), cells, strict=True) for _ in range(n)]
    true = [t for t, n in zip((True, False, True, False), cells, strict=True) for _ in range(n)]
    found = agreement.kappa(said, true)
    theirs = inter_rater.cohens_kappa(np.array(cells).reshape(2, 2))
    assert found["value"] == pytest.approx(theirs.kappa)
    assert found["low"] == pytest.approx(max(-1, theirs.kappa_low), abs=1e-4)
    assert found["high"] == pytest.approx(min(1, theirs.kappa_upp), abs=1e-4)


def test_shares_of_zeros_and_ones_are_near_wilsons() -> None:
    """Of 20 with 16: statsmodels' Wilson [0.584, 0.919]; ours takes Student's t for the normal, and is a little wider."""
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    low, high = proportion.proportion_confint(16, 20, method="wilson")
    found = agreement.share([1.0] * 16 + [0.0] * 4, "")
    assert found["low"] == pytest.approx(low, abs=0.03)
    assert found["high"] == pytest.approx(high, abs=0.03)
    assert found["low"] <= low
    assert found["high"] >= high


def test_what_cannot_be_said_has_a_reason() -> None:
    found = agreement.agreement(labelled((1.0, True, 3)))
    assert found["specificity"] == {"value": None, "low": None, "high": None, "reason": "people never say no"}
    assert found["kappa"]["value"] is None
    assert agreement.agreement([])["accuracy"]["value"] is None
    chance = agreement.agreement(labelled((1.0, True, 5), (1.0, False, 5), (-1.0, True, 5), (-1.0, False, 5)))
    assert agreement.corrected_rate(0.5, 20, chance)["value"] is None


def test_a_corrected_rate_by_hand() -> None:
    """Said yes 0.6, sensitivity 0.8, specificity 0.7: (0.6 + 0.7 - 1) / 0.5 = 0.6."""
    found = agreement.corrected_rate(0.6, 200, agreement.agreement(FORTY))
    assert found["value"] == pytest.approx(0.6)
    variance = (0.6 * 0.4 / 200 + 0.36 * 0.16 / 20 + 0.16 * 0.21 / 20) / 0.25
    assert found["high"] - found["value"] == pytest.approx(1.959964 * math.sqrt(variance))


# ---- calibration ----


def drawn(count: int, slope: float, offset: float, seed: int) -> list[Labelled]:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, count)
    yes = rng.random(count) < 1 / (1 + np.exp(-(slope * x + offset)))
    return [Labelled(clip=f"{k // 4}", log_odds=float(a), label=bool(b)) for k, (a, b) in enumerate(zip(x, yes, strict=True))]


def test_platt_finds_the_planted_line() -> None:
    fitted = agreement.fit(drawn(4000, 0.6, -1.0, 1))
    assert fitted.slope == pytest.approx(0.6, abs=0.06)
    assert fitted.offset == pytest.approx(-1.0, abs=0.1)


def test_platt_is_that_of_statsmodels() -> None:
    """Logistic regression on Platt's smoothed targets."""
    api = pytest.importorskip("statsmodels.api")
    pairs = drawn(60, 0.8, 0.5, 2)
    yes = sum(p.label for p in pairs)
    target = np.array([(yes + 1) / (yes + 2) if p.label else 1 / (60 - yes + 2) for p in pairs])
    design = np.stack([[p.log_odds for p in pairs], np.ones(60)], 1)
    theirs = api.GLM(target, design, family=api.families.Binomial()).fit(tol=1e-12)
    found = agreement.fit(pairs)
    assert [found.slope, found.offset] == pytest.approx(list(theirs.params), abs=1e-6)


def test_platt_stays_finite_where_the_judge_is_always_right() -> None:
    found = agreement.fit(labelled((4.0, True, 10), (-4.0, False, 10)))
    assert 0 < found.slope < 2
    assert found(4.0) == pytest.approx(11 / 12)


def test_a_calibration_helps_a_biased_judge_on_clips_it_has_not_seen() -> None:
    pairs = drawn(200, 0.5, -2.0, 3)
    before = agreement.mean_square([sigmoid(p.log_odds) for p in pairs], [p.label for p in pairs])
    held_out = agreement.held_out_brier(pairs)
    assert before is not None
    assert held_out is not None
    assert held_out < before - 0.05


def test_too_few_labels_to_calibrate() -> None:
    with pytest.raises(UsageError, match="needs 5 labels of yes and of no; there are 20 and 3"):
        agreement.fit(labelled((1.0, True, 20), (1.0, False, 3)))


# ---- the audit ----


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two moving clips and a still one."""
    folder = tmp_path_factory.mktemp("audited") / "filmed"
    folder.mkdir()
    for k, name in enumerate(("a", "b")):
        frames = render(Scene(size_HW=(48, 64), movement="pan-left", speed=0.3), fps=8, seconds=2.0, seed=k)
        write_video(folder / f"{name}.mp4", (f for _, f in frames), fps=8)
    write_video(folder / "still.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 8, fps=8)
    write_prompts(folder.parent / "prompts.jsonl", ["a.mp4", "b.mp4", "still.mp4"], ONE)
    return folder


def audited(filmed: Path, opinion: Opinion, home: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Any]:
    monkeypatch.setenv("WANBENCH_HOME", str(home))
    found = find(candidates([str(filmed)], None), suite=None, prompts_file=filmed.parent / "prompts.jsonl", limit=None)
    return audit.conduct(CHOICE, Judge(Scripted(opinion), "x", None), found.samples, **options)


def test_an_honest_judge(filmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says 2 to a question about pictures, -2 to its contrary, 0 without any: nothing to complain of."""

    def opinion(frames: Sequence[Frame], prompt: str) -> float:
        return 0.0 if not frames else 2.0 if "as it should be" in prompt else -2.0

    found = audited(filmed, opinion, tmp_path, monkeypatch)
    assert (found["clips"], found["questions"]) == (3, 24)
    assert found["yes_rate"]["value"] == 0.5
    assert found["bias_mean_log_odds"] == 0.0
    assert found["inconsistency_mean_0_1"] == 0.0
    assert found["uninformative_share"] == 0.0
    assert found["uninformative_questions"] == []
    assert found["low_mass_share"] == 0.0
    for how, moved in found["shown_otherwise"].items():
        assert moved["mean_absolute_shift"] == pytest.approx(0.0), how
    shown = found["shown_otherwise"]
    assert shown["reversed"]["questions"] == shown["frozen"]["questions"] == 16, "a still clip has no order"
    assert shown["pixels_half"]["questions"] == shown["frames_4"]["questions"] == 24


def test_a_judge_that_says_yes_to_everything(filmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = audited(filmed, lambda frames, prompt: 3.0, tmp_path, monkeypatch)
    assert found["yes_rate"]["value"] == 1.0
    assert found["yes_to_both_share"] == 1.0
    assert found["bias_mean_log_odds"] == 3.0
    assert found["bias_spread_log_odds"] == 0.0
    assert found["inconsistency_mean_0_1"] == pytest.approx(sigmoid(3) - sigmoid(-3))
    assert found["uninformative_share"] == 1.0
    assert len(found["uninformative_questions"]) == 8


def test_a_judge_that_counts_frames_and_looks_at_their_order(
    filmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says yes as often as pictures follow the right way round: backwards no, frozen no, and half the pixels the same."""
    order: dict[str, list[str]] = {}

    def opinion(frames: Sequence[Frame], prompt: str) -> float:
        if not frames:
            return 0.0
        sign = 1.0 if "as it should be" in prompt else -1.0
        bright = [float(f.picture.mean()) for f in frames]
        first = order.setdefault(between_marks(prompt) + str(round(sorted(bright)[0], 2)), [f.key for f in frames])
        keys = [f.key for f in frames]
        return sign * (2.0 if len(keys) != EVENT_FRAMES or frames[0].picture.shape != (48, 64, 3) or keys == first else -2.0)

    found = audited(filmed, opinion, tmp_path, monkeypatch)
    shown = found["shown_otherwise"]
    assert shown["reversed"]["changed_answers_share"] == 1.0
    assert shown["shuffled"]["changed_answers_share"] == 1.0
    assert shown["pixels_half"]["changed_answers_share"] == 0.0
    assert shown["frames_8"]["changed_answers_share"] == 0.0
    expected = sigmoid(2.0) - sigmoid(-2.0)
    assert shown["reversed"]["mean_absolute_shift"] == pytest.approx(expected)


def test_little_mass_is_counted_and_not_fatal(filmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANBENCH_HOME", str(tmp_path))
    samples = find(candidates([str(filmed)], None), suite=None, prompts_file=None, limit=1).samples
    found = audit.conduct(CHOICE, Judge(Scripted(mass=0.2), "x", None), samples)
    assert found["low_mass_share"] == 1.0
    assert found["questions"] == len(audit.GENERAL), "no prompt: general questions"


def test_what_is_shown() -> None:
    from wanbench.decoding.prepare import prepare_frames
    from wanbench.judge.frames import LINES, spread_over

    clip = prepare_frames(
        list(render(Scene(size_HW=(48, 64), movement="pan-left", speed=0.3), fps=8, seconds=2.0, seed=1)), [LINES]
    )
    usual = spread_over(clip, EVENT_FRAMES)
    keys, times = [f.key for f in usual], [f.seconds for f in usual]
    backwards, mixed, held = (audit.show(how, clip, usual, 0) for how in ("reversed", "shuffled", "frozen"))
    assert [f.key for f in backwards] == keys[::-1]
    assert sorted(f.key for f in mixed) == sorted(keys)
    assert [f.key for f in mixed] not in (keys, keys[::-1])
    assert [f.key for f in held] == keys[:1] * 16
    assert all([f.seconds for f in shown] == times for shown in (backwards, mixed, held))
    assert [len(audit.show(f"frames_{n}", clip, usual, 0)) for n in (4, 8, 32)] == [4, 8, 32]
    for how, part in (("pixels_half", 2), ("pixels_quarter", 4)):
        pixels = [f.picture.shape[0] * f.picture.shape[1] for f in audit.show(how, clip, usual, 0)]
        assert all(0.9 * 48 * 64 / part < p <= 48 * 64 / part for p in pixels)


# ---- labels ----


def write_labels(path: Path, *rows: str, head: str = "video,question,label") -> Path:
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_labels_calibration_and_what_is_kept(filmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge says yes to events and motion and is half right; the files lie in the store, and a run would read them."""

    def opinion(frames: Sequence[Frame], prompt: str) -> float:
        q = between_marks(prompt)
        return (1.0 if "event" in q or "motion" in q else -1.0) * (1.0 if "should be" in q else -1.0)

    kinds = ("event", "motion", "style", "action")
    yes = {"event", "style"}
    rows = [f"{v},Is the {k} as it should be?,{'Yes' if k in yes else '0'}" for v in ("a.mp4", "b", "still.mp4") for k in kinds]
    file = write_labels(tmp_path / "labels.csv", *rows)
    found = audited(filmed, opinion, tmp_path / "home", monkeypatch, labels_file=file, calibration="mine")
    people = found["labels"]
    assert people["labels"] == 12
    assert people["clips"] == 3
    assert [people[k]["value"] for k in ("accuracy", "sensitivity", "specificity", "kappa")] == pytest.approx(
        [0.5, 0.5, 0.5, 0.0]
    )
    kept = json.loads((tmp_path / "home/judge/calibrations/mine.json").read_text())
    assert kept == found["calibration"]
    assert kept["slope"] == pytest.approx(0.0, abs=1e-6)
    assert len(kept["fingerprint"]) == 16
    last = audit.last(CHOICE.circumstances())
    assert last is not None
    assert last["labels"] == 12
    assert last["kappa"] == pytest.approx(0.0)
    assert last["date"] == found["date"]
    assert audit.last({**CHOICE.circumstances(), "model": "other"}) is None


def test_labels_of_several_people(tmp_path: Path) -> None:
    told = labels.read(
        write_labels(tmp_path / "l.csv", "a.mp4,Q?,yes", "a.mp4,Q?,no", "a.mp4,Q?,1", "a.mp4,R?,true", "a.mp4,R?,false")
    )
    assert told.of(Path("/x/a.mp4"), "Q?") is True
    assert told.of(Path("/x/a.mp4"), "R?") is None
    assert told.of(Path("/x/b.mp4"), "Q?") is None
    assert told.undecided == 1


WRONG_LABELS = [
    (["a.mp4,Q?,perhaps"], "video,question,label", "line 2: a label is yes or no, not 'perhaps'"),
    (["a.mp4,yes"], "video,label", "lack the column 'question'"),
    ([], "video,question,label", "hold no line"),
    (["c.mp4,Is the event as it should be?,yes"], "video,question,label", "line 2: there is no video 'c.mp4'"),
    (["a.mp4,Is it raining?,yes"], "video,question,label", "is not asked about a.mp4: give its contrary"),
]


@pytest.mark.parametrize(("rows", "head", "complaint"), WRONG_LABELS, ids=[w[2][:30] for w in WRONG_LABELS])
def test_wrong_labels(
    filmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[str], head: str, complaint: str
) -> None:
    file = write_labels(tmp_path / "l.csv", *rows, head=head)
    with pytest.raises(UsageError, match=complaint.replace("?", r"\?")):
        audited(filmed, lambda f, p: 0.0, tmp_path, monkeypatch, labels_file=file)


def test_a_label_with_its_own_contrary(filmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = "video,question,label,contrary"
    file = write_labels(tmp_path / "l.csv", "a.mp4,Is it raining?,no,Is it dry?", head=head)
    found = audited(filmed, lambda f, p: -1.0 if "raining" in p else 1.0, tmp_path, monkeypatch, labels_file=file)
    assert found["questions"] == 25
    assert found["labels"]["accuracy"]["value"] == 1.0


# ---- the command ----


def test_the_command_and_what_a_run_says_of_it(filmed: Path, tmp_path: Path) -> None:
    """A table, JSON, an audit in the store; a run before it says that there is none, and one after it shows it."""
    from ..cli.command import Wanbench, info

    wanbench = Wanbench(tmp_path, tmp_path / "home")
    common = [filmed, "--prompts", filmed.parent / "prompts.jsonl", "--no-progress"]
    with serving(tmp_path / "server") as server:
        asked = [*common, "--judge", server.url]
        scoring = [*asked, "--profile", "lite", "--dimensions", "stylization_ability"]
        assert wanbench("score", *scoring, "--out", "before").code == 0
        ended = wanbench("judge", "audit", *asked, "--limit", "2", "--json")
        assert ended.code == 0, ended.err
        count = len(server.requests)
        shown = wanbench("judge", "audit", *asked, "--limit", "2")
        assert shown.code == 0
        assert len(server.requests) == count, "what was asked before is not asked again"
        assert wanbench("score", *scoring, "--out", "after").code == 0
        unnamed = wanbench("judge", "audit", *common)
    assert ended.json["clips"] == 2
    assert "backwards" in shown.out
    assert unnamed.code == 2
    assert "no judge is named" in unnamed.complaint
    before, after = (info(tmp_path / run)["judge"] for run in ("before", "after"))
    assert before["audit"] is None
    assert after["audit"]["clips"] == 2
    assert after["audit"]["yes_rate"] == pytest.approx(ended.json["yes_rate"]["value"])
    assert before["fingerprint"] == after["fingerprint"] == ended.json["judge_fingerprint"]
    assert "never audited" in (tmp_path / "before/report.html").read_text()
    assert "never audited" not in (tmp_path / "after/report.html").read_text()
