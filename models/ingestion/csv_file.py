"""The rows of a text table, of which no more than the largest row is ever held; a broken one costs itself alone."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

from models.ingestion.files.delimiters import HEAD, Dialect, dialect_of
from models.ingestion.files.encodings import not_utf_8
from models.ingestion.limits import LARGEST_ROW, TOO_LARGE, lines_within
from models.ingestion.numbers import NumberColumns, number_columns
from models.ingestion.rows import SourceError, SourceRecord, SourceRow, encodable
from models.records import RejectedRow, shortened

_LIKE_JSON = re.compile(r'\s*(?:\[\s*)?\{\s*"')
_NOT_UTF_8 = re.compile("[\udc80-\udcff]")  # what surrogateescape leaves of bytes that are no UTF-8


def csv_dialect(text: TextIO, path: Path) -> Dialect:
    """Find out what parts the columns, from the beginning of the file.

    Raises:
        SourceError: more than one sign would do, or it is no table but JSON.
    """
    csv.field_size_limit(LARGEST_ROW)  # it refuses cells over 131,072 characters unless told
    head = text.read(HEAD)
    if _LIKE_JSON.match(head):
        raise SourceError(f"{path}: begins like JSON, not like a table; name it .jsonl (one object a line) or .json")
    dialect = dialect_of(head, path, is_whole=len(head) < HEAD)
    if not dialect.first_rows[0] and len(head) == HEAD:
        raise SourceError(f"{path}: its first {HEAD // 2**20} MiB hold no whole header; check the file's kind")
    return dialect


def csv_records(text: TextIO, dialect: Dialect, path: Path) -> Iterator[SourceRecord]:
    """Yield one record a data row, numbered from 1. Cells are text; numbers with a decimal comma are marked as such.

    Args:
        text: the file, decoded with `surrogateescape` and its line ends as they are.
        dialect: what `csv_dialect` found.
        path: its name, for messages.

    Raises:
        SourceError: the header cannot be read.
    """
    csv.field_size_limit(LARGEST_ROW)
    lines = _RowLines(text)
    if dialect.has_sep_line:
        next(lines)
    rows = csv.reader(lines, delimiter=dialect.delimiter, skipinitialspace=dialect.has_blanks, strict=True)
    header = _header(rows, path)
    numbers = number_columns(
        dict(zip_longest(header, cells[: len(header)], fillvalue="")) for cells in dialect.first_rows[1:]
    )
    for row_number, cells in enumerate(_rows(rows, lines), start=1):
        yield _record(row_number, header, cells, "".join(lines.of_row), numbers)


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
        header = [name.strip(" ") for name in next((cells for cells in rows if cells), [])]
    except csv.Error as error:
        raise SourceError(f"{path}: the header is not valid CSV ({error}); mend the first line") from error
    foreign = _NOT_UTF_8.search("".join(header))
    if foreign is not None:
        raise SourceError(f"{path}: the header is {not_utf_8(ord(foreign[0]) - 0xDC00)}")
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


def _record(
    row_number: int, header: list[str], cells: list[str] | csv.Error, raw: str, numbers: NumberColumns
) -> SourceRecord:
    problem = f"not valid CSV: {cells}" if isinstance(cells, csv.Error) else _cell_problem(header, cells)
    if isinstance(cells, csv.Error) or problem is not None:
        return RejectedRow(row_number, str(problem), encodable(raw.rstrip("\r\n")))
    return SourceRow(row_number, {name: numbers.cell(name, text) for name, text in zip(header, cells, strict=True)})


def _cell_problem(header: list[str], cells: list[str]) -> str | None:
    if len(cells) != len(header):
        return f"expected {len(header)} cells as in the header, got {len(cells)}"
    for name, cell in zip(header, cells, strict=True):
        foreign = _NOT_UTF_8.search(cell)
        if foreign is not None:
            return f"column {name!r} is {not_utf_8(ord(foreign[0]) - 0xDC00)}"
    return None
