"""A suite's other track: the texts that a person wrote (raw), or those that a model is given after rewriting."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from wanbench.errors import UsageError
from wanbench.prompts.suite import Suite, parse_prompt
from wanbench.prompts.writing import write
from wanbench.types import Prompt, Track


def on_track(suite: Suite, track: Track | None) -> Suite:
    """The suite on this track; None: on its own. Raises `UsageError` for a raw suite that nobody has rewritten."""
    if track is None or track == suite.track:
        return suite
    if track == "rewritten":
        raise UsageError(
            f"the suite {suite.name} is raw: `wanbench prompts rewrite` writes its rewritten track, a file for --suite"
        )
    prompts = {name: _raw(prompt, suite.name) for name, prompt in suite.prompts.items()}
    bare = replace(suite, prompts=prompts, version=None)
    return replace(bare, hash=hashlib.sha256(write(bare, "jsonl", "en", ())).hexdigest())


def _raw(prompt: Prompt, suite: str) -> Prompt:
    if "raw_text" not in prompt.fields:
        raise UsageError(f"the suite {suite} does not say what {prompt.id} was before it was rewritten (raw_text)")
    fields = {**prompt.fields, "text": prompt.fields["raw_text"]}  # in the old order: a file's hash comes back
    left = {key: value for key, value in fields.items() if key not in ("raw_text", "rewriter", "track")}
    raw = parse_prompt(left, suite, checked=True)
    assert raw is not None
    return raw
