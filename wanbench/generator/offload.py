"""Parameters that live on the host and visit the device: experts that take turns, and blocks that are fetched ahead. "Ours".

A streamed block's parameters are copied into one of two slots on a side stream while the block before it computes; two events
for each slot order copies and products, and the host never waits. Nothing is ever copied back: parameters do not change here.
Numbers are the same wherever parameters live, bit for bit. On a CPU the same code runs without streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from wanbench.generator.cost import activation_bytes
from wanbench.generator.dit import Transformer
from wanbench.generator.placement import SLOTS, Placement, Sizes

CACHE_LINE = 64
"""Bytes."""


class Guest:
    """A module whose parameters are on the host, and on the device between `enter` and `leave`."""

    def __init__(self, module: nn.Module, *, pinned: bool) -> None:
        self.tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
        # Only pinned memory is copied while the device computes.
        self.host = [t.data.pin_memory() if pinned else t.data for t in self.tensors]
        for tensor, host in zip(self.tensors, self.host, strict=True):
            tensor.data = host

    @property
    def inside(self) -> bool:
        """Whether it is on the device."""
        return any(t.data_ptr() != h.data_ptr() for t, h in zip(self.tensors, self.host, strict=True))

    def enter(self, places: Sequence[Tensor]) -> None:
        """Copy into these places and work there."""
        for tensor, host, place in zip(self.tensors, self.host, places, strict=True):
            place.copy_(host, non_blocking=True)
            tensor.data = place

    def leave(self) -> None:
        """Forget the copies."""
        for tensor, host in zip(self.tensors, self.host, strict=True):
            tensor.data = host

    def places(self, device: torch.device) -> list[Tensor]:
        """Room for it on the device."""
        return [_room(host, device) for host in self.host]


def _room(host: Tensor, device: torch.device) -> Tensor:
    """Memory for a tensor's copy. On a CPU at the same place relative to its cache lines: the last digits of products depend on
    it, and tensors that are mapped from files lie anywhere."""
    if device.type != "cpu":
        return torch.empty_like(host, device=device)
    wide = host.element_size()
    buffer = torch.empty(host.numel() + CACHE_LINE // wide, dtype=host.dtype)
    first = (host.data_ptr() - buffer.data_ptr()) % CACHE_LINE // wide
    return buffer[first : first + host.numel()].view(host.shape)


class Slot:
    """Room on the device for one streamed block, from its first use until it is given up."""

    def __init__(self, like: Guest, device: torch.device) -> None:
        self.like, self.device = like, device
        self.places: list[Tensor] = []
        self.guest: Guest | None = None
        self.arrived, self.free = (_event(device), _event(device))

    def room(self) -> list[Tensor]:
        """The memory, taken if it is not there."""
        if not self.places:
            self.places = self.like.places(self.device)
            if self.free is not None:
                # The memory may have been another tensor's, which the device still works on.
                self.free.record(torch.cuda.current_stream(self.device))
        return self.places


def _event(device: torch.device) -> torch.cuda.Event | None:
    return torch.cuda.Event() if device.type == "cuda" else None  # type: ignore[no-untyped-call]


class Slots:
    """The slots and the side stream that fills them. Experts that take turns share them."""

    def __init__(self, like: Guest, count: int, device: torch.device) -> None:
        self.device = device
        self.slots = [Slot(like, device) for _ in range(count)]
        self.side = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def fill(self, slot: Slot, guest: Guest) -> None:
        """Start copying a block into a slot, after what computed there."""
        if slot.guest is not None:
            slot.guest.leave()
        slot.guest, room = guest, slot.room()
        if self.side is None or slot.free is None or slot.arrived is None:
            guest.enter(room)
            return
        with torch.cuda.stream(self.side):
            self.side.wait_event(slot.free)
            guest.enter(room)
            slot.arrived.record(self.side)


class Stream:
    """Blocks of one shape that pass through the slots, in order, round and round: hooks on the blocks do it."""

    def __init__(self, blocks: Sequence[nn.Module], device: torch.device, shared: Slots | None = None) -> None:
        self.guests = [Guest(block, pinned=device.type == "cuda") for block in blocks]
        self.shared = shared or Slots(self.guests[0], min(SLOTS, len(blocks)), device)
        self.hooks: list[Any] = []
        for number, block in enumerate(blocks):
            self.hooks.append(block.register_forward_pre_hook(lambda *_, number=number: self.before(number)))
            self.hooks.append(block.register_forward_hook(lambda *_, number=number: self.after(number)))

    def slot(self, number: int) -> Slot:
        """Where block `number` goes."""
        return self.shared.slots[number % len(self.shared.slots)]

    def fetch(self, number: int) -> None:
        """See that block `number` is in its slot or on its way."""
        if self.slot(number).guest is not self.guests[number]:
            self.shared.fill(self.slot(number), self.guests[number])

    def before(self, number: int) -> None:
        """The block is about to compute: it must be here, and the one after it on its way."""
        self.fetch(number)
        slot = self.slot(number)
        if slot.arrived is not None:
            torch.cuda.current_stream(self.shared.device).wait_event(slot.arrived)
        # An odd number of blocks ends in the slot where the next pass begins: that one is fetched when its slot is free.
        following = (number + 1) % len(self.guests)
        if self.slot(following) is not slot:
            self.fetch(following)

    def after(self, number: int) -> None:
        """The block has been asked to compute: its slot is free after that."""
        slot = self.slot(number)
        if slot.free is not None:
            slot.free.record(torch.cuda.current_stream(self.shared.device))

    def leave(self) -> None:
        """Give up the slots that its blocks have, and their memory; another expert's stay."""
        if self.shared.side is not None:
            self.shared.side.synchronize()  # a block that was fetched ahead may still be on its way into that memory
        for slot in self.shared.slots:
            if slot.guest is not None and slot.guest in self.guests:
                slot.guest.leave()
                slot.guest, slot.places = None, []

    def close(self) -> None:
        """Leave the blocks as ordinary modules on the host."""
        self.leave()
        for hook in self.hooks:
            hook.remove()


