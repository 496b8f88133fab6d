"""`wanbench judge audit CLIPS`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from wanbench.cli import options
from wanbench.cli.guard import guarded

app = typer.Typer(help="How far the judge can be trusted.", rich_markup_mode=None)


@app.callback()
def root() -> None:
    """How far the judge can be trusted."""


@app.command()
@guarded
def audit(
    clips: Annotated[list[str], typer.Argument(help="Videos, or folders searched for them.")],
    judge: options.Judge = None,
    judge_model: options.JudgeModel = None,
    judge_samples: options.JudgeSamples = 0,
    judge_concurrency: options.JudgeConcurrency = 8,
    suite: options.SuiteName = None,
    prompts: Annotated[
        Path | None, typer.Option(help="JSONL or CSV with `video` and `prompt_id` or `prompt`.", metavar="FILE")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="CSV of people's answers: video, question, label.", metavar="FILE")] = None,
    calibration: Annotated[
        str | None, typer.Option(help="Fit Platt's calibration to the labels, and keep it by this name.", metavar="NAME")
    ] = None,
    limit: options.Limit = None,
    device: options.Device = "auto",
    dtype: options.Dtype = options.DtypeName.FLOAT32,
    batch_size: options.BatchSize = 16,
    seed: Annotated[int, typer.Option(help="Of the shuffled order of frames.", min=0)] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Ask a judge about clips in several ways, and say what its answers are worth.

    Questions come from the prompts of the clips; where they carry none, a few general ones are asked.
    """
    from wanbench import auditing
    from wanbench.cli.live import Live
    from wanbench.evaluation.runner import Progress

    with Live(shown=not (no_progress or quiet), quiet=quiet) as live:
        found = auditing.audit(
            *clips,
            judge=judge,
            judge_model=judge_model,
            judge_samples=judge_samples,
            judge_concurrency=judge_concurrency,
            suite=suite,
            prompts=prompts,
            labels=labels,
            calibration=calibration,
            limit=limit,
            device=device,
            dtype=dtype.value,
            batch_size=batch_size,
            seed=seed,
            tick=lambda done, total: live.listener.progress(Progress(done=done, total=total, errors=0)),
            warning=live.listener.warning,
        )
    if json:
        import json as json_library

        sys.stdout.write(json_library.dumps(found, indent=2) + "\n")
        return
    _print(found)


def _print(found: dict[str, Any]) -> None:
    from rich.table import Table

    from wanbench.cli.output import Output

    out = Output()

    def table(*columns: str) -> Table:
        made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for number, column in enumerate(columns):
            made.add_column(column, justify="right" if number else "left", overflow="fold")
        return made

    model = found["judge"].get("model")
    print(f"{model}: {found['questions']} questions about {found['clips']} clips, {found['date']}")
    bias, spread = _number(found["bias_mean_log_odds"], "+.2f"), _number(found["bias_spread_log_odds"], ".2f")
    rows = {
        "says yes to a question and its contrary alike (0.5 without a bias)": _estimate(found["yes_rate"]),
        "bias towards yes, log-odds": f"{bias} ± {spread}",
        "yes to both": _share(found["yes_to_both_share"]),
        "no to both": _share(found["no_to_both_share"]),
        "inconsistency, mean": _number(found["inconsistency_mean_0_1"]),
        "neither yes nor no": _share(found["low_mass_share"]),
        "answered the same without any frame": _share(found["uninformative_share"]),
    }
    shown = table("What the judge does", "")
    for what, value in rows.items():
        shown.add_row(what, value)
    out.print(shown)
    shown = table("Shown otherwise", "Shift", "Shift, absolute", "Changed answers", "Questions")
    for entry in found["shown_otherwise"].values():
        shift, absolute = _number(entry["mean_shift"], "+.3f"), _number(entry["mean_absolute_shift"])
        moved = (shift, absolute, _share(entry["changed_answers_share"]))
        shown.add_row(entry["what"], *moved, str(entry["questions"]))
    out.print(shown)
    for text in found["uninformative_questions"]:
        print(f"the frames were never needed for: {text}")
    if people := found["labels"]:
        shown = table(f"Against people, {people['labels']} labels", "95 %")
        for what in ("accuracy", "sensitivity", "specificity", "kappa", "corrected_yes_rate"):
            shown.add_row(what.replace("_", " "), _estimate(people[what]))
        out.print(shown)
    if fitted := found.get("calibration"):
        before, after, held_out = (_number(fitted[f"brier_{k}"]) for k in ("before", "after", "held_out"))
        print(f"calibration {fitted['name']}: sigmoid({fitted['slope']:.3f} x log-odds {fitted['offset']:+.3f})")
        print(f"  Brier {before} before, {after} after, {held_out} on clips left out; fingerprint {fitted['fingerprint']}")


def _number(value: float | None, how: str = ".3f") -> str:
    return "-" if value is None else format(value, how)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _estimate(entry: dict[str, Any]) -> str:
    if entry["value"] is None:
        return f"- ({entry['reason']})"
    return f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"
