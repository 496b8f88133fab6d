"""An OpenAI-compatible server with a script instead of a model: a process of its own, for clients that speak real HTTP.

`python chat_server.py LOG MODE [STATUS COUNT]` prints its port, writes every request to LOG as a line of JSON and answers by
MODE; the first COUNT requests are answered with STATUS instead.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOG, MODE = Path(sys.argv[1]), sys.argv[2]
STATUS, COUNT = (int(sys.argv[3]), int(sys.argv[4])) if len(sys.argv) > 3 else (0, 0)
LOCK = threading.Lock()
seen = 0


def answer(request: dict[str, Any]) -> tuple[str, str]:
    """(text, finish reason)"""
    said = request["messages"][-1]["content"]
    if MODE == "rewrite":
        first = said.split()[0] if said.split() else ""
        return f"{said} Soft light falls on it from the left while {first} stays in view. 画面细腻。", "stop"
    if MODE == "slow":
        time.sleep(0.3)
        return f"{said} And more is seen of it, and more.", "stop"
    if MODE == "short":
        return "no", "stop"
    if MODE == "cut":
        return said * 3, "length"
    if MODE == "json":
        return Path(sys.argv[-1]).read_text("utf-8"), "stop"
    raise ValueError(MODE)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        global seen
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with LOCK:
            seen += 1
            number = seen
            with LOG.open("a") as log:
                log.write(json.dumps({"path": self.path, "key": self.headers["Authorization"], **request}) + "\n")
        if number <= COUNT:
            self.send(STATUS, {"error": {"message": f"told to answer {STATUS}"}})
            return
        text, reason = answer(request)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        self.send(200, {"id": "x", "object": "chat.completion", "created": 0, "model": request["model"], "choices": [choice]})

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


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
