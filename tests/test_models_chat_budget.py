"""A judge's budget is never exceeded, in requests or money, and a call that it ends is repeated for the rest only."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from chat_server import Answer, completion, refusal, serving
from faulty_server import FaultyServer
from judged_pairs import judge, many, prefers

from models.chat.budget import Budget
from models.judging.errors import BudgetExhaustedError, JudgeServerError
from models.judging.replies import MemoryReplies


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with serving(FaultyServer()) as own:
        own.reply = prefers
        yield own


@pytest.mark.parametrize("limit", [0, 1, 7])
def test_requests_never_exceed_the_budget(server: FaultyServer, limit: int) -> None:
    coin = random.Random(limit)
    server.reply = lambda body, _: refusal(503, "busy") if coin.random() < 0.3 else prefers(body)
    budget = Budget(max_requests=limit, max_cost=None)
    with pytest.raises(BudgetExhaustedError, match=f"{limit} of {limit} requests sent") as caught:
        judge(server.url, max_retries=3, concurrency=8, budget=budget).label(many(30))
    assert len(server.bodies) == budget.spent_requests == limit
    answered = [opinion for opinion in caught.value.opinions if opinion is not None]
    assert len(caught.value.opinions) == 30
    assert all(opinion.verdict in {"left", "right"} for opinion in answered)
    assert len(answered) <= limit


class Till:
    """A server's till: it charges by the bytes it reads and by a random number of tokens it writes."""

    input_price, output_price = 3.0, 15.0

    def __init__(self, max_tokens: int) -> None:
        self.coin = random.Random(5)
        self.max_tokens = max_tokens
        self.taken = 0.0

    def reply(self, body: dict[str, Any], number: int) -> Answer:
        tokens_in = sum(len(message["content"].encode()) for message in body["messages"]) + 40
        tokens_out = self.coin.randint(1, self.max_tokens)
        self.taken += (tokens_in * self.input_price + tokens_out * self.output_price) / 1e6
        status, answer = prefers(body)
        usage = f'"prompt_tokens": {tokens_in}, "completion_tokens": {tokens_out}, "total_tokens": 1'
        return status, answer.split(b'"usage"')[0] + f'"usage": {{{usage}}}}}'.encode()


@pytest.mark.parametrize("max_cost", [0.001, 0.02, 0.05])
def test_money_never_exceeds_the_budget_and_most_of_it_is_used(server: FaultyServer, max_cost: float) -> None:
    till = Till(max_tokens=100)
    server.reply = till.reply
    budget = Budget(max_requests=None, max_cost=max_cost)
    prices = {"input_price": till.input_price, "output_price": till.output_price}
    with pytest.raises(BudgetExhaustedError, match=f"of {max_cost:g} spent") as caught:
        judge(server.url, concurrency=8, max_tokens=100, budget=budget, **prices).label(many(30))
    assert till.taken == pytest.approx(budget.spent_cost)
    assert till.taken <= max_cost
    # What stays unspent is less than the most one question can cost: about 2000 bytes and 100 tokens.
    assert max_cost - till.taken < 0.0085
    costs = [opinion.cost for opinion in caught.value.opinions if opinion is not None]
    assert sum(costs) == pytest.approx(budget.spent_cost)
    assert (len(costs) > 0) == (max_cost > 0.001)


def test_money_is_exceeded_neither_when_replies_are_lost(server: FaultyServer) -> None:
    till = Till(max_tokens=100)
    server.reply = till.reply
    server.broken = set(range(1, 100, 2))
    budget = Budget(max_requests=None, max_cost=0.05)
    prices = {"input_price": till.input_price, "output_price": till.output_price}
    with pytest.raises(BudgetExhaustedError):
        judge(server.url, concurrency=1, max_tokens=100, max_retries=0, budget=budget, **prices).label(many(60))
    assert till.taken <= budget.spent_cost <= 0.05


def test_a_reply_that_hides_its_tokens_is_charged_the_most(server: FaultyServer) -> None:
    server.reply = lambda *_: (200, completion("m")[1].split(b', "usage"')[0] + b"}")
    budget = Budget(max_requests=None, max_cost=1.0)
    (opinion,) = judge(server.url, budget=budget, output_price=2.0, max_tokens=50).label(many(1))
    assert opinion.cost == budget.spent_cost == pytest.approx(50 * 2.0 / 1e6)


