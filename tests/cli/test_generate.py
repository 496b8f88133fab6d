"""`wanbench generate` and `wanbench models` as a user has them: files, what is kept, and what is refused."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from .command import Wanbench, end, write_clips

QUICK = ("--size", "96x64", "--frames", "5", "--steps", "1")


def folder(wanbench: Wanbench, out: str) -> Path:
    return wanbench.cwd / out / "videos" / "wan-tiny"


def digests(videos: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(videos.glob("*.mp4"))}


def shown(path: Path) -> tuple[int, int, int, float]:
    """Width, height, decoded frames, frames a second."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        return stream.width, stream.height, sum(1 for _ in file.decode(stream)), float(stream.average_rate)


def test_a_suite_is_made_kept_mended_and_understood_by_score(wanbench: Wanbench) -> None:
    command = ("generate", "--model", "wan-tiny", "--suite", "smoke", "--limit", "2", "--seeds", "0,3", *QUICK, "--fps", "8")
    first = wanbench(*command, "--out", "a", "--json")
    assert first.code == 0
    assert (first.json["made"], first.json["kept"]) == (4, 0)
    videos = folder(wanbench, "a")
    assert [str(wanbench.cwd / path) for path in first.json["videos"]] == [
        str(videos / Path(p).name) for p in first.json["videos"]
    ]
    before = digests(videos)
    assert len(before) == len(set(before.values())) == 4
    assert {shown(videos / name) for name in before} == {(96, 64, 5, 8.0)}

    name = next(iter(before))
    told = json.loads((videos / name).with_suffix(".json").read_text())
    assert f"{told['prompt_id']}-{told['seed']}.mp4" == name
    assert told["sha256"] == before[name]
    assert told["settings"]["size"] == [64, 96]
    assert told["settings"]["solver"] == "unipc"
    assert set(told["versions"]) == {"wanbench", "torch", "transformers", "av"}
    assert told["seconds"] > 0

    kept, damaged, lost, undescribed = sorted(before)
    (videos / damaged).write_bytes((videos / damaged).read_bytes()[:500])
    (videos / lost).unlink()
    (videos / undescribed).with_suffix(".json").unlink()
    untouched = (videos / kept).stat().st_mtime_ns
    again = wanbench(*command, "--out", "a", "--json")
    assert (again.json["made"], again.json["kept"]) == (3, 1)
    assert digests(videos) == before  # same seed, same bytes, in another process
    assert (videos / kept).stat().st_mtime_ns == untouched
    assert not [path for path in videos.iterdir() if ".part" in path.name]

    scored = wanbench("score", "a/videos/wan-tiny", "--profile", "lite", "--out", "s", "--json", "-q")
    assert scored.code == 0, scored.err
    lines = [json.loads(line) for line in (wanbench.cwd / "s" / "measurements.jsonl").read_text().splitlines()]
    assert {(line["prompt_id"], line["seed"]) for line in lines} == {(n.rpartition("-")[0], int(n[-5])) for n in before}
    assert json.loads((wanbench.cwd / "s" / "run.json").read_text())["suite"]["name"] == "smoke"

    other = wanbench(*command, "--shift", "3", "--out", "a")
    assert other.code == 2
    assert "choose another --out" in other.complaint


