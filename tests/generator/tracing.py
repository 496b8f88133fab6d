"""How much memory a pass holds at most, without doing it: on the meta device, from a trace of every allocation."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class NoScores(TorchFunctionMode):
    """Attention as the fused kernels do it: its scores are never in memory. (The meta device has only the plain one.)"""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is functional.scaled_dot_product_attention:
            return torch.empty_like(args[0])
        return func(*args, **(kwargs or {}))


class Live(TorchDispatchMode):
    """Bytes of the storages that are alive, parameters left out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.known = {p.untyped_storage()._cdata: 0 for p in network.parameters()}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.known:
                storage = tensor.untyped_storage()
                self.known[storage._cdata] = storage.nbytes()
                self.live += storage.nbytes()
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self.free, storage._cdata)
        return out

    def free(self, key: int) -> None:
        self.live -= self.known.pop(key)


def peak_bytes(network: nn.Module, work: Callable[[], object]) -> int:
    """What `work` holds at most besides the parameters of the network, which are on the meta device."""
    live = Live(network)
    with torch.device("meta"), torch.no_grad(), live, NoScores():
        work()
    return live.peak
