"""What every test of a network asks: do all loaded tensors matter, are misfits refused, do batches change nothing?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wanbench.errors import UsageError
from wanbench.networks import Placement

torch = pytest.importorskip("torch")

Tensors = dict[str, Any]
Save = Callable[[Tensors], Path]
"""Writes tensors as the checkpoint's file and returns its path."""
Run = Callable[[], np.ndarray]
"""Builds the network from the store, by the code that users run, and returns what it says of fixed frames."""


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # two threads wait for each other where other work shares the cores
    yield
    torch.set_num_threads(before)


@pytest.fixture
def placement() -> Callable[..., Placement]:
    return lambda batch_size=16, dtype="float32": Placement(device="cpu", dtype=dtype, batch_size=batch_size)


@pytest.fixture
def frames() -> Callable[..., np.ndarray]:
    """Random frames (T, H, W, 3), smooth enough that neighbouring pixels are alike."""

    def make(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
        coarse = np.random.default_rng(seed).integers(0, 256, (count, -(-height // 4), -(-width // 4), 3), dtype=np.uint8)
        return coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]

    return make


@pytest.fixture
def shaken() -> Callable[[Mapping[str, Any]], Tensors]:
    """The tensors with noise added, so that no bias is 0 and no norm's weight 1."""

    def shake(tensors: Mapping[str, Any]) -> Tensors:
        generator = torch.Generator().manual_seed(1)
        return {
            name: t + 0.1 * torch.rand(t.shape, generator=generator) if t.is_floating_point() else t.clone()
            for name, t in tensors.items()
        }

    return shake


@pytest.fixture
def assert_tensors_matter() -> Callable[..., None]:
    """Each named tensor, changed alone in the file, changes what the network says."""

    def check(tensors: Tensors, names: list[str], save: Save, run: Run) -> None:
        save(tensors)
        before = run()
        for name in names:
            # A random change: a constant one would vanish in the layer norm that follows.
            changed = tensors[name] + 0.3 * torch.rand(tensors[name].shape, generator=torch.Generator().manual_seed(2))
            save({**tensors, name: changed})
            assert np.abs(run() - before).max() > 1e-4 * np.abs(before).max(), f"{name} has no influence"
        save(tensors)
        np.testing.assert_array_equal(run(), before)

    return check


@pytest.fixture
def assert_misfits_refused() -> Callable[..., None]:
    """A missing, an unexpected and a misshaped tensor each end in one line that names the file and the tensor."""

    def check(tensors: Tensors, name: str, save: Save, run: Run) -> None:
        misfits = {
            "1 missing": {n: t for n, t in tensors.items() if n != name},
            "1 unexpected (surplus)": {**tensors, "surplus": torch.zeros(2)},
            "1 misshaped": {**tensors, name: tensors[name].new_zeros([n + 1 for n in tensors[name].shape])},
        }
        for words, misfit in misfits.items():
            path = save(misfit)
            with pytest.raises(UsageError) as caught:
                run()
            assert words in str(caught.value)
            assert str(path) in str(caught.value)
            assert "\n" not in str(caught.value)

    return check
