"""`wanbench weights list|show|range|fit`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wanbench.cli import options
from wanbench.cli.guard import guarded

if TYPE_CHECKING:
    from rich.table import Table

    from wanbench.weights.weighting import Weighting

app = typer.Typer(help="What each dimension's score is multiplied by, and how far that is known.", rich_markup_mode=None)

NameOrFile = Annotated[str, typer.Argument(help="A name from `weights list`, or a weight file.", metavar="NAME_OR_FILE")]
AllowMismatch = Annotated[bool, typer.Option("--allow-mismatch", help="Put side by side what was measured differently.")]


@app.command(name="list")
@guarded
def list_(json: options.Json = False, verbose: options.Verbose = False) -> None:
    """The shipped weight sets."""
    from wanbench.weights import weighting

    if json:
        _json([w.to_json() for w in weighting.WEIGHTINGS.values()])
        return
    for name, found in weighting.WEIGHTINGS.items():
        print(f"{name:12}{found.provenance}{' (headline)' if name == weighting.HEADLINE else ''}")


@app.command()
@guarded
def show(name: NameOrFile, json: options.Json = False, verbose: options.Verbose = False) -> None:
    """A weight set: its weights, where they come from, and for fitted ones what stands behind them."""
    from wanbench.fourteen import title
    from wanbench.weights import weighting

    found = weighting.load(name)
    if json:
        _json(found.to_json())
        return
    about = [found.provenance, *([found.date] if found.date else [])]
    print(f"{found.name}: {'; '.join(about)}")
    fitted = found.evidence.get("correlations")
    table = _table("Dimension", "Weight", *(["Correlation", "95 %", "Pairs"] if fitted else []))
    for dimension, weight in found.weights.items():
        table.add_row(title(dimension), f"{weight:.6f}", *_correlation(fitted, dimension))
    _print(table)


def _correlation(fitted: Any, dimension: str) -> list[str]:
    if not isinstance(fitted, dict) or not isinstance(fitted.get(dimension), dict):
        return []
    entry = fitted[dimension]
    try:
        return [f"{entry['r']:.3f}", f"[{entry['low']:.3f}, {entry['high']:.3f}]", f"{entry['pairs']}"]
    except (KeyError, TypeError, ValueError):
        return ["not said"]


@app.command(name="range")
@guarded
def range_(
    runs: Annotated[list[Path] | None, typer.Argument(help="Runs whose candidates are weighed.", metavar="[RUN]...")] = None,
    allow_mismatch: AllowMismatch = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """How far the report's Table 2 leaves its weights open; for runs, the scores and rankings that it allows."""
    from wanbench.errors import UsageError
    from wanbench.weights import admissible
    from wanbench.weights.results import read_results

    results = read_results(runs or [], allow_mismatch)
    whole = {r.name: admissible.vector(r.scores) for r in results if not r.missing}
    left_out = {r.name: r.missing for r in results if r.missing}
    if results and not whole:
        name, missing = next(iter(left_out.items()))
        raise UsageError(f"{name} has no weighted score, for {', '.join(missing)} {_do(missing)} not count, nor has any other "
                         "candidate: score more dimensions, or leave the runs out")  # fmt: skip
    told = {
        **admissible.describe_weights(),
        "published": admissible.describe(admissible.published(), seed),
        **({"candidates": admissible.describe(whole, seed), "incomplete": left_out} if results else {}),
    }
    if json:
        _json(told)
        return
    _print_weights(told)
    print()
    _print_candidates("Published models (other prompts and judge: not measured here)", told["published"])
    if results:
        print()
        _print_candidates("Candidates", told["candidates"])
        for name, missing in left_out.items():
            print(f"left out: {name}, where {', '.join(missing)} {_do(missing)} not count")


def _do(subjects: list[str]) -> str:
    return "does" if len(subjects) == 1 else "do"


