"""One video on several devices: parameters in pieces (FSDP2, arXiv 2304.11277), tokens in pieces (Ulysses, arXiv 2309.14509, and
ring attention, arXiv 2310.01889), started by torchrun.

Every process runs the same program on the same latents. Between embeddings and head each has its share of the tokens; only
self-attention needs all of them. Ulysses exchanges tokens for heads, so it goes as far as heads can be divided; a ring passes
keys and values round; together they are the two axes of a mesh. PyTorch's own context parallelism is a ring for GPU kernels only
that wants equal shares; so only the exchanges are PyTorch's here. No gradients flow through them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from wanbench.errors import UsageError
from wanbench.generator.attention import Attend, attend
from wanbench.generator.dit import Given, Transformer

RING, HEADS = "ring", "heads"
"""Axes of the mesh."""


def mesh_for(heads: int, processes: int, device_type: str, *, ulysses: int | None = None) -> DeviceMesh:
    """A mesh of all processes: `ulysses` of them exchange heads, groups of them form rings.

    By default Ulysses goes as far as the heads allow, since it moves less. `UsageError` for what does not divide.
    """
    if ulysses is None:
        ulysses = max(n for n in range(1, processes + 1) if processes % n == 0 and heads % n == 0)
    if ulysses < 1 or processes % ulysses or heads % ulysses:
        raise UsageError(
            f"{processes} processes and {heads} heads cannot be dealt to groups of {ulysses}: choose a divisor of both"
        )
    return init_device_mesh(device_type, (processes // ulysses, ulysses), mesh_dim_names=(RING, HEADS))


def flat_mesh(device_type: str) -> DeviceMesh:
    """All processes in a row."""
    return init_device_mesh(device_type, (dist.get_world_size(),))


def shard_parameters(network: Transformer, mesh: DeviceMesh | None = None, *, keep: bool = False) -> Transformer:
    """Each process keeps its piece of every parameter; a block is whole only while it computes.

    `keep`: blocks stay whole after their first use, which suits sampling where they fit. Types are not changed: float32 islands
    travel beside bfloat16, but only in a network that is not trained (`requires_grad` off); training wants one type.
    """
    for block in (*network.blocks, network):
        fully_shard(block, mesh=mesh, mp_policy=MixedPrecisionPolicy(), reshard_after_forward=not keep)
    return network


def share_tokens(network: Transformer, mesh: DeviceMesh, kernel: Attend = attend) -> Transformer:
    """The tokens of this network's main stack are dealt to the processes of the mesh; its results are as before, on each of them.

    `kernel` computes attention where heads alone are exchanged; a ring needs the logarithms of the sums, from PyTorch's kernels.
    What enters the stack from outside (hints of VACE, audio) is added to all tokens, which are gathered for it: right, not fast.
    """
    world = mesh._flatten().get_group()
    whole = network.run_blocks

    def run_blocks(x: Tensor, given: Given, after: Callable[[int, Tensor], Tensor] | None = None) -> Tensor:
        assert not x.requires_grad, "gradients do not flow through the exchanges"  # they would come out wrong without a word
        count = x.shape[1]
        mine = slice(*_bounds(count, world))
        rows = given.times.rows
        times = given.times if rows is None else given.times._replace(rows=rows[:, mine])
        turn = given.rotation._replace(cos=given.rotation.cos[mine], sin=given.rotation.sin[mine])
        told = given._replace(times=times, rotation=turn, attend=spread(mesh, count, kernel))

        def outside(layer: int, part: Tensor) -> Tensor:
            assert after is not None
            return after(layer, gathered(part, count, world))[:, mine]

        return gathered(whole(x[:, mine], told, None if after is None else outside), count, world)

    # On the instance: every kind of transformer inherits `run_blocks`, and its own `forward` stays as it is.
    network.__dict__["run_blocks"] = run_blocks
    return network


def spread(mesh: DeviceMesh, count: int, kernel: Attend = attend) -> Attend:
    """Attention over `count` tokens that are dealt to the processes of a mesh, row by row."""
    ring, heads = mesh.get_group(RING), mesh.get_group(HEADS)
    rows = [shares(count, mesh.size())[i : i + heads.size()] for i in range(0, mesh.size(), heads.size())]
    inner = kernel if ring.size() == 1 else ring_attention(ring, [sum(row) for row in rows])
    return inner if heads.size() == 1 else ulysses(heads, rows[ring.rank()], inner)


def shares(count: int, parts: int) -> list[int]:
    """`count` tokens dealt to `parts` processes: sizes that differ by at most one, the larger first."""
    return [count // parts + (i < count % parts) for i in range(parts)]


def _bounds(count: int, group: dist.ProcessGroup) -> tuple[int, int]:
    sizes, rank = shares(count, group.size()), group.rank()
    return sum(sizes[:rank]), sum(sizes[: rank + 1])


def gathered(part: Tensor, count: int, group: dist.ProcessGroup) -> Tensor:
    """This process's [B, L', D] -> all tokens [B, L, D] on every process."""
    sizes = shares(count, group.size())
    # Rows of equal size, the last of them filled up: gathering in one piece is what every back end does well.
    padded = part.new_zeros(part.shape[0], sizes[0], part.shape[2])
    padded[:, : part.shape[1]] = part
    pieces = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(pieces, padded, group=group)
    return torch.cat([piece[:, :size] for piece, size in zip(pieces, sizes, strict=True)], dim=1)


def ulysses(group: dist.ProcessGroup, sizes: Sequence[int], inner: Attend = attend) -> Attend:
    """Attention over tokens that are dealt to a group: each process gets all tokens of some heads, attends, and gives back.

    q, k, v [B, L', heads, d] -> [B, L', heads, d]; heads a multiple of the group's size; `sizes` are all processes' L'.
    """

    def spread(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (to_heads(part.to(v.dtype), sizes, group) for part in (q, k, v))
        return to_tokens(inner(q, k, v), sizes, group)

    return spread


def to_heads(x: Tensor, sizes: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """Some tokens, all heads -> all tokens, some heads: [B, L', heads, d] -> [B, L, heads / n, d]."""
    n = group.size()
    batch, tokens, heads, width = x.shape
    cut = x.reshape(batch, tokens, n, heads // n, width)
    sent = cut.permute(2, 1, 0, 3, 4).flatten(0, 1).contiguous()  # [n * L', B, heads / n, d]
    out = sent.new_empty(sum(sizes), batch, heads // n, width)
    dist.all_to_all_single(out, sent, list(sizes), [tokens] * n, group=group)
    return out.transpose(0, 1)


def to_tokens(x: Tensor, sizes: Sequence[int], group: dist.ProcessGroup) -> Tensor:
    """The way back: [B, L, heads / n, d] -> [B, L', heads, d]."""
    n, own = group.size(), sizes[group.rank()]
    batch, _, heads, width = x.shape
    sent = x.transpose(0, 1).contiguous()
    out = sent.new_empty(n * own, batch, heads, width)
    dist.all_to_all_single(out, sent, [own] * n, list(sizes), group=group)
    return out.view(n, own, batch, heads, width).permute(2, 1, 0, 3, 4).flatten(2, 3)  # heads of process 0 first


def ring_attention(group: dist.ProcessGroup, sizes: Sequence[int]) -> Attend:
    """Attention over tokens that are dealt to a group: queries stay, keys and values go round, partial softmaxes are merged.

    q, k, v [B, L', heads, d] -> [B, L', heads, d]; `sizes` are all processes' L'. While a part computes, the next one travels.
    """

    def spread(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (part.to(v.dtype).transpose(1, 2).contiguous() for part in (q, k, v))
        n, rank = group.size(), group.rank()
        held = torch.stack((k, v))
        total: tuple[Tensor, Tensor] | None = None
        for turn in range(n):
            coming = held.new_empty(*held.shape[:3], sizes[(rank - turn - 1) % n], held.shape[4])
            waiting = _pass_on(held, coming, group) if turn < n - 1 else []
            part = partial_attention(q, *held.unbind())
            total = part if total is None else merged(total, part)
            for work in waiting:
                work.wait()
            held = coming
        assert total is not None
        return total[0].to(v.dtype).transpose(1, 2)

    return spread


def _pass_on(held: Tensor, coming: Tensor, group: dist.ProcessGroup) -> list[Any]:
    ranks = dist.get_process_group_ranks(group)
    rank, n = group.rank(), group.size()
    send = dist.P2POp(dist.isend, held, ranks[(rank + 1) % n], group)
    receive = dist.P2POp(dist.irecv, coming, ranks[(rank - 1) % n], group)
    return list(dist.batch_isend_irecv([send, receive]))


def partial_attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Attention to some of the keys: q [B, heads, L, d], k and v [B, heads, S, d] -> ([B, heads, L, d], log sums [B, heads, L]).

    PyTorch's flash kernels give the logarithm of the sum of exponentials beside the result.
    """
    if q.device.type == "cuda" and q.dtype in (torch.float16, torch.bfloat16):
        out = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)
        return out[0].float(), out[1].float()
    if q.device.type == "cpu":
        out = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)
        return out[0].float(), out[1].float()
    scores = q.float() @ k.float().transpose(-1, -2) * q.shape[-1] ** -0.5
    return scores.softmax(-1) @ v.float(), scores.logsumexp(-1)


def merged(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Attention to the keys of both parts: their mean, weighted by their sums of exponentials."""
    total = torch.logaddexp(a[1], b[1])
    weights = (part[1].sub(total).exp()[..., None] for part in (a, b))
    return sum((part[0] * weight for part, weight in zip((a, b), weights, strict=True)), torch.zeros(())), total


def start(device_type: str) -> torch.device:
    """Join the processes that torchrun started; the device of this one. `UsageError` when torchrun did not start it."""
    if not dist.is_torchelastic_launched():
        raise UsageError("several devices are started by torchrun: torchrun --nproc-per-node N -m wanbench ...")
    dist.init_process_group("nccl" if device_type == "cuda" else "gloo")
    if device_type != "cuda":
        return torch.device(device_type)
    device = torch.device("cuda", dist.get_node_local_rank())
    torch.cuda.set_device(device)
    return device


def same_parameters(network: nn.Module, group: dist.ProcessGroup | None = None) -> bool:
    """Whether all processes hold the same parameters: what sharing of tokens takes for granted. Before they are sharded."""
    own = torch.stack([p.detach().double().sum() for p in network.parameters()])
    first = own.clone()
    dist.broadcast(first, 0, group=group)
    equal = torch.tensor(float(torch.equal(own, first)), device=own.device)
    dist.all_reduce(equal, dist.ReduceOp.MIN, group=group)
    return bool(equal.item())
