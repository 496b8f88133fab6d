"""A gate inside pytest: `assert_no_regression(run, baseline)`, to import or as a fixture of that name.

pytest loads this file wherever wanbench is installed, so it imports nothing of ours before it is asked.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wanbench.comparison.gating import Gate


def assert_no_regression(run: str | Path, baseline: str | Path, policy: str | Path | None = None) -> Gate:
    """Fail the test unless the run passes the gate against its baseline, both as `wanbench gate` takes them.

    INCONCLUSIVE fails as well, unless the policy says `warn`: then it is a warning. Returns the gate. Raises `UsageError` for a
    run, baseline or policy that cannot be read.
    """
    __tracebackhide__ = True
    from wanbench.comparison.baseline import read_side
    from wanbench.comparison.gating import gate
    from wanbench.comparison.policy import Policy, read_policy

    asked = read_policy(Path(policy)) if policy is not None else Policy()
    found = gate(read_side(str(baseline)), read_side(str(run)), asked)
    if found.exit_code:
        pytest.fail(f"{found.verdict}: {found.reason}", pytrace=False)
    if found.verdict != "PASS":
        warnings.warn(f"{found.verdict}: {found.reason}", stacklevel=2)
    return found


@pytest.fixture(name="assert_no_regression", scope="session")
def _assert_no_regression() -> Callable[..., Gate]:
    """`wanbench.pytest_plugin.assert_no_regression`."""
    return assert_no_regression
