"""`wanbench prompts list|show|stats|validate|export|rewrite|annotate`"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wanbench.cli import options
from wanbench.cli.guard import guarded, may_go_unread

if TYPE_CHECKING:
    from wanbench.prompts.coverage import Coverage
    from wanbench.prompts.deriving import Derived
    from wanbench.prompts.suite import Suite
    from wanbench.types import Prompt

app = typer.Typer(help="The suites of prompts: see them, check your own, hand them to other tools.", rich_markup_mode=None)
INCOMPLETE = 3
HASH_DIGITS = 12

SuiteOrFull = Annotated[str, typer.Option(help="A suite's name, or a JSONL, CSV or text file.", metavar="NAME_OR_FILE")]
Server = Annotated[
    str, typer.Option(help="An OpenAI-compatible server; its key from WANBENCH_API_KEY or OPENAI_API_KEY.", metavar="URL")
]
LLM = Annotated[str, typer.Option(help="The model's name on the server.", metavar="NAME")]
NewSuite = Annotated[Path, typer.Option(help="The file to write.", metavar="FILE")]
Concurrency = Annotated[int, typer.Option(help="Questions under way at once.", min=1)]


class Format(StrEnum):
    """What a suite is written as."""

    JSONL = "jsonl"
    CSV = "csv"
    TXT = "txt"
    VBENCH = "vbench"


@app.command(name="list")
@guarded
def list_(
    suite: Annotated[str | None, typer.Option(help="List the prompts of this one.", metavar="NAME_OR_FILE")] = None,
    dimensions: options.Dimensions = None,
    language: options.Language = options.LanguageName.EN,
    limit: Annotated[int | None, typer.Option(help="At most so many prompts.", min=1)] = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """The shipped suites; with --suite or --dimensions, prompts by id."""
    from wanbench.errors import printable
    from wanbench.prompts.suite import SHIPPED, given, load_suite

    if suite is None and dimensions is None:
        rows = [_facts(load_suite(name)) for name in SHIPPED]
        if json:
            _json(rows)
            return
        table = _table("Suite", "Prompts", "Version", "Hash")
        for row in rows:
            table.add_row(row["name"], str(row["prompts"]), row["version"], row["hash"][:HASH_DIGITS])
        _print(table)
        return
    found = _of_dimensions(load_suite(suite or "full"), options.names(dimensions))[:limit]
    if json:
        _json([p.fields for p in found])
        return
    for prompt in found:
        print(printable(str(prompt.id)), printable(" ".join(given(prompt, language.value).split())), sep="\t")


@app.command()
@guarded
def show(
    ids: Annotated[list[str], typer.Argument(help="Prompt ids, such as camera_control-017.")],
    suite: SuiteOrFull = "full",
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Prompts in full: texts, what they ask for, and the judge's questions."""
    from wanbench.errors import UsageError
    from wanbench.prompts.suite import load_suite

    loaded = load_suite(suite)
    if unknown := [i for i in ids if i not in loaded.prompts]:
        raise UsageError(f"the suite {suite} has no prompt {unknown[0]!r}; `wanbench prompts list --suite {suite}` lists its ids")
    if json:
        _json([loaded.prompts[i].fields for i in ids])
        return
    for number, identity in enumerate(ids):
        print(("\n" if number else "") + "\n".join(_described(loaded.prompts[identity])))


