"""A comparison in the terminal: two candidates, total by total and dimension by dimension, and the clips that changed most."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wanbench.comparison.comparing import Changed, Comparison, Difference, DimensionComparison, Wins, name_of
from wanbench.fourteen import title
from wanbench.reports.terminal import plain
from wanbench.reports.wording import enumerate_words, plural

ALL_COLUMNS_FROM = 110
"""Columns a terminal needs for everything; narrower ones show the difference, its interval, p and n."""
CLIPS_SHOWN = 5


def render_comparison(comparison: Comparison, console: Console) -> None:
    """Print it."""
    console.print(plain(f"a  {comparison.a.label}"))
    console.print(plain(f"b  {comparison.b.label}"))
    for reason in comparison.mismatches:
        console.print(plain(f"Compared all the same, as asked: {reason}"), style="bold yellow")
    console.print(_table(comparison, wide=console.width >= ALL_COLUMNS_FROM))
    for line in notes(comparison):
        console.print(plain(line), style="dim")
    gained, lost = comparison.changed(CLIPS_SHOWN)
    for heading, clips in (("a higher than b", gained), ("a lower than b", lost)):
        if clips:
            console.print(Text(heading, style="bold"))
            for clip in clips:
                console.print(plain(f"  {clip_line(clip)}"))


def _table(comparison: Comparison, *, wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    told = ("a − b", "95 % interval", "p")
    headings = ("a", "b", *told, "p Holm", "a wins", "shows from", "n") if wide else (*told, "n")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for total in comparison.totals:
        if total.difference:
            assert total.a is not None
            assert total.b is not None
            cells = _cells(total.difference, total.a, total.b, None, None, total.n, wide=wide)
            table.add_row(Text(name_of(total), style="bold"), *cells)
    for d in comparison.comparable:
        assert d.difference
        assert d.scores
        cells = _cells(d.difference, *d.scores, d.p_holm, Wins.of(d.differences.values()), d.n, wide=wide)
        table.add_row(plain(title(d.dimension)), *cells)
    return table


def _cells(
    found: Difference, a: float, b: float, p_holm: float | None, wins: Wins | None, n: int, *, wide: bool
) -> list[Text]:  # fmt: skip
    clear = found.low > 0 or found.high < 0
    told = [
        Text(signed(found.value), style="bold" if clear else ""),
        Text(f"{signed(found.low)} … {signed(found.high)}", style="dim"),
        Text(p_text(found.p)),
    ]
    if not wide:
        return [*told, Text(str(n))]
    shows = "–" if found.minimum_detectable is None else f"{found.minimum_detectable:.3f}"
    rest = ["" if p_holm is None else p_text(p_holm), f"{wins.rate:.0%}" if wins else "", shows, str(n)]
    return [Text(f"{a:.3f}"), Text(f"{b:.3f}"), *told, *map(Text, rest)]


def notes(comparison: Comparison) -> list[str]:
    """What the table does not say by itself."""
    partial = dict.fromkeys(t.missing for t in comparison.totals if t.difference and t.missing)
    lines = [f"Partial: both sides without {enumerate_words([title(d) for d in missing])}" for missing in partial]
    if wins := comparison.wins:
        lines.append(
            f"a scores higher on {wins.wins}, lower on {wins.losses} and alike on {wins.ties} of "
            f"{plural(wins.wins + wins.losses + wins.ties, 'shared prompt')}: {wins.rate:.0%} [{wins.low:.0%} … {wins.high:.0%}]"
        )
    for d in comparison.comparable:
        if max(d.skip_rates) > 0:
            rates = " and ".join(f"{rate:.0%} of {side}'s clips" for rate, side in zip(d.skip_rates, ("a", "b"), strict=True))
            lines.append(f"{title(d.dimension)} does not apply to {rates}")
    return lines + [f"{title(d.dimension)}: {d.reason}" for d in comparison.dimensions if d.reason and _worth_telling(d)]


def _worth_telling(compared: DimensionComparison) -> bool:
    """Not that nobody measured it."""
    return compared.n > 0 or "measured only in" in (compared.reason or "")


def clip_line(clip: Changed) -> str:
    return f"{signed(clip.a - clip.b)}  {clip.a:.3f} against {clip.b:.3f}  {clip.prompt}  ({title(clip.dimension)})"


def signed(value: float) -> str:
    """`+0.012`, `−0.012`, `0.000`: three decimals, as scores have."""
    text = f"{value:+.3f}".replace("-", "−")
    return "0.000" if text.strip("+−0.") == "" else text


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
