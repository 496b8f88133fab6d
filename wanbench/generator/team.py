"""Several processes that make one video together: torchrun starts them all with the same command, and the first one leads.

The leader reads and writes files and talks; the others follow what it sends them, a text and a seed at a time, and compute.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from wanbench.errors import UsageError
from wanbench.generator import parallel
from wanbench.generator.attention import Attend
from wanbench.generator.dit import Transformer

PATIENCE = timedelta(days=1)
"""[ours] For which the others wait while the leader decodes, writes, or loads."""


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


@dataclass(frozen=True)
class Team:
    """The processes, joined."""

    device: torch.device
    shard: bool
    """Each keeps a piece of every parameter."""
    words: Any
    """Group in which the leader's words travel: on the host, whatever the devices are."""

    @property
    def leader(self) -> bool:
        return dist.get_rank() == 0

    @property
    def size(self) -> int:
        return dist.get_world_size()

    def tell(self, word: Any) -> None:
        """From the leader to all others."""
        dist.broadcast_object_list([word], src=0, group=self.words)

    def hear(self) -> Any:
        """What the leader says next."""
        box: list[Any] = [None]
        dist.broadcast_object_list(box, src=0, group=self.words)
        return box[0]

    def dismiss(self) -> None:
        """All is done. Others that have failed before are gone: nobody is left to be told."""
        with contextlib.suppress(RuntimeError):
            self.tell(None)

    def share(self, network: Transformer, kernel: Attend) -> Transformer:
        """The network with its tokens dealt to all processes, and its parameters too where that is wanted."""
        group = self.words if self.shard else None  # parameters that will be dealt are still on the host
        if not parallel.same_parameters(network, group):
            raise UsageError("the processes hold different parameters: give all of them the same files")
        if self.shard:
            network = parallel.shard_parameters(network, parallel.flat_mesh(self.device.type))
        mesh = parallel.mesh_for(network.config.num_heads, dist.get_world_size(), self.device.type)
        return parallel.share_tokens(network, mesh, kernel)

    def part(self) -> None:
        """Leave each other, all at once."""
        dist.destroy_process_group()


def join(device: str, *, shard: bool) -> Team:
    """Meet the others. Raises `UsageError` when torchrun did not start this process."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if ":" in device:
        raise UsageError(f"torchrun gives each process its own device: --device {device.partition(':')[0]}, without a number")
    own = parallel.start(device)
    return Team(own, shard, dist.new_group(backend="gloo", timeout=PATIENCE))
