"""The client against real server processes: the same model in process and served, and `transformers serve` by sampling."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wanbench.chat import ChatServer, ServerError, ServerUnavailable
from wanbench.errors import UsageError
from wanbench.judge import frames, server
from wanbench.judge.asking import Judge
from wanbench.judge.choice import choose_judge
from wanbench.judge.protocol import YES_OR_NO, Frame, JudgeFailed, messages, posed
from wanbench.judge.server import ServerJudge, check, choose_model
from wanbench.metrics._counting import count

from .serving import Serving, serving

pytest.importorskip("openai")
QUESTIONS = [posed(YES_OR_NO, q) for q in ("Is it so?", "Does the red ball roll off the table?", "Is it day?")]


def pictures(number: int) -> list[Frame]:
    made = [np.random.default_rng(k).integers(0, 256, (48, 64, 3), dtype=np.uint8) for k in range(number)]
    return [Frame(seconds=k / 8, picture=p, key=frames.key_of(p)) for k, p in enumerate(made)]


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("scripted")) as found:
        yield found


def judge(url: str, **options: Any) -> ServerJudge:
    return ServerJudge(ChatServer(url=url, model="tiny", retries=1), **options)


# ---- the same model, served ----


def test_served_and_in_process_are_the_same(tiny: Path, tmp_path: Path) -> None:
    """Odds of frames and of none, JSON with its digits' probabilities: within a thousandth, where questions are tenths apart."""
    pytest.importorskip("llguidance")
    from wanbench.judge.local import LocalJudge
    from wanbench.networks import Placement

    local = LocalJudge(tiny, Placement(device="cpu", dtype="float32", batch_size=4))
    told = []
    with serving(tmp_path, model=str(tiny)) as found:
        there = judge(found.url)
        for seen in (pictures(3), pictures(1), []):
            for ours, theirs in zip(local.odds(seen, QUESTIONS), there.odds(seen, QUESTIONS), strict=True):
                assert ours.log_odds == pytest.approx(theirs.log_odds, abs=1e-3)
                assert ours.mass == pytest.approx(theirs.mass, abs=1e-3)
                told.append(ours.log_odds)
        counted = [count(Judge(b, "x", None), pictures(1)[0], {"cat": ["kitten"], "dog": []}) for b in (local, there)]
    assert np.ptp(told) > 0.1, "a judge that says the same of everything shows nothing"
    assert counted[0].counts == counted[1].counts
    for name, shares in counted[0].probabilities.items():
        assert shares is not None
        assert shares == pytest.approx(counted[1].probabilities[name], abs=1e-3)


# ---- what travels ----


def test_pictures_travel_losslessly_and_in_order(scripted: Serving) -> None:
    """As PNG, pixel for pixel, each after its time."""
    import base64

    import cv2

    seen = pictures(2)
    judge(scripted.url).odds(seen, [])
    parts = {f.key: server._part(f.picture) for f in seen}
    said = messages([seen[1], seen[0], seen[1]], "Is it so?", parts)[1]["content"]
    assert [p["type"] for p in said] == ["text", "image_url"] * 3 + ["text"]
    for part, frame in zip(said[1::2], (seen[1], seen[0], seen[1]), strict=False):
        prefix, _, data = part["image_url"]["url"].partition(",")
        assert prefix == "data:image/png;base64"
        decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(decoded[..., ::-1], frame.picture)


def test_how_it_is_asked(scripted: Serving) -> None:
    """One token, temperature 0, as many alternatives as servers give; JSON by schema."""
    before = len(scripted.requests)
    there = judge(scripted.url)
    list(there.odds(pictures(1), QUESTIONS[:1]))
    there.write(
        pictures(1)[0:1], "How many?", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, 50
    )
    question, counts = scripted.requests[before:]
    assert (question["max_tokens"], question["temperature"], question["logprobs"], question["top_logprobs"]) == (1, 0.0, True, 20)
    assert counts["max_tokens"] == 50
    assert counts["response_format"]["json_schema"]["strict"] is True
    assert counts["response_format"]["json_schema"]["schema"]["required"] == ["a"]


def test_no_more_than_the_limit_at_once(tmp_path: Path) -> None:
    """Eight questions of 0.2 s: 0.8 s and more by two, 1.6 s and more one by one."""
    prompts = [posed(YES_OR_NO, f"Is it {k}?") for k in range(8)]
    with serving(tmp_path, slow=0.2) as found:
        spent = []
        for concurrency in (8, 2, 1):
            begun = time.monotonic()
            assert len(list(judge(found.url, concurrency=concurrency).odds([], prompts))) == 8
            spent.append(time.monotonic() - begun)
    assert spent[1] > 0.8
    assert spent[2] > 1.6
    assert spent[0] < spent[1] < spent[2]


def test_answers_come_in_the_order_of_the_questions(scripted: Serving) -> None:
    prompts = [posed(YES_OR_NO, f"Is it {k}?") for k in range(20)]
    together = [o.log_odds for o in judge(scripted.url).odds([], prompts)]
    alone = [next(iter(judge(scripted.url, concurrency=1).odds([], [p]))).log_odds for p in prompts]
    assert together == alone


# ---- failures ----