class Placed:
    """A transformer that is called as before, and whose parameters are where a placement wants them."""

    def __init__(self, network: Transformer, resident: int, device: torch.device, shared: Slots | None, *, turns: bool) -> None:
        """`resident` blocks stay; `turns`: it shares the device with another one, and is on it from `enter` to `leave` only."""
        self.network, self.device = network, device
        self.rivals: list[Placed] = []
        """Those that it shares the device with in turn."""
        streamed = list(network.blocks)[resident:]
        self.stream = Stream(streamed, device, shared) if streamed else None
        self.stay = Guest(_without(network, streamed), pinned=False) if turns else None
        if not turns:
            _without(network, streamed).to(self.device)

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        for rival in self.rivals:
            rival.leave()
        self.enter()
        out: Tensor = self.network(*args, **kwargs)
        return out

    def enter(self) -> None:
        """Come to the device, if it is not there."""
        if self.stay is not None and not self.stay.inside:
            self.stay.enter(self.stay.places(self.device))

    def leave(self) -> None:
        """Give its memory back."""
        if self.stream is not None:
            self.stream.leave()
        if self.stay is not None:
            self.stay.leave()

    def close(self) -> None:
        """Leave the network as it was, on the host."""
        self.leave()
        if self.stream is not None:
            self.stream.close()


def _without(network: Transformer, streamed: Sequence[nn.Module]) -> nn.Module:
    """The modules of a network that stay, without the streamed ones, as one module. Its parameters are the network's."""
    kept = nn.Module()
    for name, child in network.named_children():
        if name != "blocks":
            kept.add_module(name, child)
    kept.add_module("blocks", nn.ModuleList(block for block in network.blocks if not any(block is s for s in streamed)))
    for name, parameter in network.named_parameters(recurse=False):
        kept.register_parameter(name, parameter)
    return kept


def sizes_of(experts: Sequence[Transformer], tokens: int, *, text: int, decode: int) -> Sizes:
    """Bytes to plan with, of experts of one shape and a video of so many tokens; `text` and `decode` as in `Sizes`."""
    first = experts[0]
    whole, block = _bytes(first), _bytes(first.blocks[0])
    return Sizes(
        block=block,
        blocks=len(first.blocks),
        rest=whole - len(first.blocks) * block,
        experts=len(experts),
        activations=activation_bytes(first.config, tokens),
        text=text,
        decode=decode,
    )


def _bytes(module: nn.Module) -> int:
    return sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))


def placed(
    experts: Sequence[Transformer], placement: Placement, device: torch.device | str, *, visiting: bool = False
) -> list[Placed]:
    """Networks to call in place of the experts; where only one fits, a call of the other makes them change places.

    `visiting`: they come to the device when they are called, and go from it when they are told to leave.
    """
    turns, device = placement.experts_resident < len(experts), torch.device(device)
    made: list[Placed] = []
    for expert in experts:
        shared = next((one.stream.shared for one in made if one.stream is not None), None)
        made.append(Placed(expert, placement.blocks_resident, device, shared, turns=turns or visiting))
    for one in made:
        one.rivals = [other for other in made if other is not one] if turns else []
    return made


def stream_text(encoder: nn.Module, device: torch.device | str) -> Stream:
    """A umT5 encoder on the host -> its blocks come and go, and everything else is on the device. Numbers are the same."""
    device, parts = torch.device(device), cast(Any, encoder)
    blocks = list(parts.encoder.block)
    inside = {id(parameter) for block in blocks for parameter in block.parameters()}
    for tensor in (*encoder.parameters(), *encoder.buffers()):
        if id(tensor) not in inside:
            tensor.data = tensor.data.to(device)
    return Stream(blocks, device)
