"""Standard output for tables."""

from __future__ import annotations

import sys
from typing import NoReturn

from rich.console import Console

TABLE_COLUMNS = 132
"""Of a wide table that goes to a file or a pipe: it is never cut to fit a terminal that is not there."""


class Output(Console):
    """Rich's console on standard output; a reader that has had enough is told to the caller, instead of ending with code 1."""

    def __init__(self, at_least: int = 0) -> None:
        super().__init__(file=sys.stdout)
        if not self.is_terminal:
            self.width = max(self.width, at_least)

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError
