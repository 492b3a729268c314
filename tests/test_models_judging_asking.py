"""A judge of pairs and a judge of a benchmark's answers give up at the same failures, after as many requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from chat_server import Answer, ChatServer, completion, refusal, serving
from graded_answers import judge as protocol_judge
from judged_pairs import judge as pair_judge
from judged_pairs import shown

from models.chat.budget import Budget
from models.judging.asking import Asker
from models.judging.errors import BudgetExhaustedError, JudgeServerError
from models.judging.prompts import Messages
from models.judging.replies import MemoryReplies
from models.judging.terms import JudgeTerms
from models.protocols.judge import ProtocolStoppedError
from models.protocols.prompts import grade_messages
from models.protocols.question_files import Question
from models.records import Message

LEFT_OUT = "left out"
PLACES = range(12)


@dataclass
class End:
    """How a call ended: what is there by question (a verdict, `left out`, or None where it is missing), and why."""

    found: list[str | None]
    reason: str | None
    is_out_of_budget: bool
    is_temporary: bool


def of_pairs(url: str, **changes: Any) -> End:
    """Twelve pairs of twelve prompts."""
    pairs = [shown(f"rye {place}.", f"wheat {place}.", f"Prompt {place}?") for place in PLACES]
    try:
        return End(pair_results(pair_judge(url, **changes).label(pairs)), None, False, False)
    except BudgetExhaustedError as error:
        return End(pair_results(error.opinions), str(error), True, False)
    except JudgeServerError as error:
        return End(pair_results(error.opinions), str(error), False, error.is_temporary)


def pair_results(opinions: Any) -> list[str | None]:
    names = {"left": "good", "skip": LEFT_OUT, "unparsed": LEFT_OUT}
    return [opinion and names[opinion.verdict] for opinion in opinions]


def of_answers(url: str, **changes: Any) -> End:
    """Twelve questions, an answer each."""
    questions = [Question(str(place), None, (f"Prompt {place}?",), ()) for place in PLACES]
    answers = [(f"rye {place}.",) for place in PLACES]
    try:
        return End(grade_results(protocol_judge(url, **changes).grade(questions, answers)), None, False, False)
    except ProtocolStoppedError as error:
        return End(grade_results(error.results), str(error), error.is_out_of_budget, error.is_temporary)


def grade_results(rows: Any) -> list[str | None]:
    return [row and (LEFT_OUT if row[0] is None else "good") for row in rows]


both = pytest.mark.parametrize(
    ("call", "good"), [(of_pairs, completion("m")), (of_answers, completion("[[7]]"))], ids=["pairs", "answers"]
)
Call = Callable[..., End]


@pytest.fixture(scope="module")
def running() -> Iterator[ChatServer]:
    with serving(ChatServer()) as own:
        yield own


@pytest.fixture
def server(running: ChatServer) -> ChatServer:
    running.bodies.clear()
    return running


def replies_by_letter(letters: str, good: Answer) -> Callable[[dict[str, Any], int], Answer]:
    """A server that answers its requests in turn: good, failing, refusing, too long, unreadable."""
    answers = {
        "g": good,
        "f": refusal(500, "out of memory"),
        "r": refusal(400, "content policy"),
        "l": refusal(400, "maximum context length is 2048 tokens"),
        "u": completion("Hm."),
    }
    return lambda _, number: answers[letters[(number - 1) % len(letters)]]


@both
def test_a_server_that_always_fails_is_given_up_after_five_questions(
    server: ChatServer, call: Call, good: Answer
) -> None:
    server.reply = replies_by_letter("f", good)
    end = call(server.url, concurrency=1, max_retries=1)
    assert (end.found, end.is_temporary, end.is_out_of_budget) == ([None] * 12, True, False)
    assert "12 of 12" in str(end.reason) and f"the server {server.url} refused the request" in str(end.reason)
    assert len(server.bodies) == 5 * 2


@both
def test_a_server_that_fails_now_and_then_is_asked_to_the_end(server: ChatServer, call: Call, good: Answer) -> None:
    server.reply = replies_by_letter("ffffg", good)
    end = call(server.url, concurrency=1)
    assert end.found == ["good" if place in {4, 9} else None for place in PLACES]
    assert (end.is_temporary, end.is_out_of_budget, len(server.bodies)) == (True, False, 12)
    assert "10 of 12" in str(end.reason) and "out of memory" in str(end.reason)


@both
@pytest.mark.parametrize("status", [401, 403, 404, 402])
def test_a_refused_key_ends_the_call_at_once(server: ChatServer, call: Call, good: Answer, status: int) -> None:
    server.reply = lambda _, number: good if number <= 2 else refusal(status, "no")
    end = call(server.url, concurrency=1, max_retries=3)
    assert end.found == ["good"] * 2 + [None] * 10
    assert (end.is_temporary, end.is_out_of_budget, len(server.bodies)) == (False, False, 3)


@both
def test_the_error_that_ends_a_call_is_the_one_that_is_told(server: ChatServer, call: Call, good: Answer) -> None:
    server.reply = lambda _, number: refusal(500, "out of memory") if number == 1 else refusal(401, "no")
    end = call(server.url, concurrency=1)
    assert "refuses the API key" in str(end.reason)
    assert (end.is_temporary, len(server.bodies)) == (False, 2)


@both
def test_one_question_that_fails_for_good_does_not_make_the_others_hopeless(
    server: ChatServer, call: Call, good: Answer
) -> None:
    server.reply = lambda _, number: {1: refusal(500, "out of memory"), 2: (200, b"{}")}.get(number, good)
    end = call(server.url, concurrency=1)
    assert end.found == [None] * 2 + ["good"] * 10
    assert "out of memory" in str(end.reason)
    assert end.is_temporary


@both
@pytest.mark.parametrize("limit", [0, 1, 7])
def test_a_budget_that_is_used_up_ends_the_call_and_keeps_what_it_paid_for(
    server: ChatServer, call: Call, good: Answer, limit: int
) -> None:
    server.reply = replies_by_letter("g", good)
    replies = MemoryReplies()
    end = call(server.url, concurrency=1, replies=replies, budget=Budget(max_requests=limit, max_cost=None))
    assert end.found == ["good"] * limit + [None] * (12 - limit)
    assert (end.is_out_of_budget, end.is_temporary, len(server.bodies)) == (True, False, limit)
    assert f"the budget is used up ({limit} of {limit} requests sent" in str(end.reason)
    assert call(server.url, replies=replies).found == ["good"] * 12
    assert len(server.bodies) == 12


@both
def test_money_is_counted_alike(server: ChatServer, call: Call, good: Answer) -> None:
    server.reply = replies_by_letter("g", good)
    budget = Budget(max_requests=None, max_cost=0.005)
    end = call(server.url, concurrency=8, budget=budget, input_price=1.0, output_price=2.0)
    assert end.is_out_of_budget or end.found == ["good"] * 12
    assert budget.spent_cost == pytest.approx(len(server.bodies) * 7 / 1e6)
    assert budget.spent_cost <= 0.005


@both
def test_a_reply_that_cannot_be_read_is_asked_again_and_then_left_out(
    server: ChatServer, call: Call, good: Answer
) -> None:
    server.reply = replies_by_letter("u", good)
    end = call(server.url, concurrency=1, parse_retries=2)
    assert (end.found, end.reason, len(server.bodies)) == ([LEFT_OUT] * 12, None, 36)
    assert [body["seed"] for body in server.bodies[:3]] == [7, 8, 9]
    server.bodies.clear()
    server.reply = replies_by_letter("ug", good)
    assert call(server.url, concurrency=1, parse_retries=2).found == ["good"] * 12
    assert len(server.bodies) == 24


@both
@pytest.mark.parametrize("letters", ["uf", "rf"], ids=["unreadable replies", "refusals"])
def test_only_an_answer_ends_a_row_of_failures(server: ChatServer, call: Call, good: Answer, letters: str) -> None:
    server.reply = replies_by_letter("g" + letters * 6, good)
    end = call(server.url, concurrency=1, parse_retries=1)
    assert (end.found.count("good"), end.is_temporary, len(server.bodies)) == (1, True, 1 + 2 * 5)


@both
def test_a_server_that_refuses_what_is_asked_first_is_given_up_and_leaves_nothing_out(
    server: ChatServer, call: Call, good: Answer
) -> None:
    server.reply = replies_by_letter("r", good)
    end = call(server.url, concurrency=4)
    assert (end.found, end.is_temporary) == ([None] * 12, False)
    assert "content policy); it refuses whatever it is asked, so check its log and the settings" in str(end.reason)
    assert 5 < len(server.bodies) <= 5 + 3 + 1


@both
def test_what_is_refused_among_answers_or_for_its_length_is_left_out(
    server: ChatServer, call: Call, good: Answer
) -> None:
    # The harmless questions, after five refusals and at the end, are the seventh and the fourteenth.
    server.reply = replies_by_letter("grrrrrgrrgrrrg", good)
    assert call(server.url, concurrency=1).found == ["good"] + [LEFT_OUT] * 7 + ["good"] + [LEFT_OUT] * 3
    server.reply = replies_by_letter("l", good)
    assert call(server.url, concurrency=1).found == [LEFT_OUT] * 12


def test_a_benchmark_whose_last_questions_are_refused_can_be_graded_again(server: ChatServer) -> None:
    good, replies = completion("[[7]]"), MemoryReplies()
    server.reply = replies_by_letter("ggggggrrrrrgrg", good)
    first = of_answers(server.url, concurrency=1, replies=replies)
    server.bodies.clear()
    server.reply = replies_by_letter("rrrrrgrg", good)
    assert of_answers(server.url, concurrency=1, replies=replies) == first
    assert first.found == ["good"] * 6 + [LEFT_OUT] * 6
    assert len(server.bodies) == 6 + 2


def test_equal_questions_are_asked_once_and_no_question_asks_nobody(server: ChatServer) -> None:
    server.reply = replies_by_letter("g", completion("yes"))
    terms = JudgeTerms(
        model="tiny", base_url=server.url, api_key=None, temperature=0.0, max_tokens=10, seed=7, concurrency=4,
        requests_per_minute=None, timeout_s=20, max_retries=0, parse_retries=0, input_price=0.0, output_price=0.0,
    )  # fmt: skip
    asker = Asker(terms, Budget(max_requests=None, max_cost=None), MemoryReplies())
    messages: Messages = (Message("user", "Rye?"),)
    asked = asker.ask([asker.question(messages), asker.question(messages)], bool)
    assert [outcome.text for outcome in asked.outcomes.values()] == ["yes"]
    assert (asked.stop, len(server.bodies)) == (None, 1)
    assert asker.ask([], bool).outcomes == {}
    assert asker.question(messages).keys != asker.question(messages, ("yes", "no")).keys


def test_replies_of_earlier_versions_are_found_by_the_keys_they_were_stored_under() -> None:
    asked = pair_judge("http://x/v1", temperature=0.5, prompt="with_tie", is_constrained=True, parse_retries=1)
    keys = asked._question(shown("a", "b", "Which?")).keys
    assert [key[:16] for key in keys] == ["fa3fabbd7487de29", "0c19cc55b4d64b54"]
    grader = protocol_judge("http://x/v1", temperature=0.5, parse_retries=1).asker
    keys = grader.question(grade_messages(Question("1", None, ("Which?",), ()), ("a",))).keys
    assert [key[:16] for key in keys] == ["45e51e1f1ca951ba", "25c4da5b746835cf"]
