"""What one of several processes does: every way of sharing work against the same network alone. Deviations go to a file.

torchrun --nproc-per-node N parallel_worker.py OUT
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.generator import tiny
from tests.generator.test_dit import NETWORKS, TEXT, T, X, call
from wanbench.generator.parallel import mesh_for, same_parameters, shard_parameters, share_tokens, start
from wanbench.generator.training import flow_loss

FOUR_HEADS = {name: replace(config, num_heads=4, dim=48) for name, config in NETWORKS.items()}


def off(one: torch.Tensor, other: torch.Tensor) -> float:
    return (one - other).abs().max().item()


def sharing(processes: int) -> dict[str, float]:
    """Tokens shared, for every kind of network; 18 tokens do not divide by 4."""
    made = {}
    for ulysses in [n for n in (1, 2, 4) if processes % n == 0]:
        mesh = mesh_for(4, processes, "cpu", ulysses=ulysses)
        for name, config in FOUR_HEADS.items():
            if ulysses < processes and name in ("i2v", "flf2v"):
                continue  # the main stack is that of t2v
            wanted = call(tiny.dit(config), config)
            made[f"{name}, {ulysses} of {processes} exchange heads"] = off(
                call(share_tokens(tiny.dit(config), mesh), config), wanted
            )
        times = T[:, None].expand(-1, 18).clone()
        times[:, :6] = 0
        wanted = tiny.dit(FOUR_HEADS["t2v"])(X, times, TEXT)
        made[f"times, {ulysses}"] = off(share_tokens(tiny.dit(FOUR_HEADS["t2v"]), mesh)(X, times, TEXT), wanted)
    return made


def sharding(processes: int) -> dict[str, float]:
    """Parameters sharded: float32, with bfloat16 beside float32, with tokens shared as well, and a step of training."""
    made = {}
    flat = init_device_mesh("cpu", (processes,))
    network = tiny.dit(FOUR_HEADS["t2v"])
    assert same_parameters(network)
    wanted = network(X, T, TEXT)
    sharded = shard_parameters(tiny.dit(FOUR_HEADS["t2v"]), flat)
    made["sharded"] = off(sharded(X, T, TEXT), wanted)
    local = sum(p.to_local().numel() for p in sharded.parameters())
    made["share of parameters"] = local / sum(p.numel() for p in network.parameters())
    made["sharded and kept"] = off(shard_parameters(tiny.dit(FOUR_HEADS["t2v"]), flat, keep=True)(X, T, TEXT), wanted)
    both = share_tokens(shard_parameters(tiny.dit(FOUR_HEADS["t2v"]), flat), mesh_for(4, processes, "cpu"))
    made["sharded, tokens shared"] = off(both(X, T, TEXT), wanted)

    def mixed():
        network = tiny.dit(FOUR_HEADS["t2v"])
        for block in network.blocks:
            block.ffn.to(torch.bfloat16)
        return network.requires_grad_(False)

    made["mixed types"] = off(shard_parameters(mixed(), flat)(X, T, TEXT), mixed()(X, T, TEXT))
    return made


def training(processes: int) -> dict[str, float]:
    """One step on a batch that is dealt to the processes, against the whole batch in one."""
    batch = (tiny.draw(processes, 4, 3, 4, 6), [tiny.draw(2, 10, seed=i) for i in range(processes)])
    shares, noise = torch.linspace(0.2, 0.8, processes), tiny.draw(processes, 4, 3, 4, 6, seed=9)
    alone = tiny.dit(FOUR_HEADS["t2v"]).train()
    flow_loss(alone, *batch, shares, noise).backward()
    sharded = shard_parameters(tiny.dit(FOUR_HEADS["t2v"]), init_device_mesh("cpu", (processes,))).train()
    mine = slice(dist.get_rank(), dist.get_rank() + 1)
    flow_loss(sharded, batch[0][mine], batch[1][mine], shares[mine], noise[mine]).backward()
    pairs = zip(sharded.parameters(), alone.parameters(), strict=True)
    return {"gradients": max(off(p.grad.full_tensor(), q.grad) for p, q in pairs)}


def main(out: Path) -> None:
    torch.set_num_threads(1)
    start("cpu")
    processes = dist.get_world_size()
    with torch.no_grad():
        made = sharing(processes) | sharding(processes)
    made |= training(processes)
    network = tiny.dit()
    with torch.no_grad():
        network.head.head.bias += dist.get_rank()
    made["different parameters are seen"] = float(not same_parameters(network))
    if dist.get_rank() == 0:
        out.write_text(json.dumps(made), "utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