@app.command()
@guarded
def fit(
    human: Annotated[Path, typer.Argument(help="CSV of comparisons (docs/weights.md).", metavar="HUMAN.csv")],
    runs: Annotated[list[Path] | None, typer.Argument(help="Runs that hold the candidates' scores.", metavar="[RUN]...")] = None,
    out: Annotated[Path | None, typer.Option(help="The weight file to write.", metavar="FILE")] = None,
    name: Annotated[str | None, typer.Option(help="Of the weight set.", show_default="the CSV file's")] = None,
    aspect: Annotated[str, typer.Option(help="Which votes, where the CSV has the column aspect.")] = "overall",
    dimensions: options.Dimensions = None,
    all_dimensions: Annotated[bool, typer.Option("--all-dimensions", help="Use exploratory rows of the runs too.")] = False,
    allow_mismatch: AllowMismatch = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Weights from human comparisons, and what these say by themselves: win-rate gaps, strengths, agreement."""
    import datetime

    from wanbench import record
    from wanbench.errors import UsageError
    from wanbench.weights import preferences, weighting
    from wanbench.weights.fitting import fit_weighting
    from wanbench.weights.results import prompt_scores
    from wanbench.weights.votes import read_votes

    comparisons = read_votes(human)
    if out and not runs:
        raise UsageError("weights are fitted to scores: give the runs that hold them after the CSV file")
    if (name or human.stem) in weighting.WEIGHTINGS:
        raise UsageError(f"{name or human.stem} is the name of a shipped weight set: choose another --name")
    found = None
    if runs:
        votes = comparisons.about(aspect)
        scores, versions = prompt_scores(runs, {c for v in votes for c in (v.a, v.b)}, all_dimensions, allow_mismatch)
        found = fit_weighting(
            comparisons,
            scores,
            versions,
            name=name or human.stem,
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            aspect=aspect,
            dimensions=options.names(dimensions),
            seed=seed,
        )
    if out and found:
        record.write_json(out, found.to_json())
    said = preferences.describe(comparisons.votes, seed)
    if json:
        _json({**(found.to_json() if found else {"weights": None, "reason": NO_RUNS}), "preferences": said})
        return
    for about, entry in said.items():
        _print_preferences(about, entry)
        print()
    if found:
        _print_fit(found)
    else:
        print(f"no weights: {NO_RUNS}")


NO_RUNS = "they are fitted to the scores of runs, and none were given"


def _print_preferences(aspect: str, told: dict[str, Any]) -> None:
    annotators = f"{told['annotators']} annotators" if told["annotators"] else "annotators not named"
    print(f"{aspect}: {told['votes']:,} votes on {told['prompts']:,} prompts, {annotators}")
    print(f"agreement (Krippendorff's alpha, nominal): {_estimate(told['krippendorff_alpha'])}")
    table = _table("Win-rate gap", "(wins - losses) / rounds", "Wins", "Losses", "Ties")
    for gap in told["gaps"]:
        table.add_row(f"{gap['a']} over {gap['b']}", _estimate(gap, "gap"), *(f"{gap[k]}" for k in ("wins", "losses", "ties")))
    _print(table)
    model = told["bradley_terry"]
    if "reason" in model:
        print(f"no Bradley-Terry strengths: {model['reason']}")
        return
    table = _table("Bradley-Terry with ties (Davidson)", "Log strength")
    for name, entry in sorted(model["log_strengths"].items(), key=lambda item: -item[1]["value"]):
        table.add_row(name, _estimate(entry))
    table.add_row("(tie parameter)", _estimate(model["tie"]))
    _print(table)


def _print_fit(found: Weighting) -> None:
    from wanbench.fourteen import title

    told = found.evidence
    print(f"{found.name}: {found.provenance} (human difference: {told['data']['human_difference']})")
    table = _table("Dimension", "Correlation", "Shrunk", "Votes", "w SD")
    for d, c in told["correlations"].items():
        moved = told["influence"][d]
        influence = "-" if moved is None else f"{moved:.4f}"
        table.add_row(title(d), _estimate(c, "r"), f"{c['shrunk']:.3f}", f"{c['votes']}", influence)
    _print(table)
    left_out = {m: e["weights"] for m, e in told["leave_one_out"].items() if isinstance(e, dict) and "weights" in e}
    table = _table("Dimension", "Weight", "95 %", "uniform", *(["Without one model"] if left_out else []))
    for d, span in told["weight_intervals"].items():
        others = [w[d] for w in left_out.values()]
        without = [f"{min(others):.3f} to {max(others):.3f}"] if left_out else []
        table.add_row(title(d), f"{found.weights[d]:.3f}", _interval(span), f"{1 / len(told['correlations']):.3f}", *without)
    _print(table)
    table = _table("Score over these dimensions", "fitted", "uniform", "fitted without it")
    for name, entry in told["scores"].items():
        table.add_row(name, *("-" if entry[k] is None else f"{entry[k]:.4f}" for k in ("fitted", "uniform", "left_out")))
    _print(table)
    if reason := told["leave_one_out"].get("reason"):
        print(f"leave-one-model-out: {reason}")
    for model, entry in told["leave_one_out"].items():
        if isinstance(entry, dict) and "reason" in entry:
            print(f"without {model} there is no fit: {entry['reason']}")
    if told["unfitted"]:
        print(f"weight 0, for they were not fitted: {', '.join(told['unfitted'])}")


def _estimate(entry: dict[str, Any], name: str = "value") -> str:
    if entry[name] is None:
        return f"- ({entry['reason']})"
    return f"{entry[name]:.3f} {_interval(entry)}"


def _interval(entry: dict[str, Any]) -> str:
    return f"({entry['reason']})" if entry["low"] is None else f"[{entry['low']:.3f}, {entry['high']:.3f}]"


def _print_weights(told: dict[str, Any]) -> None:
    from wanbench.fourteen import title

    print(f"Weights w >= 0 of sum 1 that give every total of the Wan report's Table 2 within {told['tolerance']}:")
    table = _table("Dimension", "Least", "Most", "table2", "uniform")
    for dimension, entry in told["weights"].items():
        table.add_row(title(dimension), *(f"{entry[key]:.3f}" for key in ("low", "high", "table2", "uniform")))
    _print(table)
    inside = "one of them" if told["uniform_misses_by"] <= told["tolerance"] else "none of them"
    print(f"uniform is {inside}: it misses a published total by up to {told['uniform_misses_by']:.3f}")


def _print_candidates(heading: str, told: dict[str, Any]) -> None:
    print(heading)
    table = _table("Candidate", "Least", "Most", "table2", "uniform", "Place", "First in")
    for name, entry in told["scores"].items():
        best, worst = entry["places"]
        numbers = (f"{entry[key]:.3f}" for key in ("low", "high", "table2", "uniform"))
        place = f"{best}" if best == worst else f"{best}-{worst}"
        table.add_row(name, *numbers, place, f"{100 * entry['first_share']:.1f} %")
    _print(table)
    print(
        f"Least, Most, Place: over the admissible weightings. First in: share of all weightings ({told['first_share_method']})."
    )
    if len(told["scores"]) == 1:
        return
    pairs = len(told["differences"])
    held = sum(d["order"] is not None for d in told["differences"])
    count = f"{len(told['rankings'])}" if told["rankings_complete"] else f"over {len(told['rankings'])}"
    print(f"{held} of {pairs} orders of two hold for every admissible weighting; rankings possible: {count}")
    for ranking in told["rankings"][:SHOWN_RANKINGS]:
        print(f"  {' > '.join(ranking)}")
    if len(told["rankings"]) > SHOWN_RANKINGS:
        print("  ... (--json prints the others)")


SHOWN_RANKINGS = 6


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    return table


def _print(table: Table) -> None:
    from wanbench.cli.output import Output

    Output().print(table)


def _json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=2))