@app.command()
@guarded
def stats(
    suite: SuiteOrFull = "full",
    against: Annotated[
        str | None, typer.Option(help="Another set of prompts: does any of its texts stand in this suite?", metavar="FILE")
    ] = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """What a suite covers, dimension by dimension, and how varied it is."""
    from wanbench.prompts.coverage import compare_texts, cover
    from wanbench.prompts.suite import load_suite

    loaded = load_suite(suite)
    covered = cover(loaded)
    likeness = compare_texts(loaded, load_suite(against)) if against else None
    if json:
        found = {"suite": _facts(loaded), "coverage": {name: coverage.to_json() for name, coverage in covered.items()}}
        _json({**found, "against": likeness.to_json() if likeness else None})
        return
    table = _table("", "Prompts", "Words", "Hanzi", "Objects", "Styles", "Actions", "Places", "Questions", "Overlap")
    for name, coverage in covered.items():
        table.add_row(name, *_cells(coverage), end_section=name == list(covered)[-2])
    _print(table)
    for name, coverage in covered.items():
        if coverage.subsets and name != "all":
            print(f"{name}: {', '.join(f'{subset} {count}' for subset, count in coverage.subsets.items())}")
    print("\n".join(_in_words(covered["all"], len(covered) - 1)))
    if likeness:
        pair, shared = " and ".join(likeness.closest), likeness.shared_sequences
        print(f"Against the {likeness.prompts} prompts of {against}: largest overlap {likeness.largest_overlap:.2f} ({pair}), "
              f"{len(shared)} shared sequences of six words{': ' + '; '.join(shared[:5]) if shared else ''}.")  # fmt: skip


@app.command()
@guarded
def validate(
    file: Annotated[str, typer.Argument(help="A JSONL, CSV or text file, or a shipped suite's name.")],
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Check a suite line by line: what cannot be used, what would mislead, and what a dimension lacks.

    Exit codes: 0 usable, with warnings perhaps; 2 something is wrong, every place named.
    """
    from wanbench.prompts.checking import check

    report = check(file)
    with may_go_unread():
        if json:
            _json(report.to_json())
        else:
            for where, problem in report.errors:
                print(f"{where}: {problem}")
            for where, problem in report.warnings:
                print(f"{where}: warning: {problem}")
            print(report.verdict)
    if report.errors:
        raise typer.Exit(2)


@app.command()
@guarded
def export(
    suite: SuiteOrFull = "full",
    format: Annotated[
        Format, typer.Option(help="jsonl, csv: every field; txt: a text a line; vbench: its info file.")
    ] = Format.JSONL,
    out: Annotated[Path | None, typer.Option(help="The file to write.", show_default="standard output", metavar="FILE")] = None,
    language: options.Language = options.LanguageName.EN,
    seeds: Annotated[str, typer.Option(help="vbench: the videos to name for each prompt.", metavar="0,1")] = "0",
    verbose: options.Verbose = False,
) -> None:
    """Write a suite for other tools. JSONL and CSV can be given to --suite again."""
    from wanbench.prompts.suite import load_suite
    from wanbench.prompts.writing import write

    content = write(load_suite(suite), format.value, language.value, options.numbers(seeds, "--seeds"))
    if out is None:
        sys.stdout.buffer.write(content)
        return
    from wanbench.record import write_atomically

    write_atomically(out, content)


@app.command()
@guarded
def rewrite(
    server: Server,
    llm: LLM,
    out: NewSuite,
    suite: SuiteOrFull = "full",
    concurrency: Concurrency = 8,
    quiet: options.Quiet = False,
    no_progress: options.NoProgress = False,
    verbose: options.Verbose = False,
) -> None:
    """Have a language model extend every prompt in the manner of training captions: a track of its own, the raw text beside.

    The same command given again goes on where it was cut. Exit codes: 0 done; 2 wrong use; 3 some prompts failed, each named.
    """
    from wanbench.chat import ChatServer
    from wanbench.prompts.rewriting import rewrite as ask
    from wanbench.prompts.suite import load_suite

    loaded, chat = load_suite(suite), ChatServer(url=server, model=llm)
    _require_other(out, suite)
    _derive("rewriting", out, quiet, no_progress, lambda tick: ask(loaded, chat, out, concurrency=concurrency, tick=tick))


@app.command()
@guarded
def annotate(
    file: Annotated[str, typer.Argument(help="Prompts: a JSONL, CSV or text file.")],
    server: Server,
    llm: LLM,
    out: NewSuite,
    concurrency: Concurrency = 8,
    quiet: options.Quiet = False,
    no_progress: options.NoProgress = False,
    verbose: options.Verbose = False,
) -> None:
    """Have a language model derive what plain prompts ask for: objects, relations, questions, ...; marked as derived.

    The same command given again goes on where it was cut. Exit codes: 0 done; 2 wrong use; 3 some prompts failed, each named.
    """
    from wanbench.chat import ChatServer
    from wanbench.prompts.annotating import annotate as ask
    from wanbench.prompts.suite import load_suite

    loaded, chat = load_suite(file), ChatServer(url=server, model=llm)
    _require_other(out, file)
    _derive("annotating", out, quiet, no_progress, lambda tick: ask(loaded, chat, out, concurrency=concurrency, tick=tick))


def _require_other(out: Path, suite: str) -> None:
    from wanbench.errors import UsageError

    if out.resolve() == Path(suite).resolve():
        raise UsageError(f"{out} is the suite itself, which is not touched; choose another --out")


def _derive(
    what: str, out: Path, quiet: bool, no_progress: bool, ask: Callable[[Callable[[int, int], None]], Derived]
) -> None:  # fmt: skip
    from rich.console import Console
    from rich.progress import Progress

    from wanbench.cli.interrupts import raised

    console = Console(stderr=True)
    with raised(), Progress(console=console, disable=quiet or no_progress or not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)
        done = ask(lambda count, total: bar.update(task, completed=count, total=total))
    for identity, reason in done.failures:
        print(f"{identity}: {reason}", file=sys.stderr)
    if not quiet:
        with may_go_unread():
            print(f"{out}: {done.written} prompts written, {done.kept} were there, {len(done.failures)} failed")
    if done.failures:
        raise typer.Exit(INCOMPLETE)


def _facts(suite: Suite) -> dict[str, Any]:
    return {"name": suite.name, "version": suite.version, "prompts": len(suite.prompts), "hash": suite.hash}


def _of_dimensions(suite: Suite, dimensions: list[str] | None) -> list[Prompt]:
    from wanbench.errors import UsageError
    from wanbench.fourteen import FOURTEEN

    for name in dimensions or ():
        if name not in FOURTEEN:
            raise UsageError(f"unknown dimension {name!r}; known are {', '.join(FOURTEEN)}")
    return [p for p in suite.prompts.values() if dimensions is None or p.dimension in dimensions]


def _described(prompt: Prompt) -> Iterator[str]:
    from wanbench.prompts.writing import line

    yield f"{prompt.id}  {prompt.dimension or ''}{f' / {prompt.subset}' if prompt.subset else ''}"
    yield from (f"  {language}: {text}" for language, text in prompt.given.items())
    for key, value in prompt.fields.items():
        if key == "questions":
            for question in value:
                yield f"  question ({question.get('about', '')}, expect {question['expect']}): {question['q']}"
                yield f"    contrary: {question['negation']}"
        elif key not in ("id", "dimension", "subset", "text"):
            yield f"  {key}: {value if isinstance(value, str) else line(value)}"


def _cells(coverage: Coverage) -> list[str]:
    asked = f"{coverage.questions}" + (f" ({coverage.expect_yes:.0%} yes)" if coverage.expect_yes is not None else "")
    counts = (coverage.objects, coverage.styles, coverage.actions, coverage.places)
    lengths = (_range(coverage.words), _range(coverage.characters))
    return [str(coverage.prompts), *lengths, *(str(count) for count in counts), asked, f"{coverage.largest_overlap:.2f}"]


def _in_words(total: Coverage, dimensions: int) -> Iterator[str]:
    ages = ", ".join(f"{name} {count}" for name, count in total.ages.items())
    yield f"People: {ages or 'none described'}; {total.origins} origins, {total.occupations} occupations."
    pair = " and ".join(total.closest)
    yield f"Largest overlap of two prompts of a dimension (Jaccard, words): {total.largest_overlap:.2f}, {pair}."
    words, times = total.most_shared_sequence
    yield f"Six words in a row are shared by at most {times} prompts{f': {words!r}' if times > 1 else ''}."
    yield "Words and Chinese characters (Hanzi): smallest, median and largest."
    yield f"{total.prompts} prompts in {dimensions} dimensions."


def _range(quartiles: tuple[int, ...] | None) -> str:
    return f"{quartiles[0]}–{quartiles[2]}–{quartiles[4]}" if quartiles else ""


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _print(table: Any) -> None:
    from wanbench.cli.output import TABLE_COLUMNS, Output

    Output(at_least=TABLE_COLUMNS).print(table)


def _json(value: object) -> None:
    import json

    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
