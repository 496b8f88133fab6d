"""What every HTML page of ours is made with: the templates, and a policy that lets a page load nothing but itself.

Style, script, data and pictures are inlined, and a content security policy with their digests forbids everything else, so that
hostile text in a record, should it ever get past the escaping, still cannot run or call out.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined

from wanbench.fourteen import title
from wanbench.reports import clips
from wanbench.reports.wording import enumerate_words, plural

VIDEOS = "media-src 'self' file:"
"""Videos that lie where the page does: on this machine's disk, or on the server that the page came from."""


def policy(style: str, script: str, *more: str) -> str:
    """Nothing may be loaded but embedded pictures and what `more` allows, and only our own style and script count."""

    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    allowed = (f"style-src {digest(style)}", f"script-src {digest(script)}", *more)
    return "; ".join(("default-src 'none'", "img-src data:", *allowed, "base-uri 'none'"))


@cache
def asset(*names: str) -> str:
    """Files of the templates' folder, one after the other."""
    folder = resources.files("wanbench.reports") / "templates"
    return "\n".join((folder / name).read_text("utf-8") for name in names)


@cache
def templates() -> Environment:
    """Text is escaped wherever it is not said to be safe."""
    environment = Environment(
        loader=PackageLoader("wanbench.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        title_of=title,
        file_name=clips.file_name,
        titles=lambda names: enumerate_words([title(name) for name in names]),
        counted=plural,
        thousands=lambda count: f"{count:,}",
    )
    return environment
