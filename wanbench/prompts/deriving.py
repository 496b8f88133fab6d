"""A suite made from a suite by asking a server about each prompt, written line by line: a cut run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wanbench.chat import ServerError
from wanbench.errors import OutputError, UsageError
from wanbench.prompts.suite import SHIPPED, Suite, parse_suite
from wanbench.prompts.writing import line
from wanbench.record import write_atomically
from wanbench.types import JSONObject, Prompt

CONCURRENCY = 8
"""[ours] Questions under way at once: enough to keep a batching server busy, few enough for a rate limit."""


class Unusable(Exception):
    """The server answered, and the answer is not what was asked for; carries the reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """How a derived suite came out."""

    written: int
    """Lines made now."""
    kept: int
    """Lines that were there."""
    failures: tuple[tuple[str, str], ...]
    """(prompt id, reason) of those without a line; giving the command again asks about them again."""


def derive(
    suite: Suite,
    out: Path,
    make: Callable[[Prompt], JSONObject],
    is_ours: Callable[[Mapping[str, Any], Prompt], bool],
    *,
    concurrency: int = CONCURRENCY,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Derived:
    """Write `make(prompt)` for every prompt to `out`, in the suite's order in the end.

    `is_ours` tells whether a line that is there was made from this prompt in this way. A server that fails costs the prompt it
    was asked about. Raises `UsageError` when `out` holds something else, `OutputError` when it cannot be written.
    """
    if str(out) in SHIPPED or out.suffix != ".jsonl":
        raise UsageError(f"{out} is no name for a new suite; give --out FILE.jsonl")
    there = _there(out, lambda i, fields: i in suite.prompts and is_ours(fields, suite.prompts[i]))
    left = [prompt for identity, prompt in suite.prompts.items() if identity not in there]
    made: dict[str, JSONObject] = {}
    failures: dict[str, str] = {}
    waiting: dict[Future[JSONObject], str] = {}
    pool = ThreadPoolExecutor(concurrency)
    try:
        with out.open("ab") as file:
            for prompt in left:
                waiting[pool.submit(make, prompt)] = str(prompt.id)
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    identity = waiting.pop(future)
                    try:
                        made[identity] = future.result()
                    except (ServerError, Unusable) as error:
                        failures[identity] = str(error)
                    else:
                        file.write(line(made[identity]).encode() + b"\n")
                        file.flush()
                    tick(len(there) + len(made) + len(failures), len(suite.prompts))
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    ordered = [line(made.get(i) or there[i]) + "\n" for i in suite.prompts if i in made or i in there]
    write_atomically(out, "".join(ordered).encode())
    in_order = tuple((i, failures[i]) for i in suite.prompts if i in failures)
    return Derived(written=len(made), kept=len(there), failures=in_order)


def _there(out: Path, is_ours: Callable[[str, Mapping[str, Any]], bool]) -> dict[str, Mapping[str, Any]]:
    """Id -> fields of the whole lines of a file that was begun.

    What a cut left of a last line is dropped, from the file too, but not before all lines are known to be ours.
    Raises `UsageError`.
    """
    try:
        content = out.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{out} cannot be read: {error.strerror}") from error
    whole = content[: content.rfind(b"\n") + 1]
    if content and not whole.strip() and not content.startswith(b"{"):
        raise UsageError(f"{out} holds something else; choose another --out")
    found = {i: p.fields for i, p in parse_suite(out, whole).prompts.items()} if whole.strip() else {}
    for identity, fields in found.items():
        if not is_ours(identity, fields):
            raise UsageError(f"{out} holds {identity}, which was not made from this suite with this model; choose another --out")
    if whole != content:
        write_atomically(out, whole)
    return found
