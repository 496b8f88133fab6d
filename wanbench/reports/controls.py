"""What the last controls on this machine say of a run's very methods: controls that a dimension fails, and noise floors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wanbench.controls.record import Entries, Failure, failures_in, noise_floors_in, remembered
from wanbench.errors import UsageError
from wanbench.fourteen import title
from wanbench.reports.comparison import signed
from wanbench.reports.reasons import dimension_order
from wanbench.reports.wording import date, plural
from wanbench.types import JSONObject

UNKNOWN = "–"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """One dimension that was checked with this very fingerprint."""

    title: str
    controls: int
    failed: tuple[Failure, ...]
    floor: float | None
    """Largest difference of means that re-encoding alone can make."""
    clips: str
    date: str

    @property
    def floor_text(self) -> str:
        return UNKNOWN if self.floor is None else f"{self.floor:.4f}"

    @property
    def lines(self) -> list[str]:
        """Each failed control, and by how much."""
        return [told(failure) for failure in self.failed]


def told(failure: Failure) -> str:
    """A failed control, and by how much."""
    median = UNKNOWN if failure.median is None else signed(failure.median)
    obey = f"{failure.obeying} of {plural(failure.clips, 'clip')} obey"
    return f"{failure.control}: expected {failure.expected}, median {median}, {obey}"


def by_dimension(entries: Entries) -> dict[str, Checked]:
    """By dimension, in the order of the fourteen."""
    failed, floors = failures_in(entries), noise_floors_in(entries)
    return {
        name: Checked(
            title=title(name),
            controls=len(entries[name]["results"]),
            failed=failed[name],
            floor=floors.get(name),
            clips=str(entries[name].get("clips") or UNKNOWN),
            date=date(entries[name].get("date")),
        )
        for name in dimension_order(entries)
    }


def known(run: JSONObject) -> tuple[list[Checked], str | None]:
    """Of the methods of a run; or why the store cannot be read, which must not cost a finished run its report."""
    methods: Mapping[str, Any] = run.get("methods") or {}
    fingerprints = {d: str(m["fingerprint"]) for d, m in methods.items() if isinstance(m, Mapping) and m.get("fingerprint")}
    try:
        return list(by_dimension(remembered(fingerprints)).values()), None
    except (UsageError, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        why = str(error) if isinstance(error, UsageError) else repr(error)
        return [], f"What the store keeps of `wanbench controls` is damaged: run it anew ({why})"
