"""Rewriting and annotating against a real server process: what is asked, what is kept, and how a cut run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wanbench.chat import ChatServer, ServerRefused, ServerUnavailable
from wanbench.errors import UsageError
from wanbench.prompts.annotating import annotate
from wanbench.prompts.rewriting import TEMPLATE, rewrite
from wanbench.prompts.suite import load_suite

SCRIPT = Path(__file__).parents[1] / "chat_server.py"
Start = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Start]:
    """Starts a scripted server; gives its address. Requests are in `tmp_path/log.jsonl`."""
    running = []

    def start(mode: str, *more: object) -> str:
        command = [sys.executable, str(SCRIPT), str(tmp_path / "log.jsonl"), mode, *(str(m) for m in more)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{process.stdout.readline().strip()}"

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def suite(tmp_path: Path):
    path = tmp_path / "own.jsonl"
    texts = [
        ("a-1", "A red fox crosses a frozen pond.", "一只红狐走过结冰的池塘。"),
        ("a-2", "Steam lifts from a bowl.", "碗里冒着热气。"),
    ]
    path.write_text("".join(json.dumps({"id": i, "text": {"en": e, "zh": z}, "place": "x"}) + "\n" for i, e, z in texts), "utf-8")
    return load_suite(str(path))


def requests(tmp_path: Path) -> list[dict]:
    return [json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines()]


def server(url: str, **options) -> ChatServer:
    return ChatServer(url=url, model="m", **{"retries": 2, "timeout_s": 10.0, **options})


def test_rewriting_keeps_raw_and_rewritten_side_by_side(serve: Start, suite, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("WANBENCH_API_KEY", "secret")
    out = tmp_path / "long.jsonl"
    done = rewrite(suite, server(serve("rewrite")), out)
    assert (done.written, done.kept, done.failures) == (2, 0, ())
    rewritten = load_suite(str(out))
    prompt = rewritten.prompts["a-1"]
    assert (rewritten.track, prompt.text) == ("rewritten", "A red fox crosses a frozen pond.")
    assert prompt.given["en"].startswith("A red fox crosses a frozen pond. Soft light")
    assert prompt.given["zh"].startswith("一只红狐走过结冰的池塘。 Soft light")
    assert prompt.fields["rewriter"] == {"model": "m", "template": TEMPLATE}
    assert prompt.fields["raw_text"] == suite.prompts["a-1"].fields["text"]
    assert prompt.fields["place"] == "x"
    assert rewritten.hash != suite.hash
    asked = requests(tmp_path)
    assert len(asked) == 4  # two prompts in two languages
    assert {r["path"] for r in asked} == {"/v1/chat/completions"}
    assert {r["key"] for r in asked} == {"Bearer secret"}
    assert all(r["temperature"] == 0 and [m["role"] for m in r["messages"]] == ["system", "user"] for r in asked)


def test_a_finished_rewriting_asks_nothing_again(serve: Start, suite, tmp_path: Path):
    out = tmp_path / "long.jsonl"
    url = serve("rewrite")
    rewrite(suite, server(url), out)
    before = out.read_bytes()
    done = rewrite(suite, server(url), out)
    assert (done.written, done.kept) == (0, 2)
    assert out.read_bytes() == before
    assert len(requests(tmp_path)) == 4
    with pytest.raises(UsageError, match=r"holds a-1, which was not made from this suite with this model"):
        rewrite(suite, ChatServer(url=url, model="other"), out)
    with pytest.raises(UsageError, match="is rewritten already"):
        rewrite(load_suite(str(out)), server(url), tmp_path / "again.jsonl")


def test_a_torn_last_line_is_asked_about_again(serve: Start, suite, tmp_path: Path):
    out = tmp_path / "long.jsonl"
    url = serve("rewrite")
    rewrite(suite, server(url), out)
    whole = out.read_bytes()
    out.write_bytes(whole[:-20])
    done = rewrite(suite, server(url), out)
    assert (done.written, done.kept) == (1, 1)
    assert out.read_bytes() == whole


def test_answers_that_are_no_captions_are_failures(serve: Start, suite, tmp_path: Path):
    done = rewrite(suite, server(serve("short")), tmp_path / "a.jsonl")
    assert [i for i, _ in done.failures] == ["a-1", "a-2"]
    assert done.failures[0][1] == "the answer is no extension of the prompt: 'no'"
    done = rewrite(suite, server(serve("cut")), tmp_path / "b.jsonl")
    assert done.failures[0][1] == "the answer was longer than 512 tokens"
    assert (tmp_path / "b.jsonl").read_bytes() == b""


def test_a_busy_server_is_asked_again(serve: Start, suite, tmp_path: Path):
    done = rewrite(suite, server(serve("rewrite", 429, 2)), tmp_path / "a.jsonl", concurrency=1)
    assert (done.written, done.failures) == (2, ())
    assert len(requests(tmp_path)) == 6


def test_a_server_that_keeps_failing_costs_its_prompt_and_is_named(serve: Start, suite, tmp_path: Path):
    done = rewrite(suite, server(serve("rewrite", 503, 3)), tmp_path / "a.jsonl", concurrency=1)
    assert [i for i, _ in done.failures] == ["a-1"]
    assert "answered 503: told to answer 503; tried 3 times" in done.failures[0][1]
    assert done.written == 1


def test_refusals_and_dead_servers(serve: Start, tmp_path: Path):
    with pytest.raises(ServerRefused, match=r"\(model m\) answered 404: told to answer 404"):
        server(serve("rewrite", 404, 1)).ask([{"role": "user", "content": "x"}], max_tokens=5)
    assert len(requests(tmp_path)) == 1, "a refusal is not asked again"
    with pytest.raises(ServerUnavailable, match=r"http://127.0.0.1:1/v1 cannot be reached .*tried 1 times"):
        server("http://127.0.0.1:1", retries=0).ask([{"role": "user", "content": "x"}], max_tokens=5)
    with pytest.raises(UsageError, match="'nowhere' is no address of a server"):
        server("nowhere")
    assert ChatServer(url="https://host/api/v3", model="m").base == "https://host/api/v3"


def test_annotating_fills_what_is_missing_and_marks_it(serve: Start, tmp_path: Path):
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps({"subject_kind": "animal", "objects": [{"name": "fox", "count": 1}], "place": "theirs"}))
    plain = tmp_path / "plain.txt"
    plain.write_text("A fox on a frozen pond\n")
    done = annotate(load_suite(str(plain)), server(serve("json", 0, 0, answer)), tmp_path / "a.jsonl")
    assert done.failures == ()
    fields = load_suite(str(tmp_path / "a.jsonl")).prompts["plain-001"].fields
    assert fields["objects"] == [{"name": "fox", "count": 1}]
    assert fields["derived"] == {"fields": ["subject_kind", "objects", "place"], "model": "m", "template": "annotate-1"}
    assert annotate(load_suite(str(plain)), server("http://127.0.0.1:1"), tmp_path / "a.jsonl").kept == 1


def test_annotations_keep_the_authors_fields_and_the_rules(serve: Start, tmp_path: Path):
    answer = tmp_path / "answer.json"
    answer.write_text(
        json.dumps({"questions": [{"q": "Is it not so?", "negation": "Is it?", "expect": "yes", "about": "style"}]})
    )
    own = tmp_path / "own.jsonl"
    own.write_text(json.dumps({"text": "A fox", "dimension": "stylization_ability", "style": "woodcut"}) + "\n")
    done = annotate(load_suite(str(own)), server(serve("json", 0, 0, answer)), tmp_path / "a.jsonl")
    assert len(done.failures) == 1
    assert "questions[0].q: holds 'not'" in done.failures[0][1]
    asked = requests(tmp_path)
    assert len(asked) == 2, "once more, with what was wrong"
    assert "holds 'not'" in asked[1]["messages"][-1]["content"]
    assert "style" not in asked[0]["response_format"]["json_schema"]["schema"]["properties"]


def test_a_killed_rewriting_goes_on_where_it_was(serve: Start, tmp_path: Path):
    own = tmp_path / "own.txt"
    own.write_text("".join(f"Prompt number {n} shows a kettle.\n" for n in range(12)))
    url = serve("slow")
    command = [sys.executable, "-m", "wanbench", "prompts", "rewrite", "--suite", "own.txt", "--server", url, "--llm", "m",
               "--out", "long.jsonl", "--concurrency", "1"]  # fmt: skip
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out = tmp_path / "long.jsonl"
    limit = time.monotonic() + 60
    while not out.exists() or out.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < limit
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    there = out.read_bytes().count(b"\n")
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"long.jsonl: {12 - there} prompts written, {there} were there, 0 failed\n"
    assert [p.text for p in load_suite(str(out)).prompts.values()] == own.read_text().splitlines()
    assert len(requests(tmp_path)) <= 13, "what was answered is not asked again"


def test_a_file_of_somebody_else_is_not_touched(suite, tmp_path: Path) -> None:
    """Neither one without a last newline, which a cut file of ours would lack too, nor one of another kind."""
    dead = server("http://127.0.0.1:9")
    for name, content in (
        ("notes.jsonl", "my precious notes"),
        ("other.jsonl", '{"id": "b-1", "text": "a dog"}\n{"id": "b-2", "text": "a cat"}'),
        ("table.csv", "id,text\na-1,a dog"),
    ):
        path = tmp_path / name
        path.write_text(content)
        with pytest.raises(UsageError, match=r"choose another --out|give --out FILE\.jsonl|not valid JSON"):
            rewrite(suite, dead, path)
        assert path.read_text() == content


def test_a_suite_is_not_written_over_by_its_own_rewriting(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"text": "a dog"}')
    command = [sys.executable, "-m", "wanbench", "prompts", "rewrite", "--suite", str(path), "--out", str(path)]
    ended = subprocess.run([*command, "--server", "http://127.0.0.1:9", "--llm", "x"], capture_output=True, text=True)
    assert (ended.returncode, "is the suite itself" in ended.stderr) == (2, True), ended.stderr
    assert path.read_text() == '{"text": "a dog"}'
