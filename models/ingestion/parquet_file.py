"""The rows of a Parquet file, a few at a time: how many is decided by what its row groups take unpacked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from models.ingestion.limits import LARGEST_ROW, TOO_LARGE
from models.ingestion.rows import SourceError, SourceRecord, SourceRow
from models.records import RejectedRow, shortened

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import FileMetaData

_LARGEST_GROUP = 2**30  # bytes unpacked: a group may be one page, which is unpacked whole
_MOST_VALUES = 2**26  # of a column in a group: a billion nulls take no bytes in the file, and gigabytes in memory
_BATCH_BYTES = 2**28
_BATCH_ROWS = 1024
_PIECE = 2**20


def parquet_records(stream: IO[bytes], path: Path) -> Iterator[SourceRecord]:
    """Yield one record a row, numbered from 1; a row that is too large, or has no meaning in Python, is rejected.

    Raises:
        SourceError: the file is not Parquet, is broken, or its row groups are larger than can be held.
    """
    import pyarrow
    from pyarrow import parquet

    row_number = 0
    try:
        file = parquet.ParquetFile(stream, buffer_size=_PIECE)
        for batch in file.iter_batches(batch_size=_rows_at_once(file.metadata, path)):
            for record in _records(batch, row_number):
                row_number = record.row_number
                yield record
    except (pyarrow.ArrowException, UnicodeError) as error:  # the second: a column's name
        reason = shortened(str(error) or type(error).__name__, 200)
        raise SourceError(
            f"{path}: not readable as Parquet after {row_number} rows ({reason}); write it anew"
        ) from error


def _rows_at_once(metadata: FileMetaData, path: Path) -> int:
    """So few rows that they fit even if each is as large as a whole group, which a repeated cell can make them."""
    largest = 1
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(position) for position in range(group.num_columns)]
        size = max(group.total_byte_size, sum(column.total_uncompressed_size for column in columns))
        values = max((column.num_values for column in columns), default=0)
        if size > LARGEST_ROW * max(group.num_rows, 1):
            raise SourceError(f"{path}: the rows of row group {number + 1} are {TOO_LARGE}; leave them out")
        if size > _LARGEST_GROUP or values > _MOST_VALUES:
            raise SourceError(
                f"{path}: row group {number + 1} holds {size / 2**30:,.1f} GiB and {values:,} values a column, at most "
                f"{_LARGEST_GROUP // 2**30} GiB and {_MOST_VALUES:,} are read; write it anew with smaller row groups"
            )
        largest = max(largest, size)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // largest))


def _records(batch: pyarrow.RecordBatch, rows_before: int) -> Iterator[SourceRecord]:
    rows = _rows_of(batch) if batch.nbytes <= LARGEST_ROW else None
    for position in range(batch.num_rows):
        row_number = rows_before + position + 1
        yield _record(batch.slice(position, 1), row_number) if rows is None else SourceRow(row_number, rows[position])


def _rows_of(batch: pyarrow.RecordBatch) -> list[dict[str, object]] | None:
    """All rows at once, which is quicker; None if one of them cannot be read."""
    try:
        rows: list[dict[str, object]] = batch.to_pylist()
    except (ValueError, OverflowError):
        return None
    return rows


def _record(row: pyarrow.RecordBatch, row_number: int) -> SourceRecord:
    if row.nbytes > LARGEST_ROW:
        return RejectedRow(row_number, TOO_LARGE, "")
    content: dict[str, object] = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            content[name] = column[0].as_py()
        except UnicodeDecodeError as error:
            return RejectedRow(row_number, f"column {name!r} is not UTF-8 ({error.reason})", "")
        except (ValueError, OverflowError) as error:  # a date before the year 1, a time zone that nobody knows
            return RejectedRow(row_number, f"column {name!r} cannot be read ({error})", "")
    return SourceRow(row_number, content)
