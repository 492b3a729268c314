"""Formats: what the columns of a row mean, and why a row is rejected."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.ingestion.dialogues import is_message_list, parse_hh_dialogue
from models.ingestion.fields import described
from models.ingestion.formats import (
    AS_THEY_ARE,
    FORMATS,
    SOURCE_FORMATS,
    Columns,
    SourceFormat,
    parse_row,
    recognised_format,
)
from models.ingestion.rows import SourceRow
from models.records import ImportedPair, ImportedResponse, ImportedRow, Message, Prompt, RejectedRow

HI = Prompt.from_text("Hi")
FIRST = (ImportedPair(0, 1, "first"),)


def turn(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


def read(content: object, source_format: SourceFormat, columns: Columns = AS_THEY_ARE) -> ImportedRow | RejectedRow:
    return parse_row(SourceRow(7, content), source_format, columns)


# One hand-written row of every shape with what it means; the shape is recognised without being named.
SHAPES: list[tuple[SourceFormat, dict[str, Any], ImportedRow]] = [
    ("prompts", {"id": 3, "prompt": "Hi"}, ImportedRow(7, HI)),
    ("prompts", {"question": " Hi\n"}, ImportedRow(7, Prompt.from_text(" Hi\n"))),
    ("prompts", {"text": "Hi"}, ImportedRow(7, HI)),
    ("prompts", {"instruction": "Sort", "input": "b a"}, ImportedRow(7, Prompt.from_text("Sort\n\nb a"))),
    ("prompts", {"prompt": [turn("user", "Hi")]}, ImportedRow(7, HI)),
    (
        "responses",
        {"prompt": "Hi", "responses": ["a", "", "a"]},
        ImportedRow(7, HI, (ImportedResponse("a"), ImportedResponse(""), ImportedResponse("a"))),
    ),
    (
        "responses",
        {
            "prompt": "Hi",
            "reference": "gold",
            "responses": [{"text": "a", "model": "m", "score": 2}, {"response": "b"}, {"content": "c", "score": None}],
        },
        ImportedRow(
            7,
            HI,
            (
                ImportedResponse("a", "m", 2.0),
                ImportedResponse("b"),
                ImportedResponse("c"),
                ImportedResponse("gold", is_reference=True),
            ),
        ),
    ),
    ("responses", {"prompt": "Hi", "responses": []}, ImportedRow(7, HI)),
    (
        "chat",
        {"prompt": "Hi", "messages": [turn("system", "Be kind"), turn("user", "Hi"), turn("assistant", "Hello")]},
        ImportedRow(
            7,
            Prompt((Message("system", "Be kind"), Message("user", "Hi"))),
            (ImportedResponse("Hello", is_reference=True),),
        ),
    ),
    ("chat", {"messages": [turn("user", "Hi")]}, ImportedRow(7, HI)),
    (
        "chat",
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        ImportedRow(7, HI, (ImportedResponse("Hello", is_reference=True),)),
    ),
    (
        "hh-rlhf",
        {
            "chosen": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman:  Bye \n\nAssistant: See\n\nyou",
            "rejected": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman:  Bye \n\nAssistant:",
        },
        ImportedRow(
            7,
            Prompt((Message("user", "Hi"), Message("assistant", "Hello"), Message("user", " Bye "))),
            (ImportedResponse("See\n\nyou"), ImportedResponse("")),
            FIRST,
        ),
    ),
    (
        "preference",
        {"prompt": "Hi", "chosen": "a", "rejected": "a"},
        ImportedRow(7, HI, (ImportedResponse("a"), ImportedResponse("a")), FIRST),
    ),
    (
        "preference",
        {"question": "Hi", "chosen": [turn("assistant", "a")], "rejected": [turn("assistant", "b")]},
        ImportedRow(7, HI, (ImportedResponse("a"), ImportedResponse("b")), FIRST),
    ),
    (
        "preference",
        {
            "prompt": "Hi",
            "messages": [turn("user", "Hi"), turn("assistant", "a")],
            "chosen": [turn("user", "Hi"), turn("assistant", "a")],
            "rejected": [turn("user", "Hi"), turn("assistant", "b")],
            "score_chosen": 8.5,
            "score_rejected": 3,
        },
        ImportedRow(7, HI, (ImportedResponse("a", score=8.5), ImportedResponse("b", score=3.0)), FIRST),
    ),
    (
        "shp-2",
        {"history": "Hi", "human_ref_A": "a", "human_ref_B": "b", "score_A": 4, "score_B": 9, "labels": 0},
        ImportedRow(
            7, HI, (ImportedResponse("a", score=4.0), ImportedResponse("b", score=9.0)), (ImportedPair(0, 1, "second"),)
        ),
    ),
    (
        "ultrafeedback",
        {
            "instruction": "Hi",
            "completions": [
                {"model": "m", "response": "a", "overall_score": 7.5, "fine-grained_score": 4.0},
                {"model": "n", "response": "b", "fine-grained_score": 4.25},
            ],
        },
        ImportedRow(7, HI, (ImportedResponse("a", "m", 4.0), ImportedResponse("b", "n", 4.25))),
    ),
    (
        "sft",
        {"instruction": "Hi", "input": "", "output": "Hello", "text": "Hi ### Hello"},
        ImportedRow(7, HI, (ImportedResponse("Hello", is_reference=True),)),
    ),
    (
        "sft",
        {"prompt": [turn("user", "Hi")], "completion": [turn("assistant", "Hello")]},
        ImportedRow(7, HI, (ImportedResponse("Hello", is_reference=True),)),
    ),
    (
        "comparison",
        {"prompt": "Hi", "response_a": "a", "response_b": "b", "winner": "b"},
        ImportedRow(7, HI, (ImportedResponse("a"), ImportedResponse("b")), (ImportedPair(0, 1, "second"),)),
    ),
    (
        "unpaired",
        {"prompt": "Hi", "completion": "a", "label": False},
        ImportedRow(7, HI, (ImportedResponse("a", score=0.0, is_desirable=False),)),
    ),
    (
        "rated",
        {"prompt": "Hi", "response": "a", "score": 3},
        ImportedRow(7, HI, (ImportedResponse("a", score=3.0),)),
    ),
    (
        "tree",
        {"text": "Hi", "role": "prompter", "replies": [{"text": "a", "role": "assistant"}]},
        ImportedRow(1, HI, (ImportedResponse("a"),)),
    ),
]


@pytest.mark.parametrize(("source_format", "content", "expected"), SHAPES)
def test_every_shape_is_recognised_and_read(
    source_format: SourceFormat, content: dict[str, Any], expected: ImportedRow
) -> None:
    assert recognised_format([content]) == source_format
    assert read(content, source_format) == expected


def test_every_format_has_a_shape_above() -> None:
    assert {source_format for source_format, _, _ in SHAPES} == set(SOURCE_FORMATS)


def test_the_second_row_speaks_where_the_first_leaves_a_column_empty() -> None:
    rows: list[dict[str, object]] = [{"prompt": "a", "responses": None}, {"prompt": "b", "responses": ["c"]}]
    assert recognised_format(rows) == "responses"
    assert recognised_format(rows[:1]) == "prompts"


@pytest.mark.parametrize("content", [{}, {"a": 1, "b": "text"}, {"messages": "not a list"}, {"prompt": math.nan}])
def test_a_row_of_no_shape_is_not_recognised(content: dict[str, Any]) -> None:
    assert recognised_format([content]) is None


def test_a_column_the_user_names_replaces_the_usual_ones() -> None:
    content = {"ask": "Hi", "prompt": "not this", "completion": "Hello"}
    ask = Columns({"prompt": "ask"})
    assert recognised_format([ask.of(content)]) == "sft"
    assert read(content, "sft", ask) == ImportedRow(7, HI, (ImportedResponse("Hello", is_reference=True),))
    assert recognised_format([Columns({"prompt": "completion"}).of({"completion": "Hi"})]) == "prompts"


def test_the_split_and_the_row_number_are_kept() -> None:
    assert parse_row(SourceRow(41, {"prompt": "Hi"}, "test"), "prompts") == ImportedRow(41, HI, split="test")


def test_numbers_written_as_text_are_read_and_missing_ones_are_none() -> None:
    shp = {"history": "Hi", "human_ref_A": "a", "human_ref_B": "b", "score_A": "4", "score_B": "", "labels": "1"}
    row = read(shp, "shp-2")
    assert isinstance(row, ImportedRow)
    assert [response.score for response in row.responses] == [4.0, None]
    assert row.pairs == FIRST
    scored = read({"prompt": "Hi", "responses": [{"text": "a", "score": math.nan, "model": ""}]}, "responses")
    assert isinstance(scored, ImportedRow)
    assert scored.responses == (ImportedResponse("a"),)


COLUMNS = sorted(
    {column for one in FORMATS.values() for names in one.columns.values() for column in names}
    | {"role", "content", "from", "value", "rank", "score", "tool_calls", "full_text", "replies", "message_id"}
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.sampled_from(["", "user"])
)
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(COLUMNS) | st.text(), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(
    content=JSON_VALUES,
    source_format=st.sampled_from(SOURCE_FORMATS),
    columns=st.sampled_from([AS_THEY_ARE, Columns({"prompt": "text"}, ("input",))]),
)
@example(content={"prompt": [[]]}, source_format="prompts", columns=AS_THEY_ARE)
@settings(max_examples=400, deadline=None)
def test_any_value_is_imported_or_rejected_and_never_raises(
    content: object, source_format: SourceFormat, columns: Columns
) -> None:
    row = read(content, source_format, columns)
    if isinstance(row, RejectedRow):
        assert row.reason
        (row.reason + row.content).encode("utf-8")
        return
    texts = [message.content for message in row.prompt.messages] + [response.text for response in row.responses]
    for text in texts:
        assert "\x00" not in text
        text.encode("utf-8")
    assert row.prompt.messages[-1].role == "user"
    assert row.prompt.messages[-1].content.strip()


@given(rows=st.lists(st.dictionaries(st.sampled_from(COLUMNS) | st.text(), JSON_VALUES, max_size=5), max_size=4))
@settings(max_examples=200, deadline=None)
def test_recognition_never_raises(rows: list[dict[str, object]]) -> None:
    assert recognised_format(rows) in (None, *SOURCE_FORMATS)


TURN_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00")).filter(
    lambda text: "\n\nHuman:" not in text and "\n\nAssistant:" not in text
)
DIALOGUES = st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), TURN_TEXT), min_size=1, max_size=6)


@given(dialogue=DIALOGUES)
def test_an_hh_dialogue_written_and_read_again_is_the_same(dialogue: list[Message]) -> None:
    marks = {"user": "\n\nHuman: ", "assistant": "\n\nAssistant: "}
    written = "".join(marks[message.role] + message.content for message in dialogue)
    assert parse_hh_dialogue(written, "column") == tuple(dialogue)


def test_only_lists_of_message_like_objects_are_message_lists() -> None:
    assert is_message_list([turn("user", "Hi"), {"from": "gpt", "value": "Hello"}])
    assert not is_message_list([])
    assert not is_message_list([{"name": "x"}])
    assert not is_message_list("Hi")


def test_a_value_is_described_by_its_kind_and_beginning() -> None:
    assert described(None) == "null"
    assert described(True) == "truth value True"
    assert described(b"x") == "bytes b'x'"
    assert len(described("x" * 1000)) < 80
