"""An OpenAI-compatible server in a process of its own: around a real small model, or with answers made from what was asked.

`python app.py LOG OPTIONS` prints its port and writes every request to LOG as a line of JSON. OPTIONS is a JSON object:
`model`: folder of a model that answers, asked the plain way: the whole conversation through its processor, one at a time;
without it the answers are digests of the questions; `name`: what the model is called; and faults: `refuse` [status, how many
requests], `logprobs` false, `cut` true (JSON ends in the middle), `slow` seconds, `dies` after so many answers, `says` a word
instead of yes and no.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOG = Path(sys.argv[1])
OPTIONS: dict[str, Any] = json.loads(sys.argv[2])
NAME = OPTIONS.get("name", "tiny")
TOP = 20
LOCK = threading.Lock()
seen = 0


class Script:
    """Answers that depend on all that was asked, and on nothing else."""

    def first(self, messages: list[dict[str, Any]]) -> list[tuple[str, float]]:
        yes = 0.1 + 0.8 * _share(messages)
        if word := OPTIONS.get("says"):
            return [(word, math.log(0.9)), ("yes", math.log(0.05)), ("no", math.log(0.05))]
        return [("yes", math.log(0.6 * yes)), ("Yes", math.log(0.3 * yes)), ("no", math.log(0.9 * (1 - yes)))]

    def written(self, messages: list[dict[str, Any]], schema: dict[str, Any], limit: int) -> list[tuple[str, list[Any]]]:
        values = {name: self._value(kind, _share([*messages, name])) for name, kind in schema["properties"].items()}
        letters = json.dumps(values)
        return [(letter, [(letter, math.log(0.7)), ("7", math.log(0.1))]) for letter in letters]

    def _value(self, kind: dict[str, Any], share: float) -> Any:
        if "enum" in kind:
            return kind["enum"][int(share * len(kind["enum"]))]
        return share < 0.5 if kind["type"] == "boolean" else int(share * 3)


class Model:
    """A Qwen through its own processor, without any shortcut."""

    def __init__(self, folder: str) -> None:
        import llguidance.hf
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        torch.set_num_threads(1)
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        self.grammar = llguidance.hf.from_tokenizer(self.processor.tokenizer, n_vocab=self.model.config.text_config.vocab_size)

    def first(self, messages: list[dict[str, Any]]) -> list[tuple[str, float]]:
        import torch

        with torch.inference_mode():
            return self._best(self.model(**self._inputs(messages)).logits[0, -1])

    def written(self, messages: list[dict[str, Any]], schema: dict[str, Any], limit: int) -> list[tuple[str, list[Any]]]:
        import llguidance.numpy
        import torch

        style = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        grammar = llguidance.LLMatcher.grammar_from_json_schema(schema, overrides=style)
        matcher = llguidance.LLMatcher(self.grammar, grammar)
        found = []
        with torch.inference_mode():
            inputs = self._inputs(messages)
            out = self.model(**inputs, use_cache=True)
            while not matcher.is_stopped() and len(found) < limit:
                logits = out.logits[0, -1]
                mask = llguidance.numpy.allocate_token_bitmask(1, len(logits))
                llguidance.numpy.fill_next_token_bitmask(matcher, mask, 0)
                allowed = [bool(mask[0, k // 32] >> (k % 32) & 1) for k in range(len(logits))]
                logits = logits.masked_fill(~torch.tensor(allowed), -torch.inf)
                chosen = int(logits.argmax())
                if chosen == self.processor.tokenizer.eos_token_id:
                    break
                found.append((self.processor.decode([chosen]), self._best(logits)))
                matcher.consume_token(chosen)
                out = self.model(input_ids=torch.tensor([[chosen]]), past_key_values=out.past_key_values, use_cache=True)
        return found

    def _best(self, logits: Any) -> list[tuple[str, float]]:
        import torch

        best = torch.topk(torch.log_softmax(logits.double(), -1), TOP)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(self.processor.decode([k]), value) for k, value in pairs if value > -math.inf]

    def _inputs(self, messages: list[dict[str, Any]]) -> Any:
        from PIL import Image

        text = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        urls = [part["image_url"]["url"] for m in messages for part in m["content"] if part["type"] == "image_url"]
        pictures = [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB") for url in urls]
        return self.processor(text=[text], images=pictures or None, return_tensors="pt")


def _share(value: Any) -> float:
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32


def answer(request: dict[str, Any], brain: Script | Model) -> dict[str, Any]:
    """The body of a chat completion."""
    schema = request.get("response_format", {}).get("json_schema", {}).get("schema")
    if schema is not None:
        tokens = brain.written(request["messages"], schema, request["max_tokens"])
        tokens = tokens[: len(tokens) // 2] if OPTIONS.get("cut") else tokens
    else:
        best = brain.first(request["messages"])
        tokens = [(best[0][0], best)]
    content = [
        {"token": text, "logprob": best[0][1], "bytes": None,
         "top_logprobs": [{"token": t, "logprob": p, "bytes": None} for t, p in best[: request.get("top_logprobs", 0)]]}
        for text, best in tokens
    ]  # fmt: skip
    told = bool(request.get("logprobs")) and OPTIONS.get("logprobs", True)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(text for text, _ in tokens)},
        "finish_reason": "length" if schema is not None and OPTIONS.get("cut") else "stop",
        "logprobs": {"content": content, "refusal": None} if told else None,
    }
    return {"id": "x", "object": "chat.completion", "created": 0, "model": NAME, "choices": [choice]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send(200, {"object": "list", "data": [{"id": NAME, "object": "model", "created": 0, "owned_by": "us"}]})

    def do_POST(self) -> None:
        global seen
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with LOCK:
            seen += 1
            number = seen
            with LOG.open("a") as log:
                log.write(json.dumps({"key": self.headers["Authorization"], **_without_pictures(request)}) + "\n")
        if OPTIONS.get("dies") is not None and number > OPTIONS["dies"]:
            os._exit(1)
        status, count = OPTIONS.get("refuse", (0, 0))
        if number <= count:
            self.send(status, {"error": {"message": f"told to answer {status}"}})
        elif request["model"] != NAME:
            self.send(404, {"error": {"message": f"The model `{request['model']}` does not exist."}})
        else:
            time.sleep(OPTIONS.get("slow", 0))
            with LOCK:  # one question at a time: the plain way
                body = answer(request, BRAIN)
            self.send(200, body)

    def send(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _without_pictures(request: dict[str, Any]) -> dict[str, Any]:
    """A digest for each: a log of pixels would be long."""
    text = json.dumps(request)
    for message in request["messages"]:
        for part in message["content"] if isinstance(message["content"], list) else ():
            if part["type"] == "image_url":
                url = part["image_url"]["url"]
                text = text.replace(url, hashlib.sha256(url.encode()).hexdigest()[:8])
    whole: dict[str, Any] = json.loads(text)
    return whole


if __name__ == "__main__":
    BRAIN = Model(OPTIONS["model"]) if "model" in OPTIONS else Script()
    server = ThreadingHTTPServer(("127.0.0.1", OPTIONS.get("port", 0)), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
