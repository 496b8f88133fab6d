"""The judge on an OpenAI-compatible server, such as vLLM: frames travel as PNG, probabilities come back as log-probabilities."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from wanbench.chat import ChatServer, Reply, ServerRefused, ServerUnavailable
from wanbench.errors import UsageError
from wanbench.judge.protocol import Frame, JudgeFailed, Odds, Picture, Token, Written, is_variant, messages, odds
from wanbench.types import JSONObject

ALTERNATIVES = 20
"""The most that servers give."""
CONCURRENCY = 8
"""[ours] Requests under way at once: enough to fill a server's batch, few enough for most rate limits."""
PAUSE_SECONDS = 30.0
"""[ours] A server that was tried in vain is left alone for so long, or for as long as the trying took, and is then tried once at
a time: else each clip would wait for it in turn."""
START_RETRIES = 2
"""[ours] Before any work nothing is lost by giving up early, and the user is there to see it."""
SAMPLED_TEMPERATURE = 1.0
HALF_AN_ANSWER = 0.5
"""Added to both counts of sampled answers (Haldane, Anscombe): the log-odds of a sample without a no stay finite."""
PROBE = "Is water wet?"

T = TypeVar("T")


class ServerJudge:
    """A `Backend` that asks a server; up to `concurrency` requests at once."""

    def __init__(self, server: ChatServer, *, samples: int = 0, concurrency: int = CONCURRENCY) -> None:
        self._server = server
        self._once = server.trying(0)
        self._samples = samples
        self._pool = ThreadPoolExecutor(concurrency)
        self._down: tuple[float, str] | None = None
        self._encoded: dict[str, JSONObject] = {}

    def odds(self, frames: Sequence[Frame], prompts: Sequence[str]) -> Iterator[Odds]:
        pictures = self._pictures(frames)
        return self._each(lambda prompt: self._odds(messages(frames, prompt, pictures)), prompts)

    def write(self, frames: Sequence[Frame], prompt: str, schema: Mapping[str, Any], max_tokens: int) -> Written:
        said = messages(frames, prompt, self._pictures(frames))
        alternatives = 0 if self._samples else ALTERNATIVES
        reply = self._ask(said, max_tokens=max_tokens, schema=schema, alternatives=alternatives)
        tokens = tuple(
            Token(text=t.text, alternatives=tuple((text, math.exp(logprob)) for text, logprob in t.alternatives))
            for t in reply.tokens
        )
        return Written(text=reply.text, tokens=tokens, finished=reply.finished)

    def facts(self) -> JSONObject:
        return {"server": self._server.base, "concurrency": self._pool._max_workers}

    def _odds(self, conversation: list[JSONObject]) -> Odds:
        if not self._samples:
            reply = self._ask(conversation, max_tokens=1, alternatives=ALTERNATIVES)
            if not reply.tokens or not reply.tokens[0].alternatives:
                raise JudgeFailed(f"{self._server.base} gives no log-probabilities: --judge-samples N asks N times instead")
            return odds((text, math.exp(logprob)) for text, logprob in reply.tokens[0].alternatives)
        words = [
            self._ask(conversation, max_tokens=1, temperature=SAMPLED_TEMPERATURE, seed=k).text for k in range(self._samples)
        ]
        return sampled_odds(words)

    def _ask(self, conversation: list[JSONObject], **options: Any) -> Reply:
        down, begun = self._down, time.monotonic()
        if down and begun < down[0]:
            raise ServerUnavailable(down[1])
        try:
            reply = (self._once if down else self._server).ask(conversation, **options)
        except ServerUnavailable as error:
            now = time.monotonic()
            self._down = (now + max(PAUSE_SECONDS, now - begun), str(error))
            raise
        except ServerRefused as error:
            raise JudgeFailed(str(error)) from error
        self._down = None
        return reply

    def _each(self, ask: Callable[[str], T], prompts: Sequence[str]) -> Iterator[T]:
        return self._pool.map(ask, prompts)

    def _pictures(self, frames: Sequence[Frame]) -> dict[str, JSONObject]:
        """Message parts of the frames, encoded once for as long as the same pictures are asked about."""
        self._encoded = {frame.key: self._encoded.get(frame.key) or _part(frame.picture) for frame in frames}
        return self._encoded


def sampled_odds(words: Sequence[str]) -> Odds:
    """Odds from answers in words, each one sample."""
    yes, no = (sum(is_variant(first_word(text), word) for text in words) for word in ("yes", "no"))
    log_odds = math.log(yes + HALF_AN_ANSWER) - math.log(no + HALF_AN_ANSWER)
    return Odds(log_odds=log_odds, mass=(yes + no) / len(words))


def first_word(text: str) -> str:
    return (text.split() or [""])[0]


def _part(picture: Picture) -> JSONObject:
    import cv2

    encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()}}


def choose_model(url: str, model: str | None, **options: Any) -> ChatServer:
    """The server with the asked model, or with the only one it lists. Raises `UsageError` when that cannot be told."""
    if model is not None:
        return ChatServer(url=url, model=model, **options)
    try:
        listed = ChatServer(url=url, model="", **options).trying(START_RETRIES).models()
    except ServerUnavailable as error:
        raise UsageError(f"no judge at {url}: {error}; start it, or leave out --judge") from error
    if len(listed) != 1:
        what = f"it lists {', '.join(sorted(listed))}" if listed else "it lists none"
        raise UsageError(f"which model of the server {url} is the judge? {what}: name one with --judge-model")
    return ChatServer(url=url, model=listed[0], **options)


def check(server: ChatServer, samples: int) -> None:
    """Ask one question, so that a wrong address, model or server ends a command before any work. Raises `UsageError`."""
    patient = server.trying(START_RETRIES)
    judge = ServerJudge(patient, samples=min(samples, 1), concurrency=1)
    try:
        list(judge.odds([], [PROBE]))
    except ServerUnavailable as error:
        raise UsageError(f"no judge at {server.url}: {error}; start it, or leave out --judge") from error
    except JudgeFailed as error:
        listed = patient.models()
        known = f"; it lists {', '.join(sorted(listed))}" if listed and server.model not in listed else ""
        raise UsageError(f"the judge at {server.url} cannot be used: {error}{known}") from error
