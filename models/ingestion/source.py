"""The way in: a source's name to its rows, each imported or rejected. What is done with them is decided elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from models.guesses import nearest
from models.ingestion.fields import Row, is_missing
from models.ingestion.files.packing import PACKED_SUFFIXES
from models.ingestion.formats import (
    AS_THEY_ARE,
    FORMATS,
    SOURCE_FORMATS,
    Columns,
    SourceFormat,
    Survey,
    advice,
    parse_rows,
    recognised_format,
    survey,
)
from models.ingestion.hub import is_hub_name, open_directory, open_hub
from models.ingestion.readers import FILE_SUFFIXES, bare_name, open_file
from models.ingestion.rows import Source, SourceError, SourceRecord, SourceRow, encodable
from models.records import ImportedRow, RejectedRow, shortened
from models.splits import split_of_file

_SAMPLED_ROWS = 20  # enough to see past rows that leave a column empty
_PROMPT_WORDS = 3  # a row, on average: more than a category or an id has
_SAMPLED_CHARACTERS = 2**25  # of their content as JSON, about: two of the largest rows
MOST_UNREADABLE_ROWS = 1000  # a file whose first thousand lines are all broken is no file of rows, nor of labels


@dataclass(frozen=True, slots=True)
class SourceReader:
    """The rows of a source in one format.

    Iterating streams them from the first row, as often as wanted; it raises SourceError where the source breaks off.

    Attributes:
        name: the source as the user named it.
        format: named by the user or recognised from the first rows.
        content_hash: 64 hex digits that change with the source's content.
        columns: what the user says of its columns.
        split: of all rows; None where each row says its own, or none.
        survey: what the format makes of the first rows, and which columns it leaves.
    """

    name: str
    format: SourceFormat
    content_hash: str
    source: Source
    columns: Columns
    limit: int | None
    split: str | None
    survey: Survey = field(default_factory=Survey, compare=False)
    _unread: dict[str, None] = field(default_factory=dict, compare=False)

    def __iter__(self) -> Iterator[ImportedRow | RejectedRow]:
        """Yield every row in the source's order, imported or rejected; at most `limit` of the source's in all."""
        records = _of_split(islice(self.source.read(), self.limit), self.split)
        yield from parse_rows(records, self.format, self.columns, self._unread)

    @property
    def unread(self) -> tuple[str, ...]:
        """The columns that no row of those that were surveyed or read so far was understood by."""
        return tuple(
            column for column in dict.fromkeys((*self.survey.unread, *self._unread)) if column not in self.survey.roles
        )

    @property
    def problem(self) -> str | None:
        """Why it must not be imported as it is: columns that are not read and seem to hold a part of the rows."""
        return f"{self.name}: {encodable(advice(self.survey.dangers))}" if self.survey.dangers else None


def read_source(
    source: str,
    *,
    format: SourceFormat | None,
    columns: Columns = AS_THEY_ARE,
    split: str | None,
    limit: int | None,
    config: str | None = None,
) -> SourceReader:
    """Open a source, find out its format, and make sure that no part of its rows is left behind.

    Args:
        source: a file (`FILE_SUFFIXES`, each also with one of `PACKED_SUFFIXES`), a directory of `datasets`, or a name
            on the hub.
        format: the rows' format; None recognises it from the first 20 rows.
        columns: which columns stand in for the usual names, and which are taken for absent.
        split: one split of a data set; None takes all, each row with its split. Of a file: the split that its rows are
            of; None takes what its name says, if it names one that is only measured on (`test.jsonl`).
        limit: the most rows to read, whether they fit or not; None for all.
        config: the data set's config (subset) where it has several.

    Raises:
        SourceError: nothing can be read, there is no row, the format cannot be recognised, a setting does not fit the
            source, or a column is not read that seems to hold an answer, a label, a rating, a system message or a
            history, or a value makes it doubtful what the others mean. The message is one line that says what to do.
    """
    reader = survey_source(source, format=format, columns=columns, split=split, limit=limit, config=config)
    if reader.problem is not None:
        raise SourceError(reader.problem)
    return reader


def survey_source(
    source: str,
    *,
    format: SourceFormat | None,
    columns: Columns = AS_THEY_ARE,
    split: str | None,
    limit: int | None,
    config: str | None = None,
) -> SourceReader:
    """Do what `read_source` does, but for columns that are left: the reader's `problem` tells of them.

    Raises:
        SourceError: as `read_source`, for anything else.
    """
    _check_settings(format, columns, limit)
    opened = open_source(source, split=split, config=config)
    head = _head(opened)
    sample = _sample(head)
    absent = [column for column in columns.named.values() if column not in sample]
    if absent:
        raise SourceError(encodable(f"{source}: no column {absent[0]!r}; it has {_columns(sample)}"))
    objects = [record.content for record in head if isinstance(record, SourceRow)]
    rows = [columns.of(one) for one in objects if isinstance(one, Mapping)]
    source_format = format or recognised_format(rows)
    if source_format is None:
        raise SourceError(
            f"{source}: cannot recognise the format of rows with {_columns(sample)}; name it with --format "
            f"({', '.join(SOURCE_FORMATS)}), or the columns with --map, such as {_likely_prompt(objects)}"
        )
    doubt = None if format else next(filter(None, map(FORMATS[source_format].doubt, rows)), None)
    if doubt is not None:
        raise SourceError(encodable(f"{source}: {columns.in_words(doubt)}"))
    path = Path(source)
    rows_split = split or (split_of_file(bare_name(path)) if path.is_file() else None)
    found = survey(list(_of_split(head, rows_split)), source_format, columns)
    return SourceReader(source, source_format, opened.content_hash, opened, columns, limit, rows_split, found)


def _of_split(records: Iterable[SourceRecord], split: str | None) -> Iterator[SourceRecord]:
    return (replace(record, split=split) if split and isinstance(record, SourceRow) else record for record in records)


def is_asked_of_the_hub(source: str) -> bool:
    """Whether only the hub can know a source: nothing is there by its name, which is no file's."""
    path = Path(source)
    return bool(source) and _kind(path) == "missing" and is_hub_name(source) and not _looks_like_file(path)


