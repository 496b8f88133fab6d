"""How far an approximate way of computing is from the exact one. "Ours"."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """Of one tensor from another."""

    relative: float
    """Length of the difference over the length of the exact one."""
    worst: float
    """Largest difference of a number, in units of the exact one's root mean square."""

    def __str__(self) -> str:
        return f"{100 * self.relative:.3g} % (at most {100 * self.worst:.3g} %)"


def deviation(approximate: Tensor, exact: Tensor) -> Deviation:
    """Of `approximate` from `exact`, both of one shape; exact is not all zero."""
    difference, wanted = (approximate.double() - exact.double()).flatten(), exact.double().flatten()
    size = wanted.norm()
    return Deviation(
        relative=(difference.norm() / size).item(),
        worst=(difference.abs().max() / (size / wanted.numel() ** 0.5)).item(),
    )
