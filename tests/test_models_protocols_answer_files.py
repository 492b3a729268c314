"""Answers from files as MT-Bench and Arena-Hard write them, and what is no answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ingestion.rows import SourceError
from models.protocols.answer_files import read_answers
from models.protocols.question_files import Question

QUESTIONS = [
    Question("1", "writing", ("Which bread?", "And in a poem?"), ()),
    Question("b", None, ("One and one?",), ()),
]
MT_BENCH = [
    {"question_id": 1, "model_id": "baker", "choices": [{"index": 0, "turns": ["Rye.", "Rye, oh rye."]}]},
    {"question_id": "b", "model_id": "baker", "choices": [{"index": 0, "turns": ["Two."]}]},
]
ARENA_HARD = [
    {"uid": "b", "model": "baker", "messages": [
        {"role": "user", "content": "One and one?"}, {"role": "assistant", "content": {"answer": "Two."}},
    ]},
    {"uid": "1", "messages": [
        {"role": "user", "content": "Which bread?"}, {"role": "assistant", "content": "Rye."},
        {"role": "user", "content": "And in a poem?"}, {"role": "assistant", "content": "Rye, oh rye."},
    ]},
]  # fmt: skip
PLAIN = [
    {"question_id": "b", "turns": ["Two."]},
    {"question_id": "other", "turns": []},
    {"question_id": "1", "choices": [{"turns": [{"content": "Rye."}, {"content": "Rye, oh rye."}]}]},
]


def written(folder, rows):
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("rows", [MT_BENCH, ARENA_HARD, PLAIN])
def test_every_shape_gives_the_answers_in_the_questions_order(tmp_path, rows):
    assert read_answers(written(tmp_path, rows), QUESTIONS) == [("Rye.", "Rye, oh rye."), ("Two.",)]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (MT_BENCH[:1], "0 answers to question 'b', which has 1 turns"),
        ([MT_BENCH[1], {"question_id": 1, "turns": ["Rye."]}], "1 answers to question '1', which has 2 turns"),
        ([*MT_BENCH, MT_BENCH[0]], "row 3: question '1' is answered twice"),
        ([{"question_id": 1}], "row 1: expected the answers as choices, turns or messages"),
        ([{"turns": ["Rye."]}], "row 1: expected a text or a whole number as question_id or uid"),
        ([{"question_id": 1, "turns": [3]}], "expected a text"),
        ([{"question_id": 1, "turns": ["a\x00b"]}], "without NUL"),
        (["Rye."], "row 1: "),
    ],
)
def test_what_is_no_answer_is_refused_with_its_row(tmp_path, rows, words):
    with pytest.raises(SourceError, match=None) as refused:
        read_answers(written(tmp_path, rows), QUESTIONS)
    assert words in str(refused.value) and "answers.jsonl" in str(refused.value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=4), lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["question_id", "uid", "choices", "turns", "messages", "role", "content"]), inner)
), max_leaves=8))  # fmt: skip
def test_odd_rows_give_a_reason_and_never_a_traceback(tmp_path_factory, row):
    path = written(tmp_path_factory.mktemp("odd"), [row])
    with pytest.raises(SourceError):
        read_answers(path, QUESTIONS)
