"""What pages of the workbench are asked for: one thing, a page of a list, several things to compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import HTTPException, Path, Query

from models.records import MAX_ID

Line = TypeVar("Line")

ItemId = Annotated[int, Path(ge=1, le=MAX_ID)]
Before = Annotated[int | None, Query(ge=1, le=MAX_ID)]
Ids = Annotated[list[str] | None, Query(max_length=20)]
ON_A_PAGE = 50
MOST_COMPARED = 6  # more lines and columns cannot be told apart


@dataclass(frozen=True, slots=True)
class ListPage(Generic[Line]):
    """A page of a list, and whether older things follow."""

    lines: Sequence[Line]
    has_older: bool


def list_page(lines: Sequence[Line]) -> ListPage[Line]:
    """Of `ON_A_PAGE` + 1 lines those that are shown."""
    return ListPage(lines[:ON_A_PAGE], len(lines) > ON_A_PAGE)


def chosen_ids(ids: Sequence[str] | None) -> list[int]:
    """The ids of `?ids=1,2` or `?ids=1&ids=2`, each once, in their order.

    Raises:
        HTTPException: 400 if there are not two to six, or one is no id.
    """
    numbers = [word.strip() for each in ids or () for word in each.split(",") if word.strip()]
    if not all(word.isascii() and word.isdecimal() and len(word) <= len(str(MAX_ID)) for word in numbers):
        raise HTTPException(400, "Ids are numbers with commas between them: ?ids=1,2")
    chosen = list(dict.fromkeys(map(int, numbers)))
    if not 2 <= len(chosen) <= MOST_COMPARED:
        words = f"Choose two to {MOST_COMPARED} of the list to see them beside each other; {len(chosen)} are chosen."
        raise HTTPException(400, words)
    if max(chosen) > MAX_ID:
        raise HTTPException(404, "there is nothing of this id")
    return chosen


@contextmanager
def found() -> Iterator[None]:
    """Answer 404 where something is looked for that is not there."""
    try:
        yield
    except LookupError as error:
        raise HTTPException(404, str(error)) from error
