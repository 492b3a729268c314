"""Counts for lists: exact as far as they are cheap. Knows no table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Subquery, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute

MOST_COUNTED = 10_000  # rows of an index in less than a millisecond


@dataclass(frozen=True, slots=True)
class Counted:
    """How many there are, or that there are more than so many."""

    count: int
    has_more: bool

    @property
    def words(self) -> str:
        """The count as it is shown."""
        return f"> {self.count:,}" if self.has_more else f"{self.count:,}"

    def __add__(self, other: Counted) -> Counted:
        """How many both are together."""
        return Counted(self.count + other.count, self.has_more or other.has_more)

    def __bool__(self) -> bool:
        """Whether there is one."""
        return self.count > 0


def some_rows(*conditions: ColumnElement[bool], by: InstrumentedAttribute[Any], most: int = MOST_COUNTED) -> Subquery:
    """A row for each row for which the conditions hold, one more than `most` of them at most.

    `by`: the column that follows, in an index, those that the conditions name. Without the order PostgreSQL, where it
    takes the rows for frequent, reads the table until it has met so many, which may be all of it.
    """
    return select(literal(1).label("one")).where(*conditions).order_by(by).limit(most + 1).subquery()


def count_up_to(
    condition: ColumnElement[bool], outer: type[Any], *, by: InstrumentedAttribute[Any], most: int = MOST_COUNTED
) -> ScalarSelect[int]:
    """A column that counts the rows for which a condition on `outer`'s row holds, and stops above `most`.

    `by` as in `some_rows`.
    """
    inner = select(literal(1).label("one")).where(condition).order_by(by)
    rows = inner.limit(most + 1).correlate(outer).subquery()
    return select(func.count()).select_from(rows).correlate(outer).scalar_subquery()


def counted(count: int, most: int = MOST_COUNTED) -> Counted:
    """What a count that stops above `most` says."""
    return Counted(min(count, most), count > most)