@pytest.mark.parametrize("tokens", [10**30, -1, "many", "-3", None, 2**31, 1.5, True, [3]])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_absurd_tokens_are_no_tokens_and_lose_no_reply(server: FaultyServer, name: str, tokens: Any) -> None:
    usage = json.dumps({"prompt_tokens": 1, "completion_tokens": 3} | {name: tokens}).encode()
    server.reply = lambda *_: (200, completion("m")[1].split(b'"usage"')[0] + b'"usage": ' + usage + b"}")
    replies = MemoryReplies()
    budget = Budget(max_requests=None, max_cost=1.0)
    opinions = judge(server.url, budget=budget, replies=replies, output_price=2.0, max_tokens=50).label(many(2))
    assert [opinion.verdict for opinion in opinions] == ["left", "left"]
    assert [(opinion.input_tokens, opinion.output_tokens) for opinion in opinions] == [(0, 0)] * 2
    assert budget.spent_cost == pytest.approx(2 * 50 * 2.0 / 1e6)
    assert sum(opinion.requests for opinion in judge(server.url, replies=replies, max_tokens=50).label(many(2))) == 0


def test_what_is_known_is_given_even_without_any_budget(server: FaultyServer) -> None:
    replies = MemoryReplies()
    judge(server.url, replies=replies).label(many(12)[6:])
    with pytest.raises(BudgetExhaustedError) as caught:
        judge(server.url, replies=replies, budget=Budget(max_requests=0, max_cost=None)).label(many(12))
    assert [opinion is None for opinion in caught.value.opinions] == [True] * 6 + [False] * 6


def test_a_call_that_ended_early_is_repeated_for_the_rest_only(server: FaultyServer) -> None:
    replies = MemoryReplies()
    with pytest.raises(BudgetExhaustedError) as caught:
        judge(server.url, replies=replies, budget=Budget(max_requests=5, max_cost=None)).label(many(12))
    kept = [opinion for opinion in caught.value.opinions if opinion is not None]
    again = judge(server.url, replies=replies).label(many(12))
    assert len(kept) == 5
    assert sum(opinion.requests for opinion in again) == 7
    assert [opinion.verdict for opinion in again] == ["right"] * 12
    assert len({body["messages"][-1]["content"] for body in server.bodies}) == len(server.bodies) == 12


def test_a_budget_begins_where_an_earlier_run_ended() -> None:
    budget = Budget(max_requests=10, max_cost=1.0, spent_requests=9, spent_cost=0.5)
    assert not budget.reserve(0.51)
    assert budget.reserve(0.5)
    budget.settle(0.5, 0.1)
    assert (budget.spent_requests, budget.spent_cost) == (10, 0.6)
    assert not budget.reserve(0.0)
    assert str(budget) == "10 of 10 requests sent, 0.6 of 1 spent"


class Ledger:
    """Sums that outlive a budget. It takes its time, and notices if it is told two things at once."""

    def __init__(self, fails_at: int = 0, fails_with_requests: int = 1) -> None:
        self.requests, self.cost = 0, 0.0
        self.fails_at, self.fails_with_requests = fails_at, fails_with_requests
        self.calls: Counter[int] = Counter()
        self.busy, self.has_failed = threading.Lock(), threading.Event()

    def __call__(self, requests: int, cost: float) -> None:
        assert self.busy.acquire(blocking=False)
        time.sleep(0.002)
        self.calls[requests] += 1
        if requests == self.fails_with_requests and self.calls[requests] == self.fails_at:
            self.busy.release()
            self.has_failed.set()
            raise OSError("database is locked")
        self.requests += requests
        self.cost += cost
        self.busy.release()


