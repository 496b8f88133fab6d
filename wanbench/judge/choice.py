"""Which judge a run has: none, a model in process, or one on a server. Settled, and tried, before any work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wanbench import checkpoints
from wanbench.chat import ChatServer
from wanbench.dimension import digest
from wanbench.errors import UsageError
from wanbench.judge import frames
from wanbench.judge.protocol import TEMPLATE
from wanbench.judge.server import CONCURRENCY, ServerJudge, check, choose_model
from wanbench.types import JSONObject

if TYPE_CHECKING:
    from wanbench.judge.asking import Judge
    from wanbench.networks import Placement

NONE = "none"
VARIABLE = "WANBENCH_JUDGE"
DEFAULT = "qwen2-vl-7b"
"""The definition's judge."""
NAMES = ("qwen2-vl-2b", "qwen2-vl-7b", "qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen3-vl-4b", "qwen3-vl-8b")
"""Names of the checkpoint table that can judge."""
ANSWERS = "judge/answers.sqlite"
"""In the store."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeChoice:
    """A judge that can be opened in any process."""

    facts: Mapping[str, Any]
    """Which model it is, and how it is asked."""
    folder: Path | None = None
    """Of a model in process."""
    server: ChatServer | None = None
    samples: int = 0
    """Sampled answers a question, for a server without log-probabilities; 0: log-probabilities."""
    concurrency: int = CONCURRENCY
    dtype: str | None = field(default=None)
    """Of a model in process; a server's is its own affair."""

    def circumstances(self) -> JSONObject:
        """All that can move an answer: the model, the template, and how frames are shown."""
        return {**self.facts, "template": TEMPLATE, **frames.SETTINGS, **({"dtype": self.dtype} if self.dtype else {})}


def choose_judge(
    name: str | None, *, model: str | None = None, samples: int = 0, concurrency: int = CONCURRENCY, dtype: str = "float32"
) -> JudgeChoice | None:
    """The judge that `--judge` or WANBENCH_JUDGE names: a URL, a name, a folder; None for `none` or nothing.

    Raises `UsageError` for a server that cannot be used or an unknown name, `MissingCheckpoints`.
    """
    name = name or os.environ.get(VARIABLE) or NONE
    if name == NONE:
        return None
    if "://" in name:
        server = choose_model(name, model)
        check(server, samples)
        facts = {"kind": "server", "model": server.model, "samples": samples}
        return JudgeChoice(facts=facts, server=server, samples=samples, concurrency=concurrency)
    if samples or model:
        raise UsageError("--judge-model and --judge-samples are for a judge on a server: --judge http://...")
    if name in NAMES:
        folder = checkpoints.require([name])[name]
        facts = {"kind": "transformers", "model": name, "checkpoint": checkpoints.checksums([name])[name]}
    elif (Path(name) / "config.json").is_file():
        folder = Path(name)
        facts = {"kind": "transformers", "model": folder.resolve().name, "checkpoint": checkpoints.checksum_of_folder(folder)}
    else:
        raise UsageError(f"unknown judge {name!r}: give a server's address, a folder with a model, or one of {', '.join(NAMES)}")
    return JudgeChoice(facts=facts, folder=folder.resolve(), dtype=dtype)


def open_judge(choice: JudgeChoice, placement: Placement) -> Judge:
    """The judge, ready to be asked in this process. Raises `UsageError`, `MissingDependency`."""
    from wanbench.judge.asking import Judge
    from wanbench.judge.cache import AnswerCache

    cache = AnswerCache(checkpoints.home() / ANSWERS)
    fingerprint = digest(choice.circumstances())
    if choice.server is not None:
        return Judge(ServerJudge(choice.server, samples=choice.samples, concurrency=choice.concurrency), fingerprint, cache)
    from wanbench.judge.local import LocalJudge

    assert choice.folder is not None
    return Judge(LocalJudge(choice.folder, placement), fingerprint, cache)
