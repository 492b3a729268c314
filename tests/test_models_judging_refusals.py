"""A judge's server that refuses: one pair must not block the others, and a malformed request must not skip them all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from chat_server import Answer, ChatServer, completion, refusal, serving
from judged_pairs import judge, many, prefers, shown

from models.chat.budget import Budget
from models.judging.errors import BudgetExhaustedError, JudgeServerError
from models.judging.replies import MemoryReplies
from models.labelling.records import Opinion, ShownPair

TOO_LONG = "maximum context length is 2048 tokens"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving(ChatServer()) as own:
        own.reply = refuses("rye")
        yield own


def refuses(mark: str, status: int = 400, words: str = "content policy") -> Any:
    """A judge by content that refuses questions with a mark in them."""

    def reply(body: dict[str, Any], _: int) -> Answer:
        return refusal(status, words) if mark in body["messages"][-1]["content"] else prefers(body)

    return reply


def of_prompts(names: str) -> list[ShownPair]:
    """A pair for each letter, which stands for a prompt."""
    return [shown(f"rye {number}", f"wheat {number}", f"Prompt {name}?") for number, name in enumerate(names)]


def verdicts(opinions: list[Opinion]) -> list[str]:
    return [opinion.verdict for opinion in opinions]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_pair_is_skipped_and_the_others_are_judged(server: ChatServer, status: int) -> None:
    server.reply = refuses("rye 3", status)
    budget = Budget(max_requests=12, max_cost=None)
    # One at a time: a refusal that comes back last of all is checked with a request more.
    opinions = judge(server.url, max_retries=3, budget=budget, concurrency=1).label(many(12))
    assert verdicts(opinions) == ["right"] * 3 + ["skip"] + ["right"] * 8
    assert opinions[3].requests == 1
    assert "content policy" in str(opinions[3].raw_reply)
    assert len(server.bodies) == 12


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("pairs", [many(30), of_prompts("abcdefghij" * 3)], ids=["one prompt", "ten prompts"])
def test_a_server_that_refuses_the_first_five_refuses_the_request_itself(
    server: ChatServer, status: int, pairs: list[ShownPair]
) -> None:
    server.reply = lambda *_: refusal(status, "unknown field seed")
    with pytest.raises(JudgeServerError, match=r"30 of 30 pairs .* unknown field seed") as caught:
        judge(server.url, concurrency=1).label(pairs)
    assert caught.value.opinions == (None,) * 30
    assert not caught.value.is_temporary
    assert len(server.bodies) == 5 + 1, "at last it is asked something harmless"
    assert {message["content"] for message in server.bodies[-1]["messages"]} == {"Say hello."}
    assert [message["role"] for message in server.bodies[-1]["messages"]] == ["system", "user"]


def test_no_refusal_under_way_counts_as_a_skip_either(server: ChatServer) -> None:
    server.reply = lambda *_: refusal(400, "content policy")
    with pytest.raises(JudgeServerError, match="content policy") as caught:
        judge(server.url, concurrency=8).label(many(30))
    assert caught.value.opinions == (None,) * 30
    assert 5 < len(server.bodies) <= 5 + 7 + 1


@pytest.mark.parametrize(
    ("status", "words"), [(400, "Your credit balance is too low"), (402, "pay first"), (400, "billing is not active")]
)
def test_an_account_that_runs_empty_midway_ends_the_call_and_skips_nothing(
    server: ChatServer, status: int, words: str
) -> None:
    server.reply = lambda body, number: completion("m") if number <= 4 else refusal(status, words)
    with pytest.raises(JudgeServerError, match=words) as caught:
        judge(server.url, concurrency=1).label(many(12))
    assert verdicts(caught.value.opinions[:4]) == ["left"] * 4
    assert caught.value.opinions[4:] == (None,) * 8
    assert len(server.bodies) == 5


def test_fewer_than_five_refusals_are_skips(server: ChatServer) -> None:
    assert verdicts(judge(server.url).label(many(4))) == ["skip"] * 4
    with pytest.raises(BudgetExhaustedError) as caught:
        judge(server.url, budget=Budget(max_requests=4, max_cost=None)).label(many(9))
    assert caught.value.opinions == (None,) * 9, "nothing tells yet whether it refuses the pairs or everything"


def test_a_refused_first_prompt_does_not_block_the_others(server: ChatServer) -> None:
    server.reply = refuses("Prompt a?")
    opinions = judge(server.url, concurrency=1).label(of_prompts("aaaaaaaabc"))
    assert verdicts(opinions) == ["skip"] * 8 + ["right"] * 2


@pytest.mark.parametrize(("status", "words"), [(400, TOO_LONG), (413, "entity too large")])
def test_any_number_of_pairs_may_be_too_long(server: ChatServer, status: int, words: str) -> None:
    server.reply = refuses("rye", status, words)
    assert verdicts(judge(server.url).label(of_prompts("abcdefghij"))) == ["skip"] * 10


@pytest.mark.parametrize("good", [0, 1, 20])
def test_a_server_that_begins_to_refuse_everything_skips_nothing(server: ChatServer, good: int) -> None:
    server.reply = lambda body, number: prefers(body) if number <= good else refusal(400, "no such field")
    replies = MemoryReplies()
    with pytest.raises(JudgeServerError, match="refuses whatever it is asked, so check its log") as caught:
        judge(server.url, concurrency=3, replies=replies).label(many(80))
    assert [opinion.verdict for opinion in caught.value.opinions if opinion] == ["right"] * good
    assert len(server.bodies) <= good + 5 + 2 + 1
    server.reply = prefers
    asked = len(server.bodies)
    assert verdicts(judge(server.url, replies=replies).label(many(80))) == ["right"] * 80
    assert len(server.bodies) == asked + 80 - good, "what was answered is not paid for again"


def test_refusals_at_the_end_of_a_call_are_checked_too(server: ChatServer) -> None:
    server.reply = lambda body, number: prefers(body) if number <= 10 else refusal(400, "no such field")
    with pytest.raises(JudgeServerError, match="2 of 12 pairs"):
        judge(server.url, concurrency=1).label(many(12))
    assert len(server.bodies) == 12 + 1


def test_any_number_of_pairs_in_a_row_may_break_a_policy(server: ChatServer) -> None:
    opinions = judge(server.url, concurrency=1).label(of_prompts("abcdefghijkl"))
    assert verdicts(opinions) == ["skip"] * 12
    assert len(server.bodies) == 12 + 3, "after five, ten, and at the end"


def test_a_server_that_has_answered_once_means_the_pairs_it_refuses(server: ChatServer) -> None:
    server.reply = refuses("rye 5")
    asked = judge(server.url, concurrency=1)
    assert verdicts(asked.label(many(5))) == ["right"] * 5
    server.reply = refuses("rye")
    assert verdicts(asked.label(of_prompts("abcdefghij"))) == ["skip"] * 10


def test_an_answer_that_comes_after_five_refusals_still_tells_that_pairs_were_meant(server: ChatServer) -> None:
    five_refused = threading.Event()

    def reply(body: dict[str, Any], _: int) -> Answer:
        content = body["messages"][-1]["content"]
        if "rye 0" in content:
            five_refused.wait()
            return prefers(body)
        if any(f"rye {number}" in content for number in range(1, 6)):
            return refusal(400, "content policy")
        if content == "Say hello.":  # the refusals have come back
            five_refused.set()
        return prefers(body)

    server.reply = reply
    opinions = judge(server.url, concurrency=2).label(of_prompts("abcdefghij"))
    assert verdicts(opinions) == ["right"] + ["skip"] * 5 + ["right"] * 4


def test_a_refusal_behind_an_unreadable_reply_counts_both(server: ChatServer) -> None:
    server.reply = lambda body, number: completion("Hm.") if number == 1 else refuses("rye")(body, number)
    budget = Budget(max_requests=None, max_cost=1.0)
    (opinion,) = judge(server.url, parse_retries=1, budget=budget, output_price=2.0).label(many(1))
    assert (opinion.verdict, opinion.requests, opinion.output_tokens) == ("skip", 2, 3)
    assert opinion.cost == pytest.approx(3 * 2.0 / 1e6)
    assert budget.spent_cost == pytest.approx(2 * opinion.cost), "the harmless question is paid too"
