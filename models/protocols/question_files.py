"""The questions of a benchmark of dialogues, from a file of the user's: MT-Bench's shape and Arena-Hard's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.ingestion.readers import open_file
from models.ingestion.rows import SourceError
from models.records import UNSTORABLE, RejectedRow

_LARGEST_FILE = 2**26  # characters; all questions are held
_BYTES_OF_QUESTION = 1_000  # beside its texts


@dataclass(frozen=True, slots=True)
class Question:
    """A user's turns, each of which a model answers in its turn.

    `references`: a good answer to each of the first turns, as many as the file has; an empty text where one is missing.
    """

    id: str
    category: str | None
    turns: tuple[str, ...]
    references: tuple[str, ...]


def read_questions(path: Path) -> list[Question]:
    """Read all questions of a file, in its order: JSON Lines or a JSON list, plain or gzipped.

    A question is an object with its id as `question_id` or `uid`, its user turns as `turns` (texts, or objects that
    hold one as `content`) or as a single `prompt`, and where it has them its `category` or `cluster`, and its
    reference answers as the list `reference`. What else it holds is not read.

    Raises:
        SourceError: The file cannot be read or holds no question, a row is no question, an id comes twice, or all
            questions together are too large to be held.
    """
    rows: dict[str, int] = {}
    questions = []
    size = 0
    for record in open_file(path).read():
        number = record.row_number
        try:
            if isinstance(record, RejectedRow):
                raise ValueError(record.reason)
            question = _question(record.content)
            if question.id in rows:
                raise ValueError(f"the id {question.id!r} is that of row {rows[question.id]} already; ids must differ")
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{path}, row {number}: {error}; mend the row or take it out") from error
        size += _BYTES_OF_QUESTION + sum(map(len, (*question.turns, *question.references)))
        if size > _LARGEST_FILE:
            raise SourceError(f"{path}: over {_LARGEST_FILE // 2**20} MiB of questions; use fewer, or smaller ones")
        rows[question.id] = number
        questions.append(question)
    if not questions:
        raise SourceError(f"{path} holds no question; expected one JSON object a line")
    return questions


def _question(content: object) -> Question:
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, got {_kind(content)}")
    row = {name: value for name, value in content.items() if value is not None}
    identity = row.get("question_id", row.get("uid"))
    if type(identity) not in {int, str} or identity == "":
        raise ValueError(f"expected a text or a whole number as question_id or uid, got {_kind(identity)}")
    category = row.get("category", row.get("cluster"))
    if not isinstance(category, str | None):
        raise ValueError(f"expected a text as category or cluster, got {_kind(category)}")
    turns = _turns(row)
    references = row.get("reference", [])
    if not isinstance(references, list) or not all(isinstance(text, str) for text in references):
        raise ValueError(f"expected a list of texts as reference, got {_kind(references)}")
    if len(references) > len(turns):
        raise ValueError(f"expected a reference a turn at most, got {len(references)} for {len(turns)} turns")
    for text in (str(identity), category or "", *turns, *references):
        if UNSTORABLE.search(text):
            raise ValueError(f"expected a text without NUL and lone surrogates, got {_kind(text)}")
    return Question(str(identity), category, turns, tuple(references))


def _turns(row: dict[str, object]) -> tuple[str, ...]:
    turns = row.get("turns", [row.get("prompt")])
    if not isinstance(turns, list) or not turns:
        raise ValueError(f"expected a list of at least one user turn as turns, got {_kind(turns)}")
    texts: list[str] = []
    for number, turn in enumerate(turns, start=1):
        text = turn.get("content") if isinstance(turn, dict) else turn
        if not isinstance(text, str) or not text.strip():
            where = f"turn {number}" if "turns" in row else "prompt"
            raise ValueError(f"expected a text that is not blank as {where}, got {_kind(text)}")
        texts.append(text)
    return tuple(texts)


def _kind(value: object) -> str:
    if value is None:
        return "none"
    return (
        f"an empty {type(value).__name__}" if value in ("", [], {}) else f"{type(value).__name__} {str(value)[:60]!r}"
    )