class StrictTill:
    """A server that does something else with every request, and what each must have been charged, by its bytes."""

    input_price, output_price, max_tokens = 3.0, 15.0, 100

    def __init__(self, ledger: Ledger, kinds: list[str]) -> None:
        self.ledger, self.kinds = ledger, kinds
        self.charged = 0.0
        self.shortfalls: list[int] = []
        self.lock = threading.Lock()

    def price(self, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1e6

    def reply(self, body: dict[str, Any], number: int) -> Answer:
        kind = self.kinds[number % len(self.kinds)]
        content = json.dumps(body["messages"], ensure_ascii=False).encode()
        lost = self.price(len(content) + 256, self.max_tokens)
        answers: dict[str, tuple[float, Answer]] = {
            "answer": (self.price(1, 3), prefers(body)),
            "babble": (self.price(1, 3), completion("Hm.")),
            "busy": (0.0, refusal(503, "busy")),
            "too long": (0.0, refusal(400, "maximum context length is 2048 tokens")),
            "garbled": (lost, (200, b'{"choices": [')),
            "broken": (lost, prefers(body)),
            "no choice": (lost, (200, b"{}")),
        }
        price, answer = answers[kind]
        with self.lock:
            self.charged += price
            # What a process killed at this moment would leave behind.
            if self.ledger.requests < number or self.ledger.cost < self.charged - 1e-9:
                self.shortfalls.append(number)
        return answer


@pytest.mark.parametrize(("concurrency", "lost"), [(1, "broken"), (8, "garbled")])
def test_a_ledger_sums_up_what_the_server_counted_and_never_less(
    server: FaultyServer, concurrency: int, lost: str
) -> None:
    kinds = ["answer", "busy", "answer", "babble", lost, "answer", "too long", "no choice"]
    ledger = Ledger()
    till = StrictTill(ledger, kinds)
    server.reply = till.reply
    server.broken = {number for number in range(100) if kinds[number % len(kinds)] == "broken"}
    budget = Budget(max_requests=None, max_cost=9.0, ledger=ledger)
    terms = {"input_price": till.input_price, "output_price": till.output_price, "max_tokens": till.max_tokens}
    with pytest.raises(JudgeServerError):  # what comes without a choice is not asked again
        judge(server.url, concurrency=concurrency, max_retries=2, parse_retries=1, budget=budget, **terms).label(
            many(20)
        )
    assert till.shortfalls == []
    assert ledger.requests == budget.spent_requests == len(server.bodies) > len(kinds)
    assert ledger.cost == pytest.approx(budget.spent_cost) == pytest.approx(till.charged)


def test_budgets_made_from_a_ledger_never_send_more_in_all(server: FaultyServer) -> None:
    server.reply = lambda *_: refusal(500, "out of memory")
    ledger = Ledger()
    ends = []
    for _ in range(5):
        budget = Budget(
            max_requests=17, max_cost=None, spent_requests=ledger.requests, spent_cost=ledger.cost, ledger=ledger
        )
        with pytest.raises((JudgeServerError, BudgetExhaustedError)) as caught:
            judge(server.url, max_retries=1, concurrency=1, budget=budget).label(many(9))
        ends.append(caught.type)
    assert len(server.bodies) == ledger.requests == 17
    assert ends == [JudgeServerError] + [BudgetExhaustedError] * 4


@pytest.mark.parametrize("fails_with_requests", [1, 0])
def test_a_ledger_that_fails_ends_the_call_but_keeps_what_was_under_way(
    server: FaultyServer, fails_with_requests: int
) -> None:
    everyone = threading.Barrier(4)

    def first_at_once(body: dict[str, Any], number: int) -> Answer:
        everyone.wait()
        if number > 1:
            ledger.has_failed.wait()
        return prefers(body)

    server.reply = first_at_once
    ledger = Ledger(fails_at=5 if fails_with_requests else 1, fails_with_requests=fails_with_requests)
    replies = MemoryReplies()
    budget = Budget(max_requests=None, max_cost=9.0, ledger=ledger)
    with pytest.raises(OSError, match="database is locked"):
        judge(server.url, replies=replies, budget=budget, input_price=1.0).label(many(9))
    assert len(server.bodies) == budget.spent_requests == ledger.requests == 4
    assert ledger.cost >= budget.spent_cost > 0
    server.reply = prefers
    again = judge(server.url, replies=replies).label(many(9))
    assert sum(opinion.requests for opinion in again) == 9 - 4


def test_a_ledger_that_fails_with_the_last_reply_is_noticed(server: FaultyServer) -> None:
    replies = MemoryReplies()
    budget = Budget(max_requests=None, max_cost=9.0, ledger=Ledger(fails_at=1, fails_with_requests=0))
    with pytest.raises(OSError, match="database is locked"):
        judge(server.url, replies=replies, budget=budget, input_price=1.0).label(many(1))
    assert judge(server.url, replies=replies).label(many(1))[0].requests == 0


def test_a_refused_reservation_is_not_in_the_ledger() -> None:
    ledger = Ledger()
    budget = Budget(max_requests=2, max_cost=1.0, ledger=ledger)
    assert [budget.reserve(0.75), budget.reserve(0.75), budget.reserve(0.25), budget.reserve(0.0)] == [
        True,
        False,
        True,
        False,
    ]
    assert (ledger.requests, ledger.cost) == (2, 1.0)
    budget.settle(0.75, 0.5)
    budget.settle(0.25, 0.25)
    assert ledger.cost == budget.spent_cost == 0.75
