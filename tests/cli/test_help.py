"""Help is quick, complete and plain; completion works; the light half stays light."""

from __future__ import annotations

import inspect
import json
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from wanbench.cli import completing

from .command import Wanbench

HELP_SECONDS = 0.6
"""Of processor time, as below: 0.3 s are promised on an idle machine, and a busy one counts some more for the same work."""
COMMANDS = (
    "run",
    "generate",
    "models",
    "score",
    "inspect",
    "report",
    "export",
    "doctor",
    "demo",
    "controls",
    "fid",
    "checkpoints",
    "train",
    "prompts",
    "weights",
    "compare",
    "gate",
    "baseline",
    "judge",
)
OPTIONS = """--out --profile --dimensions --all-dimensions --device --workers --suite --seed --limit --offline --json -q -v
    --no-progress --name --prompts --batch-size"""
LIGHT = """wanbench wanbench.stats wanbench.scoring wanbench.weights.weighting wanbench.record wanbench.exporting
    wanbench.published wanbench.reports.page wanbench.reports.board_page wanbench.reports.terminal
    wanbench.prompts.suite wanbench.evaluation.samples wanbench.checkpoints"""
COMPLETION_SECONDS = 1.0
"""Half a second is what a hand does not notice."""
HEAVY = {"torch", "torchvision", "transformers", "open_clip", "pyiqa", "ultralytics", "timm", "cv2", "av", "pandas", "scipy"}


def modules(code: str) -> set[str]:
    """Names of the top-level modules that are loaded after `code`, beyond those of an empty program."""
    probe = f"import sys\nbefore = set(sys.modules)\n{code}\nimport json\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-P", "-c", probe], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def children_seconds() -> float:
    """Processor time of all children that have ended: what they wait for others on a busy machine is not counted."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_is_quick(wanbench: Wanbench) -> None:
    """The installed command, as a user types it."""
    command = Path(sysconfig.get_path("scripts")) / "wanbench"
    spent = []
    for _ in range(5):
        begun = children_seconds()
        done = subprocess.run([command, "--help"], capture_output=True, text=True, env=wanbench.env)
        spent.append(children_seconds() - begun)
        assert done.returncode == 0
    print(f"wanbench --help: {min(spent):.3f} s at best, {max(spent):.3f} s at worst of {len(spent)}")
    assert min(spent) < HELP_SECONDS


def test_help_loads_the_command_line_library_and_nothing_else() -> None:
    loaded = modules("import sys; sys.argv = ['wanbench', '--help']\nfrom wanbench.__main__ import main\ntry:\n    main()\n"
                     "except SystemExit: pass")  # fmt: skip
    allowed = {"wanbench", "typer", "click", "shellingham", "typing_extensions", "annotated_doc", "colorama"}
    assert {name for name in loaded if name not in sys.stdlib_module_names and not name.startswith("_")} <= allowed


def test_help_lists_every_command_and_is_plain(wanbench: Wanbench) -> None:
    ended = wanbench("--help", env={"FORCE_COLOR": "1"})
    assert all(f"  {name}" in ended.out for name in COMMANDS)
    assert "\x1b" not in ended.out
    for name in COMMANDS:
        assert wanbench(name, "--help").code == 0
    score = wanbench("score", "-h").out
    for option in OPTIONS.split():
        assert option in score, option
    assert wanbench("--version").out.startswith("wanbench ")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_completion_in_a_real_shell(wanbench: Wanbench) -> None:
    """The script that the command gives is loaded by bash and asked what may follow."""
    script = """eval "$(_WANBENCH_COMPLETE=source_bash wanbench)"
    ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _wanbench_completion wanbench; echo "${COMPREPLY[@]}"; }
    ask wanbench in; ask wanbench score --pro; ask wanbench checkpoints ''"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env={**wanbench.env, "PATH": path_with_us()})
    told = [line.split() for line in done.stdout.splitlines()]
    assert told == [["inspect"], ["--profile", "--prompts"], ["list", "pull", "verify", "path"]], done
    for shell, part in (("zsh", "compdef"), ("fish", "complete ")):
        env = {**wanbench.env, "PATH": path_with_us(), "_WANBENCH_COMPLETE": f"source_{shell}"}
        assert part in subprocess.run(["wanbench"], capture_output=True, text=True, env=env).stdout


