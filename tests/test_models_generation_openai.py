from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from chat_server import Answer, ChatServer, completion, echo, refusal, serving
from surroundings import free_port
from tiny_generators import request, sampling

from models.errors import PromptTooLongError
from models.generation.openai_server import GenerationServerError, OpenAIGenerator
from models.records import GeneratedResponse, GenerationRequest, Message, Prompt


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving(ChatServer()) as own:
        yield own


def generator(
    url: str, *, retries: int = 0, timeout_s: float = 20, concurrency: int = 4, **parameters: Any
) -> OpenAIGenerator:
    return OpenAIGenerator(
        "tiny",
        sampling(**parameters),
        base_url=url,
        api_key="secret",
        concurrency=concurrency,
        timeout_s=timeout_s,
        max_retries=retries,
    )


def failure(url: str, **options: Any) -> GenerationServerError:
    with pytest.raises(GenerationServerError) as caught:
        generator(url, **options).generate([request("hello", 1)])
    return caught.value


def test_every_sample_is_a_request_with_its_seed_and_the_parameters(server: ChatServer) -> None:
    wanted = generator(server.url, temperature=0.7, top_p=0.9, max_tokens=5, stop=("x",), system_prompt="Rhyme.")
    responses = wanted.generate([request("hello", 2**53 - 1, 4), request("bread"), request("oven", 5)])
    assert [[response.text for response in row] for row in responses] == [
        [f"hello {2**53 - 1}", "hello 4"],
        [],
        ["oven 5"],
    ]
    assert sorted(body.pop("seed") for body in server.bodies) == [4, 5, 2**53 - 1]
    assert server.bodies[0].pop("messages")[0] == {"role": "system", "content": "Rhyme."}
    assert server.bodies[0] == {"model": "tiny", "temperature": 0.7, "top_p": 0.9, "max_tokens": 5, "stop": ["x"]}
    assert server.keys == {"Bearer secret"}


def test_no_key_means_no_key_of_the_environment_either(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "private")
    own = OpenAIGenerator(
        "tiny", sampling(), base_url=server.url, api_key=None, concurrency=1, timeout_s=5, max_retries=0
    )
    own.generate([request("hello", 1)])
    assert server.keys == {"Bearer none"}
    assert "stop" not in server.bodies[0]


def test_a_dialogue_is_sent_turn_by_turn(server: ChatServer) -> None:
    turns = (Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Bread?"))
    generator(server.url).generate([GenerationRequest(Prompt(turns), (1,))])
    assert [(turn["role"], turn["content"]) for turn in server.bodies[0]["messages"]] == [
        (turn.role, turn.content) for turn in turns
    ]


def test_reason_and_token_count_are_the_servers(server: ChatServer) -> None:
    server.reply = lambda body, _: completion("cut off", "length", 16)
    (responses,) = generator(server.url).generate([request("hello", 1)])
    assert responses == [GeneratedResponse("cut off", 1, 16, "length")]


def test_a_reply_without_content_is_an_empty_text(server: ChatServer) -> None:
    server.reply = lambda body, _: completion(None, "content_filter", 0)
    (responses,) = generator(server.url).generate([request("hello", 1)])
    assert responses == [GeneratedResponse("", 1, 0, "stop")]


def test_no_more_than_the_allowed_requests_are_in_flight(server: ChatServer) -> None:
    def slow(body: dict[str, Any], number: int) -> Answer:
        time.sleep(0.05)
        return echo(body, number)

    server.reply = slow
    (responses,) = generator(server.url, concurrency=3).generate([request("hello", *range(12))])
    assert [response.text for response in responses] == [f"hello {seed}" for seed in range(12)]
    assert server.most_in_flight == 3


def test_a_busy_server_is_asked_again(server: ChatServer) -> None:
    server.reply = lambda body, number: refusal([429, 503][number - 1], "busy") if number < 3 else echo(body, number)
    assert generator(server.url, retries=2).generate([request("hello", 1)])[0][0].text == "hello 1"
    assert len(server.bodies) == 3


def test_a_server_that_stays_broken_is_a_temporary_failure_after_the_retries(server: ChatServer) -> None:
    server.reply = lambda body, _: refusal(500, "out of memory")
    error = failure(server.url, retries=2)
    assert "refused the request: Error code: 500" in str(error)
    assert "out of memory" in str(error)
    assert error.is_temporary
    assert len(server.bodies) == 3


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (401, "bad key secret", "refuses the API key"),
        (403, "not yours", "refuses the API key"),
        (404, "no such model", r"has no model 'tiny'"),
        (400, "no chat template", "no chat template"),
    ],
)
def test_what_will_not_pass_is_told_at_once_without_retries(
    server: ChatServer, status: int, message: str, expected: str
) -> None:
    server.reply = lambda body, _: refusal(status, message)
    error = failure(server.url, retries=3)
    assert expected in str(error)
    assert "secret" not in str(error)
    assert server.url in str(error)
    assert not error.is_temporary
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    "body", [b'{"choices": []}', b'{"choices": [{"message": {}}]}', b'{"choices": null}', b"[]", b"null", b'"hi"']
)
def test_an_answer_without_a_choice_and_its_usage_is_refused(server: ChatServer, body: bytes) -> None:
    server.reply = lambda *_: (200, body)
    assert "answered without a choice and its usage" in str(failure(server.url))


@pytest.mark.parametrize("body", [b'{"choices": [', b"", b"\xff\xfe"])
def test_a_garbled_answer_is_refused(server: ChatServer, body: bytes) -> None:
    server.reply = lambda *_: (200, body)
    error = failure(server.url)
    assert "no JSON" in str(error)
    assert error.is_temporary


def test_a_slow_server_is_given_up(server: ChatServer) -> None:
    ended = threading.Event()

    def wait(body: dict[str, Any], number: int) -> Answer:
        ended.wait(10)
        return echo(body, number)

    server.reply = wait
    error = failure(server.url, timeout_s=0.3)
    ended.set()
    assert "gave no answer within 0.3 s" in str(error)
    assert error.is_temporary


def test_an_unreachable_server_is_named() -> None:
    error = failure(f"http://127.0.0.1:{free_port()}/v1")
    assert "cannot be reached" in str(error)
    assert error.is_temporary


def test_prompts_the_server_finds_too_long_are_named_together(server: ChatServer) -> None:
    def reply(body: dict[str, Any], number: int) -> Answer:
        is_long = len(body["messages"][0]["content"]) > 10
        message = "This model's maximum context length is 256 tokens. However, you requested 300."
        return refusal(400, message) if is_long else echo(body, number)

    server.reply = reply
    with pytest.raises(PromptTooLongError, match="2 of 3 prompts are too long for tiny") as caught:
        generator(server.url).generate([request("x" * 20, 1), request("hello", 1), request("y" * 20, 1, 2)])
    assert caught.value.positions == (0, 2)


def test_it_works_where_an_event_loop_runs_already(server: ChatServer) -> None:
    async def call() -> list[list[GeneratedResponse]]:
        return generator(server.url).generate([request("hello", 1)])

    assert asyncio.run(call())[0][0].text == "hello 1"
