"""What a report is made from: one run, read from its directory and not changed since."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from wanbench import record
from wanbench.types import JSONObject, Measurement

Pictures = Callable[[str, str], bytes | None]
"""(sha256 of the video, kind: `poster`, `flow`, `static` or `artifacts`) -> the JPEG file's bytes, None where there is none."""

EVIDENCE_HEX_DIGITS = 16
"""Evidence files are named by this many leading digits of the video's SHA-256."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunView:
    """One run as a report sees it."""

    directory: Path
    """The run directory; links to videos are written relative to it."""
    run: JSONObject
    """`run.json`."""
    summary: JSONObject
    """`summary.json`."""
    measurements: Sequence[Measurement]
    """The record."""
    pictures: Pictures

    def video_link(self, video: str, page: Path | None = None) -> str:
        """A URL for `href` in a page that lies in the folder `page`, by default in the run directory.

        Relative when the video lies under the run's parent folder or the page's, else `file:` with the whole path.
        Percent-encoded throughout, so that a file called `javascript:...` stays a file.
        """
        run = self.directory.absolute()
        page = run if page is None else page.absolute()
        path = run / video
        if path.is_relative_to(run.parent) or path.is_relative_to(page):
            path = Path(os.path.relpath(path, page))
        encoded = quote(str(path), errors="surrogateescape")
        return f"file://{encoded}" if path.is_absolute() else f"./{encoded}"


def read_run(directory: Path) -> RunView:
    """The run in `directory`. Raises `UsageError` when a file is missing or is not what it should be."""
    return RunView(
        directory=directory,
        run=record.read_json(directory / record.RUN),
        summary=record.read_json(directory / record.SUMMARY),
        measurements=list(record.read_measurements(directory / record.RECORD)),
        pictures=evidence_pictures(directory / record.EVIDENCE),
    )


def evidence_pictures(folder: Path) -> Pictures:
    """Pictures lying in `folder` as `<first digits of the sha256>-<kind>.jpg`."""

    def picture(sha256: str, kind: str) -> bytes | None:
        # A record is only a file: a `sha256` that is none must not lead out of the folder.
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            return None
        file = folder / f"{sha256[:EVIDENCE_HEX_DIGITS]}-{kind}.jpg"
        return file.read_bytes() if file.is_file() else None

    return picture
