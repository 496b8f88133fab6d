"""The documentation: its links hold, its commands exist, and what it tells to write works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

import wanbench
from wanbench.cli.app import app
from wanbench.prompts.suite import load_suite
from wanbench.scenes.encode import write_video
from wanbench.scenes.render import Scene, Subject, render

ROOT = Path(wanbench.__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = typer.main.get_command(app)

pytestmark = pytest.mark.skipif(not (ROOT / "mkdocs.yml").exists(), reason="not a checkout: there are no docs")


def build(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mkdocs", "build"], cwd=root, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    return tmp_path


def test_the_site_builds_and_asks_no_host(copy: Path) -> None:
    done = build(copy)
    assert done.returncode == 0, done.stderr
    pages = list((copy / "build" / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        assert not re.search(r'<(script|link|img|iframe)[^>]+(src|href)="(https?:)?//', page.read_text("utf-8")), page.name


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[gone](gone.md)", "gone.md"),
        ("[gone](gate.md#no-such-place)", "no-such-place"),
        ("[here](#nowhere)", "nowhere"),
        ("![gone](gone.png)", "gone.png"),
    ],
)
def test_a_broken_link_ends_the_build(text: str, complaint: str, copy: Path) -> None:
    with (copy / "docs" / "faq.md").open("a") as page:
        page.write(f"\n{text}\n")
    done = build(copy)
    assert done.returncode == 1
    assert complaint in done.stderr


def test_a_page_that_nobody_can_reach_ends_the_build(copy: Path) -> None:
    (copy / "docs" / "lost.md").write_text("# Lost\n")
    done = build(copy)
    assert done.returncode == 1
    assert "lost.md" in done.stderr


def test_links_of_the_readme_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / "README.md").read_text("utf-8")):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def commands() -> list[tuple[str, str]]:
    """(page, line) of every `wanbench` command in a block of shell."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```(?:sh|bash)\n(.*?)```", page.read_text("utf-8"), re.S):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(page.name, line.strip()) for line in lines if line.strip().startswith("wanbench ")]
    return found


@pytest.mark.parametrize(("page", "line"), commands(), ids=[f"{p}-{k}" for k, (p, _) in enumerate(commands())])
def test_commands_and_options_exist(page: str, line: str) -> None:
    words, command = shlex.split(line, comments=True)[1:], COMMAND
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands"), f"{page}: {line}: no such command"
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, f"{page}: {line}"


def test_the_dimension_of_the_page_works_as_it_stands_there(tmp_path: Path) -> None:
    """Dropped into a copy of the package, it is found, measured, reported and controlled."""
    page = (ROOT / "docs" / "adding-a-dimension.md").read_text("utf-8")
    (name,) = re.findall(r"Save as `wanbench/metrics/(\w+)\.py`", page)
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    shutil.copytree(ROOT / "wanbench", tmp_path / "wanbench", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "wanbench" / "metrics" / f"{name}.py").write_text(code, "utf-8")
    for kind, steps in (("steady", [0] * 16), ("flickering", [0, 20] * 8)):
        frames = [np.full((64, 96, 3), 100 + step, np.uint8) + np.arange(96, dtype=np.uint8)[:, None] for step in steps]
        for frame, x in zip(frames, range(16), strict=True):
            frame[20:40, 4 * x : 4 * x + 20] = 30  # something moves, or the frames would repeat
        (tmp_path / kind).mkdir()
        write_video(tmp_path / kind / "a.mp4", frames, fps=8)
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "WANBENCH_HOME": str(tmp_path / "home")}
    told = subprocess.run(
        [sys.executable, "-P", "-m", "wanbench", "score", "s=steady", "f=flickering", "--profile", "lite", "--out", "r"],
        cwd=tmp_path, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    found = {c: v["dimensions"][name] for c, v in wanbench.load(tmp_path / "r").summary["candidates"].items()}
    # 20 levels up and down at every frame, but for the 400 of 6,144 pixels that move: 18.7 of 255, and ten times that.
    assert found["f"]["score"] == pytest.approx(1 - 10 * 18.7 / 255, abs=0.02)
    assert found["s"]["score"] == pytest.approx(1.0, abs=0.02)
    assert "brightness steadiness" in (tmp_path / "r" / "report.html").read_text("utf-8")
    assert "brightness steadiness" in told.stdout


def test_the_sequential_gate_of_the_page_runs_as_it_stands_there() -> None:
    page = (ROOT / "docs" / "gate.md").read_text("utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "SequentialGate(" in block]
    told: list[str] = []
    names = {"candidate_score": lambda prompt: 0.5, "baseline_score": lambda prompt: 0.5}
    exec(code, {**names, "print": lambda *facts: told.extend(map(str, facts))})
    assert told[0] == "PASS"
    assert 0 < int(told[1]) < 1035


def test_the_recipe_without_a_gpu_decides_as_the_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "ci.md").read_text("utf-8").partition("## Any runner, no GPU")[2].partition("\n## ")[0]
    (recipe,) = re.findall(r"```sh\n(.*?)```", page, re.S)
    (policy,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    (tmp_path / "wanbench-policy.toml").write_text(policy)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "wanbench").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m wanbench "$@"\n')
    (tmp_path / "bin" / "wanbench").chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "WANBENCH_HOME": str(tmp_path / "home")}

    def sh(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=env, capture_output=True, text=True)

    measured = ("large_motion_generation", "pixel_level_stability", "camera_control")
    prompts = [p for p in load_suite("mini").prompts.values() if p.dimension in measured]
    assert len(prompts) == 30
    score, gate = (line for line in recipe.splitlines() if line.startswith("wanbench "))
    lively = Scene(size_HW=(48, 64), subjects=(Subject(size=0.5, velocity_XY=(0.4, 0.1)),))
    noisy = Scene(size_HW=(48, 64), noise_sigma=25.0)
    for scene, verdict in ((lively, 0), (noisy, 1)):
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        (tmp_path / "videos").mkdir(exist_ok=True)
        for k, prompt in enumerate(prompts):
            frames = (frame for _, frame in render(scene, fps=8, seconds=0.75, seed=k))
            write_video(tmp_path / "videos" / f"{prompt.id}-0.mp4", frames, fps=8)
        done = sh(score)
        assert done.returncode == 0, done.stderr
        if verdict == 0:
            assert sh("wanbench baseline save runs/new wanbench-baseline.json").returncode == 0
        done = sh(gate)
        assert done.returncode == verdict, done.stdout + done.stderr


def test_the_dimension_of_the_page_is_as_clean_as_ours(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "adding-a-dimension.md").read_text("utf-8"), re.S)[0]
    for check in (["check"], ["format", "--check"]):
        where = ["--config", str(ROOT / "pyproject.toml"), "--stdin-filename", "a.py"]
        done = subprocess.run([sys.executable, "-m", "ruff", *check, *where, "-"], input=code, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_pages_import_is_there(page: Path) -> None:
    """Of every example in Python, the lines that import from here."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for line in re.findall(r"^(?:from wanbench|import wanbench).*$", "".join(blocks), re.MULTILINE):
        exec(line, {})
