"""What happens when a command fails: one line for the user, the right exit code, a traceback only where it helps."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from typing import ParamSpec

import typer

from wanbench.cli.interrupts import INTERRUPTED
from wanbench.errors import WanbenchError, printable

P = ParamSpec("P")

ERRORS, DEFECT, CANNOT_WRITE = 3, 70, 74
OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """`command` with its failures turned into one line on standard error and an exit code; `-v` shows the traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        verbose = bool(kwargs.get("verbose"))
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except WanbenchError as error:
            if os.environ.get("LOCAL_RANK", "0") == "0":  # torchrun's other processes fail for the same reason
                _say(str(error), verbose)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            _say(str(error) or "interrupted", verbose=False)
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:  # the reader of our output has had enough
            _drop_output()
            raise typer.Exit(0) from error
        except OSError as error:
            if error.errno not in OUTPUT_ERRORS:
                _defect(error, verbose)
            _drop_output()
            _say(f"cannot write{f' {error.filename}' if error.filename else ''}: {error.strerror}", verbose)
            raise typer.Exit(CANNOT_WRITE) from error
        except Exception as error:  # noqa: BLE001 -- the last line of defence reports, it does not hide
            _defect(error, verbose)

    return run


@contextlib.contextmanager
def may_go_unread() -> Iterator[None]:
    """For telling of work that is done: a reader who leaves early (`| head`) changes neither what follows nor the exit code."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()


def _say(text: str, verbose: bool) -> None:
    with contextlib.suppress(BrokenPipeError):  # the exit code still tells
        if verbose:
            traceback.print_exc()
        print(f"wanbench: {printable(' '.join(text.split()))}", file=sys.stderr)


def _drop_output() -> None:
    """What standard output still holds back cannot be written: Python would try again, and complain, when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _defect(error: Exception, verbose: bool) -> None:
    if isinstance(error, typer.Exit | typer.Abort) or type(error).__module__.startswith("typer"):
        raise error
    try:
        with tempfile.NamedTemporaryFile("w", prefix="wanbench-", suffix=".traceback.txt", delete=False) as file:
            file.write(traceback.format_exc())
        where = f"the traceback is in {file.name}"
    except OSError as unsaved:
        where = f"the traceback could not be saved ({unsaved.strerror}): -v shows it"
    _say(f"a defect of wanbench, sorry ({type(error).__name__}: {error}); {where}", verbose)
    raise typer.Exit(DEFECT) from error