def test_a_prompt_a_picture_and_the_default_folder(wanbench: Wanbench) -> None:
    asked = ("generate", "--model", "wan-tiny", "--prompt", "Un café, ein Café", *QUICK, "-q")
    assert wanbench(*asked).code == 0
    (run,) = (wanbench.cwd / "runs").iterdir()
    assert run.name.startswith("wan-tiny-")
    (line,) = (run / "videos" / "wan-tiny" / "prompts.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["prompt"] == "Un café, ein Café"
    assert (run / "videos" / "wan-tiny" / json.loads(line)["video"]).is_file()
    again = wanbench(*asked[:-1], "--json")
    assert again.json["kept"] == 1
    assert "0 of 1" not in again.err
    picture = wanbench(*asked[:5], "--size", "96x64", "--frames", "1", "--steps", "1", "--out", "p", "--name", "me", "--json")
    with Image.open(wanbench.cwd / picture.json["videos"][0]) as image:
        assert (image.format, image.size) == ("PNG", (96, 64))
    assert picture.json["candidate"] == "me"


def test_an_interrupt_keeps_what_is_whole_and_the_next_command_goes_on(wanbench: Wanbench) -> None:
    command = ("generate", "--model", "wan-tiny", "--suite", "smoke", "--limit", "5", "--size", "192x112", "--frames", "33",
               "--out", "a")  # fmt: skip
    videos = folder(wanbench, "a")
    for number, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        had = len(list(videos.glob("*.json")))
        process = wanbench.start(*command)
        until = time.monotonic() + 100
        while len(list(videos.glob("*.json"))) == had and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(number)
        ended = end(process)
        assert ended.code == code, ended.err
        if number == signal.SIGINT:
            assert "give the same command to go on" in ended.err
    done = digests(videos)
    described = {path.with_suffix(".mp4").name for path in videos.glob("*.json")}
    assert 2 <= len(described) < 5
    finished = wanbench(*command, "--json")
    assert finished.json["kept"] == len(described)
    assert {name: digest for name, digest in digests(videos).items() if name in done} == done
    assert len(digests(videos)) == 5
    assert not [path for path in videos.iterdir() if ".part" in path.name]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--model", "wan-1.4b", "--prompt", "x"), "no model is called 'wan-1.4b': there are wan-tiny, wan-1.3b"),
        (("--model", "wan-1.3b", "--prompt", "x"), "wan-1.3b is not in the store"),
        (("--model", "wan-tiny", "--prompt", "x", "--size", "100x100"), "a size of 100x100, wanted multiples of 16x16 pixels"),
        (
            ("--model", "wan-tiny", "--prompt", "x", "--size", "1000000x1000000"),
            "1000000x1000000 and 33 frames are more than can",
        ),
        (
            ("--model", "wan-tiny", "--prompt", "x", "--seeds", "9" * 26),
            "--seeds takes different whole numbers from 0 to 2^63 - 1",
        ),
        (("--model", "wan-tiny", "--prompt", "x", "--shift", "nan"), "all must be over 0"),
        (("--model", "wan-tiny", "--prompt", "x", "--guidance", "3,4"), "two guidances, 3,4, and one network"),
        (("--model", "wan-tiny", "--prompt", "x", "--suite", "smoke"), "give either --prompt or --suite"),
        (("--model", "wan-tiny", "--prompt", " "), "the prompt is empty"),
        (("--model", "wan-tiny", "--dimensions", "beauty"), "unknown dimension 'beauty'"),
        (
            ("--model", "wan-tiny", "--prompt", "x", "--memory", "0.1"),
            "a memory of 0.10 GB is too little: decoding at this size needs 0.62 GB",
        ),
        (("--model", "wan-tiny", "--prompt", "x", "--video", "a.mp4"), "--video and --mask are for VACE"),
        (("--model", "wan-tiny", "--prompt", "x", "--shard"), "--shard is for several processes: torchrun --nproc-per-node N"),
        (("--model", "wan-tiny", "--prompt", "x", "--guidance", "1,2,3"), "--guidance takes a number, or two"),
        (("--model", "diffusers:a/b", "--prompt", "x", "--fp8"), "--fp8 is not passed on to diffusers' pipelines"),
    ],
)
def test_wrong_use_is_one_line_before_any_work(wanbench: Wanbench, arguments: tuple[str, ...], says: str) -> None:
    ended = wanbench("generate", *arguments)
    assert ended.code == 2
    assert says in ended.complaint
    assert not (wanbench.cwd / "runs").exists()


def test_models_are_listed_and_shown(wanbench: Wanbench) -> None:
    listed = wanbench("models", "list").out
    for name in ("wan-tiny", "wan-1.3b", "wan2.2-ti2v-5b", "832x480", "1.42 B"):
        assert name in listed
    assert listed.splitlines()[1].split()[:2] == ["wan-tiny", "yes"]
    shown = wanbench("models", "show", "wan-1.3b").out
    for text in ("Wan-AI/Wan2.1-T2V-1.3B", "50 steps, shift 5, guidance 5", "11.4 GB text encoder"):
        assert text in shown
    assert "no model is called 'x'" in wanbench("models", "show", "x").complaint


