"""Numbers written as text: with a point or, where the column as a whole says so, with a decimal comma.

`1,500` alone may be 1.5 or 1500 and is refused; `2,0`, `0,125` and `12345,678` can be nothing but decimal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d+,(?:\d{1,2}|\d{4,})|(?:0\d*|\d{4,}),\d{3}|\d{1,3}(?:\.\d{3})+,\d+)")
_DECIMAL_POINT = re.compile(r"[+-]?(?:\d*\.(?:\d{1,2}|\d{4,})|(?:0\d*|\d{4,}|)\.\d{3}|\d{1,3}(?:,\d{3})+\.\d*)")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3}){2,}")
_COMMA_GROUP = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_POINT_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+")
_WITH_COMMA = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+")
_LONGEST = 40  # characters


class AmbiguousNumberError(ValueError):
    """A number that may be read in two ways."""


class DecimalComma(str):
    """The text of a cell in a column whose numbers are written with a decimal comma; a text like any other."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class NumberColumns:
    """What the first rows say of how a table's columns write numbers.

    Attributes:
        with_comma: columns with a number that can only be written with a decimal comma, and none that cannot be.
        with_point: columns with a number that cannot be written with a decimal comma.
    """

    with_comma: frozenset[str] = frozenset()
    with_point: frozenset[str] = frozenset()

    def cell(self, column: str, text: str) -> str:
        """The cell, marked where its number has a decimal comma."""
        if ("," not in text and column not in self.with_comma) or len(text) > _LONGEST:
            return text
        is_marked = column in self.with_comma or (
            column not in self.with_point and _DECIMAL_COMMA.fullmatch(text.strip())
        )
        return DecimalComma(text) if is_marked else text


def number_columns(rows: Iterable[Mapping[str, str]]) -> NumberColumns:
    """How the columns of these rows write their numbers."""
    with_comma: set[str] = set()
    with_point: set[str] = set()
    for row in rows:
        for column, cell in row.items():
            text = cell.strip() if len(cell) <= _LONGEST else ""
            if _DECIMAL_COMMA.fullmatch(text):
                with_comma.add(column)
            elif _DECIMAL_POINT.fullmatch(text) or _THOUSANDS.fullmatch(text):
                with_point.add(column)
    return NumberColumns(frozenset(with_comma - with_point), frozenset(with_point))


def plain_number(text: str) -> str:
    """The text with a decimal point, where it is a number that its column writes with a decimal comma.

    Raises:
        AmbiguousNumberError: its comma or point may part thousands as well.
    """
    stripped = text.strip() if len(text) <= _LONGEST else ""
    if isinstance(text, DecimalComma):
        if _POINT_GROUPS.fullmatch(stripped):
            raise AmbiguousNumberError("its point may part thousands, in a column with decimal commas")
        return stripped.replace(".", "").replace(",", ".") if _WITH_COMMA.fullmatch(stripped) else text
    if _COMMA_GROUP.fullmatch(stripped):
        raise AmbiguousNumberError("its comma may be a decimal comma or part thousands; write 1.5 or 1500")
    return text
