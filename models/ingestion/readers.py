"""Readers of files: JSON Lines, a JSON list, CSV and Parquet, plain or gzipped, each streamed row by row.

They know nothing of formats: what the columns mean is decided in `formats`.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import json
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from models.ingestion.dialogues import MESSAGE_LIST_COLUMNS, is_message_list
from models.ingestion.json_list import list_items
from models.ingestion.rows import Source, SourceError, SourceRecord, SourceRow, encodable
from models.records import RejectedRow, shortened

# csv refuses cells over 131,072 characters unless told; 16 Mi still stops an unclosed quote from swallowing the file.
_LARGEST_CELL = 2**24
_NOT_UTF_8 = re.compile("[\udc80-\udcff]")  # what surrogateescape leaves of bytes that are no UTF-8
_PARQUET_BATCH_ROWS = 1024
_LIST_COLUMNS = (*MESSAGE_LIST_COLUMNS, "responses", "completions")


def open_file(path: Path) -> Source:
    """Find out how a file is to be read, from its name, and hash its bytes.

    Raises:
        SourceError: the file's name does not tell its kind, or it cannot be read.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    read = _READERS.get(suffixes[-1] if suffixes else "")
    if read is None:
        raise SourceError(
            f"{path}: cannot tell how to read this file from its name; expected one of {', '.join(FILE_SUFFIXES)}, "
            "each also with .gz; rename or convert it"
        )
    return Source(str(path), file_hash(path), lambda: read(path))


def file_hash(path: Path) -> str:
    """SHA-256 (64 hex digits) of the file's bytes as they lie on disk, read in pieces."""
    with _reading(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_jsonl(path: Path) -> Iterator[SourceRecord]:
    """Yield one record a line; blank lines hold no row, a line that is not JSON is rejected and the rest still read."""
    with _opened(path) as stream:
        for line_number, line in enumerate(stream, start=1):
            if line.removeprefix(codecs.BOM_UTF8).strip():
                yield _parsed_line(line_number, line)


def read_json(path: Path) -> Iterator[SourceRecord]:
    """Yield one record an item of the one list the file holds, numbered from 1.

    Raises:
        SourceError: the file is no list, or broken: unlike a line, a broken item hides where the next one starts.
    """
    with _opened(path) as stream:
        for row_number, item in enumerate(list_items(io.TextIOWrapper(stream, encoding="utf-8-sig"), path), start=1):
            yield SourceRow(row_number, item)


def read_csv(path: Path) -> Iterator[SourceRecord]:
    """Yield one record a data row (comma-separated, quoted by ", UTF-8, the header first), numbered from 1.

    Cells are text. The exceptions are lists, written as JSON: any list in a column that must hold one (`responses`,
    `messages` ...), and a list of messages in any column.
    """
    with _opened(path) as stream:
        # bytes that are not UTF-8 spoil their own row only, see _cell_problem
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        csv.field_size_limit(_LARGEST_CELL)
        raw: list[str] = []
        rows = csv.reader(_recording(text, raw), strict=True)
        header = _csv_header(rows, path)
        for row_number, cells in enumerate(_csv_rows(rows, raw), start=1):
            yield _csv_record(row_number, header, cells, "".join(raw))


def read_parquet(path: Path) -> Iterator[SourceRecord]:
    """Yield one record a row, numbered from 1. A gzipped file is unpacked to disk first: Parquet is read from its end.

    Raises:
        SourceError: the file is not Parquet, or broken.
    """
    import pyarrow
    from pyarrow import parquet

    row_number = 0
    try:
        with _opened(path) as stream, _seekable(stream, path) as seekable:
            for batch in parquet.ParquetFile(seekable).iter_batches(batch_size=_PARQUET_BATCH_ROWS):
                for row in batch.to_pylist():
                    row_number += 1
                    yield SourceRow(row_number, row)
    except pyarrow.ArrowException as error:
        raise SourceError(
            f"{path}: not readable as Parquet after {row_number} rows ({_line(error)}); write it anew"
        ) from error


_READERS: dict[str, Callable[[Path], Iterator[SourceRecord]]] = {
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".parquet": read_parquet,
}
FILE_SUFFIXES = tuple(_READERS)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(
            f"{path}: cannot be read to its end ({_line(error)}); check its rights, or fetch it again"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with _reading(path):
        if not _is_gzipped(path):
            with path.open("rb") as stream:
                yield stream
            return
        with gzip.open(path) as unzipped:
            yield cast(IO[bytes], unzipped)  # a GzipFile is a binary stream in all but its declared type


@contextmanager
def _seekable(stream: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    if not _is_gzipped(path):
        yield stream
        return
    with tempfile.TemporaryFile() as unpacked:
        shutil.copyfileobj(stream, unpacked)
        unpacked.seek(0)
        yield unpacked


def _is_gzipped(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _line(error: BaseException) -> str:
    return shortened(str(error) or type(error).__name__, 200)


def _parsed_line(line_number: int, line: bytes) -> SourceRecord:
    try:
        return SourceRow(line_number, json.loads(line.decode("utf-8-sig").rstrip()))
    except json.JSONDecodeError as error:
        reason = f"not valid JSON: {error.msg} (character {error.colno})"
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: byte 0x{error.object[error.start]:02x} at position {error.start + 1}"
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; lists in lists in lists
        reason = f"not readable as JSON: {_line(error)}"
    return RejectedRow(line_number, reason, line.decode("utf-8", "backslashreplace").rstrip("\r\n"))


def _recording(lines: Iterable[str], raw: list[str]) -> Iterator[str]:
    """Yield the lines and store each in `raw`, which its reader clears: csv does not give the text of a row."""
    for line in lines:
        raw.append(line)
        yield line


def _csv_header(rows: Iterator[list[str]], path: Path) -> list[str]:
    try:
        header = next((cells for cells in rows if cells), [])
    except csv.Error as error:
        raise SourceError(f"{path}: the header is not valid CSV ({error}); mend the first line") from error
    repeated = sorted({column for column in header if header.count(column) > 1})
    if repeated:
        raise SourceError(f"{path}: the header names {encodable(', '.join(repeated))} more than once; rename a column")
    return header


def _csv_rows(rows: Iterator[list[str]], raw: list[str]) -> Iterator[list[str] | csv.Error]:
    """Yield the cells of every row that is not blank, or what is wrong with it; csv goes on with the next line."""
    while True:
        raw.clear()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield error
            continue
        if cells:
            yield cells


def _csv_record(row_number: int, header: list[str], cells: list[str] | csv.Error, raw: str) -> SourceRecord:
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