def open_source(source: str, *, split: str | None, config: str | None) -> Source:
    """Find a source by its name: an existing file or directory first, a data set of the hub after that.

    Raises:
        SourceError: there is no such thing, or it cannot be read.
    """
    path = Path(source)
    kind = _kind(path) if source else "missing"
    if kind == "file":
        if config is not None:
            raise SourceError(f"{source}: a file has no configs; leave --subset out")
        return open_file(path)
    if kind == "directory":
        return open_directory(path, split=split, config=config)
    if kind == "special" or not is_hub_name(source) or _looks_like_file(path):
        raise SourceError(
            f"{source}: no such file or directory, and no name of a data set (name or owner/name); check the path"
        )
    return open_hub(source, split=split, config=config)


def _kind(path: Path) -> Literal["file", "directory", "special", "missing"]:
    try:
        if path.is_file():
            return "file"
        if path.is_dir():
            return "directory"
        return "special" if path.exists() else "missing"
    except OSError as error:
        raise SourceError(f"{path}: cannot be looked at ({error.strerror}); check the path and its rights") from error


def _check_settings(format: SourceFormat | None, columns: Columns, limit: int | None) -> None:
    if format is not None and format not in SOURCE_FORMATS:
        raise SourceError(f"unknown format {format!r}; expected one of {', '.join(SOURCE_FORMATS)}")
    formats = FORMATS.values() if format is None else (FORMATS[format],)
    known = dict.fromkeys(name for one in formats for names in one.columns.values() for name in names)
    unknown = [name for name in columns.named if name not in known]
    if unknown:
        fault = "no format has such a column" if format is None else f"the format {format} has no such column"
        meant = nearest(unknown[0], known) or "prompt"
        raise SourceError(
            encodable(f"--map {unknown[0]}=…: {fault}; give one that is, as {meant!r} (docs/formats.md has them all)")
        )
    if limit is not None and limit < 1:
        raise SourceError(f"limit must be at least 1, got {limit}; leave it out to read every row")


def _head(source: Source) -> list[SourceRecord]:
    """The first records of a source up to its 20th object, or fewer where they are large."""
    head: list[SourceRecord] = []
    count = size = 0
    for record in islice(source.read(), MOST_UNREADABLE_ROWS):
        head.append(record)
        if isinstance(record, SourceRow) and isinstance(record.content, Mapping):
            count += 1
            size += _size(record.content)
        if count == _SAMPLED_ROWS or size > _SAMPLED_CHARACTERS:
            break
    if not head:
        raise SourceError(f"{source.name}: holds no row; check that it is the right file or split")
    if count == 0:
        first = head[0]
        reason = first.reason if isinstance(first, RejectedRow) else "not an object with columns"
        problem = shortened(f"row {first.row_number}: {reason}", 300)
        raise SourceError(f"{source.name}: none of the first rows can be read ({problem}); check the file's kind")
    return head


def _size(content: object) -> int:
    """Characters and values of a row, about."""
    size, waiting = 0, [content]
    while waiting:
        value = waiting.pop()
        size += len(value) if isinstance(value, str | bytes) else 1
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
    return size


def _sample(head: Sequence[SourceRecord]) -> Row:
    """The columns of these rows, each with the first value that one of them has in it."""
    sample: dict[str, object] = {}
    for record in head:
        if isinstance(record, SourceRow) and isinstance(record.content, Mapping):
            for column, value in record.content.items():
                if is_missing(sample.get(column)) or sample[column] == "":
                    sample[column] = value
    return sample


def _columns(sample: Row) -> str:
    listed = shortened(", ".join(map(str, sample)), 300) or "(none)"
    return encodable(f"the column{'s' if len(sample) != 1 else ''} {listed}")


def _likely_prompt(objects: Sequence[Any]) -> str:
    """`prompt=` with the first column that holds sentences; COLUMN where none does."""
    rows = [one for one in objects if isinstance(one, Mapping)]
    for column in rows[0] if rows else ():
        texts = [row[column] for row in rows if isinstance(row.get(column), str)]
        if sum(len(text.split()) for text in texts) >= _PROMPT_WORDS * len(rows):
            return encodable(shlex.quote(f"prompt={column}"))
    return "prompt=COLUMN"


def _looks_like_file(path: Path) -> bool:
    return path.suffix.lower() in (*FILE_SUFFIXES, *PACKED_SUFFIXES)
