"""`wanbench run --sequential`: prompts in drawn order against a baseline, until a verdict is settled (`docs/gate.md`).

What is made and measured out of order waits for its turn: the verdict, and the prompt it fell on, depend on the order drawn and
on nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wanbench.comparison.baseline import read_side
from wanbench.comparison.comparing import counts
from wanbench.comparison.conditions import Conditions, mismatches
from wanbench.comparison.gating import PASSED, REGRESSED, UNDECIDED, Verdict
from wanbench.comparison.policy import Policy, read_policy
from wanbench.comparison.sequential import SequentialGate, draw_order, prompt_weights
from wanbench.comparison.sides import Side
from wanbench.dimension import digest
from wanbench.errors import UsageError
from wanbench.evaluation.plan import Choice
from wanbench.making.shelf import Request
from wanbench.prompts.suite import Suite
from wanbench.scoring import SMALLEST_MEASURED_SHARE
from wanbench.stats import mean
from wanbench.types import JSONObject, Measurement
from wanbench.weights import weighting


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequential:
    """What is asked: decide against this baseline by this policy."""

    baseline: Side
    policy: Policy
    seed: int = 0
    """Of the order in which prompts are drawn."""

    def exit_code(self, verdict: Verdict) -> int:
        """As `wanbench gate` has it: what only warns, passes."""
        if verdict == "PASS" or self.policy.total.tier == "warn":
            return PASSED
        if verdict == "REGRESSION":
            return REGRESSED
        return UNDECIDED if self.policy.inconclusive == "fail" else PASSED


def sequential_of(wanted: bool, baseline: str | None, policy: Path | None, seed: int) -> Sequential | None:
    """What the options ask for. Raises `UsageError` when one is given without the others."""
    if not wanted:
        if baseline is not None or policy is not None:
            raise UsageError("--baseline and --policy belong to --sequential; a whole run is judged by wanbench gate")
        return None
    if baseline is None:
        raise UsageError("--sequential wants --baseline: a run, or a file of `wanbench baseline save`")
    return Sequential(baseline=read_side(baseline), policy=read_policy(policy) if policy else Policy(), seed=seed)


@dataclass(slots=True)
class Contest:
    """The gate of one run, fed in drawn order. Raises `UsageError` from `open` where the two must not, or cannot, be compared."""

    requests: list[Request]
    """In the order in which their prompts are drawn."""
    identity: str
    """A digest of all that the verdict depends on besides the candidate's videos."""
    asked: Sequential
    gate: SequentialGate
    _order: list[str]
    """Prompts as they are drawn."""
    _dimensions: Mapping[str, str]
    told: list[str] = field(default_factory=list)
    unmeasured: int = 0
    """Prompts told of which the candidate has no score."""

    @classmethod
    def open(
        cls, asked: Sequential, requests: Sequence[Request], suite: Suite, choices: Mapping[str, Choice], language: str
    ) -> Contest:
        baseline, policy = asked.baseline, asked.policy
        weights = weighting.load(policy.weights).weights
        if policy.total.tier == "ignore":
            raise UsageError(f"{policy.source} ignores the weighted score, and --sequential decides on nothing else")
        weighty = [d for d in baseline.dimensions if weights.get(d, 0) > 0 and policy.rule(d).tier != "ignore"]
        looked_at = [d for d in weighty if counts(baseline.dimensions[d])]  # the others are not in the baseline's score
        here = _planned(suite, language, {d: c.fingerprint for d, c in choices.items() if c.fingerprint and not c.skip})
        if wrong := mismatches(baseline.conditions, here, looked_at):
            raise UsageError(f"{baseline.label} cannot be compared with what this run would measure: {'; '.join(wrong)}")
        if lost := [d for d in looked_at if baseline.dimensions[d].scores and d not in here.fingerprints]:
            reason = choices[lost[0]].skip if lost[0] in choices else "--dimensions leaves it out"
            raise UsageError(
                f"the baseline's score also counts {', '.join(lost)}, not measured here ({reason}); a policy may ignore it with "
                'tier = "ignore"'
            )
        prompts = {r.prompt.id: r.prompt.dimension for r in requests if r.prompt.id and r.prompt.dimension in looked_at}
        known = {p: d for p, d in prompts.items() if d and p in baseline.dimensions[d].scores}
        if bare := sorted({d for d in looked_at if baseline.dimensions[d].scores} - set(known.values())):
            raise UsageError(
                f"the baseline's score also counts {', '.join(bare)}, of which no prompt is asked for here: without --limit and "
                '--dimensions all are; a policy may ignore it with tier = "ignore"'
            )
        if len(known) < policy.fewest_prompts:
            raise UsageError(
                f"{baseline.label} shares {len(known)} prompts with this run, and {policy.fewest_prompts} are needed to decide"
            )
        shares = prompt_weights(known, weights)
        order = draw_order(shares, asked.seed)
        gate = SequentialGate(
            weights=shares,
            margin=policy.total.tolerated_drop,
            floor=policy.total.noise_floor,
            alpha=1 - policy.confidence,
        )
        by_prompt: dict[str, list[Request]] = {}
        for request in requests:
            by_prompt.setdefault(str(request.prompt.id), []).append(request)
        drawn = [request for prompt in order for request in by_prompt[prompt]]
        facts = [
            {p: baseline.dimensions[d].scores[p] for p, d in sorted(known.items())},
            [policy.weights, gate.margin, gate.floor, gate.alpha, asked.seed],
        ]
        return cls(requests=drawn, identity=digest({"facts": facts}), asked=asked, gate=gate, _order=order, _dimensions=known)

    def waiting(self) -> str | None:
        """The next prompt in drawn order, or None when all are told or the verdict is settled."""
        return None if self.gate.verdict or len(self.told) == len(self._order) else self._order[len(self.told)]

    def tell(self, prompt: str, rows: Sequence[Measurement]) -> None:
        """All the candidate's rows of the waiting prompt, in its own dimension."""
        own = self.asked.baseline.dimensions[self._dimensions[prompt]].scores[prompt]
        scores = {str(row.seed): row.score for row in rows if row.score is not None}
        shared = [seed for seed in scores if seed in own]
        before = mean([own[seed] for seed in shared] if shared else list(own.values()))
        self.told.append(prompt)
        if scores:
            self.gate.add(prompt, mean([scores[seed] for seed in shared or scores]) - before)
        else:  # in [0, 1], and nobody knows where
            self.unmeasured += 1
            self.gate.add(prompt, -before, 1 - before)

    @property
    def verdict(self) -> Verdict:
        """PASS is withheld where too much of what was drawn has no score, however small it makes the largest possible drop."""
        if self.gate.verdict is None or (self.gate.verdict == "PASS" and self.measured_share < SMALLEST_MEASURED_SHARE):
            return "INCONCLUSIVE"
        return self.gate.verdict

    @property
    def measured_share(self) -> float:
        """Of the prompts told."""
        return 1 - self.unmeasured / len(self.told) if self.told else 0.0

    def to_json(self) -> JSONObject:
        """As `run.json` holds it, under `sequential`."""
        gate, policy = self.gate, self.asked.policy
        return {
            "verdict": self.verdict,
            "reason": self.reason(),
            "exit_code": self.asked.exit_code(self.verdict),
            "drawn": gate.drawn,
            "of": len(gate.weights),
            "unmeasured": self.unmeasured,
            "exact": gate.exact,
            "difference": [round(gate.lowest, 6), round(gate.highest, 6)] if gate.exact else None,
            "margin": gate.margin,
            "floor": gate.floor,
            "alpha": round(gate.alpha, 6),
            "seed": self.asked.seed,
            "weights": policy.weights,
            "policy": policy.source,
            "baseline": self.asked.baseline.label,
        }

    def reason(self) -> str:
        """Why this verdict, in one line."""
        gate = self.gate
        after = f"after {gate.drawn} of {len(gate.weights)} prompts"
        lost = f"; {self.unmeasured} of them could not be measured" if self.unmeasured else ""
        if gate.exact and not self.unmeasured:
            return f"the weighted score changed by {gate.lowest:+.4f} over all {len(gate.weights)} prompts"
        if gate.verdict == "PASS" and self.verdict != "PASS":
            return f"only {self.measured_share:.0%} of the {gate.drawn} prompts drawn could be measured"
        if gate.verdict == "PASS":
            return f"a drop of {gate.margin:g} is ruled out {after}{lost}"
        if gate.verdict == "REGRESSION":
            dropped = gate.margin if gate.exact else gate.floor
            return f"the weighted score dropped by more than {dropped:g}, settled {after}{lost}"
        return f"not decided {after}: the weighted score changed by {gate.lowest:+.4f} to {gate.highest:+.4f}{lost}"


def _planned(suite: Suite, language: str, fingerprints: Mapping[str, str]) -> Conditions:
    """This run, of which nothing is measured yet."""
    facts = {"name": suite.name, "version": suite.version, "hash": suite.hash, "track": suite.track, "language": language}
    return Conditions(label="this run", suite=facts, fingerprints=fingerprints)
