from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from chat_server import Answer, ChatServer, completion, echo, refusal, serving
from streamed_samples import Gathered, rows, server_generator
from surroundings import free_port
from tiny_generators import request, sampling

from models.chat.budget import Budget
from models.generation import Receiver
from models.generation.openai_server import GenerationStoppedError, OpenAIGenerator
from models.records import GeneratedResponse, GenerationRequest, Message, Prompt


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving(ChatServer()) as own:
        yield own


def generator(
    url: str, *, retries: int = 0, timeout_s: float = 20, concurrency: int = 4, api_key: str | None = "secret-key",
    budget: Budget | None = None, price: float = 0.0, **parameters: Any,
) -> OpenAIGenerator:  # fmt: skip
    return server_generator(
        url,
        sampling(**parameters),
        concurrency=concurrency,
        timeout_s=timeout_s,
        max_retries=retries,
        api_key=api_key,
        budget=budget or Budget(max_requests=None, max_cost=None),
        output_price=price,
    )


def failure(url: str, **options: Any) -> GenerationStoppedError:
    with pytest.raises(GenerationStoppedError) as caught:
        generator(url, **options).stream([request("hello", 1)], Gathered().receiver())
    return caught.value


def test_every_sample_is_a_request_with_its_seed_and_the_parameters(server: ChatServer) -> None:
    wanted = generator(server.url, temperature=0.7, top_p=0.9, max_tokens=5, stop=("x",), system_prompt="Rhyme.")
    responses = rows(wanted, [request("hello", 2**53 - 1, 4), request("bread"), request("oven", 5)])
    assert [[response.text for response in row] for row in responses] == [
        [f"hello {2**53 - 1}", "hello 4"],
        [],
        ["oven 5"],
    ]
    assert sorted(body.pop("seed") for body in server.bodies) == [4, 5, 2**53 - 1]
    assert server.bodies[0].pop("messages")[0] == {"role": "system", "content": "Rhyme."}
    assert server.bodies[0] == {"model": "tiny", "temperature": 0.7, "top_p": 0.9, "max_tokens": 5, "stop": ["x"]}
    assert server.keys == {"Bearer secret-key"}


def test_no_key_means_no_key_of_the_environment_either(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "private")
    rows(generator(server.url, api_key=None), [request("hello", 1)])
    assert server.keys == {None}
    assert "stop" not in server.bodies[0]


def test_a_dialogue_is_sent_turn_by_turn(server: ChatServer) -> None:
    turns = (Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Bread?"))
    rows(generator(server.url), [GenerationRequest(Prompt(turns), (1,))])
    assert [(turn["role"], turn["content"]) for turn in server.bodies[0]["messages"]] == [
        (turn.role, turn.content) for turn in turns
    ]


def test_reason_and_token_count_are_the_servers(server: ChatServer) -> None:
    server.reply = lambda body, _: completion("cut off", "length", 16)
    (responses,) = rows(generator(server.url), [request("hello", 1)])
    assert responses == [GeneratedResponse("cut off", 1, 16, "length")]


def test_a_reply_without_content_is_an_empty_text(server: ChatServer) -> None:
    server.reply = lambda body, _: completion(None, "stop", 0)
    (responses,) = rows(generator(server.url), [request("hello", 1)])
    assert responses == [GeneratedResponse("", 1, 0, "stop")]


def test_no_more_than_the_allowed_requests_are_in_flight(server: ChatServer) -> None:
    def slow(body: dict[str, Any], number: int) -> Answer:
        time.sleep(0.05)
        return echo(body, number)

    server.reply = slow
    (responses,) = rows(generator(server.url, concurrency=3), [request("hello", *range(12))])
    assert [response.text for response in responses] == [f"hello {seed}" for seed in range(12)]
    assert server.most_in_flight == 3


def test_a_busy_server_is_asked_again(server: ChatServer) -> None:
    server.reply = lambda body, number: refusal([429, 503][number - 1], "busy") if number < 3 else echo(body, number)
    assert rows(generator(server.url, retries=2), [request("hello", 1)])[0][0].text == "hello 1"
    assert len(server.bodies) == 3


def test_a_server_that_stays_broken_is_a_temporary_failure_after_the_retries(server: ChatServer) -> None:
    server.reply = lambda body, _: refusal(500, "out of memory")
    error = failure(server.url, retries=2)
    assert "refused the request (HTTP 500" in str(error)
    assert "out of memory" in str(error)
    assert error.is_temporary
    assert len(server.bodies) == 3


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (401, "bad key secret-key", "refuses the API key"),
        (403, "not yours", "refuses the API key"),
        (404, "no such model", r"has no model 'tiny'"),
        (402, "pay first", "wants its account filled"),
        (308, "moved", "sends to another address"),
    ],
)
def test_what_will_not_pass_is_told_at_once_without_retries(
    server: ChatServer, status: int, message: str, expected: str
) -> None:
    server.reply = lambda body, _: refusal(status, message)
    error = failure(server.url, retries=3)
    assert expected in str(error)
    assert "secret-key" not in str(error)
    assert server.url in str(error)
    assert not error.is_temporary
    assert len(server.bodies) == 1


