"""Answers that exist already, from a file as MT-Bench's and Arena-Hard's programs write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.ingestion.readers import open_file
from models.ingestion.rows import SourceError
from models.protocols.question_files import Question
from models.records import UNSTORABLE, RejectedRow, shortened


def read_answers(path: Path, questions: Sequence[Question]) -> list[tuple[str, ...]]:
    """The answers of one model to these questions, an answer a turn, in the questions' order.

    A row has its question's id as `question_id` or `uid`, and the answers as `choices` (the first one's `turns`), as
    `turns`, or as the assistant's `messages`; each answer is a text, or an object that holds one as `content` or
    `answer`. Answers to other questions are not read.

    Raises:
        SourceError: The file cannot be read, a row is no answer, an id comes twice, or a question has no answer or too
            few turns.
    """
    wanted = {question.id for question in questions}
    found: dict[str, tuple[str, ...]] = {}
    for record in open_file(path).read():
        try:
            if isinstance(record, RejectedRow):
                raise ValueError(record.reason)
            id_, turns = _answer(record.content)
            if id_ in found:
                raise ValueError(f"question {id_!r} is answered twice; give a file of one model's answers")
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{path}, row {record.row_number}: {error}; mend the row or take it out") from error
        if id_ in wanted:
            found[id_] = turns
    for question in questions:
        count = len(found.get(question.id, ()))
        if count != len(question.turns):
            raise SourceError(
                f"{path} has {count} answers to question {shortened(question.id, 60)!r}, which has "
                f"{len(question.turns)} turns; add them, or take the question out"
            )
    return [found[question.id] for question in questions]


def _answer(content: object) -> tuple[str, tuple[str, ...]]:
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, got {type(content).__name__}")
    id_ = content.get("question_id", content.get("uid"))
    if type(id_) not in {int, str}:
        raise ValueError(f"expected a text or a whole number as question_id or uid, got {type(id_).__name__}")
    return str(id_), tuple(_text(turn) for turn in _turns(content))


def _turns(content: dict[str, Any]) -> list[Any]:
    choices = content.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        content = choices[0]
    turns = content.get("turns")
    if turns is None and isinstance(content.get("messages"), list):
        turns = [one for one in content["messages"] if isinstance(one, dict) and one.get("role") == "assistant"]
    if not isinstance(turns, list):
        raise ValueError("expected the answers as choices, turns or messages")
    return turns


def _text(turn: object) -> str:
    while isinstance(turn, dict):
        turn = turn.get("content", turn.get("answer"))
    if not isinstance(turn, str) or UNSTORABLE.search(turn):
        raise ValueError(f"expected a text without NUL and lone surrogates as an answer, got {type(turn).__name__}")
    return turn
