"""Shared by all tests: where the outside material is, and that nothing is skipped where everything is there."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

NO_SKIPS = "WANBENCH_NO_SKIPS"
"""Set where clips, reference tensors and a browser are there: a test that skips all the same has failed."""


def outside(variable: str, what: str) -> Path:
    """The folder that an environment variable names; skips the test, and says so, without it."""
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"no {what}: set {variable} to their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def clips() -> Path:
    """Folder with `real`, `generated`, `bad` and `index.jsonl`."""
    return outside("WANBENCH_CLIPS", "clips")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    for_want_of = any(word in str(report.longrepr) for word in ("WANBENCH_", "hromium"))
    if report.skipped and for_want_of and os.environ.get(NO_SKIPS):
        report.outcome = "failed"
        report.longrepr = f"skipped although {NO_SKIPS} is set: {report.longrepr}"
    return report
