"""What a shell offers when Tab is pressed: names that are known without loading a library; files come from the shell itself.

A shell waits for the answer, so nothing here imports torch (every function stays well under half a second).
"""

from __future__ import annotations

from collections.abc import Iterable

TINY = "wan-tiny"
"""The generator of random parameters, whose own module needs torch."""


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def suites(incomplete: str) -> list[str]:
    from wanbench.prompts.suite import SHIPPED

    return _starting(SHIPPED, incomplete)


def dimensions(incomplete: str) -> list[str]:
    """Of a list separated by commas the last name; those that stand there already are not offered again."""
    from wanbench.fourteen import FOURTEEN

    before, comma, last = incomplete.rpartition(",")
    named = {name.strip() for name in before.split(",")}
    return [f"{before}{comma}{name}" for name in _starting(FOURTEEN, last.strip()) if name not in named]


def models(incomplete: str) -> list[str]:
    from wanbench.generator.models import MODELS

    return _starting([TINY, *MODELS, "diffusers:", "command:"], incomplete)


def judges(incomplete: str) -> list[str]:
    from wanbench.checkpoint_table import JUDGES

    return _starting(["none", *(judge.name for judge in JUDGES)], incomplete)


def weights(incomplete: str) -> list[str]:
    from wanbench.weights.weighting import WEIGHTINGS

    return _starting(WEIGHTINGS, incomplete)


def places(incomplete: str) -> list[str]:
    from wanbench.hooks import KNOWN

    return _starting(KNOWN, incomplete)
