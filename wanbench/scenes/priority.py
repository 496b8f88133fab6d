"""Against SVT-AV1, which gives itself and whoever calls it the highest real-time priority when root runs it.

Children inherit that: a browser started later spun on every core and kept even the shell from answering for minutes.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def ordinary_priority() -> Iterator[None]:
    """Within, this thread may be made a real-time one; afterwards it is what it was, and so are all threads made meanwhile."""
    if sys.platform != "linux":
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            for thread in Path("/proc/self/task").iterdir():
                with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                    if os.sched_getscheduler(int(thread.name)) == os.SCHED_FIFO:
                        os.sched_setscheduler(int(thread.name), policy, parameters)
