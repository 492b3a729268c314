"""A chat server that drips, floods, garbles or sends elsewhere: judges and generators fare alike, and in time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from judged_pairs import judge, many
from raw_server import Write, raw_server
from streamed_samples import Gathered, server_generator
from tiny_generators import request, sampling

from models.chat.budget import Budget
from models.chat.client import MOST_BYTES
from models.generation.openai_server import GenerationStoppedError
from models.judging.errors import JudgeServerError

KEY = "sk-3f9c77aa21b0"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LONG = b"Content-Length: 9999\r\n\r\n"
ELSEWHERE = b"Location: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
REPLY = json.dumps({"choices": [{"message": {"content": "m"}, "finish_reason": "stop"}]}).encode()


def judged(url: str, **changes: Any) -> str:
    with pytest.raises(JudgeServerError) as caught:
        judge(url, api_key=KEY, **changes).label(many(1))
    assert caught.value.__cause__ is None or not caught.value.__cause__.args
    return str(caught.value)


def generated(url: str, **changes: Any) -> str:
    with pytest.raises(GenerationStoppedError) as caught:
        asked = server_generator(url, sampling(), api_key=KEY, **changes)
        asked.stream([request("hello", 1)], Gathered().receiver())
    return str(caught.value)


both = pytest.mark.parametrize("fail", [judged, generated], ids=["judge", "generator"])
Fail = Callable[..., str]


def dripping(head: bytes) -> Callable[[Write, threading.Event], None]:
    """A byte every fifth of a second, for ever: each comes in time."""

    def behave(write: Write, is_over: threading.Event) -> None:
        write(head)
        while not is_over.wait(0.2):
            write(b" ")

    return behave


@both
@pytest.mark.parametrize(
    "head",
    [HEAD + LONG, b"HTTP/1.1 400 Bad\r\n" + LONG, b"HTTP/1.1 200 OK\r\nX-"],
    ids=["body", "error", "headers"],
)  # fmt: skip
def test_a_reply_has_one_limit_of_time_for_the_whole(fail: Fail, head: bytes) -> None:
    with raw_server(dripping(head)) as server:
        assert "gave no whole answer within 0.6 s" in fail(server.url, timeout_s=0.6)


@both
@pytest.mark.parametrize("status", [b"200 OK", b"500 Oops"])
def test_a_body_without_end_fills_no_memory(fail: Fail, status: bytes) -> None:
    def flood(write: Write, is_over: threading.Event) -> None:
        write(b"HTTP/1.1 " + status + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not is_over.is_set():
            write(b"100000\r\n" + b"x" * 2**20 + b"\r\n")

    with raw_server(flood) as server:
        words = fail(server.url)
        assert ("answered with more than 16 MiB" if status == b"200 OK" else "HTTP 500: xxx") in words
        assert len(words) < 700
        assert server.written < MOST_BYTES + 2**23


@both
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "cannot be reached or broke off"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", "cannot be reached or broke off"),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", "cannot be reached or broke off"),
        (b"HELLO " + KEY.encode() + b"\r\n\r\n", "cannot be reached or broke off"),
        (b"HTTP/1.1 200 " + KEY.encode() + b"\x00\r\nBad Header " + KEY.encode() + b"\r\n\r\n", "broke off"),
        (b"", "cannot be reached or broke off"),
        (HEAD + b"Content-Length: 0\r\n\r\n", "no JSON: nothing"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "no JSON: nothing"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 99\r\n\r\nhalf of", "HTTP 500: half of"),
        (b"HTTP/1.1 401 No\r\nContent-Length: 99\r\n\r\n", "refuses the API key"),
        (b"HTTP/1.1 302 Found\r\n" + ELSEWHERE, "sends to another address (HTTP 30"),
        (b"HTTP/1.1 308 Moved\r\n" + ELSEWHERE, "sends to another address (HTTP 30"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_told_without_the_key(fail: Fail, said: bytes, expected: str) -> None:
    with raw_server(lambda write, _: write(said)) as server:
        words = fail(server.url)
        assert expected in words
        assert KEY not in words
        assert ("http://127.0.0.1:1/" in words) == (ELSEWHERE in said)
        assert len(server.requests) == 1, "a redirect is not followed"


def test_a_reply_of_any_type_without_usage_is_a_reply() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(REPLY) + REPLY
    budget = Budget(max_requests=None, max_cost=1.0)
    with raw_server(lambda write, _: write(said)) as server:
        (opinion,) = judge(server.url, budget=budget, output_price=2.0).label(many(1))
        gathered = Gathered()
        server_generator(server.url, sampling()).stream([request("hello", 1)], gathered.receiver())
    assert opinion.verdict == "left"
    assert budget.spent_cost == pytest.approx(10 * 2.0 / 1e6), "it is charged the most it can have cost"
    assert gathered.samples[0, 0].token_count is None


@both
@pytest.mark.parametrize("key", ["sk-3f9c77aa21b0\n", "ключ-от-сервера"])
def test_a_key_that_no_header_holds_is_told_and_not_shown(fail: Fail, key: str) -> None:
    with raw_server(lambda write, _: None) as server:
        if fail is judged:
            with pytest.raises(JudgeServerError) as caught:
                judge(server.url, api_key=key).label(many(1))
            words = str(caught.value)
        else:
            with pytest.raises(GenerationStoppedError) as stopped:
                asked = server_generator(server.url, sampling(), api_key=key)
                asked.stream([request("hello", 1)], Gathered().receiver())
            words = str(stopped.value)
    assert "ANTIPODE_OPENAI_API_KEY holds characters that no key has" in words
    assert key.strip() not in words
    assert server.requests == []


@both
@pytest.mark.parametrize(
    "url", ["localhost:1/v1", "http://", "nonsense", "http://127.0.0.1:99999999/v1", "http://\u2028/"]
)
def test_what_is_no_address_is_told(fail: Fail, url: str) -> None:
    assert "check the address" in fail(url)
