"""Columns that are not read: named, and a reason to stop where they seem to hold a part of the row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from read_rows import imported, refused, turns

from models.ingestion import FORMATS, Columns, SourceError, read_source, survey_source
from models.ingestion.formats import SourceFormat, recognised_format, survey
from models.ingestion.formats.columns import looks_like
from models.ingestion.rows import SourceRow
from models.records import RejectedRow


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("ground_truth_answer", "x", "an answer"), ("goldResponse", ["x"], "an answer"), ("answer", 3, "an answer"),
        ("answers", {"text": ["x"]}, "an answer"), ("human_label", 1, "a label"), ("is_accepted", True, "a label"),
        ("feedback", "x" * 100, None), ("feedback", "good", "a label"), ("score2", 0.5, "a rating"),
        ("RewardScore", "3,5", "a rating"), ("rating", "five", None), ("systemPrompt2", "x", None),
        ("system_text", "x", "a system message"), ("system_text", " ", None), ("chat_history", ["x"], "a history"),
        ("dialog", "x", "a history"), ("answer_id", "x", None), ("response_tokens", 9, None),
        ("prompt_score", 9, None), ("category", "x", None), ("language", "x", None), ("sha256_response", "x", None),
        ("is_safe", False, "a label"), ("is_correct", 0, "a label"), ("notes", "x", None), ("turns", 2, None),
        ("chosen", 1, "an answer"), ("output_tokens", 1, None), ("ranking", [1, 0], "a rating"),
        ("references", ["x"], "an answer"), ("ground_truth", "x", "an answer"), ("annotations", [1], "a label"),
        ("options", ["x"], "a part of the prompt"), ("passage", "x", "a part of the prompt"),
        ("question", "x", "a part of the prompt"), ("question", ["x"], None), ("question_id", "x", None),
        ("thinking", "Let me see", "a thought"), ("reasoning", "off", None),
        ("thinking_steps", ["Let me see"], "a thought"),
    ],
)  # fmt: skip
def test_a_column_looks_like_what_its_name_and_its_content_say(column: str, value: Any, kind: str | None) -> None:
    assert looks_like(column, value) == kind


def test_a_column_that_says_again_what_was_read_is_no_loss() -> None:
    assert turns(imported({"prompt": "Hi", "response": "a", "answer": " a "}, "sft")) == [("user", "Hi")]
    assert refused({"prompt": "Hi", "response": "a", "answer": "b"}, "sft") == (
        "not read: 'answer' (looks like an answer); go on without with --ignore_columns answer, or say what one is: "
        "--map NAME=answer"
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    row = {"id": 1, "ask": "Hi", "better": "a", "worse": "b", "note": "x", "stars": 3}
    path.write_text(json.dumps(row) + "\n")
    return path


def opened(file: Path, **columns: Any) -> Any:
    return read_source(str(file), format=None, columns=Columns(**columns), split=None, limit=None)


def test_columns_are_named_by_the_user_and_what_is_left_stops_the_import(file: Path) -> None:
    named = {"prompt": "ask", "chosen": "better", "rejected": "worse"}
    with pytest.raises(SourceError, match=r"rows.jsonl: not read: 'stars' \(looks like a rating\)") as caught:
        opened(file, named=named)
    assert "\n" not in str(caught.value)
    reader = opened(file, named=named, ignored=("stars",))
    (row,) = reader
    assert reader.format == "preference" and [response.text for response in row.responses] == ["a", "b"]
    assert reader.survey.roles == {"ask": "prompt", "better": "chosen response", "worse": "rejected response"}
    assert reader.unread == ("id", "note")


def test_a_column_that_another_stands_in_for_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "not this", "ask": "Hi"}\n')
    reader = opened(path, named={"prompt": "ask"})
    assert [row.prompt.text for row in reader] == ["Hi"] and reader.unread == ("prompt",)


def test_a_column_that_comes_late_is_named_and_refuses_its_rows_where_it_looks_like_a_part(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": "Hi"}] * 30 + [{"prompt": "Hi", "note": "x"}, {"prompt": "Hi", "gold": "a"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reader = opened(path)
    *_, last = reader
    assert isinstance(last, RejectedRow) and "'gold' (looks like an answer)" in last.reason
    assert reader.unread == ("note",)


def test_a_survey_tells_of_what_would_stop_an_import(file: Path) -> None:
    reader = survey_source(str(file), format=None, columns=Columns({"prompt": "ask"}), split=None, limit=None)
    assert reader.format == "prompts"
    assert dict(reader.survey.dangers) == {"better": "a label", "worse": "an answer", "stars": "a rating"}
    assert reader.problem is not None and "--ignore_columns better,worse,stars" in reader.problem


@pytest.mark.parametrize("name", FORMATS)
def test_the_examples_of_a_format_are_of_it_and_all_their_columns_are_read(name: SourceFormat) -> None:
    for number, example in enumerate(FORMATS[name].examples, start=1):
        assert recognised_format([example]) == name
        found = survey([SourceRow(number, example)], name)
        assert not found.unread and found.roles.keys() == example.keys()
        if name != "tree":
            assert not isinstance(found.rows[0], RejectedRow)


def test_a_second_prompt_is_not_left_behind_unless_the_first_has_it() -> None:
    row = {"prompt": "You are a poet.", "question": "What is rust?", "answer": "Iron oxide."}
    assert refused(row, "sft").startswith("not read: 'question' (looks like a part of the prompt)")
    whole = {"prompt": "Answer in one word: What is rust?", "question": "What is rust?", "answer": "Oxide."}
    assert turns(imported(whole, "sft")) == [("user", whole["prompt"])]
    choice = {"question": "Which is a river?", "options": ["Oder", "Stone"], "answer": "A"}
    assert refused(choice, "sft").startswith("not read: 'options' (looks like a part of the prompt)")
