"""Every file of reference tensors, against the tolerances of its family."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from . import golden_conditioning as conditioning
from . import golden_networks as networks
from . import golden_sampling as sampling
from .golden import Case, read

FAMILIES: dict[str, Callable[[Case], None]] = {
    check.__name__: check
    for check in (
        networks.dit,
        networks.vae,
        networks.umt5,
        networks.clip,
        networks.rope,
        networks.temb,
        networks.keys,
        sampling.schedule,
        sampling.sampler,
        sampling.moe,
        sampling.e2e_t2v,
        sampling.e2e_ti2v,
        conditioning.i2v_cond,
        conditioning.i2v_mask,
        conditioning.size_fit,
        conditioning.vace_ctx,
        conditioning.s2v_aux,
        conditioning.frames,
        conditioning.text_clean,
    )
}
"""Family, as a file's metadata names it -> its check."""


def golden_files() -> list[Path]:
    folder = os.environ.get("WANBENCH_GOLDEN")
    return sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".md") if folder else []


FILES = golden_files()
RAN: set[Path] = set()


@pytest.fixture(autouse=True)
def exactly() -> Iterator[None]:
    """One thread, no gradients."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("path", FILES or [None], ids=lambda path: path.stem if path else "none")
def test_golden(path: Path | None, record_property: Callable[[str, object], None]) -> None:
    if path is None:
        pytest.skip("no reference tensors: set WANBENCH_GOLDEN to their folder")
    case = read(path)
    assert case.family in FAMILIES, f"{path.name}: unknown family {case.family!r}"
    FAMILIES[case.family](case)
    case.assert_complete()
    record_property("worst_share_of_tolerance", case.worst)
    RAN.add(path)


def test_as_many_cases_ran_as_there_are_files(request: pytest.FixtureRequest) -> None:
    if not os.environ.get("WANBENCH_GOLDEN"):
        pytest.skip("no reference tensors: set WANBENCH_GOLDEN to their folder")
    files = golden_files()
    assert files, "the folder of WANBENCH_GOLDEN is empty"
    if hasattr(request.config, "workerinput"):
        assert files == FILES  # this process ran only some of them
    else:
        assert files == sorted(RAN)
