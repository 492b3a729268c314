"""The way in: a source's name to its rows, each imported or rejected. What is done with them is decided elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from models.ingestion.fields import Row, is_missing
from models.ingestion.files.packing import PACKED_SUFFIXES
from models.ingestion.formats import (
    FORMATS_WITH_PROMPT_COLUMN,
    SOURCE_FORMATS,
    SourceFormat,
    parse_row,
    recognised_format,
)
from models.ingestion.hub import is_hub_name, open_directory, open_hub
from models.ingestion.readers import FILE_SUFFIXES, bare_name, open_file
from models.ingestion.rows import Source, SourceError, SourceRow, encodable
from models.records import ImportedRow, RejectedRow, shortened
from models.splits import split_of_file

_SAMPLED_ROWS = 20  # enough to see past rows that leave a column empty
MOST_UNREADABLE_ROWS = 1000  # a file whose first thousand lines are all broken is no file of rows, nor of labels


@dataclass(frozen=True, slots=True)
class SourceReader:
    """The rows of a source in one format.

    Iterating streams them from the first row, as often as wanted; it raises SourceError where the source breaks off.

    Attributes:
        name: the source as the user named it.
        format: named by the user or recognised from the first rows.
        content_hash: 64 hex digits that change with the source's content.
        split: of all rows; None where each row says its own, or none.
    """

    name: str
    format: SourceFormat
    content_hash: str
    source: Source
    prompt_column: str | None
    limit: int | None
    split: str | None

    def __iter__(self) -> Iterator[ImportedRow | RejectedRow]:
        """Yield every row in the source's order, imported or rejected; at most `limit` in all."""
        for record in islice(self.source.read(), self.limit):
            if isinstance(record, RejectedRow):
                yield record
            else:
                yield parse_row(replace(record, split=self.split or record.split), self.format, self.prompt_column)


def read_source(
    source: str,
    *,
    format: SourceFormat | None,
    prompt_column: str | None,
    split: str | None,
    limit: int | None,
    config: str | None = None,
) -> SourceReader:
    """Open a source and find out its format.

    Args:
        source: a file (`FILE_SUFFIXES`, each also with one of `PACKED_SUFFIXES`), a directory of `datasets`, or a name
            on the hub.
        format: the rows' format; None recognises it from the first 20 rows.
        prompt_column: the prompt's column where it has none of the usual names.
        split: one split of a data set; None takes all, each row with its split. Of a file: the split that its rows are
            of; None takes what its name says, if it names one that is only measured on (`test.jsonl`).
        limit: the most rows to read, whether they fit or not; None for all.
        config: the data set's config (subset) where it has several.

    Raises:
        SourceError: nothing can be read, there is no row, the format cannot be recognised, or a setting does not fit
            the source. The message is one line that says what to do.
    """
    _check_settings(format, prompt_column, limit)
    opened = open_source(source, split=split, config=config)
    sample = _sample(opened)
    if prompt_column is not None and prompt_column not in sample:
        raise SourceError(f"{source}: no column {prompt_column!r}; there is {_columns(sample)}")
    source_format = format or recognised_format([sample], prompt_column)
    if source_format is None:
        raise SourceError(
            f"{source}: cannot recognise the format of rows with {_columns(sample)}; name it with --format "
            f"({', '.join(SOURCE_FORMATS)}), or the prompt's column with --prompt_column"
        )
    path = Path(source)
    rows_split = split or (split_of_file(bare_name(path)) if path.is_file() else None)
    return SourceReader(source, source_format, opened.content_hash, opened, prompt_column, limit, rows_split)


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


def _check_settings(format: SourceFormat | None, prompt_column: str | None, limit: int | None) -> None:
    if format is not None and format not in SOURCE_FORMATS:
        raise SourceError(f"unknown format {format!r}; expected one of {', '.join(SOURCE_FORMATS)}")
    if prompt_column is not None and format is not None and format not in FORMATS_WITH_PROMPT_COLUMN:
        raise SourceError(
            f"--prompt_column {prompt_column!r} does not go with the format {format}, whose columns are fixed; "
            f"it goes with {', '.join(FORMATS_WITH_PROMPT_COLUMN)}"
        )
    if limit is not None and limit < 1:
        raise SourceError(f"limit must be at least 1, got {limit}; leave it out to read every row")


def _sample(source: Source) -> Row:
    """The columns of the first rows that are objects, at most 20, each with the first value that one of them has in it.

    Texts, lists and objects are emptied: their kind is what is asked for, and together they may be large.
    """
    sample: dict[str, object] = {}
    count, problem = 0, None
    for record in islice(source.read(), MOST_UNREADABLE_ROWS):
        if isinstance(record, SourceRow) and isinstance(record.content, Mapping):
            for column, value in record.content.items():
                if is_missing(sample.get(column)):
                    sample[column] = type(value)() if isinstance(value, str | list | dict) else value
            count += 1
        else:
            reason = record.reason if isinstance(record, RejectedRow) else "not an object with columns"
            problem = problem or shortened(f"row {record.row_number}: {reason}", 300)
        if count == _SAMPLED_ROWS:
            break
    if count == 0 and problem is None:
        raise SourceError(f"{source.name}: holds no row; check that it is the right file or split")
    if count == 0:
        raise SourceError(f"{source.name}: none of the first rows can be read ({problem}); check the file's kind")
    return sample


def _columns(sample: Row) -> str:
    listed = shortened(", ".join(map(str, sample)), 300) or "(none)"
    return encodable(f"the column{'s' if len(sample) != 1 else ''} {listed}")


def _looks_like_file(path: Path) -> bool:
    return path.suffix.lower() in (*FILE_SUFFIXES, *PACKED_SUFFIXES)
