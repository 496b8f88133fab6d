"""A 1.3B checkpoint with random parameters, in the released layout: memory while it is loaded, and a video from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import torch
from safetensors.torch import save_file

from wanbench.generator import text
from wanbench.generator.build import build_dit
from wanbench.generator.configurations import T2V_1_3B, VAE_21
from wanbench.generator.loading import float32_names

from . import folders

pytestmark = pytest.mark.full
MEASURE = """
import json, sys
import torch
torch.set_num_threads(1)
from wanbench.generator.folder import open_folder
from wanbench.generator.loading import load_transformer

def anonymous():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))

part = open_folder(__import__("pathlib").Path(sys.argv[1])).experts[0]
import transformers
load = lambda: load_transformer(part, device="cpu", dtype=torch.bfloat16)
before = anonymous()
network = load()
print(json.dumps({"grown": anonymous() - before, "parameters": sum(p.numel() for p in network.parameters())}))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Parameters in float32, as the released file has them; a small text encoder as wide as the real one. Six gigabytes."""
    folder = tmp_path_factory.mktemp("wan-1.3b-random")
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in build_dit(T2V_1_3B).state_dict().items()}
    noise = torch.randn(max(torch.Size(shape).numel() for shape in shapes.values()), generator=torch.Generator().manual_seed(0))
    save_file(
        {
            name: noise[: torch.Size(shape).numel()].view(shape) * (shape[-1] ** -0.5 if len(shape) > 1 else 0.1)
            for name, shape in shapes.items()
        },
        folder / "diffusion_pytorch_model.safetensors",
    )
    told = text.TextConfig(vocab=259, dim=4096, head_dim=8, ffn_dim=64, num_heads=4, num_layers=2)
    folders.write_rest(folder, VAE_21, told)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc/self/smaps_rollup on this system")
def test_no_second_copy_is_made_while_loading(model: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, str(model)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    share = found["grown"] / (2 * found["parameters"])
    print(f"anonymous memory: {found['grown'] / 1e9:.3f} GB, {share:.3f} of the bytes in bfloat16")
    assert 0.98 < share < 1.15


def test_the_islands_are_a_small_part() -> None:
    with torch.device("meta"):
        network = build_dit(T2V_1_3B)
    islands = float32_names(network)
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    assert sum(sizes[name] for name in islands) / sum(sizes.values()) < 0.02


def test_a_playable_video_of_the_asked_size_rate_and_length(model: Path, tmp_path: Path) -> None:
    asked = ["--prompt", "cat", "--size", "64x48", "--frames", "5", "--steps", "1", "--dtype", "bfloat16", "--json"]
    command = [sys.executable, "-P", "-m", "wanbench", "generate", "--model", str(model), *asked]
    made = []
    for out in ("a", "b"):
        done = subprocess.run(
            [*command, "--out", str(tmp_path / out)],
            capture_output=True,
            text=True,
            env={**os.environ, "WANBENCH_HOME": str(tmp_path)},
        )
        assert done.returncode == 0, done.stderr
        print(f"{json.loads(Path(json.loads(done.stdout)['videos'][0]).with_suffix('.json').read_text())['seconds']} s a video")
        made.append(Path(json.loads(done.stdout)["videos"][0]))
    with av.open(str(made[0])) as file:
        stream = file.streams.video[0]
        assert (stream.width, stream.height, float(stream.average_rate)) == (64, 48, 16.0)
        assert sum(1 for _ in file.decode(stream)) == 5
    assert made[0].read_bytes() == made[1].read_bytes()
