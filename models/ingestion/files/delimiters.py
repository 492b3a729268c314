"""What parts the columns of a text table: found from its header and first rows, and told where two signs would do."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from models.ingestion.rows import SourceError

DELIMITERS = (",", ";", "\t")
HEAD = 2**20  # characters of a table that are looked at

_ROWS = 50
_SEP_LINE = re.compile(r'"?sep=([^\w"\r\n])"?(?=[\r\n]|$)', re.IGNORECASE)  # Excel's
_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a table is read: its delimiter, and the rows that it was found from, the header first.

    Attributes:
        has_sep_line: its first line names the delimiter, and is no row.
        has_blanks: a blank follows each delimiter (`a, "b", c`), and belongs to no cell.
    """

    delimiter: str
    first_rows: list[list[str]]
    has_sep_line: bool = False
    has_blanks: bool = False

    @property
    def fitting(self) -> int:
        """How many of the rows have as many cells as the header."""
        return sum(len(cells) == len(self.first_rows[0]) for cells in self.first_rows[1:])

    @property
    def fits(self) -> bool:
        """Whether all of them have."""
        return self.fitting == len(self.first_rows) - 1

    @property
    def column_count(self) -> int:
        """Columns of the header."""
        return len(self.first_rows[0])


def dialect_of(head: str, path: Path, *, is_whole: bool) -> Dialect:
    """Find out how a table is read that begins so.

    Args:
        head: the first `HEAD` characters.
        path: the file's name, for messages.
        is_whole: whether that is all of it; otherwise the last row may be cut, and does not count.

    Raises:
        SourceError: more than one delimiter parts header and rows alike.
    """
    named = _SEP_LINE.match(head)
    if named is not None:
        return _read(head[named.end() :], named[1], is_whole=is_whole, has_sep_line=True)
    found = _found(head, path, is_whole=is_whole)
    if found.column_count > 1 and all(cell[:1] in ("", " ") for cells in found.first_rows for cell in cells[1:]):
        spaced = _read(head, found.delimiter, is_whole=is_whole, has_blanks=True)
        return spaced if found.first_rows[0][1].startswith(" ") else found
    return found


def _found(head: str, path: Path, *, is_whole: bool) -> Dialect:
    """The delimiter that parts header and rows alike; a table of one column has one that its rows do not hold."""
    comma, *others = (_read(head, delimiter, is_whole=is_whole) for delimiter in DELIMITERS)
    parted = [dialect for dialect in (comma, *others) if dialect.column_count > 1]
    if len(parted) > 1:
        parted = [one for one in parted if one.fits] or [one for one in parted if one.fitting]
    if len(parted) > 1:
        raise _told([_NAMES[dialect.delimiter] for dialect in parted], path)
    if not parted:  # one column: a sign that would part its rows is none
        return next((one for one in (comma, *others) if one.fits), comma)
    (found,) = parted
    if found is comma or found.fits or not comma.fits:
        return found
    # As a table of one column it has no fault: either its one name holds the sign, or some rows are broken.
    if found.fitting and 2 * found.fitting < len(found.first_rows):
        raise _told([_NAMES[found.delimiter], "nothing"], path)
    return found if found.fitting else comma


def _told(signs: list[str], path: Path) -> SourceError:
    either = " as well as ".join(signs)
    return SourceError(f"{path}: {either} may part its columns; say which with a first line such as sep=; or sep=,")


def _read(
    head: str, delimiter: str, *, is_whole: bool, has_sep_line: bool = False, has_blanks: bool = False
) -> Dialect:
    parser = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter, skipinitialspace=has_blanks)
    rows = list(islice(_rows(parser, is_whole=is_whole), _ROWS + 1))
    return Dialect(delimiter, rows or [[]], has_sep_line, has_blanks)


def _rows(rows: Iterator[list[str]], *, is_whole: bool) -> Iterator[list[str]]:
    """Yield the rows that are not blank and can be read; the last one only once its end is in sight."""
    waiting: list[str] = []
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            break
        except csv.Error:
            continue
        if waiting:
            yield waiting
        waiting = cells
    if waiting and is_whole:
        yield waiting
