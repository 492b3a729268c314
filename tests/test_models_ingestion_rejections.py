"""Rejections: a row that does not fit its format comes back with the column, what it held and its content."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from models.ingestion.formats import AS_THEY_ARE, Columns, SourceFormat, parse_row
from models.ingestion.rows import SourceRow
from models.records import RejectedRow


def turn(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


def rejected(content: object, source_format: SourceFormat, columns: Columns = AS_THEY_ARE) -> RejectedRow:
    row = parse_row(SourceRow(7, content), source_format, columns)
    assert isinstance(row, RejectedRow), row
    assert row.row_number == 7
    return row


@pytest.mark.parametrize(
    ("source_format", "content", "expected"),
    [
        (
            "prompts",
            {"id": 1},
            "column 'prompt' or 'instruction' or 'question' or 'query' or 'text' or 'input' is missing",
        ),
        ("prompts", {}, "the row has no columns"),
        ("prompts", {"prompt": " \n"}, "column 'prompt': the prompt is empty"),
        ("prompts", {"prompt": None}, "column 'prompt' holds no value"),
        ("prompts", {"prompt": math.nan}, "column 'prompt' holds no value"),
        ("prompts", {"prompt": 12}, "column 'prompt': expected text, got number 12"),
        ("prompts", {"prompt": {"a": 1}}, "expected text, got object {'a': 1}"),
        ("prompts", {"prompt": "a\x00b"}, "column 'prompt': '\\x00' at character 2 cannot be stored"),
        ("prompts", {"prompt": "é\ud800"}, "column 'prompt': '\\ud800' at character 2 cannot be stored"),
        ("prompts", {"prompt": []}, "column 'prompt' is an empty list; expected messages"),
        ("prompts", {"instruction": "Sort", "input": 5}, "column 'input': expected text, got number 5"),
        ("prompts", ["Hi"], "expected an object with columns, got list ['Hi']"),
        ("prompts", None, "expected an object with columns, got null"),
        ("responses", {"prompt": "Hi"}, "column 'responses' or 'answers' or 'generations' is missing"),
        (
            "responses",
            {"prompt": "Hi", "responses": "a"},
            "expected a list, got text 'a'; in a CSV a list is written as",
        ),
        (
            "responses",
            {"prompt": "Hi", "responses": ["a", 5]},
            "responses[1]: expected a text or an object with 'text'",
        ),
        ("responses", {"prompt": "Hi", "responses": [{"model": "m"}]}, "responses[0]: column 'text' or 'response' or"),
        ("responses", {"prompt": "Hi", "responses": ["a"], "ratings": [1, 2]}, "'ratings': expected 1 items, one a"),
        ("responses", {"prompt": "Hi", "answers": [{"text": "a", "rank": 1}] * 65}, "a ranking of at most 64"),
        ("responses", {"prompt": "Hi", "responses": [{"text": "a", "model": 3}]}, "responses[0].model: expected text"),
        ("chat", {"prompt": "Hi"}, "column 'messages' or 'conversations' or 'conversation' is missing"),
        (
            "chat",
            {"messages": [turn("narrator", "4")]},
            "messages'[0].role: unknown role text 'narrator'; expected one of system",
        ),
        ("chat", {"messages": [turn("user", None)]}, "column 'messages'[0].content: expected text, got null"),
        ("chat", {"messages": ["Hi"]}, "column 'messages'[0]: expected an object with role and content"),
        ("chat", {"messages": [turn("assistant", "Hello")]}, "no turn stands before the response"),
        (
            "chat",
            {"messages": [turn("user", "Hi"), turn("system", "x")]},
            "ends with the system's turn, not the user's",
        ),
        (
            "chat",
            {"messages": [turn("user", "Hi"), turn("assistant", "a"), turn("assistant", "b")]},
            "the prompt's dialogue ends with the assistant's turn, not the user's",
        ),
        ("chat", {"messages": [turn("user", " "), turn("assistant", "a")]}, "the user's last turn is empty"),
        ("chat", {"messages": [turn("user", "Hi"), turn("assistant", "")]}, "the reference response is empty"),
        ("hh-rlhf", {"chosen": "\n\nHuman: Hi\n\nAssistant: a"}, "column 'rejected' is missing"),
        ("hh-rlhf", {"chosen": "a", "rejected": "b"}, "column 'chosen': expected a dialogue that starts with"),
        ("hh-rlhf", {"chosen": "x\n\nHuman: Hi", "rejected": "b"}, "got text 'x\\n\\nHuman: Hi'"),
        (
            "hh-rlhf",
            {"chosen": "\n\nHuman: Hi\n\nAssistant: a", "rejected": "\n\nHuman: Hi"},
            "column 'rejected': the dialogue ends with the user's turn, not the assistant's",
        ),
        (
            "hh-rlhf",
            {"chosen": "\n\nHuman: Hi\n\nAssistant: a", "rejected": "\n\nHuman: Ho\n\nAssistant: a"},
            "columns 'chosen' and 'rejected' do not share their prompt: turn 1 differs (they have 2 and 2 turns)",
        ),
        (
            "hh-rlhf",
            {
                "chosen": "\n\nHuman: Hi\n\nAssistant: a",
                "rejected": "\n\nHuman: Hi\n\nAssistant: a\n\nHuman: b\n\nAssistant: c",
            },
            "do not share their prompt: turn 2 differs (they have 2 and 4 turns)",
        ),
        (
            "preference",
            {"prompt": "Hi", "chosen": "a", "rejected": 4},
            "column 'rejected': expected text, got number 4",
        ),
        ("preference", {"chosen": "a", "rejected": "b"}, "column 'prompt' or"),
        (
            "preference",
            {"prompt": "Hi", "chosen": [turn("user", "Hi"), turn("assistant", "a")], "rejected": "b"},
            "column 'chosen': expected one message of the assistant's, got 2",
        ),
        (
            "preference",
            {
                "prompt": "Other",
                "chosen": [turn("user", "Hi"), turn("assistant", "a")],
                "rejected": [turn("user", "Hi"), turn("assistant", "b")],
            },
            "column 'prompt' is not the prompt of the dialogues",
        ),
        (
            "shp-2",
            {"history": "Hi", "human_ref_A": "a", "human_ref_B": "b", "labels": 2},
            "column 'labels': expected 1 (A is preferred) or 0 (B), got number 2",
        ),
        ("shp-2", {"history": "Hi", "human_ref_A": "a", "human_ref_B": "b"}, "column 'labels' is missing"),
        ("ultrafeedback", {"instruction": "Hi", "completions": [{"model": "m"}]}, "completions[0]: column 'text' or"),
        (
            "sft",
            {"prompt": "Hi"},
            "column 'response' or 'output' or 'completion' or 'reference' or 'answer' is missing",
        ),
        ("sft", {"prompt": "Hi", "response": ""}, "column 'response': the reference response is empty"),
        ("prompts", {"prompt": "Hi", "history": "a"}, "column 'history': expected a list of turns, got text 'a'"),
        ("prompts", {"prompt": "Hi", "history": [["a"]]}, "history'[0]: expected what the user said and what was"),
        (
            "chat",
            {"system": "Be kind", "messages": [turn("system", "Be rude"), turn("user", "Hi")]},
            "column 'messages' begins with another system message than the row's own columns have",
        ),
        (
            "chat",
            {"messages": [turn("user", [{"type": "image_url", "image_url": {"url": "x"}}])]},
            "content[0]: only parts of text can be read, this is a part of the type text 'image_url'",
        ),
        ("comparison", {"prompt": "Hi", "response_a": "a"}, "two responses are missing; expected 'response_a' and"),
        (
            "comparison",
            {"prompt": "Hi", "response_a": "a", "response_b": "b", "label": 0},
            "column 'label': expected 'a', 'b', 'tie' or 'tie (bothbad)', got number 0",
        ),
        (
            "comparison",
            {"prompt": "Hi", "response1": "a", "response2": "b", "overall_preference": 5},
            "column 'overall_preference': expected a grade from −3 to 3, got 5",
        ),
        ("unpaired", {"prompt": "Hi", "response": "a", "label": 2}, "column 'label': expected true or false"),
        ("tree", {"text": "Hi", "role": "prompter"}, "no message of the user's that was answered"),
        ("tree", {"text": "Hi", "replies": [5]}, "'replies': expected a list of messages"),
        ("tree", {"prompt": "Hi"}, "expected a tree: an object with 'text', 'role' and 'replies'"),
    ],
)
def test_a_row_that_does_not_fit_is_rejected_with_the_column_and_the_value(
    source_format: SourceFormat, content: object, expected: str
) -> None:
    assert expected in rejected(content, source_format).reason


def test_a_rejected_row_keeps_its_content_so_that_it_can_be_mended() -> None:
    content = {"prompt": "", "note": "naïve", "broken": "\ud800"}
    row = rejected(content, "prompts")
    assert "naïve" in row.content
    assert json.loads(row.content.encode("utf-8")) == content


def test_a_long_value_is_cut_in_the_reason_and_whole_in_the_content() -> None:
    row = rejected({"prompt": list(range(400))}, "prompts")
    assert len(row.reason) < 200
    assert row.content.endswith("398, 399]}")


def test_a_row_nested_beyond_the_interpreter_is_rejected() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    row = rejected({"prompt": "Hi", "responses": nested}, "responses")
    assert row.reason == "nested too deeply to be read"
    assert row.content == "(nested too deeply to be written)"
    while nested:  # taken apart by hand: freeing it in one go is recursive too
        nested = nested[0]


def test_a_row_without_the_column_the_user_named_is_rejected() -> None:
    assert rejected({"prompt": "Hi"}, "prompts", Columns({"prompt": "ask"})).reason.startswith("column 'ask' or")
