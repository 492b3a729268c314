"""Typed access to the columns of a row that may hold anything. Every failure names the column and what it held."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from models.ingestion.numbers import AmbiguousNumberError, DecimalComma, plain_number
from models.records import UNSTORABLE, is_storable, shortened

Row = Mapping[str, object]


class RowError(ValueError):
    """A row does not fit its format; the message is the reason it is rejected with."""


def is_missing(value: object) -> bool:
    """Whether a cell holds no value: null, or the NaN that tables put in its place. Empty text is a value."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def first_present(row: Row, columns: Iterable[str]) -> str | None:
    """The first of the columns in which the row has a value."""
    for column in columns:
        if not is_missing(row.get(column)):
            return column
    return None


def present_column(row: Row, columns: Iterable[str]) -> str:
    """The first of the columns in which the row has a value.

    Raises:
        RowError: none has; the message lists the columns the row does have.
    """
    columns = tuple(columns)
    column = first_present(row, columns)
    if column is not None:
        return column
    names_text = " or ".join(repr(name) for name in columns)
    empty_columns = [name for name in columns if name in row]
    if empty_columns:
        raise RowError(f"column {empty_columns[0]!r} holds no value (null)")
    raise RowError(f"column {names_text} is missing; the row has {_names(row)}")


def text_of(value: object, where: str) -> str:
    """The value if it is text.

    Raises:
        RowError: it is not.
    """
    if not isinstance(value, str):
        raise RowError(f"{where}: expected text, got {described(value)}")
    return str(value)  # without the mark of a decimal comma


def storable_text(value: object, where: str) -> str:
    r"""The value if it is text that UTF-8 and every database can hold, unchanged.

    Raises:
        RowError: it is no text, or holds a NUL (PostgreSQL refuses it) or a lone surrogate (UTF-8 has none).
    """
    text = text_of(value, where)
    if is_storable(text):
        return text
    at = next(UNSTORABLE.finditer(text)).start()
    raise RowError(f"{where}: {text[at]!r} at character {at + 1} cannot be stored (NUL or lone surrogate)")


def items_of(value: object, where: str) -> list[object]:
    """The value if it is a list.

    Raises:
        RowError: it is not.
    """
    if not isinstance(value, list):
        hint = "; in a CSV a list is written as JSON" if isinstance(value, str) else ""
        raise RowError(f"{where}: expected a list, got {described(value)}{hint}")
    return value


def optional_number(row: Row, column: str, where: str) -> float | None:
    """The column's number, also when written as text (CSV); None where it is missing or empty.

    A decimal comma is read where the column as a whole tells that it is one.

    Raises:
        RowError: it is something else, or not finite.
    """
    value = row.get(column)
    if is_missing(value) or value == "":
        return None
    try:
        plain = plain_number(value) if isinstance(value, str) else value
        number = float(plain) if isinstance(plain, int | float | str) and not isinstance(plain, bool) else math.inf
    except AmbiguousNumberError as error:
        raise RowError(f"{where}: expected a finite number, got {described(value)}: {error}") from error
    except (ValueError, OverflowError):
        number = math.inf
    if not math.isfinite(number):
        raise RowError(f"{where}: expected a finite number, got {described(value)}")
    return number


def optional_text(row: Row, column: str, where: str) -> str | None:
    """The column's text; None where it is missing or empty.

    Raises:
        RowError: it is no text, or cannot be stored.
    """
    value = row.get(column)
    return None if is_missing(value) or value == "" else storable_text(value, where)


def described(value: object) -> str:
    """The kind of a value and its beginning, for a message."""
    if value is None:
        return "null"
    kind = _KINDS.get(type(value), type(value).__name__)
    return f"{kind} {shortened(repr(value), 60)}"


_KINDS: dict[type, str] = {
    str: "text",
    DecimalComma: "text",
    int: "number",
    float: "number",
    bool: "truth value",
    list: "list",
    dict: "object",
}


def _names(row: Row) -> str:
    return shortened(", ".join(repr(name) for name in row), 200) or "no columns"