def sidecar(wanbench: Wanbench, out: str) -> dict[str, Any]:
    (path,) = folder(wanbench, out).glob("*.json")
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def test_what_moves_pixels_is_part_of_the_fingerprint_and_what_does_not_is_not(wanbench: Wanbench) -> None:
    asked = ("generate", "--model", "wan-tiny", "--prompt", "a cat", "--size", "96x64", "--frames", "9")
    plain = wanbench(*asked, "--out", "plain", "--json")
    assert "memory" not in plain.err  # on a CPU nothing is planned
    whole = wanbench(*asked, "--memory", "8.19", "--guidance-passes", "apart", "--out", "whole", "--json")
    assert whole.json["fingerprint"] == plain.json["fingerprint"]
    assert "memory: 8.19 GB: all blocks on the device" in whole.err
    assert sidecar(wanbench, "whole")["sha256"] == sidecar(wanbench, "plain")["sha256"]
    assert sidecar(wanbench, "whole")["memory"].startswith("8.19 GB: all blocks on the device")

    batched = wanbench(*asked, "--memory", "8.19", "--out", "batched", "--json")
    assert batched.json["settings"]["passes"] == "together"
    by_hand = wanbench(*asked, "--guidance-passes", "together", "--out", "batched", "--json")
    assert by_hand.json["kept"] == 1  # what a budget chose is what one may also ask for

    tiled = wanbench(*asked, "--memory", "0.613", "--out", "tiled", "--json")
    assert tiled.json["settings"]["tile"] == 64
    assert "decoding in squares of 64 pixels" in tiled.err
    fast = wanbench(*asked, "--fp8", "--reuse", "attention:3", "--out", "fast", "--json")
    for option in ("8-bit products", "reuse of attention"):
        assert f"{option}: one pass deviates by" in fast.err
        assert sidecar(wanbench, "fast")["deviation"][option].startswith("one pass deviates by")
    prints = [plain, batched, tiled, fast]
    assert len({ended.json["fingerprint"] for ended in prints}) == len(prints)


def test_run_and_generate_take_the_same_options_and_mean_the_same(wanbench: Wanbench) -> None:
    asked = ("--model", "wan-tiny", "--suite", "smoke", "--limit", "1", *QUICK, "--guidance", "3,3", "--vae-tile", "64",
             "--memory", "8.19GB", "--fp8", "--solver", "euler", "--negative", "grey")  # fmt: skip
    made = wanbench("generate", *asked, "--out", "a", "--json")
    assert made.code == 0, made.err
    ran = wanbench("run", *asked, "--profile", "lite", "--out", "b", "--json")
    assert ran.code == 0, ran.err
    assert "memory: 8.19 GB: all blocks on the device" in ran.err
    assert "8-bit products: one pass deviates by" in ran.err
    (candidate,) = json.loads((wanbench.cwd / "b" / "run.json").read_text())["candidates"].values()
    assert candidate["fingerprint"] == made.json["fingerprint"]
    assert candidate["settings"]["guidance"] == [3.0, 3.0]
    assert candidate["circumstances"]["memory"].startswith("8.19 GB")
    for command in ("generate", "run"):
        shown = wanbench(command, "--help").out
        for option in ("--image", "--video", "--mask", "--vae-tile", "--memory", "--fp8", "--reuse", "--compile",
                       "--guidance-passes", "--lora"):  # fmt: skip
            assert option in shown, f"{option} of {command}"


def test_a_damaged_listing_is_named_with_its_line_and_kept(wanbench: Wanbench) -> None:
    asked = ("generate", "--model", "wan-tiny", "--prompt", "a cat", *QUICK, "--out", "a")
    assert wanbench(*asked).code == 0
    listing = folder(wanbench, "a") / "prompts.jsonl"
    whole = listing.read_text("utf-8")
    for row, says in (
        ('{"video": "b.mp4", "pro', "line 2 is not JSON"),
        ('{"prompt": "a dog"}', "line 2 names no video"),
        ('["b.mp4"]', "line 2 names no video"),
        ('{"suite": "smoke"}', "lists the videos of a suite"),
    ):
        listing.write_text(whole + row + "\n", "utf-8")
        ended = wanbench(*asked, "--seed", "3")
        assert ended.code == 2
        assert says in ended.err.splitlines()[-1]
        assert "prompts.jsonl" in ended.err.splitlines()[-1]
        assert listing.read_text("utf-8") == whole + row + "\n"
    listing.write_text(whole, "utf-8")
    assert wanbench(*asked, "--seed", "3").code == 0
    assert len(listing.read_text("utf-8").splitlines()) == 2


def torchrun(wanbench: Wanbench, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "wanbench"]
    env = {**wanbench.env, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, *arguments], cwd=wanbench.cwd, env=env, capture_output=True, text=True, timeout=200)


