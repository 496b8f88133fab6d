"""A judge in process asked about one clip: all questions over shared frames, against each conversation as a whole.

    python -m benchmarks.judge [--judge FOLDER] [--device cpu] [--frames 16] [--questions 5] [--lines 240] [--repeats 5]

Ours sends each frame through the vision tower once and what all questions have in common through the language model once.
"Plain" is what a script would do: the whole conversation, pictures and all, through the model's processor for each question.
Both give the same log-odds (`tests/judge/test_local.py`). Without `--judge` a small random Qwen2-VL is written first; run it
from the repository's root then. With a real one both sides do the same more slowly, and the ratio depends on how much of the work
lies in the frames.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import alternate
from wanbench.judge.frames import key_of
from wanbench.judge.local import LocalJudge
from wanbench.judge.protocol import YES_OR_NO, Frame, messages, posed
from wanbench.networks import Placement


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, help="folder of a model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--questions", type=int, default=5, help="each is asked with its contrary")
    parser.add_argument("--lines", type=int, default=240, help="short side of the frames")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = given.judge or importlib.import_module("tests.judge.tiny").write_model(Path(folder))
        judge = LocalJudge(path, Placement(device=given.device, dtype=given.dtype, batch_size=16))
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (given.frames, given.lines, given.lines * 26 // 15, 3), dtype=np.uint8)
    frames = [Frame(seconds=k / 8, picture=p, key=key_of(p)) for k, p in enumerate(pictures)]
    asked = [f"Does thing number {k} happen in the video?" for k in range(given.questions)]
    prompts = [posed(YES_OR_NO, text) for q in asked for text in (q, q.replace("happen", "stay away"))]

    def ours() -> None:
        judge._seen = {}  # as for a clip that was never seen
        list(judge.odds(frames, prompts))

    def plain() -> None:
        for prompt in prompts:
            _whole(judge, frames, prompt, given.device)

    tokens = sum(int(s.grid.prod()) for s in _seen(judge, frames, prompts)) // judge._processor.image_processor.merge_size**2
    print(
        f"{given.questions} questions with their contraries, {given.frames} frames of {given.lines} lines, {tokens} visual tokens"
    )
    ratio = alternate(ours, plain, repeats=given.repeats, names=("shared", "plain"))
    for name, costs in (("shared", ratio.ours), ("plain", ratio.theirs)):
        print(f"{name}: {given.questions / float(np.median([c.wall for c in costs])):.2f} questions per second")


def _whole(judge: LocalJudge, frames: list[Frame], prompt: str, device: str) -> Any:
    import torch

    text = judge._processor.apply_chat_template(messages(frames, prompt), tokenize=False, add_generation_prompt=True)
    inputs = judge._processor(text=[text], images=[f.picture for f in frames], return_tensors="pt").to(device)
    with torch.inference_mode():
        return judge._model(**inputs, logits_to_keep=1).logits[0, -1].cpu()


def _seen(judge: LocalJudge, frames: list[Frame], prompts: list[str]) -> list[Any]:
    list(judge.odds(frames, prompts[:1]))
    return list(judge._seen.values())


if __name__ == "__main__":
    main()
