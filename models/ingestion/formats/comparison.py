"""The format of two responses side by side, with columns that say which one is better, and by what criterion."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from models.ingestion.dialogues import messages_of, shared_prompt
from models.ingestion.fields import Row, RowError, described, is_missing, optional_number, present_column
from models.ingestion.formats.answers import first_score, model_of, preferred_side, response_text
from models.ingestion.formats.columns import ColumnsOfRow, peek
from models.ingestion.formats.context import PROMPT_ROLES, has_prompt, prompt_of, with_context
from models.ingestion.formats.records import Content, Format
from models.records import ImportedPair, ImportedResponse, Prompt, SourceVerdict

_SIDES = (
    ("response_a", "response_b"), ("response_A", "response_B"), ("response_0", "response_1"),
    ("response_1", "response_2"), ("response1", "response2"), ("answer_0", "answer_1"), ("answer_a", "answer_b"),
    ("answer_1", "answer_2"), ("output_1", "output_2"), ("completion_a", "completion_b"),
    ("conversation_a", "conversation_b"),
)  # fmt: skip
_MARKS = ("a", "b", "A", "B", "0", "1", "2")
_MODELS = ("model_{}", "response_{}_source", "generator_{}")
_SCORES = ("score_{}", "rating_{}")

# A verdict's column → by what it compares; one criterion is read from one column.
_NAMING: dict[str, str] = {
    "winner": "", "preference": "", "preferred": "", "label": "", "chosen": "",
    "better_response_id": "better", "safer_response_id": "safer",
}  # fmt: skip
_SIGNED: dict[str, float] = {"overall_preference": 3, "preference_strength": 3}  # −3: the first, 3: the second
_TIES = frozenset(("tie", "both", "equal", "draw", "same", "a=b"))
_GREATER = re.compile(r"^([ab])>{1,2}[ab]$")  # JudgeBench's A>B
_BOTH_BAD = frozenset(("tie (bothbad)", "both_bad", "bothbad", "both bad", "neither"))


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two responses: its column, the column's mark (a, 0, 1, …), and who wrote it."""

    column: str
    mark: str
    model: str | None
    score: float | None


class _Verdict(NamedTuple):
    preferred: SourceVerdict | None
    criterion: str = ""
    strength: float | None = None


def _parse(row: ColumnsOfRow) -> Content:
    columns = _columns(row)
    if columns is None:
        listed = " or ".join(f"{first!r} and {second!r}" for first, second in _SIDES)
        raise RowError(f"two responses are missing; expected {listed}")
    first, second = (_side(row, column) for column in columns)
    prompt, texts = _texts(row, columns)
    responses = tuple(
        ImportedResponse(text, model=side.model, score=side.score)
        for text, side in zip(texts, (first, second), strict=True)
    )
    verdicts = _verdicts(row, first, second) or [_of_scores(first, second)]
    pairs = tuple(ImportedPair(0, 1, one.preferred, one.criterion, one.strength) for one in verdicts)
    return Content(prompt, responses, pairs)


def _columns(row: Row) -> tuple[str, str] | None:
    return next((names for names in _SIDES if all(not is_missing(row.get(name)) for name in names)), None)


def _side(row: ColumnsOfRow, column: str) -> _Side:
    mark = column[-1]
    model = model_of(row, [pattern.format(mark) for pattern in _MODELS], "")
    return _Side(column, mark, model, first_score(row, row, [pattern.format(mark) for pattern in _SCORES]))


def _texts(row: ColumnsOfRow, columns: tuple[str, str]) -> tuple[Prompt, list[str]]:
    """The prompt and both responses: of whole dialogues what they share, and the turn each ends with."""
    values = [row[present_column(row, (column,))] for column in columns]
    if all(isinstance(value, list) for value in values) and not has_prompt(row):
        dialogues = [messages_of(value, f"column {name!r}") for name, value in zip(columns, values, strict=True)]
        shared, *texts = shared_prompt(dialogues[0], dialogues[1], columns)
        return with_context(row, shared.messages, f"column {columns[0]!r}"), list(texts)
    named = zip(columns, values, strict=True)
    return prompt_of(row), [response_text(value, f"column {name!r}") for name, value in named]


def _verdicts(row: ColumnsOfRow, first: _Side, second: _Side) -> list[_Verdict]:
    """What the row's columns say, one verdict a criterion."""
    found: dict[str, _Verdict] = {}
    for column, highest in _SIGNED.items():
        grade = optional_number(row, column, f"column {column!r}") if "" not in found else None
        if grade is not None:
            found[""] = _signed(grade, highest, column)
    for column, criterion in _NAMING.items():
        if criterion not in found and not is_missing(peek(row, column)) and peek(row, column) != "":
            found[criterion] = _Verdict(_named(row[column], f"column {column!r}", first, second), criterion)
    return list(found.values())