def test_a_slow_server_is_given_up_and_then_left_alone(tmp_path: Path) -> None:
    """The first question waits twice half a second; the next ones not at all."""
    with serving(tmp_path, slow=5) as found:
        there = ServerJudge(ChatServer(url=found.url, model="tiny", timeout_s=0.5, retries=1))
        with pytest.raises(ServerUnavailable, match=r"did not answer within 0.5 s, tried 2 times"):
            list(there.odds([], QUESTIONS))
        begun = time.monotonic()
        for _ in range(20):
            with pytest.raises(ServerUnavailable, match="did not answer within"):
                list(there.odds([], QUESTIONS))
        assert time.monotonic() - begun < 0.5


def test_after_the_pause_it_is_tried_once_and_trusted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four refusals: the first question takes two of them, the next, hasty one, takes one; then one, then all is well."""
    monkeypatch.setattr(server, "PAUSE_SECONDS", 0.0)
    with serving(tmp_path, refuse=[503, 4]) as found:
        there = judge(found.url, concurrency=1)
        for left in (2, 3, 4):
            with pytest.raises(ServerUnavailable, match="answered 503"):
                list(there.odds([], QUESTIONS[:1]))
            time.sleep(1.0)  # at least as long as the trying took
            assert len(found.requests) == left
        assert len(list(there.odds([], QUESTIONS))) == 3


def test_what_was_answered_before_a_failure_is_kept(tmp_path: Path) -> None:
    from wanbench.judge.cache import AnswerCache

    cache = AnswerCache(tmp_path / "answers.sqlite")
    with serving(tmp_path, dies=2) as found:
        asking = Judge(judge(found.url, concurrency=1), "x", cache)
        with pytest.raises(ServerError):
            asking._odds([], QUESTIONS)
    with serving(tmp_path) as found:
        assert len(Judge(judge(found.url), "x", cache)._odds([], QUESTIONS)) == 3
        assert len(found.requests) == 1


def test_a_refused_question_does_not_take_the_server_for_dead(tmp_path: Path) -> None:
    with serving(tmp_path) as found:
        there = ServerJudge(ChatServer(url=found.url, model="other", retries=0))
        for _ in range(2):
            with pytest.raises(JudgeFailed, match="404"):
                list(there.odds([], QUESTIONS[:1]))
        assert len(found.requests) == 2


def test_choosing_the_model(scripted: Serving) -> None:
    assert choose_model(scripted.url, None).model == "tiny"
    assert choose_model(scripted.url, "x").model == "x"
    check(choose_model(scripted.url, None), samples=0)
    with pytest.raises(UsageError, match=r"`x` does not exist.*; it lists tiny"):
        check(choose_model(scripted.url, "x"), samples=0)


def test_a_choice_travels_to_workers(scripted: Serving) -> None:
    choice = choose_judge(scripted.url)
    assert choice is not None
    again = pickle.loads(pickle.dumps(choice))
    assert again == choice
    assert again.circumstances() == choice.circumstances()


# ---- transformers serve ----

SERVING_NEEDS = ("fastapi", "uvicorn")
START_SECONDS = 180.0


@pytest.fixture(scope="module")
def transformers_serve(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`transformers serve` with the small model; its libraries may lie in a folder of their own, named by WANBENCH_SERVE_PATH."""
    extra = os.environ.get("WANBENCH_SERVE_PATH", "")
    if not extra and any(importlib.util.find_spec(name) is None for name in SERVING_NEEDS):
        pytest.skip("no `transformers serve`: pip install 'transformers[serving]'")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    log = (tmp_path_factory.mktemp("serve") / "log.txt").open("w")
    command = Path(sys.executable).with_name("transformers")
    process = subprocess.Popen(
        [command, "serve", tiny, "--device", "cpu", "--port", str(port)],
        stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": extra, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                urllib.request.urlopen(f"{url}/health", timeout=2).read()
                break
            except OSError:
                time.sleep(0.5)
        assert process.poll() is None, Path(log.name).read_text()[-2000:]
        yield url
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.mark.full
def test_sampling_from_transformers_serve(transformers_serve: str, tiny: Path) -> None:
    """A real server of somebody else's: it ignores `logprobs`, and samples say what the odds do, as far as 24 can."""
    from wanbench.judge.local import LocalJudge
    from wanbench.networks import Placement

    name = str(tiny)
    with pytest.raises(UsageError, match="gives no log-probabilities: --judge-samples N"):
        choose_judge(transformers_serve, model=name)
    choice = choose_judge(transformers_serve, model=name, samples=24)
    assert choice is not None
    assert choice.circumstances()["samples"] == 24
    assert choice.server is not None
    there = ServerJudge(choice.server, samples=24, concurrency=2)
    seen = pictures(2)
    (found,) = there.odds(seen, QUESTIONS[:1])
    local = LocalJudge(tiny, Placement(device="cpu", dtype="float32", batch_size=4))
    (ours,) = local.odds(seen, QUESTIONS[:1])
    assert found.mass > 0.5
    yes = 1 / (1 + np.exp(-ours.log_odds))
    assert abs(1 / (1 + np.exp(-found.log_odds)) - yes) < 4 * np.sqrt(yes * (1 - yes) / 24)
    assert json.dumps(choice.circumstances())
