"""Asking an OpenAI-compatible server: one request, its answer with log-probabilities, and failures said in one line.

The `openai` client retries 408, 409, 429, 5xx and lost connections with growing pauses and honours `Retry-After`.
"""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wanbench.errors import MissingDependency, UsageError, WanbenchError

KEYS = ("WANBENCH_API_KEY", "OPENAI_API_KEY")
"""Environment variables with the server's key, first found; a server on one's own machine needs none."""
TIMEOUT_SECONDS = 300.0
"""[ours] For one answer: a 72B model on a loaded server takes minutes."""
RETRIES = 5
"""[ours] With the client's pauses of 0.5 s to 8 s: a server that restarts within half a minute loses no question."""


class ServerError(WanbenchError):
    """A server that does not answer as it should; the line says what was asked of whom, and what came."""


class ServerUnavailable(ServerError):
    """The server cannot be reached, or answers no request at all."""


class ServerRefused(ServerError):
    """The server answers, and refuses this request or cannot serve it: asking again does not help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyToken:
    """One token of an answer."""

    text: str
    alternatives: tuple[tuple[str, float], ...]
    """(token, log-probability) of what could have stood there, as far as the server says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a server answered."""

    text: str
    finished: bool
    """False when the answer was cut at its token limit."""
    tokens: tuple[ReplyToken, ...]
    """Empty when log-probabilities were not asked for, or the server gives none."""
    model: str
    """As the server calls it."""


@dataclass(frozen=True, kw_only=True)
class ChatServer:
    """One model on one server. Safe to ask from several threads."""

    url: str
    model: str
    timeout_s: float = TIMEOUT_SECONDS
    retries: int = RETRIES
    _clients: list[Any] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise UsageError(f"{self.url!r} is no address of a server; it looks like http://127.0.0.1:8000/v1")

    @property
    def base(self) -> str:
        """The address with the path that OpenAI-compatible servers listen on."""
        return self.url if urllib.parse.urlsplit(self.url).path.strip("/") else self.url.rstrip("/") + "/v1"

    def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        alternatives: int = 0,
        schema: Mapping[str, Any] | None = None,
    ) -> Reply:
        """One answer to one conversation.

        `alternatives`: how many candidates for each token to ask for, with their log-probabilities (0: none). `schema`: a
        JSON Schema that the answer is constrained to, where the server can. Raises `ServerUnavailable`, `ServerRefused`.
        """
        client = self._client()
        import openai

        wanted: dict[str, Any] = {
            "model": self.model,
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
        }
        if seed is not None:
            wanted["seed"] = seed
        if alternatives:
            wanted |= {"logprobs": True, "top_logprobs": alternatives}
        if schema is not None:
            wanted["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": dict(schema)},
            }
        try:
            answer = client.chat.completions.create(**wanted)
        except openai.APIStatusError as error:
            said = f"{self.base} (model {self.model}) answered {error.status_code}: {_brief(error)}"
            if error.status_code in (408, 409, 429) or error.status_code >= 500:
                raise ServerUnavailable(f"{said}; tried {self.retries + 1} times") from error
            raise ServerRefused(said) from error
        except openai.APITimeoutError as error:
            raise ServerUnavailable(
                f"{self.base} did not answer within {self.timeout_s:g} s, tried {self.retries + 1} times"
            ) from error
        except openai.APIConnectionError as error:
            reason = error.__cause__ or error
            raise ServerUnavailable(f"{self.base} cannot be reached ({reason}), tried {self.retries + 1} times") from error
        except (openai.APIError, ValueError) as error:
            raise ServerRefused(f"{self.base} sent no valid answer: {_brief(error)}") from error
        return self._reply(answer)

    def _reply(self, answer: Any) -> Reply:
        try:
            choice = answer.choices[0]
            said = choice.logprobs.content if choice.logprobs and choice.logprobs.content else ()
            tokens = tuple(
                ReplyToken(text=t.token, alternatives=tuple((a.token, float(a.logprob)) for a in t.top_logprobs or ()))
                for t in said
            )
            return Reply(
                text=choice.message.content or "",
                finished=choice.finish_reason != "length",
                tokens=tokens,
                model=str(answer.model or self.model),
            )
        except (AttributeError, IndexError, TypeError) as error:
            raise ServerRefused(f"{self.base} sent no valid answer: it holds no message") from error

    def trying(self, retries: int) -> ChatServer:
        """The same server, asked so many times more when it fails."""
        return replace(self, retries=retries, _clients=[])

    def models(self) -> list[str]:
        """Names of the models that the server lists; empty where it lists none. Raises `ServerUnavailable`."""
        client = self._client()
        import openai

        try:
            return [str(model.id) for model in client.models.list()]
        except openai.APITimeoutError as error:
            raise ServerUnavailable(f"{self.base} did not answer within {self.timeout_s:g} s") from error
        except openai.APIConnectionError as error:
            raise ServerUnavailable(f"{self.base} cannot be reached ({error.__cause__ or error})") from error
        except (openai.APIError, ValueError, TypeError):
            return []  # not every server lists its models; a question to a wrong one is refused by name

    def _client(self) -> Any:
        if not self._clients:
            try:
                import openai
            except ImportError as error:
                raise MissingDependency("asking a server", "judge") from error
            key = next((os.environ[name] for name in KEYS if os.environ.get(name)), "none")
            self._clients.append(openai.OpenAI(base_url=self.base, api_key=key, timeout=self.timeout_s, max_retries=self.retries))
        return self._clients[0]


def _brief(error: Exception) -> str:
    """The server's own words, or the client's, on one line."""
    body = getattr(error, "body", None)
    said = body.get("message") if isinstance(body, dict) else None
    return " ".join(str(said or error).split())[:300]