def test_two_processes_make_the_video_of_one(wanbench: Wanbench) -> None:
    asked = ("generate", "--model", "wan-tiny", "--prompt", "a cat", "--size", "96x64", "--frames", "9", "--seeds", "0,1")
    assert wanbench(*asked, "--out", "one").code == 0
    done = torchrun(wanbench, *asked, "--out", "two", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)  # one process alone has spoken
    assert (told["made"], told["kept"]) == (2, 0)
    assert done.stderr.count("run: two") == 1
    for path in sorted(folder(wanbench, "two").glob("*.json")):
        assert json.loads(path.read_text())["processes"] == 2
    one, two = (pixels(folder(wanbench, out)) for out in ("one", "two"))
    assert np.abs(one - two).max() <= 2  # of 255: sums are taken in another order


@pytest.mark.full
def test_two_processes_with_parameters_in_pieces_and_what_they_refuse(wanbench: Wanbench) -> None:
    asked = ("generate", "--model", "wan-tiny", "--prompt", "a cat", "--size", "96x64", "--frames", "9", "--seeds", "0,1")
    assert wanbench(*asked, "--out", "one").code == 0
    for options in (("--shard",), ("--reuse", "attention"), ("--fp8",)):
        done = torchrun(wanbench, *asked, "--out", "two", "--name", options[-1].strip("-"), *options)
        assert done.returncode == 0, done.stderr
    one, two = (pixels(wanbench.cwd / out / "videos" / name) for out, name in (("one", "wan-tiny"), ("two", "shard")))
    assert np.abs(one - two).max() <= 2
    again = torchrun(wanbench, *asked, "--out", "two", "--name", "shard", "--shard")
    assert "0 made, 2 were there" in again.stdout
    for options, says in (
        (("--memory", "8"), "--memory is for one process"),
        (("--shard", "--fp8"), "choose --fp8 or --shard"),
        (("--device", "cpu:0"), "torchrun gives each process its own device"),
    ):
        refused = torchrun(wanbench, *asked, "--out", "three", *options)
        assert refused.returncode != 0
        said = [line for line in refused.stderr.splitlines() if line.startswith("wanbench: ")]
        assert len(said) == 1, refused.stderr
        assert says in said[0]


def pixels(videos: Path) -> np.ndarray:
    """All frames of a folder, in the order of the files' names."""
    frames = []
    for path in sorted(videos.glob("*.mp4")):
        with av.open(str(path)) as file:
            frames += [frame.to_ndarray(format="rgb24").astype(float) for frame in file.decode(video=0)]
    return np.stack(frames)


def test_a_name_is_not_a_path(wanbench: Wanbench) -> None:
    ended = wanbench("generate", "--model", "wan-tiny", *QUICK, "--prompt", "a fox", "--name", "../../out of here", "--out", "o")
    assert ended.code == 0, ended.err
    assert [p.parent.relative_to(wanbench.cwd).as_posix() for p in wanbench.cwd.rglob("*.mp4")] == ["o/videos/out-of-here"]


MAKER = """
import shutil, sys
if sys.argv[3] == "1":
    sys.exit("no luck with this one")
if sys.argv[3] == "2":
    open(sys.argv[2], "w").write("no video")
if sys.argv[3] in "04":
    shutil.copy("good.mp4", sys.argv[2])
"""


def test_a_video_that_cannot_be_made_costs_only_itself(wanbench: Wanbench) -> None:
    """Seed 1: the command fails; 2: what it writes is no video; 3: it writes nothing; 0 and 4 are made, and kept."""
    write_clips(wanbench.cwd / "c", 1)
    next((wanbench.cwd / "c").iterdir()).rename(wanbench.cwd / "good.mp4")
    (wanbench.cwd / "maker.py").write_text(MAKER)
    command = f"command:{sys.executable} maker.py {{prompt_file}} {{out}} {{seed}}"
    asked = ("--model", command, "--prompt", "a", "--seeds", "0,1,2,3,4")
    made = wanbench("generate", *asked, "--out", "o", "--json", "-q")
    assert made.code == 3
    assert (made.json["made"], made.json["kept"], len(made.json["failed"])) == (2, 0, 3)
    assert [name.rpartition("-")[2] for name in made.json["failed"]] == ["1", "2", "3"]
    assert sum(line.startswith("error: a-") for line in made.err.splitlines()) == 3
    again = wanbench("generate", *asked, "--out", "o", "--json", "-q")
    assert (again.code, again.json["kept"], len(list((wanbench.cwd / "o").rglob("*.mp4")))) == (3, 2, 2)
