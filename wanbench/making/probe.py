"""What a Wan video takes where none was made yet: time, operations counted over a rate measured; memory, a sum of sizes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from wanbench.execution.child import Child, ChildDied, ChildSilent
from wanbench.making.makers import MakerSpec

PROBE_SECONDS = 0.3
SIDE = {"cpu": 1024, "cuda": 8192, "mps": 4096}
"""[ours] Of the square matrices: large enough for the device's full rate, small enough to be quick."""
PATIENCE_SECONDS = 120.0
"""Of a GPU that has first to be woken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What a video costs, and what the device does."""

    operations: float
    """In the transformer; text and decoding come on top."""
    operations_per_s: float

    @property
    def seconds(self) -> float:
        """At least so long a video takes."""
        return self.operations / self.operations_per_s


def probe(spec: MakerSpec, device: str) -> Probe | None:
    """None for a model that is not ours to count, or where the device does not answer (the run itself will say why)."""
    if spec.kind != "wan":
        return None
    operations = _operations(spec)
    if operations is None:
        return None
    dtype = spec.settings["dtype"] or ("bfloat16" if device.startswith("cuda") else "float32")
    if not device.startswith("cuda"):
        return Probe(operations=operations, operations_per_s=rate(device, dtype))
    child = Child("wanbench.making.probe:serve")  # or this process would hold memory of the GPU all along
    try:
        child.send((device, dtype))
        return Probe(operations=operations, operations_per_s=child.receive(PATIENCE_SECONDS))
    except (ChildDied, ChildSilent):
        return None
    finally:
        child.kill()


def serve(connection: Connection[Any, Any]) -> None:
    """Entry point: (device, dtype) in, operations a second out."""
    connection.send(rate(*connection.recv()))


def rate(device: str, dtype: str) -> float:
    """Operations a second of products of matrices on this device."""
    import torch

    side = SIDE.get(device.partition(":")[0], SIDE["cpu"])
    a, b = (torch.ones(side, side, dtype=getattr(torch, dtype), device=device) for _ in range(2))

    def settled() -> float:
        float((a @ b)[0, 0])  # waits for the device
        return time.perf_counter()

    start, count = settled(), 0  # the first product loads libraries
    while (now := settled()) - start < PROBE_SECONDS:
        count += 1
    return 2 * side**3 * (count + 1) / (now - start)


def host_bytes(spec: MakerSpec, device: str) -> int | None:
    """Memory that a maker on a CPU needs at its fullest moment; None where that is not ours to count, or a GPU's affair."""
    if spec.kind != "wan" or device.partition(":")[0] != "cpu":
        return None
    import torch

    from wanbench.generator.known import open_model
    from wanbench.generator.planning import sizes_of

    networks = open_model(spec.source["model"])
    dtype = getattr(torch, spec.settings["dtype"] or "float32")
    sizes = sizes_of(networks.model, networks.text_config, spec.source["settings"], dtype)
    networks_bytes = sizes.experts * sizes.transformer  # they stay while frames are decoded
    return max(sizes.text, networks_bytes + max(sizes.activations + sizes.kept, sizes.decode))


def _operations(spec: MakerSpec) -> float | None:
    from wanbench.generator.cost import forward_flops, token_count
    from wanbench.generator.known import open_model

    model = open_model(spec.source["model"]).model
    if model.dit.speech is not None:
        return None
    height, width = spec.settings["size"]
    tokens = token_count(model.vae, spec.settings["frames"], height, width)
    passes = 1 if set(spec.settings["guidance"]) == {1.0} else 2
    return float(spec.settings["steps"] * passes * forward_flops(model.dit, tokens))
