"""Commands as makers: what is accepted, what they are given, and what becomes of those that fail, hang or lie."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from wanbench.errors import UsageError
from wanbench.making.choice import choose_maker
from wanbench.making.command import CommandMaker, parse
from wanbench.making.makers import CannotMake, MakerOptions
from wanbench.making.shelf import Request
from wanbench.types import Prompt

REQUEST = Request(prompt=Prompt(id="a-1", text="a 'quoted' fox; rm {x}"), text="a 'quoted' fox; rm {x}", seed=3)


def make(command: str, path: Path, timeout_s: float = 30.0) -> None:
    CommandMaker(command, "cuda:1", timeout_s).make(REQUEST, path, lambda done, total: None)


def test_places_are_filled_and_nothing_is_read_by_a_shell(tmp_path: Path) -> None:
    """The prompt's quotes, semicolons and braces arrive as they are."""
    code = (
        "import sys, pathlib, os; pathlib.Path(sys.argv[2]).write_text(repr(sys.argv[1:] + [os.environ['CUDA_VISIBLE_DEVICES']]))"
    )
    make(f'{sys.executable} -c "{code}" {{prompt}} {{out}} {{seed}} {{prompt_id}} {{device}}', tmp_path / "o.mp4")
    said = (tmp_path / "o.mp4").read_text()
    assert said == repr([REQUEST.text, str(tmp_path / "o.mp4"), "3", "a-1", "cuda:1", "1"])


def test_the_prompt_file_holds_the_text(tmp_path: Path) -> None:
    make(
        f'{sys.executable} -c "import sys, shutil; shutil.copy(sys.argv[1], sys.argv[2])" {{prompt_file}} {{out}}', tmp_path / "o"
    )
    assert (tmp_path / "o").read_text("utf-8") == REQUEST.text + "\n"


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("./x {prompt}", "does not name {out}"),
        ("./x {out}", "names neither {prompt_file} nor {prompt}"),
        ("./x {prompt} {out} {colour}", "names {colour}; known are"),
        ("./x 'unclosed {prompt} {out}", "cannot be read"),
        ("./x {prompt {out}", "cannot be read"),
        ("", "is empty"),
    ],
)
def test_wrong_commands_are_refused_before_any_work(command: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(command)
    assert complaint in str(caught.value)


def test_a_models_options_are_the_commands_own_affair() -> None:
    with pytest.raises(UsageError, match="--steps is the command's own affair"):
        choose_maker("command:./x {prompt} {out}", MakerOptions(steps=4))
    spec = choose_maker("command:./x {prompt} {out}", MakerOptions())
    assert spec.fingerprint == choose_maker("command:./x {prompt} {out}", MakerOptions()).fingerprint
    assert spec.fingerprint != choose_maker("command:./y {prompt} {out}", MakerOptions()).fingerprint


def test_failures_carry_the_commands_last_word(tmp_path: Path) -> None:
    with pytest.raises(CannotMake, match=r"ended with exit code 5: a last word"):
        make(
            f"{sys.executable} -c \"import sys; print('first'); print('a last word'); sys.exit(5)\" {{prompt}} {{out}}",
            tmp_path / "o",
        )
    with pytest.raises(CannotMake, match="/nowhere/x cannot be run: No such file"):
        make("/nowhere/x {prompt} {out}", tmp_path / "o")


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    script = tmp_path / "hang.py"
    script.write_text(
        "import subprocess, time\n"
        "started = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(started.pid))\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(CannotMake, match=r"took longer than 1\.5 s and was ended"):
        make(f"{sys.executable} {script} {{prompt}} {{out}}", tmp_path / "o", timeout_s=1.5)
    assert ended(int((tmp_path / "pid").read_text()))


LEAVES_SOMETHING_RUNNING = (
    "import subprocess, sys, time\n"
    "started = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    "open(sys.argv[1], 'w').write(str(started.pid))\n"
)


def test_what_a_command_left_running_is_ended_with_it(tmp_path: Path) -> None:
    script = tmp_path / "leave.py"
    script.write_text(LEAVES_SOMETHING_RUNNING)
    make(f"{sys.executable} {script} {{out}} {{prompt}}", tmp_path / "pid")
    assert ended(int((tmp_path / "pid").read_text()))


def test_a_maker_that_is_killed_takes_all_of_its_command_along(tmp_path: Path) -> None:
    """kill -9 of the process that wanted the video: neither the script nor what the script had started goes on."""
    script = tmp_path / "leave.py"
    script.write_text(LEAVES_SOMETHING_RUNNING + "time.sleep(600)\n")
    maker = subprocess.Popen([
        sys.executable,
        "-c",
        f"from tests.making.test_command import make; from pathlib import Path\n"
        f"make({f'{sys.executable} {script} {{out}} {{prompt}}'!r}, Path({str(tmp_path / 'pid')!r}), 600.0)",
    ], cwd=Path(__file__).parents[2])  # fmt: skip
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert maker.poll() is None
        time.sleep(0.02)
    command = psutil.Process(maker.pid).children(recursive=True)
    maker.kill()
    maker.wait()
    assert len(command) >= 2  # the guardian and the script; `sleep` may have left the session, not the family
    assert all(ended(process.pid) for process in command)
    assert ended(int((tmp_path / "pid").read_text()))


def ended(pid: int) -> bool:
    """Within five seconds; what has not is killed."""
    for _ in range(100):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    os.kill(pid, 9)
    return False
