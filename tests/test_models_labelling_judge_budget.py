"""A judge's budget is never exceeded, in requests or money, and a call that it ends is repeated for the rest only."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from test_models_generation_openai import Answer, completion, refusal
from test_models_labelling_judge import judge, many, prefers
from test_models_labelling_judge_faults import FaultyServer

from models.labelling.judge import Budget, BudgetExhaustedError, MemoryReplies


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    own = FaultyServer()
    own.reply = prefers
    threading.Thread(target=own.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield own
    own.shutdown()
    own.server_close()


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
