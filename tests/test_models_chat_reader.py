"""The one reader of what a chat server answers: odd replies by hand, and anything at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fuzzing import fuzz
from hypothesis import example, given
from hypothesis import strategies as st

from models.chat.client import _requested_pause_s
from models.chat.errors import ChatError
from models.chat.reader import ChatReply, read_answer
from models.chat.secrets import cleaned
from models.judging.prompts import parse_reply
from models.protocols.prompts import parse_grade, parse_verdict
from models.records import UNSTORABLE

KEY = "sk-3f9c/77aa21+b0"


def read(body: Any, status: int = 200) -> ChatReply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(status, content, model="tiny", clean=lambda text: cleaned(text, KEY))


def failure(body: Any, status: int = 200) -> ChatError:
    with pytest.raises(ChatError) as caught:
        read(body, status)
    return caught.value


def answer(message: Any, finish_reason: Any = "stop", **fields: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": finish_reason}]} | fields


def test_a_reply_is_its_text_its_end_and_its_tokens() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    assert read(answer({"content": "Rye."}, usage=usage)) == ChatReply("Rye.", "stop", 7, 3)
    assert read(answer({"content": "Ry"}, "length", usage=usage)).finish_reason == "length"
    assert read(answer({"content": "Rye."}, None)) == ChatReply("Rye.", "stop", None, None)


@pytest.mark.parametrize(
    "usage",
    [None, [], "many", {}, {"completion_tokens": -1}, {"completion_tokens": 1e300}, {"completion_tokens": True},
     {"completion_tokens": "all"}, {"completion_tokens": 10**30}, {"completion_tokens": None}],
)  # fmt: skip
def test_a_count_that_nobody_believes_is_none(usage: Any) -> None:
    assert read(answer({"content": "Rye."}, usage=usage)).output_tokens is None


@pytest.mark.parametrize("count", [12, "12", 12.0])
def test_a_count_may_be_spelled_as_a_text(count: Any) -> None:
    assert read(answer({"content": "Rye."}, usage={"completion_tokens": count})).output_tokens == 12


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("", ""),
        (["Rye", {"type": "text", "text": " and"}, {"type": "image"}, {"text": " wheat."}, 7], "Rye and wheat."),
        ("a\x00b\ud800c", "a\ufffdb\ufffdc"),
        (f"My key is {KEY}.", "My key is [key]."),
    ],
)
def test_the_text_of_a_content(content: Any, text: str) -> None:
    assert read(answer({"content": content})).text == text


@pytest.mark.parametrize(
    ("message", "reason", "words"),
    [
        ({"content": "Half of"}, "content_filter", "content filter"),
        ({"content": None}, "content_filter", "content filter"),
        ({"content": None, "refusal": f"I will not, {KEY}"}, "stop", "declined: I will not, [key]"),
        ({"content": None, "tool_calls": [{"id": 1}]}, "tool_calls", "the call of a tool"),
        ({"function_call": {"name": "f"}}, "function_call", "the call of a tool"),
    ],
)
def test_a_reply_that_was_refused_says_why(message: Any, reason: str, words: str) -> None:
    assert words in str(read(answer(message, reason)).refusal)


@pytest.mark.parametrize(
    ("message", "thought", "text"),
    [
        ({"content": "Rye.", "reasoning_content": "Which?"}, "Which?", "Rye."),
        ({"content": "Rye.", "reasoning": f"Which? {KEY}"}, "Which? [key]", "Rye."),
        ({"content": "<think>Which?</think>\n\nRye."}, "Which?", "Rye."),
        ({"content": "Which?\n</think>\n\nRye."}, "Which?", "Rye."),
        ({"content": "The tag </think> ends it."}, None, "The tag </think> ends it."),
        ({"content": "Rye.", "reasoning_content": None}, None, "Rye."),
    ],
)
def test_a_thought_is_no_part_of_the_text(message: Any, thought: str | None, text: str) -> None:
    reply = read(answer(message))
    assert (reply.thought, reply.text, reply.finish_reason) == (thought, text, "stop")


@pytest.mark.parametrize("message", [{"content": "<think>Which"}, {"content": None, "reasoning_content": "Which"}])
def test_a_reply_that_ends_within_its_thought_is_cut_and_has_no_text(message: Any) -> None:
    assert read(answer(message, "length")).text == ""
    assert read(answer({"content": "<think>Which"})).finish_reason == "length"


def test_a_text_beside_a_tool_call_is_a_reply() -> None:
    assert read(answer({"content": "Rye.", "refusal": "", "tool_calls": [1]})).refusal is None


@pytest.mark.parametrize(
    "body",
    [{}, [], None, 7, "hi", True, {"choices": []}, {"choices": None}, {"choices": {}}, {"choices": [None]},
     {"choices": [{}]}, {"choices": [{"message": []}]}, answer({"content": 7}), answer({"content": {"text": "a"}})],
)  # fmt: skip
def test_an_answer_without_a_choice_is_a_failure_for_good(body: Any) -> None:
    error = failure(body)
    assert "answered without a choice" in str(error)
    assert not error.is_temporary and not error.is_refused


@pytest.mark.parametrize(
    "body",
    [b"", b"  \n", b'{"choices": [', b"\xff\xfe", b"<html><body>Sign in</body></html>", b"[" * 100_000,
     b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b'{"usage": ' + b"9" * 5_000 + b"}", b"\xfe\xff\x00"],
)  # fmt: skip
def test_what_is_no_json_may_pass(body: bytes) -> None:
    error = failure(body)
    assert "no JSON" in str(error) and len(str(error)) < 400
    assert error.is_temporary


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "slow down", "code": 429}, {"is_temporary": True}),
        ({"message": "slow down", "code": "503"}, {"is_temporary": True}),
        ({"message": "what is this", "code": None}, {"is_temporary": True}),
        ("it broke", {"is_temporary": True}),
        ({"message": "content policy", "code": 400}, {"is_refused": True}),
        ({"message": "no key", "code": 401}, {"is_hopeless": True}),
    ],
)
def test_an_error_within_a_good_answer_is_that_error(error: Any, expected: dict[str, bool]) -> None:
    found = failure({"error": error})
    flags = {name: getattr(found, name) for name in ("is_temporary", "is_hopeless", "is_refused")}
    assert {name for name, is_set in flags.items() if is_set} == set(expected)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, {"error": {"message": "too\nbad", "code": "policy"}}, "refused the request (HTTP 400: too bad (policy))"),
        (422, {"detail": "no seed"}, "(HTTP 422: no seed)"),
        (422, {"detail": [{"loc": ["seed"]}]}, '(HTTP 422: {"detail": [{"loc": ["seed"]}]})'),
        (500, b"<h1>Oops</h1>", "refused the request (HTTP 500: <h1>Oops</h1>)"),
        (503, b"", "refused the request (HTTP 503)"),
        (404, {"error": "who?"}, "has no model 'tiny', or is no OpenAI-compatible API (HTTP 404: who?)"),
        (307, b"", "sends to another address"),
        (400, {"error": {"message": f"bad {KEY}"}}, "bad [key]"),
        (400, json.dumps({"who": KEY}).replace("/", "\\/").encode(), '{"who": "[key]"}'),
        (500, b"[" * 100_000, "(HTTP 500: [[["),
    ],
)
def test_an_error_is_told_in_the_servers_words(status: int, body: Any, words: str) -> None:
    assert words in str(failure(body, status))


@pytest.mark.parametrize(
    ("status", "message", "is_too_long"),
    [(400, "maximum context length is 9", True), (413, "", True), (400, "no", False), (500, "context length", False)],
)
def test_what_is_too_long_is_known(status: int, message: str, is_too_long: bool) -> None:
    assert failure({"error": {"message": message}}, status).is_too_long == is_too_long


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(KEY)
names = st.sampled_from(
    ["choices", "message", "content", "finish_reason", "usage", "prompt_tokens", "completion_tokens", "error", "code",
     "refusal", "tool_calls", "text", "detail"]
)  # fmt: skip
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=3), inner, max_size=4)
)
messages = st.fixed_dictionaries({}, optional=dict.fromkeys(("content", "refusal", "tool_calls"), anything))
choices = st.fixed_dictionaries({}, optional={"message": messages | anything, "finish_reason": anything})
usages = st.fixed_dictionaries({}, optional=dict.fromkeys(("prompt_tokens", "completion_tokens"), scalars))
answers = st.fixed_dictionaries(
    {}, optional={"choices": st.lists(choices, max_size=2) | anything, "usage": usages | anything, "error": anything}
)
bodies = st.binary(max_size=40) | st.builds(
    lambda value, cut: json.dumps(value).encode("utf-8", "surrogatepass")[:cut],
    answers | anything,
    st.none() | st.integers(0, 300),
)
statuses = st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 402, 404, 413, 422, 429, 500, 599])


@fuzz(0.25, body=bodies, status=statuses)
def test_any_body_is_a_reply_or_a_chat_error(body: bytes, status: int) -> None:
    try:
        reply = read(body, status)
    except ChatError as error:
        words = str(error)
        assert len(words) < 600
    else:
        words = reply.text + str(reply.refusal)
        assert reply.finish_reason in {"stop", "length"}
        for count in (reply.input_tokens, reply.output_tokens):
            assert count is None or (type(count) is int and 0 <= count <= 10_000_000)
    assert KEY not in words
    assert not UNSTORABLE.search(words)


replies = st.text(st.sampled_from("mMAB[]0123456789.:\n tie*#`verdict><=") | st.characters(), max_size=60)


@fuzz(0.2, reply=replies)
def test_any_text_is_a_verdict_and_a_grade_or_none(reply: str) -> None:
    for has_rationale in (False, True):
        for prompt in ("alpaca_eval", "with_tie"):
            verdict, reason = parse_reply(reply, prompt, has_rationale=has_rationale)  # type: ignore[arg-type]
            assert verdict in {"left", "right", "tie", "both_bad", "unparsed"}
            assert reason is None or has_rationale
    grade = parse_grade(reply)
    assert grade is None or 1 <= grade <= 10
    parse_verdict(reply)


@given(value=st.text(st.sampled_from("0123456789.-+eEinfnaNGMT:, ThuJan"), max_size=40))
@example(value="Thu, 01 Jan 99999 00:00:00 GMT")
@example(value="1e999")
def test_any_pause_is_read_or_none(value: str) -> None:
    pause_s = _requested_pause_s({"retry-after": value})
    assert pause_s is None or pause_s >= 0
