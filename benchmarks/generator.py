"""A guided step of the Wan transformers with random parameters, beside diffusers' in the same run.

    python -m benchmarks.generator                                       reduced, on a CPU in two minutes of it
    python -m benchmarks.generator --model wan-14b --size 480p --compile a real size, on a GPU

Both networks hold the same parameters (the same memory, but for small tensors whose type diffusers wants otherwise), get the same
latents, time and text, and run in turn. A step is two passes, with the text and with the negative one. Utilisation is counted
operations over seconds, as a share of the rate of a large product of matrices measured on the same device in the same run.
What approximate options change is told as the deviation of the latents of a short loop. Parameters are random: real ones deviate
by other amounts, so the figure says that an option works, not what a video loses.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from wanbench.generator.build import build_dit
from wanbench.generator.configurations import EPS, PATCH, DiTConfig
from wanbench.generator.cost import forward_flops, token_count
from wanbench.generator.deviation import deviation
from wanbench.generator.dit import Transformer
from wanbench.generator.guidance import Guide, Rhythm, apart, reused, together
from wanbench.generator.loading import float32_names
from wanbench.generator.models import MODELS
from wanbench.generator.names import dit_name
from wanbench.generator.pipeline import Condition, Network, Sampling, draw_noise, generate_latents
from wanbench.generator.tuning import Speed, tuned

SIZES_HW = {"480p": (480, 832), "720p": (720, 1280)}
REDUCED_SIZE_HW, REDUCED_FRAMES, REDUCED_LAYERS = (96, 160), 5, 2
"""What a CPU core does in about a second a pass: real widths, few tokens, few layers."""
LOOP_STEPS = 6
RHYTHM = Rhythm(first=3, every=2)
"""Of the options that reuse: the first three steps in full, then every other."""
THEIRS_IN_FLOAT32 = ("time_embedder", "scale_shift_table", "norm2")
"""Parameters that diffusers keeps in float32 (its `_keep_in_fp32_modules`; of its three norms only the second has any)."""
SPREAD = 0.02
"""Of random weights."""


@dataclass(frozen=True)
class Case:
    """What is run."""

    config: DiTConfig
    latents: tuple[int, int, int, int]
    tokens: int
    device: torch.device
    dtype: torch.dtype

    @property
    def step_flops(self) -> int:
        """Of two passes."""
        return 2 * forward_flops(self.config, self.tokens)


@dataclass(frozen=True)
class Cost:
    """What one contender took."""

    seconds: tuple[float, ...]
    peak: int | None
    """Most bytes over those held before, parameters left out; none where it is not measured."""


def build(case: Case) -> Transformer:
    """Ours, straight on its device and in its types."""
    with torch.device("meta"):
        network = build_dit(case.config)
    islands = float32_names(network)
    generator = torch.Generator(case.device).manual_seed(0)
    state: dict[str, Tensor] = {}
    for name, parameter in network.named_parameters():
        dtype = torch.float32 if name in islands else case.dtype
        drawn = torch.empty(parameter.shape, device=case.device, dtype=dtype).normal_(generator=generator).mul_(SPREAD)
        state[name] = drawn + 1 if name.rsplit(".", 2)[-2].startswith("norm") and name.endswith("weight") else drawn
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False).eval()


def build_theirs(case: Case, ours: Transformer) -> nn.Module:
    """diffusers' network over the same parameters."""
    library: Any = importlib.import_module("diffusers")
    config = case.config
    shape = {
        "num_attention_heads": config.num_heads,
        "attention_head_dim": config.head_dim,
        "in_channels": config.in_dim,
        "out_channels": config.out_dim,
        "text_dim": config.text_dim,
        "freq_dim": config.freq_dim,
        "ffn_dim": config.ffn_dim,
        "num_layers": config.num_layers,
        "eps": EPS,
    }
    with torch.device("meta"):
        theirs = library.WanTransformer3DModel(**shape)
    with case.device:
        theirs.rope = type(theirs.rope)(config.head_dim, PATCH, 1024)
    known: dict[str, Tensor] = ours.state_dict()

    def typed(name: str) -> Tensor:
        wanted = torch.float32 if any(part in name for part in THEIRS_IN_FLOAT32) else case.dtype
        return known[dit_name(name) or name].to(wanted)

    theirs.load_state_dict({name: typed(name) for name in theirs.state_dict()}, assign=True)
    network: nn.Module = theirs.requires_grad_(False).eval()
    return network


