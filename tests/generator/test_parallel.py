"""Several processes equal one: gloo on this machine, started as users start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from wanbench.errors import UsageError
from wanbench.generator.attention import attend
from wanbench.generator.parallel import merged, mesh_for, partial_attention, shares, start

from . import tiny

WORKER = Path(__file__).with_name("parallel_worker.py")


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.full)])
def test_several_processes_equal_one(processes: int, tmp_path: Path) -> None:
    out = tmp_path / "deviations.json"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
        str(WORKER),
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    made = json.loads(out.read_text("utf-8"))
    assert made.pop("different parameters are seen") == 1
    assert made.pop("share of parameters") == pytest.approx(1 / processes, rel=0.1)
    assert len(made) == (15 if processes == 2 else 19)
    assert {name: off for name, off in made.items() if off > 1e-5} == {}


def test_merged_parts_are_the_whole() -> None:
    q, k, v = (tiny.draw(2, 3, 5, 8, seed=i) for i in range(3))
    parts = [partial_attention(q, k[:, :, part], v[:, :, part]) for part in (slice(0, 1), slice(1, 3), slice(3, 5))]
    whole, logs = merged(merged(parts[0], parts[1]), parts[2])
    torch.testing.assert_close(whole, attend(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(logs, (q @ k.transpose(-1, -2) / 8**0.5).logsumexp(-1), atol=1e-5, rtol=0)


def test_tokens_are_dealt() -> None:
    assert shares(18, 4) == [5, 5, 4, 4]
    assert shares(32760, 8) == [4095] * 8


@pytest.mark.parametrize(("heads", "processes", "ulysses"), [(12, 8, 8), (40, 8, 3), (12, 4, 0)])
def test_groups_that_do_not_divide_are_refused(heads: int, processes: int, ulysses: int) -> None:
    with pytest.raises(UsageError, match=f"{processes} processes and {heads} heads cannot be dealt to groups of {ulysses}"):
        mesh_for(heads, processes, "cpu", ulysses=ulysses)


def test_a_process_of_its_own_is_told_to_use_torchrun() -> None:
    with pytest.raises(UsageError, match="started by torchrun: torchrun --nproc-per-node"):
        start("cpu")
