"""The verdict of a gate for people and machines: terminal, Markdown for a pull request, JUnit XML, JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wanbench.comparison.comparing import Changed
from wanbench.comparison.gating import Check, Gate
from wanbench.comparison.policy import DEFAULT, Rule
from wanbench.fourteen import title
from wanbench.reports.comparison import clip_line, signed
from wanbench.reports.terminal import plain
from wanbench.reports.wording import inert, plural
from wanbench.types import SCORE_DECIMALS, JSONObject

COLOURS = {"PASS": "bold green", "REGRESSION": "bold red", "INCONCLUSIVE": "bold yellow"}
MARKS = {"PASS": "✅", "REGRESSION": "❌", "INCONCLUSIVE": "❓"}
CLIPS_SHOWN = 5
ALL_COLUMNS_FROM = 100
"""Columns a terminal needs for everything; narrower ones leave out both scores and the tolerated drop."""


def heading(gate: Gate) -> str:
    """The verdict, and what it means for who asked."""
    if gate.verdict == "INCONCLUSIVE" and gate.exit_code == 0:
        return "INCONCLUSIVE (the policy only warns)"
    return gate.verdict


def render(gate: Gate, console: Console) -> None:
    """Print it."""
    console.print(plain(f"candidate  {gate.candidate.label}"))
    console.print(plain(f"baseline   {gate.baseline.label}"))
    for warning in mismatches(gate):
        console.print(plain(warning), style="bold yellow")
    if gate.checks:
        console.print(_table(gate, wide=console.width >= ALL_COLUMNS_FROM))
    for check in gate.checks:
        if check.verdict != "PASS":
            console.print(plain(f"{check.title}{'' if check.tier == 'block' else ' (only warns)'}: {check.reason}"), style="dim")
    if lost := worst(gate):
        console.print(Text("Dropped most", style="bold"))
        for clip in lost:
            console.print(plain(f"  {clip_line(clip)}"))
    console.print(Text(heading(gate), style=COLOURS[gate.verdict]))
    if gate.verdict == "PASS" or not gate.checks:
        console.print(plain(gate.reason))


def _table(gate: Gate, *, wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    told = ("change", "at least", "at most")
    for head in ("verdict", "baseline", "candidate", *told, "tolerated", "n") if wide else ("verdict", *told, "n"):
        table.add_column(head, justify="left" if head == "verdict" else "right", no_wrap=True)
    for check in gate.checks:
        change, low, high = (_signed(v) for v in (check.difference, check.low, check.high))
        scores = [_score(check.baseline), _score(check.candidate)] if wide else []
        tolerated = [_signed(-check.rule.tolerated_drop)] if wide else []
        style = COLOURS[check.verdict] if check.tier == "block" else "dim"
        name = check.title if check.tier == "block" else f"{check.title} (warns)"
        cells = (*scores, change, low, high, *tolerated, str(check.n))
        table.add_row(plain(name), Text(check.verdict, style=style), *map(Text, cells))
    return table


def _signed(value: float | None) -> str:
    return "–" if value is None else signed(value)


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def mismatches(gate: Gate) -> list[str]:
    """What should have forbidden the comparison, had it not been asked for."""
    return [f"Compared all the same, as asked: {m}" for m in (gate.comparison.mismatches if gate.comparison else ())]


def worst(gate: Gate) -> list[Changed]:
    """The clips that dropped most, where something may have regressed."""
    if gate.comparison is None or gate.verdict == "PASS":
        return []
    return gate.comparison.changed(CLIPS_SHOWN)[1]


def markdown(gate: Gate) -> str:
    """A pull-request comment. Names and prompts come from files: none of them acts as Markdown or HTML."""
    return "\n".join(_markdown_lines(gate)) + "\n"


def _markdown_lines(gate: Gate) -> Iterator[str]:
    yield f"### {MARKS[gate.verdict]} Wan-Bench: {heading(gate)}"
    yield ""
    yield f"Candidate {inert(gate.candidate.label)} against baseline {inert(gate.baseline.label)}."
    for warning in mismatches(gate):
        yield ""
        yield f"⚠️ {inert(warning)}"
    yield ""
    yield inert(gate.reason)
    if gate.checks:
        yield ""
        yield "| | verdict | baseline | candidate | change | at least | at most | tolerated | prompts |"
        yield "|---|---|--:|--:|--:|--:|--:|--:|--:|"
        for c in gate.checks:
            name = f"{inert(c.title)}{'' if c.tier == 'block' else ' (only warns)'}"
            numbers = (_score(c.baseline), _score(c.candidate), *map(_signed, (c.difference, c.low, c.high)))
            tolerated = _signed(-c.rule.tolerated_drop)
            yield f"| {name} | {MARKS[c.verdict]} {c.verdict} | {' | '.join(numbers)} | {tolerated} | {c.n} |"
    if lost := worst(gate):
        yield ""
        yield "<details><summary>Clips that dropped most</summary>"
        yield ""
        yield "| prompt | dimension | baseline | candidate | change |"
        yield "|---|---|--:|--:|--:|"
        for clip in lost:
            scores = f"{clip.b:.3f} | {clip.a:.3f} | {signed(clip.a - clip.b)}"
            yield f"| {inert(clip.prompt)} | {inert(title(clip.dimension))} | {scores} |"
        yield ""
        yield "</details>"
    yield ""
    yield f"<sub>{inert(_about(gate))}</sub>"


def _about(gate: Gate) -> str:
    policy = gate.policy
    return (
        f"Bounds are one-sided at {policy.confidence:.0%}, on shared prompts; policy: {policy.source}; "
        f"INCONCLUSIVE {'fails' if policy.inconclusive == 'fail' else 'only warns'}."
    )


def junit(gate: Gate) -> str:
    """A test case a check: a regression is a failure, what cannot be decided an error, and what only warns is skipped."""
    cases = [_case(check, gate) for check in gate.checks] or [_refused(gate)]
    tags = [child.tag for case in cases for child in case]
    suite = ElementTree.Element(
        "testsuite",
        name=_valid(f"wanbench gate: {gate.candidate.label} against {gate.baseline.label}"),
        tests=str(len(cases)),
        failures=str(tags.count("failure")),
        errors=str(tags.count("error")),
        skipped=str(tags.count("skipped")),
    )
    suite.extend(cases)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(check: Check, gate: Gate) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname="wanbench.gate", name=_valid(check.name), time="0")
    blocks = check.tier == "block"
    if check.verdict != "PASS":
        fails = blocks and (check.verdict == "REGRESSION" or gate.policy.inconclusive == "fail")
        tag = ("failure" if check.verdict == "REGRESSION" else "error") if fails else "skipped"
        ElementTree.SubElement(case, tag, message=_valid(f"{check.verdict}: {check.reason}"))
    out = ElementTree.SubElement(case, "system-out")
    change = f"change {_signed(check.difference)}, at least {_signed(check.low)}, at most {_signed(check.high)}"
    out.text = _valid(f"{check.reason}; {change}; {plural(check.n, 'shared prompt')}")
    return case


def _refused(gate: Gate) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname="wanbench.gate", name="total", time="0")
    tag = "error" if gate.exit_code else "skipped"
    ElementTree.SubElement(case, tag, message=_valid(f"{gate.verdict}: {gate.reason}"))
    return case


def _valid(text: str) -> str:
    """Without what XML cannot hold, even escaped."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def to_json(gate: Gate) -> JSONObject:
    """As `wanbench gate --json` prints it."""
    policy = gate.policy
    return {
        "verdict": gate.verdict,
        "exit_code": gate.exit_code,
        "reason": gate.reason,
        "baseline": {"candidate": gate.baseline.candidate, "source": gate.baseline.source},
        "candidate": {"candidate": gate.candidate.candidate, "source": gate.candidate.source},
        "mismatches": list(gate.comparison.mismatches) if gate.comparison else [],
        "policy": {
            "source": policy.source,
            "confidence": policy.confidence,
            "inconclusive": policy.inconclusive,
            "weights": policy.weights,
            "fewest_prompts": policy.fewest_prompts,
            "total": _rule(policy.total),
            "dimensions": {DEFAULT: _rule(policy.default), **{d: _rule(r) for d, r in policy.dimensions.items()}},
        },
        "checks": [_check(c) for c in gate.checks],
        "dropped_most": [
            {"prompt_id": c.prompt, "dimension": c.dimension, "baseline": c.b, "candidate": c.a} for c in worst(gate)
        ],
    }


def _rule(rule: Rule) -> JSONObject:
    return {"tolerated_drop": rule.tolerated_drop, "noise_floor": rule.noise_floor, "tier": rule.tier}


def _check(check: Check) -> JSONObject:
    numbers = {
        "baseline": check.baseline,
        "candidate": check.candidate,
        "difference": check.difference,
        "low": check.low,
        "high": check.high,
        "minimum_detectable": check.minimum_detectable,
    }
    rounded = {key: None if value is None else round(value, SCORE_DECIMALS) + 0.0 for key, value in numbers.items()}
    facts = {"name": check.name, "verdict": check.verdict, "reason": check.reason, "n": check.n}
    return {**facts, **rounded, **_rule(check.rule), "tier": check.tier}
