"""A judge's server that fails, is slow or garbles, and what is kept of a call that fails."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
from chat_server import Answer, refusal, serving
from faulty_server import FaultyServer
from judged_pairs import judge, many, prefers, shown
from surroundings import free_port

from models.chat.budget import Budget
from models.chat.client import _requested_pause_s
from models.chat.pace import Pace
from models.judging.errors import JudgeServerError
from models.judging.replies import MemoryReplies, StoredReply


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with serving(FaultyServer()) as own:
        own.reply = prefers
        yield own


def test_a_busy_server_is_asked_again_and_every_request_counts(server: FaultyServer) -> None:
    server.reply = lambda body, number: refusal([429, 503][number - 1], "busy") if number < 3 else prefers(body)
    budget = Budget(max_requests=3, max_cost=None)
    (opinion,) = judge(server.url, max_retries=2, budget=budget).label(many(1))
    assert (opinion.verdict, opinion.requests) == ("right", 3)
    assert len(server.bodies) == budget.spent_requests == 3


def test_the_pause_a_server_asks_for_holds_everybody(server: FaultyServer) -> None:
    server.pause = ("Retry-After", "0.6")
    server.reply = lambda body, number: refusal(429, "slow down") if number == 1 else prefers(body)
    judge(server.url, max_retries=1, concurrency=2).label(many(6))
    assert len(server.arrivals) == 7
    # The second request may have been under way already.
    assert sorted(server.arrivals)[2] - min(server.arrivals) >= 0.6


def test_a_pause_beyond_patience_is_a_temporary_failure_at_once(server: FaultyServer) -> None:
    server.pause = ("Retry-After", "3600")
    server.reply = lambda *_: refusal(429, "come tomorrow")
    with pytest.raises(JudgeServerError, match="come tomorrow") as caught:
        judge(server.url, max_retries=5).label(many(1))
    assert caught.value.is_temporary
    assert len(server.bodies) == 1


def test_pauses_are_read_in_every_form() -> None:
    assert _requested_pause_s({"retry-after": "2.5"}) == 2.5
    assert _requested_pause_s({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert _requested_pause_s({"retry-after": formatdate(time.time() + 50)}) == pytest.approx(50, abs=5)
    assert _requested_pause_s({"retry-after": formatdate(time.time() - 50, usegmt=True)}) == 0
    assert [_requested_pause_s({"retry-after": value}) for value in ("soon", "-1", "nan", "")] == [None] * 4
    assert _requested_pause_s({}) is None


def test_a_body_that_breaks_off_or_is_no_json_is_asked_again(server: FaultyServer) -> None:
    server.broken = {1}
    server.reply = lambda body, number: (200, b'{"choices": [') if number == 2 else prefers(body)
    (opinion,) = judge(server.url, max_retries=2).label(many(1))
    assert (opinion.verdict, opinion.requests) == ("right", 3)


@pytest.mark.parametrize("body", [b'{"choices": []}', b'{"choices": null}', b"[]", b"null", b'"m"', b"{}"])
def test_an_answer_without_a_choice_is_no_reply(server: FaultyServer, body: bytes) -> None:
    server.reply = lambda *_: (200, body)
    with pytest.raises(JudgeServerError, match="answered without a choice") as caught:
        judge(server.url, max_retries=3).label(many(1))
    assert not caught.value.is_temporary
    assert len(server.bodies) == 1


def test_a_slow_server_is_given_up_and_its_request_counts_as_charged(server: FaultyServer) -> None:
    ended = threading.Event()

    def wait(body: dict[str, Any], _: int) -> Answer:
        ended.wait()
        return prefers(body)

    server.reply = wait
    budget = Budget(max_requests=None, max_cost=9.0)
    with pytest.raises(JudgeServerError, match=r"gave no whole answer within 0.3 s") as caught:
        judge(server.url, timeout_s=0.3, budget=budget, input_price=1.0, output_price=1.0).label(many(1))
    ended.set()
    assert caught.value.is_temporary
    assert 0 < budget.spent_cost < 0.01


def test_an_unreachable_server_is_named_and_costs_no_money() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    budget = Budget(max_requests=None, max_cost=9.0)
    with pytest.raises(JudgeServerError, match=f"{url} cannot be reached") as caught:
        judge(url, budget=budget, input_price=1.0, concurrency=1).label(many(40))
    assert caught.value.is_temporary
    assert (budget.spent_requests, budget.spent_cost) == (5, 0.0), "five failures in a row end the call"


@pytest.mark.parametrize(
    ("status", "expected"), [(401, "refuses the API key"), (403, "API key"), (404, "has no model 'tiny'")]
)
def test_what_no_question_can_pass_ends_the_call_at_once(server: FaultyServer, status: int, expected: str) -> None:
    server.reply = lambda *_: refusal(status, "no")
    with pytest.raises(JudgeServerError, match=expected) as caught:
        judge(server.url, max_retries=3, concurrency=1).label(many(9))
    assert not caught.value.is_temporary
    assert len(server.bodies) == 1
    assert caught.value.opinions == (None,) * 9


def test_one_failed_question_does_not_lose_the_others(server: FaultyServer) -> None:
    def reply(body: dict[str, Any], _: int) -> Answer:
        return refusal(500, "out of memory") if "rye 3" in body["messages"][-1]["content"] else prefers(body)

    server.reply = reply
    with pytest.raises(JudgeServerError, match="1 of 12 pairs as shown have no verdict of tiny") as caught:
        judge(server.url).label(many(12))
    assert caught.value.is_temporary
    assert [at for at, opinion in enumerate(caught.value.opinions) if opinion is None] == [3]
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (str(copied), copied.opinions) == (str(caught.value), caught.value.opinions)


def test_failures_that_are_not_in_a_row_do_not_end_the_call(server: FaultyServer) -> None:
    server.reply = lambda body, number: refusal(500, "out of memory") if number % 2 else prefers(body)
    with pytest.raises(JudgeServerError, match="8 of 16 pairs"):
        judge(server.url, concurrency=1).label(many(16))
    assert len(server.bodies) == 16


def test_a_pair_beyond_the_context_is_skipped_and_the_others_are_judged(server: FaultyServer) -> None:
    def reply(body: dict[str, Any], _: int) -> Answer:
        is_long = len(body["messages"][-1]["content"]) > 5_000
        return refusal(400, "maximum context length is 2048 tokens") if is_long else prefers(body)

    server.reply = reply
    opinions = judge(server.url).label([shown("x" * 6_000, "y"), shown("rye", "wheat")])
    assert [opinion.verdict for opinion in opinions] == ["skip", "right"]
    assert "context length" in str(opinions[0].raw_reply)
    assert opinions[0].requests == 1


def test_a_store_that_fails_ends_the_call_but_keeps_what_was_under_way(server: FaultyServer) -> None:
    has_failed = threading.Event()

    class Store(MemoryReplies):
        def put(self, key: str, reply: StoredReply) -> None:
            if not has_failed.is_set():
                has_failed.set()
                raise OSError("disk full")
            super().put(key, reply)

    def first_at_once(body: dict[str, Any], number: int) -> Answer:
        if number > 1:
            has_failed.wait()
        return prefers(body)

    server.reply = first_at_once
    replies = Store()
    with pytest.raises(OSError, match="disk full"):
        judge(server.url, replies=replies, concurrency=4).label(many(9))
    assert len(server.bodies) == 4
    again = judge(server.url, replies=replies).label(many(9))
    assert sum(opinion.requests for opinion in again) == 9 - 3


def pause() -> None:
    time.sleep(0.6)


class SlowReplies(MemoryReplies):
    """A store that takes its time, and notices if it is called twice at once."""

    busy = threading.Lock()

    def put(self, key: str, reply: StoredReply) -> None:
        assert self.busy.acquire(blocking=False)
        pause()
        super().put(key, reply)
        self.busy.release()


@pytest.mark.parametrize(
    "changes",
    [
        {"replies": SlowReplies()},
        {
            "budget": Budget(max_requests=None, max_cost=9.0, ledger=lambda requests, _: None if requests else pause()),
            "input_price": 1.0,
        },
    ],
    ids=["store", "ledger"],
)
def test_a_slow_store_or_ledger_lets_no_reply_time_out(server: FaultyServer, changes: dict[str, Any]) -> None:
    everyone = threading.Barrier(6)

    def together(body: dict[str, Any], _: int) -> Answer:
        everyone.wait()
        return prefers(body)

    server.reply = together
    # The last of six is stored after 3 s at the earliest.
    opinions = judge(server.url, timeout_s=2.5, concurrency=6, **changes).label(many(6))
    assert [opinion.verdict for opinion in opinions] == ["right"] * 6
    assert len(server.bodies) == 6


def test_no_more_than_the_allowed_requests_are_in_flight(server: FaultyServer) -> None:
    def slow(body: dict[str, Any], _: int) -> Answer:
        time.sleep(0.05)
        return prefers(body)

    server.reply = slow
    judge(server.url, concurrency=3).label(many(12))
    assert server.most_in_flight == 3


def test_requests_begin_no_faster_than_allowed(server: FaultyServer) -> None:
    asked = judge(server.url, requests_per_minute=600)
    asked.label(many(3))
    asked.label(many(5))  # two of them new
    gaps = [after - before for before, after in zip(server.arrivals, server.arrivals[1:], strict=False)]
    assert len(server.arrivals) == 5
    assert sum(gaps) >= 0.1 * 4 * 0.75  # the first may take its time to arrive


def test_without_a_limit_of_pace_nobody_waits() -> None:
    pace = Pace(None)
    with pytest.raises(StopIteration):
        pace.turn().send(None)
