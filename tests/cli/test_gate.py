"""`wanbench gate` and `wanbench baseline`: exit codes, the files they leave, and pytest around them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from xml.etree import ElementTree

import pytest

from ..synthetic import SUITE, rows, simulated, write_run
from .command import PACKAGE_ROOT, Wanbench


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Wanbench:
    """A command in whose folder are runs: `old`; `same`; `worse`; `noisy`; `few`; `other` of another suite; and `base.json`."""
    folder = tmp_path_factory.mktemp("gate")
    write_run(folder / "old", rows("c", simulated(seed=1)))
    write_run(folder / "same", rows("c", simulated(seed=2)))
    write_run(folder / "worse", rows("c", simulated(-0.08, seed=2)))
    write_run(folder / "noisy", rows("c", simulated(seed=2, spread=0.4)))
    write_run(folder / "few", rows("c", simulated(seed=1, prompts=2)))
    write_run(folder / "other", rows("c", simulated(seed=1)), suite=SUITE | {"hash": "1" * 64})
    wanbench = Wanbench(folder, folder / "home")
    assert wanbench("baseline", "save", "old", "base.json").code == 0
    return wanbench


@pytest.mark.parametrize(
    ("candidate", "code", "verdict"),
    [
        ("same", 0, "PASS"),
        ("worse", 1, "REGRESSION"),
        ("noisy", 4, "INCONCLUSIVE"),
        ("few", 4, "INCONCLUSIVE"),
        ("other", 4, "INCONCLUSIVE"),
    ],
)
def test_exit_codes(made: Wanbench, candidate: str, code: int, verdict: str) -> None:
    for baseline in ("old", "base.json", "old:c"):
        ended = made("gate", "--baseline", baseline, "--candidate", candidate)
        assert (ended.code, ended.err) == (code, ""), ended
        assert any(line.startswith(verdict) for line in ended.out.splitlines())


def test_files_and_json_agree(made: Wanbench) -> None:
    arguments = ("gate", "--baseline", "base.json", "--candidate", "worse")
    ended = made(*arguments, "--markdown", "c.md", "--junit", "j.xml", "--json")
    found = ended.json
    assert (found["verdict"], found["exit_code"], ended.code) == ("REGRESSION", 1, 1)
    comment = (made.cwd / "c.md").read_text("utf-8")
    assert comment.startswith("### ❌ Wan-Bench: REGRESSION\n")
    cases = {case.get("name"): case for case in ElementTree.fromstring((made.cwd / "j.xml").read_bytes())[0]}
    assert list(cases) == [c["name"] for c in found["checks"]]
    for check in found["checks"]:
        assert f"| {check['difference']:+.3f} |".replace("-", "−") in comment
        failed = cases[check["name"]].find("failure") is not None
        assert failed is (check["verdict"] == "REGRESSION")
    assert made(*arguments, "--json").out == ended.out


def test_files_are_written_for_what_cannot_be_compared_too(made: Wanbench) -> None:
    ended = made("gate", "--baseline", "old", "--candidate", "other", "--markdown", "o.md", "--junit", "o.xml")
    assert ended.code == 4
    assert "different suites" in (made.cwd / "o.md").read_text("utf-8")
    assert ElementTree.fromstring((made.cwd / "o.xml").read_bytes())[0].get("errors") == "1"
    allowed = made("gate", "--baseline", "old", "--candidate", "other", "--allow-mismatch")
    assert (allowed.code, "Compared all the same, as asked: different suites" in allowed.out) == (0, True)


def test_a_policy_decides(made: Wanbench) -> None:
    (made.cwd / "lax.toml").write_text('[total]\ntolerated_drop = 0.2\n[dimensions.default]\ntier = "warn"\n')
    assert made("gate", "--baseline", "old", "--candidate", "worse", "--policy", "lax.toml").code == 0
    (made.cwd / "warn.toml").write_text('inconclusive = "warn"\n')
    ended = made("gate", "--baseline", "old", "--candidate", "noisy", "--policy", "warn.toml")
    assert (ended.code, "INCONCLUSIVE (the policy only warns)" in ended.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--baseline", "gone", "--candidate", "old"), "gone is neither a run nor a baseline file"),
        (("--baseline", "old", "--candidate", "old", "--policy", "gone.toml"), "the policy gone.toml cannot be read"),
        (("--baseline", "old", "--candidate", "old", "--policy", "bad.toml"), "bad.toml: unknown key totl; known are"),
        (("--baseline", "old", "--candidate", "old", "--policy", "heavy.toml"), "heavy"),
        (("--baseline", "torn.json", "--candidate", "old"), "torn.json is not valid JSON"),
        (("--baseline", "damaged.json", "--candidate", "old"), "damaged.json is a damaged baseline"),
        (("--baseline", "newer.json", "--candidate", "old"), "newer.json was written by another version of wanbench (schema 2"),
    ],
)
def test_wrong_use(made: Wanbench, arguments: tuple[str, ...], complaint: str) -> None:
    (made.cwd / "bad.toml").write_text("[totl]\n")
    (made.cwd / "heavy.toml").write_text('weights = "heavy"\n')
    base = (made.cwd / "base.json").read_text()
    (made.cwd / "torn.json").write_text(base[:-200])
    (made.cwd / "damaged.json").write_text(base.replace('{"0": 0.', '{"0": 7.', 1))
    (made.cwd / "newer.json").write_text(base.replace('"schema_version": 1', '"schema_version": 2'))
    ended = made("gate", *arguments)
    assert (ended.code, complaint in ended.complaint) == (2, True), ended


def test_what_cannot_be_written(made: Wanbench) -> None:
    ended = made("gate", "--baseline", "old", "--candidate", "same", "--markdown", "gone/c.md")
    assert (ended.code, "cannot write gone/c.md" in ended.err) == (74, True)
    assert "PASS" in ended.out, "the verdict is told all the same"
    ended = made("baseline", "save", "old", "gone/b.json")
    assert (ended.code, "cannot write gone/b.json" in ended.complaint) == (74, True)


def test_a_baseline_file_is_the_same_every_time_and_small(made: Wanbench) -> None:
    assert made("baseline", "save", "old", "again.json", "-q").out == ""
    content = (made.cwd / "base.json").read_bytes()
    assert (made.cwd / "again.json").read_bytes() == content
    assert len(content) < 60 * 14 * 40
    assert set(json.loads(content)) == {"kind", "schema_version", "project_version", "candidate", "suite", "dimensions"}
    write_run(made.cwd / "without", rows("c", {"smoothness": {"p": "skipped"}}))
    ended = made("baseline", "save", "without", "w.json")
    assert (ended.code, "would hold nothing" in ended.complaint) == (2, True)


TESTS = """
from wanbench.pytest_plugin import assert_no_regression