def test_a_slow_server_is_given_up(server: ChatServer) -> None:
    ended = threading.Event()

    def wait(body: dict[str, Any], number: int) -> Answer:
        ended.wait()
        return echo(body, number)

    server.reply = wait
    error = failure(server.url, timeout_s=0.3)
    ended.set()
    assert "gave no whole answer within 0.3 s" in str(error)
    assert error.is_temporary


def test_an_unreachable_server_is_named() -> None:
    error = failure(f"http://127.0.0.1:{free_port()}/v1")
    assert "cannot be reached" in str(error)
    assert error.is_temporary


def refuses_long(body: dict[str, Any], number: int) -> Answer:
    is_long = len(body["messages"][0]["content"]) > 10
    message = "This model's maximum context length is 256 tokens. However, you requested 300."
    return refusal(400, message) if is_long else echo(body, number)


def test_prompts_the_server_finds_too_long_are_left_out_and_the_others_sampled(server: ChatServer) -> None:
    server.reply = refuses_long
    gathered = Gathered()
    asked = [request("x" * 20, 1), request("hello", 1), request("y" * 20, 1, 2)]
    generator(server.url).stream(asked, gathered.receiver())
    assert gathered.left_out == {0: None, 2: None}
    assert gathered.samples.keys() == {(1, 0)}


def test_a_refused_prompt_is_left_out_with_the_servers_words_and_asked_once(server: ChatServer) -> None:
    server.reply = lambda body, number: refusal(400, "content policy") if "bad" in str(body) else echo(body, number)
    gathered = Gathered()
    asked = [request("hello", 1, 2), request("bad", *range(8)), request("bread", 1, 2)]
    generator(server.url, concurrency=1).stream(asked, gathered.receiver())
    assert gathered.left_out == {1: "the server refused the request (HTTP 400: content policy)"}
    assert len(gathered.samples) == 4
    assert len(server.bodies) == 4 + 1


@pytest.mark.parametrize("good", [0, 3])
def test_a_server_that_refuses_five_in_a_row_and_a_harmless_prompt_is_given_up(server: ChatServer, good: int) -> None:
    server.reply = lambda body, number: echo(body, number) if number <= good else refusal(422, "no such field")
    gathered = Gathered()
    with pytest.raises(GenerationStoppedError, match=r"no such field.*refuses whatever it is asked") as caught:
        asked = [request(f"prompt {number}", 1) for number in range(64)]
        generator(server.url, concurrency=2).stream(asked, gathered.receiver())
    assert gathered.left_out == {}
    assert len(gathered.samples) == good
    assert not caught.value.is_out_of_budget
    assert len(server.bodies) <= good + 5 + 1 + 1


def test_what_came_before_a_failure_is_handed_over(server: ChatServer) -> None:
    server.reply = lambda body, number: refusal(500, "broken") if number > 7 else echo(body, number)
    gathered = Gathered()
    with pytest.raises(GenerationStoppedError, match="broken"):
        generator(server.url, concurrency=1).stream([request("hello", *range(64))], gathered.receiver())
    assert len(gathered.samples) == 7
    assert len(server.bodies) == 7 + 5


def test_a_store_that_fails_ends_the_sampling(server: ChatServer) -> None:
    def keep(_: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        generator(server.url).stream([request("hello", *range(64))], Receiver(keep, lambda *_: None))
    assert len(server.bodies) <= 4


def test_a_budget_is_never_exceeded(server: ChatServer) -> None:
    budget, gathered = Budget(max_requests=10, max_cost=None), Gathered()
    with pytest.raises(GenerationStoppedError, match="10 of 10 requests sent") as caught:
        generator(server.url, budget=budget).stream([request("hello", *range(64))], gathered.receiver())
    copied = pickle.loads(pickle.dumps(caught.value))
    assert str(copied) == str(caught.value)
    assert copied.is_out_of_budget
    assert len(server.bodies) == len(gathered.samples) == 10
    budget, gathered = Budget(max_requests=None, max_cost=20 / 1e6), Gathered()
    with pytest.raises(GenerationStoppedError, match="budget is used up"):
        asked = [request("hello", *range(64))]
        generator(server.url, budget=budget, price=1.0, max_tokens=5).stream(asked, gathered.receiver())
    assert budget.spent_cost == pytest.approx(3 * len(gathered.samples) / 1e6)
    assert 15 / 1e6 <= budget.spent_cost <= 20 / 1e6
    with pytest.raises(ValueError, match="set the prices"):
        generator(server.url, budget=budget)


def test_it_works_where_an_event_loop_runs_already(server: ChatServer) -> None:
    async def call() -> list[list[GeneratedResponse]]:
        return rows(generator(server.url), [request("hello", 1)])

    assert asyncio.run(call())[0][0].text == "hello 1"


def test_template_arguments_are_sent_as_servers_of_vllm_read_them(server: ChatServer) -> None:
    rows(generator(server.url, template_arguments={"enable_thinking": False}), [request("hello", 1)])
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}
