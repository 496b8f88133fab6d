"""Expected failures: each carries the one line a user reads and the exit code the command ends with."""

from __future__ import annotations


class WanbenchError(Exception):
    """An expected failure: printed as one line, without a traceback."""

    exit_code = 2


class UsageError(WanbenchError):
    """Wrong use, found before any work (exit code 2): the line says what came, what would do and the next step."""


class MissingDependency(UsageError):
    """An optional library is not installed; the line names the install command."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional library: pip install 'wanbench[{extra}]'")


class MissingCheckpoints(UsageError):
    """Files of network parameters that the asked profile needs are not in the store."""


class RunLocked(UsageError):
    """Another process is writing the same run."""


class OutputError(WanbenchError):
    """Output could not be written: disk full, permission (exit code 74)."""

    exit_code = 74


class UndecodableVideo(WanbenchError):
    """A file that cannot be decoded, or only in part; becomes `error` rows and never ends a run."""

    exit_code = 3


def printable(text: str) -> str:
    """A text from outside as a terminal may show it: escape codes in it are spelt, and do not act."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