def as_ours(theirs: nn.Module, case: Case) -> Network:
    """diffusers' network called as ours is: text is padded, and latents are put in the type that it wants."""

    def call(x: Tensor, t: Tensor, text: list[Tensor]) -> Tensor:
        padded = torch.stack([nn.functional.pad(rows, (0, 0, 0, case.config.text_len - len(rows))) for rows in text])
        out: Tensor = theirs(x.to(case.dtype), t, padded.to(case.dtype), return_dict=False)[0]
        return out.float()

    return call


def inputs(case: Case) -> tuple[Tensor, Condition, Condition]:
    """Noise and two texts of 60 and 120 tokens."""
    generator = torch.Generator(case.device).manual_seed(1)
    texts = [torch.randn(n, case.config.text_dim, generator=generator, device=case.device).to(case.dtype) for n in (60, 120)]
    return draw_noise(case.latents, 2, case.device), Condition(texts[0]), Condition(texts[1])


def step_of(network: Network, case: Case, guide: Guide[Condition]) -> Callable[[], Tensor]:
    """One guided step to run."""
    noise, *told = inputs(case)
    return lambda: loop(network, noise, told, 1, guide)


def loop(network: Network, noise: Tensor, told: list[Condition], steps: int, guide: Guide[Condition]) -> Tensor:
    """Latents at the end of a few steps."""
    sampling = Sampling(steps=steps, shift=5.0, guidance=(5.0, 5.0))
    return list(generate_latents([network], told[0], told[1], noise, sampling, guide))[-1].after


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(work: Callable[[], object], device: torch.device) -> tuple[float, int | None]:
    """Seconds, and the most bytes over those held before. On a CPU they are processor seconds of this process, which move less
    when others want the machine too, and its memory is not measured: what is freed is not given back.
    """
    if device.type == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start, None
    synchronise(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    start = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - start, torch.cuda.max_memory_allocated(device) - before


def compared(contenders: Mapping[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, Cost]:
    """Each of them `repeats` times, in turn, after one untimed run (which compiles)."""
    runs: dict[str, list[tuple[float, int | None]]] = {name: [] for name in contenders}
    for work in contenders.values():
        work()
    order = list(contenders)
    for number in range(repeats):
        for name in order if number % 2 == 0 else order[::-1]:
            runs[name].append(timed(contenders[name], device))
    return {name: Cost(tuple(seconds for seconds, _ in found), found[-1][1]) for name, found in runs.items()}


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large product of matrices: the best of ten."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = min(timed(lambda: torch.mm(a, b), device)[0] for _ in range(10))
    return 2 * side**3 / best


def table(costs: dict[str, Cost], case: Case, rate: float) -> str:
    """Medians, and in brackets the fastest and the slowest."""
    rows = [f"{'':26}  {'seconds a step':>24}  {'tokens/s':>9}  {'TFLOP/s':>8}  {'of rate':>7}  {'memory':>9}  {'ratio':>5}"]
    first = statistics.median(next(iter(costs.values())).seconds)
    for name, cost in costs.items():
        middle = statistics.median(cost.seconds)
        spread = f"{middle:.3f} [{min(cost.seconds):.3f}-{max(cost.seconds):.3f}]"
        speed = case.step_flops / middle
        rows.append(
            f"{name:26}  {spread:>24}  {case.tokens / middle:>9.0f}  {speed / 1e12:>8.3f}  {speed / rate:>7.1%}"
            f"  {'-' if cost.peak is None else f'{cost.peak / 2**30:.2f} GiB':>9}  {middle / first:>5.2f}"
        )
    return "\n".join(rows)


def deviations(case: Case) -> str:
    """Latents after a short loop with each option, against the loop without."""
    noise, *told = inputs(case)
    exact = loop(build(case), noise, told, LOOP_STEPS, apart)
    rows = [f"deviation of the latents after {LOOP_STEPS} steps"]
    options: dict[str, tuple[Speed, Guide[Condition]]] = {
        "both passes at once": (Speed(), together),
        "8-bit products": (Speed(fp8=True), apart),
        "guidance reused": (Speed(), reused(RHYTHM)),
        "attention reused": (Speed(reuse=RHYTHM), apart),
    }
    for name, (speed, guide) in options.items():
        made = loop(tuned(build(case), speed), noise, told, LOOP_STEPS, guide)
        rows.append(f"{name:26}  {deviation(made, exact)}")
    return "\n".join(rows)


def run(name: str, case: Case, options: argparse.Namespace) -> None:
    """One model: its table."""
    ours = build(case)
    size = sum(p.numel() * p.element_size() for p in ours.parameters())
    rate = matrix_rate(case.device, case.dtype)
    print(
        f"\n{name}, {case.config.num_layers} layers, {case.tokens} tokens, {str(case.dtype).removeprefix('torch.')}, "
        f"{size / 2**30:.2f} GiB of parameters; a pass of {forward_flops(case.config, case.tokens) / 1e12:.4g} TFLOP; "
        f"products of matrices run at {rate / 1e12:.4g} TFLOP/s here"
    )
    contenders: dict[str, Callable[[], Tensor]] = {}
    if not options.no_diffusers:
        theirs: Any = build_theirs(case, ours)
        if options.compile:
            theirs.compile_repeated_blocks(fullgraph=True)
        contenders["diffusers"] = step_of(as_ours(theirs, case), case, apart)
    called = tuned(ours, Speed(attention=options.attention, compile=options.compile, fp8=options.fp8))
    contenders["ours"] = step_of(called, case, apart)
    contenders["ours, passes at once"] = step_of(called, case, together)
    costs = compared(contenders, case.device, options.repeats)
    print(table(costs, case, rate))
    if not options.no_diffusers:
        print(
            f"ours against diffusers: latents differ by {deviation(contenders['ours'](), contenders['diffusers']())}", flush=True
        )


def case_of(model: str, options: argparse.Namespace) -> Case:
    """A model at a size on a device."""
    device = torch.device(options.device)
    reduced = device.type == "cpu" and not options.full
    found = MODELS[model]
    size = REDUCED_SIZE_HW if reduced else SIZES_HW[options.size]
    frames = REDUCED_FRAMES if reduced else options.frames
    config = replace(found.dit, num_layers=REDUCED_LAYERS) if reduced else found.dit
    dtype = getattr(torch, options.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    return Case(config, found.vae.latent_shape(frames, *size), token_count(found.vae, frames, *size), device, dtype)


def arguments() -> argparse.Namespace:
    """From the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", action="append", choices=["wan-1.3b", "wan-14b", "wan2.2-ti2v-5b"])
    parser.add_argument("--size", choices=SIZES_HW, default="480p")
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"])
    parser.add_argument("--full", action="store_true", help="the real size on a CPU too: hours")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--attention", default="auto")
    parser.add_argument("--compile", action="store_true", help="both, each in its own way")
    parser.add_argument("--fp8", action="store_true", help="ours")
    parser.add_argument("--no-diffusers", action="store_true")
    parser.add_argument("--no-deviations", action="store_true")
    return parser.parse_args()


@torch.no_grad()
def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    where = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"a CPU, threads: {options.threads}; processor seconds"
    )
    print(f"torch {torch.__version__} on {where}")
    for model in options.model or ["wan-1.3b"]:
        case = case_of(model, options)
        run(model, case, options)
        if not options.no_deviations:
            print(deviations(replace(case, config=replace(case.config, num_layers=min(case.config.num_layers, 4)))), flush=True)


if __name__ == "__main__":
    main()
