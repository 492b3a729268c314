"""The rows of a CSV file, of which no more than the largest row is ever held; a broken one costs itself alone."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from models.ingestion.dialogues import MESSAGE_LIST_COLUMNS, is_message_list
from models.ingestion.limits import LARGEST_ROW, TOO_LARGE, lines_within
from models.ingestion.rows import SourceError, SourceRecord, SourceRow, encodable
from models.records import RejectedRow, shortened

_NOT_UTF_8 = re.compile("[\udc80-\udcff]")  # what surrogateescape leaves of bytes that are no UTF-8
_LIST_COLUMNS = (*MESSAGE_LIST_COLUMNS, "responses", "completions")


def csv_records(text: TextIO, path: Path) -> Iterator[SourceRecord]:
    """Yield one record a data row, numbered from 1.

    Args:
        text: the file, decoded with `surrogateescape` and its line ends as they are.
        path: its name, for messages.

    Raises:
        SourceError: the header cannot be read.
    """
    csv.field_size_limit(LARGEST_ROW)  # it refuses cells over 131,072 characters unless told
    lines = _RowLines(text)
    rows = csv.reader(lines, strict=True)
    header = _header(rows, path)
    for row_number, cells in enumerate(_rows(rows, lines), start=1):
        yield _record(row_number, header, cells, "".join(lines.of_row))


class _RowLines:
    """The lines of a file for csv, which does not give the text of a row: they are kept until the next row begins."""

    def __init__(self, text: TextIO) -> None:
        self._lines = lines_within(text, ("\n", "\r"))
        self._size = 0
        self.of_row: list[str] = []

    def begin_row(self) -> None:
        self._size = 0
        self.of_row.clear()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line, is_whole = next(self._lines)
        self._size += len(line)
        self.of_row.append(line)
        if not is_whole or self._size > LARGEST_ROW:  # also an unclosed quote, which would swallow the file
            raise csv.Error(TOO_LARGE)
        return line


def _header(rows: Iterator[list[str]], path: Path) -> list[str]:
    try:
        header = next((cells for cells in rows if cells), [])
    except csv.Error as error:
        raise SourceError(f"{path}: the header is not valid CSV ({error}); mend the first line") from error
    repeated = sorted(column for column, count in Counter(header).items() if count > 1)
    if repeated:
        names = encodable(shortened(", ".join(repeated), 300))
        raise SourceError(f"{path}: the header names {names} more than once; rename a column")
    return header


def _rows(rows: Iterator[list[str]], lines: _RowLines) -> Iterator[list[str] | csv.Error]:
    """Yield the cells of every row that is not blank, or what is wrong with it; csv goes on with the next line."""
    while True:
        lines.begin_row()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield error
            continue
        if cells:
            yield cells


def _record(row_number: int, header: list[str], cells: list[str] | csv.Error, raw: str) -> SourceRecord:
    if isinstance(cells, csv.Error):
        return RejectedRow(row_number, f"not valid CSV: {cells}", encodable(raw.rstrip("\r\n")))
    problem = _cell_problem(header, cells)
    if problem is not None:
        return RejectedRow(row_number, problem, encodable(raw.rstrip("\r\n")))
    return SourceRow(row_number, {name: _cell_value(name, text) for name, text in zip(header, cells, strict=True)})


def _cell_problem(header: list[str], cells: list[str]) -> str | None:
    if len(cells) != len(header):
        return f"expected {len(header)} cells as in the header, got {len(cells)}"
    for name, cell in zip(header, cells, strict=True):
        if _NOT_UTF_8.search(cell):
            return f"column {name!r} is not UTF-8"
    return None


def _cell_value(name: str, text: str) -> object:
    if not text.startswith("["):
        return text
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return items if name in _LIST_COLUMNS or is_message_list(items) else text