def test_same():
    assert assert_no_regression("same", "base.json").verdict == "PASS"

def test_worse(assert_no_regression):
    assert_no_regression("worse", "base.json")

def test_noisy(assert_no_regression):
    assert_no_regression("noisy", "old")

def test_noisy_but_lax(assert_no_regression):
    assert_no_regression("noisy", "old", policy="warn.toml")
"""


def test_pytest_around_it(made: Wanbench) -> None:
    (made.cwd / "warn.toml").write_text('inconclusive = "warn"\n')
    (made.cwd / "test_gate_of_a_user.py").write_text(TESTS)
    env = {**made.env, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(PACKAGE_ROOT)}
    command = [sys.executable, "-m", "pytest", "-p", "wanbench.pytest_plugin", "-q", "--rootdir", ".", "test_gate_of_a_user.py"]
    done = subprocess.run(command, cwd=made.cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 failed, 2 passed, 1 warning" in done.stdout
    assert "REGRESSION: Weighted score, table2: dropped by more than the noise floor of 0.002" in done.stdout
    assert "UserWarning: INCONCLUSIVE" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_plugin_is_registered_and_light() -> None:
    declared = tomllib.loads((PACKAGE_ROOT / "pyproject.toml").read_text("utf-8"))
    assert declared["project"]["entry-points"]["pytest11"] == {"wanbench": "wanbench.pytest_plugin"}
    code = "import pytest, sys; before = set(sys.modules); import wanbench.pytest_plugin; print(set(sys.modules) - before)"
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert "wanbench.pytest_plugin" in done.stdout
    assert "numpy" not in done.stdout
    assert "wanbench.comparison.gating" not in done.stdout
