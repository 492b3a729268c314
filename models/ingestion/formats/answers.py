"""Responses of a row: their texts, who wrote them, and scores, of which an unusable one is left out and noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from models.ingestion.dialogues import messages_of, split_response
from models.ingestion.fields import (
    Row,
    RowError,
    described,
    first_present,
    is_missing,
    optional_number,
    optional_text,
    present_column,
    storable_text,
)
from models.ingestion.formats.columns import ColumnsOfRow, peek
from models.ingestion.formats.records import UNUSABLE_SCORE
from models.records import MAX_CANDIDATES, ImportedPair, ImportedResponse, Side

TEXT_KEYS = ("text", "response", "content", "answer", "value", "completion")
SCORE_KEYS = ("score", "rating", "reward", "pm_score", "votes")
MODEL_KEYS = ("model", "generator")


class Scale(NamedTuple):
    """The least and the largest score there is."""

    low: float
    high: float


def score_of(row: ColumnsOfRow, cells: Row, column: str, scale: Scale | None = None) -> float | None:
    """The number in a cell of a row (`cells`: the row itself, or an object in it).

    None where there is none; what is no finite number, or not on the scale, is left out, which the row notes.
    """
    try:
        number = optional_number(cells, column, column)
    except RowError:
        number = None
        row.notes.append(UNUSABLE_SCORE)
    if number is not None and scale is not None and not scale.low <= number <= scale.high:
        row.notes.append(UNUSABLE_SCORE)
        return None
    return number


def first_score(row: ColumnsOfRow, cells: Row, columns: Sequence[str]) -> float | None:
    """The score in the first of the columns that has a value."""
    column = first_present(cells, columns)
    return None if column is None else score_of(row, cells, column)


def response_text(value: object, where: str) -> str:
    """A response's text, bare or as the one message of the assistant's.

    Raises:
        RowError: it is neither.
    """
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        return storable_text(value, where)
    before, text = split_response(messages_of(value, where), where)
    if before:
        raise RowError(f"{where}: expected one message of the assistant's, got {len(before) + 1}")
    return text


def response_of(
    row: ColumnsOfRow, item: object, where: str, score_keys: Sequence[str] = SCORE_KEYS
) -> ImportedResponse:
    """A response in a list: a text, or an object with a text and, where known, a model and a score.

    Raises:
        RowError: it is neither.
    """
    if isinstance(item, str):
        return ImportedResponse(storable_text(item, where))
    if not isinstance(item, Mapping):
        raise RowError(f"{where}: expected a text or an object with {TEXT_KEYS[0]!r}, got {described(item)}")
    try:
        key = present_column(item, TEXT_KEYS)
    except RowError as problem:
        raise RowError(f"{where}: {problem}") from problem
    return ImportedResponse(
        storable_text(item[key], f"{where}.{key}"),
        model=model_of(item, MODEL_KEYS, where),
        score=first_score(row, item, score_keys),
    )


def model_of(cells: Row, columns: Sequence[str], where: str) -> str | None:
    """The name of who wrote a response, in the first of the columns that has a value."""
    column = first_present(cells, columns)
    return (
        None if column is None else optional_text(cells, column, f"{where}.{column}" if where else f"column {column!r}")
    )


def reference(text: str, where: str) -> ImportedResponse:
    """A response that the source holds up as the right one.

    Raises:
        RowError: it is blank.
    """
    if not text.strip():
        raise RowError(f"{where}: the reference response is empty")
    return ImportedResponse(text, is_reference=True)


def preferred_side(first: float, second: float, *, is_larger_better: bool = True) -> Side | None:
    """The better of two numbers, None where they are equal."""
    if first == second:
        return None
    return "first" if (first > second) == is_larger_better else "second"


def scores_of_ranks(ranks: Sequence[float | None]) -> list[float | None]:
    """A score for each rank, 1 or 0 being the best: how many of the others are ranked behind it."""
    known = [rank for rank in ranks if rank is not None]
    return [None if rank is None else float(sum(other > rank for other in known)) for rank in ranks]


def pairs_of_ranks(ranks: Sequence[float | None]) -> tuple[ImportedPair, ...]:
    """Every pair of ranked responses; those of equal rank tie.

    Raises:
        RowError: there are more than pairs are selected from.
    """
    if len(ranks) > MAX_CANDIDATES:
        raise RowError(f"{len(ranks)} ranked responses; a ranking of at most {MAX_CANDIDATES} can be read")
    ranked = [(position, rank) for position, rank in enumerate(ranks) if rank is not None]
    return tuple(
        ImportedPair(first, second, preferred_side(rank, other, is_larger_better=False) or "tie")
        for (first, rank), (second, other) in combinations(ranked, 2)
    )


def aligned(row: ColumnsOfRow, columns: Sequence[str], count: int) -> list[object]:
    """The list in the first of these columns that has one, an item for each response; Nones where there is none.

    Raises:
        RowError: it has another length.
    """
    column = next((name for name in columns if isinstance(peek(row, name), list)), None)
    values = None if column is None else row[column]
    if not isinstance(values, list):
        return [None] * count
    if len(values) != count:
        raise RowError(f"column {column!r}: expected {count} items, one a response, got {len(values)}")
    return [None if is_missing(value) else value for value in values]
