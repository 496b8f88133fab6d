"""The benchmark of the transformers: both contenders compute the same, and its arithmetic by hand."""

from __future__ import annotations

import pytest
import torch

from benchmarks.generator import RHYTHM, Case, Cost, as_ours, build, build_theirs, inputs, step_of, table
from wanbench.generator.configurations import DiTConfig
from wanbench.generator.deviation import deviation
from wanbench.generator.guidance import apart

TINY = DiTConfig(dim=24, ffn_dim=40, num_heads=2, num_layers=2, in_dim=4, out_dim=4, text_dim=10, text_len=128, freq_dim=16)


def case(dtype: torch.dtype) -> Case:
    return Case(TINY, (4, 2, 4, 6), 12, torch.device("cpu"), dtype)


@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
@torch.no_grad()
def test_both_contenders_are_one_network(dtype: torch.dtype, off: float) -> None:
    ours = build(case(dtype))
    theirs = as_ours(build_theirs(case(dtype), ours), case(dtype))
    one, other = (step_of(network, case(dtype), apart)() for network in (ours, theirs))
    assert deviation(one, other).relative < off
    assert deviation(one, inputs(case(dtype))[0]).relative > 0.05  # the network says something


def test_the_table_by_hand() -> None:
    """12 tokens in 2 s and in 1 s; a device that does 1e9 operations a second."""
    costs = {"theirs": Cost((2.0, 1.0, 3.0), None), "ours": Cost((1.0,), 2**31)}
    lines = table(costs, case(torch.float32), 1e9).splitlines()
    share = case(torch.float32).step_flops / 1e9
    assert lines[1].split() == ["theirs", "2.000", "[1.000-3.000]", "6", "0.000", f"{share / 2:.1%}", "-", "1.00"]
    assert lines[2].split() == ["ours", "1.000", "[1.000-1.000]", "12", "0.000", f"{share:.1%}", "2.00", "GiB", "0.50"]


def test_the_rhythm_leaves_the_first_steps_whole() -> None:
    assert [RHYTHM.fresh(step) for step in range(6)] == [True, True, True, True, False, True]
