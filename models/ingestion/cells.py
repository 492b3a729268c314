"""Cells that hold a list in another shape: as text, or as an object of lists; the same for every kind of file.

Tables of text write lists as JSON, or, where pandas wrote them, as Python does. `datasets` stores a list of objects as
an object of lists, and Parquet's maps come as pairs. A text that is meant as a text stays one.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping

from models.ingestion.dialogues import MESSAGE_LIST_COLUMNS, is_message_list
from models.ingestion.rows import SourceRecord, SourceRow, rejected

_LIST_COLUMNS = frozenset((*MESSAGE_LIST_COLUMNS, "responses", "completions"))
_TEXT_KEYS = ("content", "value", "text", "response")
_LONGEST_LITERAL = 2**20  # characters
_MOST_TOKENS = 50_000  # of a literal: Python takes a thousand bytes for each item while it reads one
_DEEPEST_LITERAL = 50
_SPREADSHEET_CELL = 32_767  # characters: Excel cuts what is longer
_TOKEN = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<open>[\[({])|(?P<close>[\])}])|(?P<space>\s+)"""
    r"""|(?P<other>[,:]|(?:True|False|None)\b|-?\d+(?:\.\d*)?(?:e[+-]?\d+)?)""",
    re.DOTALL,
)
_LIKE_MESSAGES = re.compile(
    r"""(?:array\(\s*)?\[?\s*\{\s*['"](?:role|content|from|value)['"]\s*:\s*(?:['"\[]|array\()"""
)
_NUMPY = re.compile(r"\barray\(|\bdtype=|[}\]'\"]\s+[{\['\"]")
_STARTS = ("[", "{", "array(")
_UNREAD = object()
_NUMBERS = frozenset((int, float, bool))  # of which `Mapping` would be asked at length


class UnreadableCellError(ValueError):
    """A cell is a list by its look and cannot be read as one; the message is the reason."""


def with_lists(records: Iterable[SourceRecord]) -> Iterator[SourceRecord]:
    """Bring the lists of every row into the one shape; a row with one that cannot be read is rejected."""
    for record in records:
        yield _row_with_lists(record) if isinstance(record, SourceRow) else record


def listed(column: str, value: object) -> object:
    """The column's value, its list in the shape that formats know; anything else as it is.

    A text becomes a list in a column that must hold one (`responses`, `messages` …), and in any column if it is a list
    of messages.

    Raises:
        UnreadableCellError: the text is such a list by its look, but cannot be read.
    """
    if not isinstance(value, str):
        return _in_shape(value)
    if not value.startswith(_STARTS):
        return value
    items = _read(value)
    shaped = _in_shape(items)
    if is_message_list(shaped) or is_message_list([shaped]) or (column in _LIST_COLUMNS and isinstance(shaped, list)):
        return shaped
    if items is _UNREAD and (_is_like_messages(value) or (column in _LIST_COLUMNS and _NUMPY.search(value))):
        raise UnreadableCellError(
            f"column {column!r} looks like a list but {_fault(value)}; write lists as JSON, or the table as JSON Lines"
        )
    return value


def _row_with_lists(row: SourceRow) -> SourceRecord:
    if not isinstance(row.content, Mapping):
        return row
    changed: dict[object, object] = {}
    try:
        for column, value in row.content.items():
            if type(value) not in _NUMBERS and isinstance(value, (str, list, Mapping)):
                shaped = listed(column, value)
                if shaped is not value:
                    changed[column] = shaped
    except UnreadableCellError as error:
        return rejected(row, str(error))
    return SourceRow(row.row_number, {**row.content, **changed}, row.split) if changed else row


def _in_shape(value: object) -> object:
    """An object of lists as a list of objects, a list of pairs (Parquet's map) as an object; the rest as it is."""
    if isinstance(value, Mapping):
        return _structs(value) if _is_struct_of_lists(value) else value
    if not isinstance(value, list) or not value:
        return value
    if _is_map(value):
        return _in_shape(dict(value))
    return [dict(item) for item in value] if all(map(_is_map, value)) else value


def _is_map(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in value)
    )


def _is_struct_of_lists(value: Mapping[object, object]) -> bool:
    """Whether these are messages or responses, key by key: lists of one length, those of the texts hold texts."""
    columns = list(value.values())
    if len(columns) < 2 or not all(isinstance(column, list) for column in columns):
        return False
    texts = next((value[key] for key in _TEXT_KEYS if key in value), None)
    lengths = {len(column) for column in columns if isinstance(column, list)}
    return isinstance(texts, list) and len(lengths) == 1 and all(isinstance(text, str | None) for text in texts)


def _structs(value: Mapping[object, object]) -> list[dict[object, object]]:
    columns = [column for column in value.values() if isinstance(column, list)]
    return [dict(zip(value, items, strict=True)) for items in zip(*columns, strict=True)]


def _read(text: str) -> object:
    """The value that the text is in JSON or in Python."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _literal(text)


def _literal(text: str) -> object:
    if len(text) > _LONGEST_LITERAL or not _is_plain_literal(text):
        return _UNREAD
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return _UNREAD


def _is_plain_literal(text: str) -> bool:
    """Whether lists, objects, texts and numbers are all there is, not too many or deep, no two texts side by side.

    Python reads two texts side by side as one; numpy writes the items of its arrays so.
    """
    position = depth = count = 0
    was_text = False
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            return False
        position, kind = token.end(), token.lastgroup
        if kind == "space":
            continue
        count += 1
        depth += (kind == "open") - (kind == "close")
        if count > _MOST_TOKENS or depth > _DEEPEST_LITERAL or (kind == "text" and was_text):
            return False
        was_text = kind == "text"
    return True


def _is_like_messages(text: str) -> bool:
    is_ended = text.rstrip()[-1:] in ("]", "}", ")") or len(text) >= _SPREADSHEET_CELL
    return is_ended and _LIKE_MESSAGES.match(text) is not None


def _fault(text: str) -> str:
    if _NUMPY.search(text):
        return "is written as numpy prints an array (`array([…])`, or items without commas), which cannot be read back"
    if len(text) > _LONGEST_LITERAL:
        return f"is no JSON, and Python's own form is read up to {_LONGEST_LITERAL:,} characters"
    if len(text) == _SPREADSHEET_CELL:
        return f"is cut off at {_SPREADSHEET_CELL:,} characters, as spreadsheets do"
    return "is neither JSON nor Python's own form"
