"""Runs one command so that nothing of it is left, however it, or the maker that wanted it, ends.

`main` takes the maker's process id and the command's words. A shell script usually starts the Python that holds the GPU: killing
the script would leave that one running, writing to a file that the next try writes too. So whatever the command starts stays a
descendant of this process, which is told when the maker dies.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import NoReturn

from wanbench.execution.child import adopt_orphans, die_with_parent, kill_descendants

CANNOT_START = 120
"""Exit code when there was nothing to run; the last line says why. Shells use 126 and 127, which a script may end with itself."""
ENDED = 128
"""Added to the signal that ended the command, as shells do."""


def main() -> NoReturn:
    maker, words = int(sys.argv[1]), sys.argv[2:]
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(ENDED + number))
    die_with_parent(by=signal.SIGTERM)
    try:
        if os.getppid() != maker:  # it ended before we could ask to be told
            sys.exit(ENDED + signal.SIGTERM)
        sys.exit(_run(words))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        kill_descendants()


def _run(words: list[str]) -> int:
    """The command's exit code."""
    try:
        code = subprocess.Popen(words, preexec_fn=die_with_parent).wait()
    except OSError as error:
        print(error.strerror)
        return CANNOT_START
    return code if code >= 0 else ENDED - code