def _signed(grade: float, highest: float, column: str) -> _Verdict:
    if abs(grade) > highest:
        raise RowError(f"column {column!r}: expected a grade from −{highest:g} to {highest:g}, got {grade:g}")
    return _Verdict(preferred_side(-grade, 0) or "tie", strength=abs(grade) / highest if grade else None)


def _named(value: object, where: str, first: _Side, second: _Side) -> SourceVerdict:
    """The side that a verdict names: by its mark, its column or its model, or neither."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    word = str(value).strip().lower() if isinstance(value, str | int) and not isinstance(value, bool) else None
    word = word and _GREATER.sub(r"\1", word)
    if word in _BOTH_BAD:
        return "both_bad"
    if word in _TIES:
        return "tie"
    names: Mapping[SourceVerdict, set[str]] = {"first": _names(first), "second": _names(second)}
    found = [side for side, words in names.items() if word in words]
    if len(found) == 1:
        return found[0]
    raise RowError(
        f"{where}: expected {first.mark!r}, {second.mark!r}, 'tie' or 'tie (bothbad)', got {described(value)}"
    )


def _names(side: _Side) -> set[str]:
    mark = side.mark.lower()
    words = {side.column.lower(), mark, *(f"{word}_{mark}" for word in ("model", "response", "answer", "output"))}
    return words | ({side.model.strip().lower()} if side.model else set())


def _of_scores(first: _Side, second: _Side) -> _Verdict:
    """WebGPT's verdict: scores from −1 to 1 that are each other's opposite; any others only stand beside the pair."""
    one, other = first.score, second.score
    if one is None or other is None or one != -other or abs(one) > 1:
        return _Verdict(None)
    return _Verdict(preferred_side(one, other) or "tie", strength=abs(one) or None)


def _doubt_of_count(row: Row) -> str | None:
    """A verdict of 0 on responses 1 and 2: whoever counts from 0 means the second one with 1."""
    columns = _columns(row)
    if columns is None or columns[0][-1] != "1":
        return None
    named = (name for name in _NAMING if not is_missing(row.get(name)))
    column = next((name for name in named if str(row[name]).strip() in ("0", "0.0")), None)
    return column and (
        f"column {column!r} holds 0 beside {columns[0]!r} and {columns[1]!r}, so that 1 may mean the second one; say "
        f"which is first with --map response_0={columns[0]},response_1={columns[1]}, or that 1 is {columns[0]!r} with "
        "--format comparison"
    )


COMPARISON = Format(
    name="comparison",
    known_from="PKU-SafeRLHF, HelpSteer3, Chatbot Arena, WebGPT, AlpacaEval",
    becomes="a prompt with two responses and what was said of them: one, the other, a tie or both bad; each criterion "
    "labels as an annotator of its own",
    columns={
        **PROMPT_ROLES,
        "response": tuple(dict.fromkeys(name for names in _SIDES for name in names)),
        "verdict": (*_NAMING, *_SIGNED),
        "model": tuple(pattern.format(mark) for pattern in _MODELS for mark in _MARKS),
        "score": tuple(pattern.format(mark) for pattern in _SCORES for mark in _MARKS),
    },
    fits=lambda row: _columns(row) is not None and (has_prompt(row) or isinstance(row.get("conversation_a"), list)),
    parse=_parse,
    examples=(
        {"prompt": "Hi", "response_0": "Hello.", "response_1": "No.", "better_response_id": 0, "safer_response_id": 1},
        {
            "context": [{"role": "user", "content": "Hi"}],
            "response1": "Hello.",
            "response2": "No.",
            "overall_preference": -2,
        },
        {"question": "Hi", "response_a": "Hello.", "response_b": "Hi.", "winner": "tie", "model_a": "m"},
        {"question": {"full_text": "Why?"}, "answer_0": "Because.", "answer_1": "No.", "score_0": 0.5, "score_1": -0.5},
    ),
    passed_over=(
        "individual_preference", "preference_statement", "preference_elaboration", "all_preferences_unprocessed",
        "three_most_similar_preferences", "quotes_0", "quotes_1", "is_response_0_safe", "is_response_1_safe",
    ),
    doubt=_doubt_of_count,
)  # fmt: skip
