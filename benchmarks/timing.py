"""Two pieces of work timed in turn, so that whatever slows the machine for a while slows both.

Each repeat runs one and then the other, the first of them taking turns as well; what is compared is the ratio within a
repeat. Elapsed time is what a user waits; processor time, children included, says what the work costs when others want
the machine too, and moves less.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one run of a piece of work took, in seconds."""

    wall: float
    cpu: float
    """Of this process and of its children, those that have ended among them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """How much more `ours` takes than `theirs`."""

    ours: tuple[Cost, ...]
    theirs: tuple[Cost, ...]

    @property
    def wall(self) -> tuple[float, ...]:
        """Of elapsed times, one a repeat."""
        return tuple(a.wall / b.wall for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def cpu(self) -> tuple[float, ...]:
        """Of processor times, one a repeat."""
        return tuple(a.cpu / b.cpu for a, b in zip(self.ours, self.theirs, strict=True))


def alternate(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    repeats: int = 5,
    warmup: int = 1,
    names: tuple[str, str] = ("ours", "theirs"),
    goal: float | None = None,
) -> Ratio:
    """Run both `warmup` times untimed and `repeats` times timed, print the table, and return what was measured.

    Both take no arguments. `goal`: the ratio that is aimed at, printed beside the one found.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(f"repeats {repeats} and warmup {warmup}: wanted at least 1 and 0")
    for _ in range(warmup):
        ours()
        theirs()
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    turns = list(zip(names, (ours, theirs), strict=True))
    for number in range(repeats):
        for name, work in turns if number % 2 == 0 else turns[::-1]:
            costs[name].append(timed(work))
    ratio = Ratio(ours=tuple(costs[names[0]]), theirs=tuple(costs[names[1]]))
    print(table(ratio, names, goal), flush=True)
    return ratio


def timed(work: Callable[[], object]) -> Cost:
    """Run it once."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    work()
    return Cost(wall=time.perf_counter() - wall, cpu=cpu_seconds() - cpu)


def cpu_seconds() -> float:
    """Processor time so far of this process and of all its children, running or ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def table(ratio: Ratio, names: tuple[str, str], goal: float | None) -> str:
    """Medians and, in brackets, the least and the most of the repeats."""
    width = max(len(name) for name in (*names, "ratio"))
    rows = [f"{'':{width}}  {'elapsed':>24}  {'processor':>24}"]
    for name, costs in zip(names, (ratio.ours, ratio.theirs), strict=True):
        rows.append(f"{name:{width}}  {spread([c.wall for c in costs], 's'):>24}  {spread([c.cpu for c in costs], 's'):>24}")
    rows.append(f"{'ratio':{width}}  {spread(ratio.wall):>24}  {spread(ratio.cpu):>24}")
    rows.append(f"{len(ratio.ours)} repeats, in turn" + (f"; goal: a ratio of at most {goal}" if goal is not None else ""))
    return "\n".join(rows)


def spread(values: Sequence[float], unit: str = "") -> str:
    """`1.02 [0.99-1.10]`"""
    digits = 2 if statistics.median(values) < 100 else 1
    middle, least, most = (f"{v:.{digits}f}" for v in (statistics.median(values), min(values), max(values)))
    return f"{middle}{f' {unit}' if unit else ''} [{least}-{most}]"
