"""The transformers of a production: loaded once, laid out and made faster as was asked, called for one video after another.

What is approximate is measured on the first video, each at one level of noise with one more pass of the exact network, and so a
deviation of one step and not of the video: 8-bit products at the first step, reuse at the first step that reuses. "Ours".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from wanbench.generator import kernels
from wanbench.generator.attention import attend as plain
from wanbench.generator.deviation import Deviation, deviation
from wanbench.generator.dit import Transformer
from wanbench.generator.guidance import Guide, Rhythm, apart, reused, together
from wanbench.generator.known import Networks
from wanbench.generator.offload import Placed, placed
from wanbench.generator.pipeline import Condition, Network
from wanbench.generator.planning import Plan
from wanbench.generator.reuse import AttentionReuse
from wanbench.generator.settings import Settings
from wanbench.generator.team import Team
from wanbench.generator.tuning import Speed, changed

Trial = Callable[[Sequence[Network]], Tensor]
"""What one pass of these networks says at the first level of noise."""


class Experts:
    """One transformer, or the low-noise and the high-noise one."""

    def __init__(
        self, networks: Networks, settings: Settings, *, device: str, dtype: torch.dtype, plan: Plan | None, team: Team | None
    ) -> None:
        self.networks, self.settings, self.device, self.dtype = networks, settings, device, dtype
        self.plan, self.team = plan, team
        self.kernel, self._attend = kernels.choose(device, dtype, networks.model.dit.head_dim)
        self.deviations: dict[str, str] = {}
        """Option -> how far it was from the exact network, or why that was not measured."""
        self._networks: list[Transformer] = []
        self._called: list[Network] = []

    @contextmanager
    def for_video(self, trial: Trial) -> Iterator[tuple[list[Network], Guide[Condition]]]:
        """Networks to call for one video, and how the two passes of guidance are made."""
        if not self._called:
            self._load(trial)
        reuse = self.settings.reuse
        shared = self.team is not None or self._attend is plain
        called: list[Network] = [call if shared else partial(call, attend=self._attend) for call in self._called]
        guide: Guide[Condition] = together if self.settings.passes == "together" else apart
        if reuse is None:
            yield called, guide
            return
        option, rhythm = f"reuse of {reuse.what}", Rhythm(first=reuse.first, every=reuse.every)
        watch = None if option in self.deviations else partial(self._note, option)
        if reuse.what == "guidance":
            yield called, reused(rhythm, watch)
            return
        remembering = [AttentionReuse(network, rhythm, call, watch) for network, call in zip(self._networks, called, strict=True)]
        try:
            yield list(remembering), guide
        finally:
            for one in remembering:
                one.close()

    def leave(self) -> None:
        """Give the device's memory back, where the plan has the networks come and go."""
        for call in self._called:
            if isinstance(call, Placed):
                call.leave()

    def _load(self, trial: Trial) -> None:
        away = (self.team is not None and self.team.shard) or (
            self.plan is not None and (not self.plan.resident or self.settings.fp8)
        )
        self._networks = self.networks.experts("cpu" if away else self.device, self.dtype)
        if self.team is not None:
            self._networks = [self.team.share(network, self._attend) for network in self._networks]
        exact = self._exact(trial, away=away) if self.settings.fp8 else None
        for network in self._networks:
            changed(network, Speed(compile=self.settings.compile, fp8=self.settings.fp8))
        self._called = list(self._networks)
        if self.plan is not None and away:
            self._called = [*placed(self._networks, self.plan.placement, self.device, visiting=self.plan.visiting)]
        if exact is not None:
            self._note("8-bit products", deviation(trial(self._called), exact))

    def _exact(self, trial: Trial, *, away: bool) -> Tensor | None:
        """The pass of the exact network, before its products become coarser; none where even one exact block is too much."""
        if not away or self.plan is None:
            return trial(self._networks)
        if self.plan.exact_least > self.plan.budget:
            self.deviations["8-bit products"] = "deviation not measured: the exact network does not fit into the memory given"
            return None
        all_outside = replace(self.plan.placement, experts_resident=1, blocks_resident=0)
        visitors = placed(self._networks, all_outside, self.device, visiting=True)
        made = trial(visitors)
        for visitor in visitors:
            visitor.close()
        return made

    def _note(self, option: str, off: Deviation) -> None:
        self.deviations.setdefault(option, f"one pass deviates by {off} from the exact network's")
