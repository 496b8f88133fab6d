"""What a gate asks: a TOML file of tolerated drops, noise floors and tiers (ours; `docs/gate.md`). Light half."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from wanbench.errors import UsageError
from wanbench.fourteen import FOURTEEN

Tier = Literal["block", "warn", "ignore"]
OnInconclusive = Literal["fail", "warn"]
DEFAULT = "default"
"""In the table `dimensions`: the rule of every dimension that is not named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """For the weighted score or one dimension."""

    tolerated_drop: float
    """The candidate passes once a larger drop is ruled out."""
    noise_floor: float
    """What two measurements of one model may differ by: the candidate has regressed once it certainly dropped by more."""
    tier: Tier
    """`block`: decides; `warn`: is told; `ignore`: not even looked at, and outside the weighted score."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """A whole policy; the defaults are the default policy, and `docs/gate.md` says which suite can decide it."""

    confidence: float = 0.95
    """Of each verdict, one-sided; over all dimensions together for a regression in any."""
    inconclusive: OnInconclusive = "fail"
    """Whether a gate that cannot decide ends with code 4, or with 0 and a warning."""
    weights: str = "table2"
    fewest_prompts: int = 30
    """Fewer shared prompts decide nothing: a dimension without a rule of its own then only warns."""
    total: Rule = Rule(tolerated_drop=0.03, noise_floor=0.002, tier="block")
    """Decided by the full suite where prompts' differences have a standard deviation of up to 0.2 (`docs/gate.md`, measured)."""
    default: Rule = Rule(tolerated_drop=0.1, noise_floor=0.005, tier="block")
    """A dimension has a fifteenth of the prompts, and about three times the total's error."""
    dimensions: Mapping[str, Rule] = field(default_factory=dict)
    """Dimensions with a rule of their own."""
    source: str = "default policy"
    measured_floors: Mapping[str, float] = field(default_factory=dict)
    """Dimension -> noise floor that `wanbench controls` measured: where it is higher than the rule's, it holds."""

    def rule(self, dimension: str) -> Rule:
        rule = self.dimensions.get(dimension, self.default)
        return replace(rule, noise_floor=max(rule.noise_floor, self.measured_floors.get(dimension, 0.0)))


def read_policy(path: Path) -> Policy:
    """A policy file; what it leaves out is as in the default policy. Raises `UsageError`."""
    try:
        value = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"the policy {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the policy {path} is not valid TOML ({error})") from error
    try:
        return _policy(value, str(path))
    except _Wrong as error:
        raise UsageError(f"the policy {path}: {error}") from error


class _Wrong(Exception):
    """What is wrong with a policy."""


def _policy(value: Mapping[str, Any], source: str) -> Policy:
    plain = Policy(source=source)
    _known(value, ("confidence", "inconclusive", "weights", "fewest_prompts", "total", "dimensions"), "")
    rules = _table(value, "dimensions", "")
    _known(rules, (DEFAULT, *FOURTEEN), "dimensions.", own="x_")
    default = _rule(rules, DEFAULT, plain.default, "dimensions.")
    return replace(
        plain,
        confidence=_number(value, "confidence", plain.confidence, 0.5, 1.0, ""),
        inconclusive=_word(value, "inconclusive", plain.inconclusive, get_args(OnInconclusive), ""),
        weights=_text(value, "weights", plain.weights),
        fewest_prompts=_count(value, "fewest_prompts", plain.fewest_prompts),
        total=_rule(value, "total", plain.total, ""),
        default=default,
        dimensions={name: _rule(rules, name, default, "dimensions.") for name in rules if name != DEFAULT},
    )


def _rule(value: Mapping[str, Any], key: str, default: Rule, where: str) -> Rule:
    table, inside = _table(value, key, where), f"{where}{key}."
    _known(table, ("tolerated_drop", "noise_floor", "tier"), inside)
    rule = Rule(
        tolerated_drop=_number(table, "tolerated_drop", default.tolerated_drop, 0.0, 1.0, inside),
        noise_floor=_number(table, "noise_floor", default.noise_floor, -1e-300, 1.0, inside),
        tier=_word(table, "tier", default.tier, get_args(Tier), inside),
    )
    if rule.noise_floor > rule.tolerated_drop:
        raise _Wrong(f"{inside}noise_floor {rule.noise_floor} is larger than the tolerated drop {rule.tolerated_drop}")
    return rule


def _known(table: Mapping[str, Any], keys: tuple[str, ...], where: str, own: str | None = None) -> None:
    for key in table:
        if key not in keys and not (own and key.startswith(own)):
            raise _Wrong(f"unknown key {where}{key}; known are {', '.join(keys)}")


def _table(value: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    table = value.get(key, {})
    if not isinstance(table, Mapping):
        raise _Wrong(f"{where}{key} is a table, not {table!r}")
    return table


def _number(table: Mapping[str, Any], key: str, default: float, above: float, below: float, where: str) -> float:
    number = table.get(key, default)
    if isinstance(number, bool) or not isinstance(number, int | float) or not above < number < below:
        raise _Wrong(f"{where}{key} is a number between {max(above, 0.0):g} and {below:g}, not {number!r}")
    return float(number)


def _count(table: Mapping[str, Any], key: str, default: int) -> int:
    count = table.get(key, default)
    if isinstance(count, bool) or not isinstance(count, int) or count < 2:
        raise _Wrong(f"{key} is a whole number from 2 up, not {count!r}")
    return count


def _text(table: Mapping[str, Any], key: str, default: str) -> str:
    text = table.get(key, default)
    if not isinstance(text, str):
        raise _Wrong(f"{key} is a text, not {text!r}")
    return text


def _word(table: Mapping[str, Any], key: str, default: str, words: tuple[str, ...], where: str) -> Any:
    word = table.get(key, default)
    if word not in words:
        raise _Wrong(f"{where}{key} is one of {', '.join(words)}, not {word!r}")
    return word