OFFERED = {
    "score --suite ": "smoke mini full",
    "run --suite f": "full",
    "generate --suite m": "mini",
    "score --dimensions cam": "camera_control",
    "score --dimensions camera_control,phy": "camera_control,physical_plausibility",
    "score --dimensions camera_control,cam": "",
    "run --model wan-v": "wan-vace-1.3b wan-vace-14b",
    "generate --model di": "diffusers:",
    "run --judge qwen3": "qwen3-vl-4b qwen3-vl-8b",
    "score --weights ": "table2 uniform",
    "score --log-to ": "wandb mlflow tensorboard",
    "score --profile r": "reference",
    "prompts st": "stats",
}
"""Words of a command line, up to the one that is being typed -> what a shell is told."""


@pytest.mark.parametrize("typed", OFFERED)
def test_names_are_completed_without_delay(wanbench: Wanbench, typed: str) -> None:
    """By the protocol of bash: words and the place of the one that is typed in the environment."""
    words = ["wanbench", *typed.split(" ")]
    env = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1), "_WANBENCH_COMPLETE": "complete_bash"}
    spent = []
    for _ in range(3):
        begun = children_seconds()
        done = subprocess.run(["wanbench"], capture_output=True, text=True, env={**wanbench.env, "PATH": path_with_us(), **env})
        spent.append(children_seconds() - begun)
        assert done.stdout.split() == OFFERED[typed].split(), done.stderr
        assert done.stderr == ""
    assert min(spent) < COMPLETION_SECONDS, spent


def test_completed_models_are_the_known_ones() -> None:
    catalogue = pytest.importorskip("wanbench.generator.catalogue", reason="the catalogue needs torch")
    assert set(completing.models("")) == {*catalogue.catalogue(), "diffusers:", "command:"}


def test_completed_judges_and_dimensions_are_the_known_ones() -> None:
    from wanbench.dimension import load_all
    from wanbench.judge.choice import NAMES

    assert completing.judges("") == ["none", *NAMES]
    assert set(completing.dimensions("")) == set(load_all())


def test_completing_loads_no_heavy_library() -> None:
    functions = [name for name, f in vars(completing).items() if inspect.isfunction(f) and not name.startswith("_")]
    assert len(functions) == 6
    calls = "; ".join(f"assert c.{name}('')" for name in functions)
    assert not modules(f"from wanbench.cli import completing as c; {calls}") & (HEAVY - {"scipy"})


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_completion_installs_itself(wanbench: Wanbench, tmp_path: Path) -> None:
    """For the shell it is called from; a new shell then has it."""
    env = {**wanbench.env, "PATH": path_with_us(), "HOME": str(tmp_path)}
    script = ["bash", "-c", "wanbench --install-completion; wanbench --show-completion >shown; true"]
    done = subprocess.run(script, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert "completion installed" in done.stdout, done
    assert "complete -o default -F _wanbench_completion wanbench" in (tmp_path / "shown").read_text()
    ask = "source ~/.bashrc; COMP_WORDS=(wanbench insp); COMP_CWORD=1; _wanbench_completion wanbench; echo ${COMPREPLY[@]}"
    told = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, env=env)
    assert told.stdout.strip() == "inspect", told


def path_with_us() -> str:
    return f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("module", LIGHT.split())
def test_the_light_half_is_light(module: str) -> None:
    assert not modules(f"import {module}") & HEAVY


def test_listing_dimensions_loads_no_network_library() -> None:
    assert not modules("from wanbench.dimension import load_all; assert load_all()") & (HEAVY - {"cv2", "scipy"})


def test_the_installed_command_is_this_package() -> None:
    command = Path(sysconfig.get_path("scripts")) / "wanbench"
    assert os.access(command, os.X_OK), f"{command} is missing: pip install -e ."
