"""Indexes of a part of a table, and those along which lists of pairs are walked."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Index, text

# What a list of pairs is sorted by, and what else it filters by.
_SORTS = ("similarity", "length_ratio", "vote_count")
_LISTED = (*_SORTS, "run_id", "strategy", "prompt_id", "first_response_id", "second_response_id", "support", "outcome")


def of_few(name: str, condition: str, *columns: str) -> Index:
    """An index of the rows for which a condition holds."""
    return Index(name, *columns, sqlite_where=text(condition), postgresql_where=text(condition))


def indexes_of_pairs() -> Iterator[Index]:
    """Those of lists of pairs: one for each order, and of pairs that few are; most hold all that is filtered by.

    A walk along one of these reads no table.
    """
    yield Index("ix_pairs_by_id", "id", "prompt_id")  # walked past the pairs of other sources
    for sort in _SORTS:
        yield Index(f"ix_pairs_by_{sort}", sort, "id", *_beside(sort))
    yield of_few("ix_pairs_labelled", "vote_count > 0", "id", *_LISTED)
    yield of_few("ix_pairs_judged", "is_judged", "vote_count", "id", *_beside("vote_count"), "is_judged")
    yield of_few("ix_pairs_disputed", "support < 1", "id")
    yield of_few("ix_pairs_undecided", "outcome NOT IN ('first', 'second')", "outcome", "id")


def _beside(sort: str) -> list[str]:
    return [name for name in _LISTED if name != sort]
