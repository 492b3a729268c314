"""Readers of files: JSON Lines, a JSON list, CSV and Parquet, plain or gzipped, each streamed row by row.

They know nothing of formats: what the columns mean is decided in `formats`.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import json
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from models.ingestion.csv_file import csv_records
from models.ingestion.json_list import list_items
from models.ingestion.limits import LARGEST_ROW, TOO_LARGE, lines_within
from models.ingestion.parquet_file import parquet_records
from models.ingestion.rows import Source, SourceError, SourceRecord, SourceRow
from models.records import REJECTED_TEXT, RejectedRow, shortened

_PIECE = 2**20
_MOST_UNPACKED = 100  # times the packed size: Parquet is packed already, what gzip makes so much smaller is no table


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


def bare_name(path: Path) -> str:
    """A file's name without the suffixes that say how it is read."""
    while path.suffix.lower() in (*FILE_SUFFIXES, ".gz"):
        path = path.with_suffix("")
    return path.name


def file_hash(path: Path) -> str:
    """SHA-256 (64 hex digits) of the file's bytes as they lie on disk, read in pieces."""
    with _reading(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_jsonl(path: Path) -> Iterator[SourceRecord]:
    """Yield one record a line; blank lines hold no row, a line that is not JSON is rejected and the rest still read."""
    with _opened(path) as stream:
        for line_number, (line, is_whole) in enumerate(lines_within(stream, (b"\n",)), start=1):
            if not is_whole:
                yield RejectedRow(line_number, TOO_LARGE, _shown(line))
            elif line.removeprefix(codecs.BOM_UTF8).strip():
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
        # bytes that are not UTF-8 spoil their own row only
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        yield from csv_records(text, path)


def read_parquet(path: Path) -> Iterator[SourceRecord]:
    """Yield one record a row, numbered from 1. A gzipped file is unpacked to disk first: Parquet is read from its end.

    Raises:
        SourceError: the file is not Parquet, or broken.
    """
    with _opened(path) as stream, _seekable(stream, path) as seekable:
        yield from parquet_records(seekable, path)


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
    most = max(LARGEST_ROW, _MOST_UNPACKED * path.stat().st_size)
    with tempfile.TemporaryFile() as unpacked:
        while piece := stream.read(_PIECE):
            unpacked.write(piece)
            if unpacked.tell() > most:
                raise SourceError(f"{path}: unpacks to over {_MOST_UNPACKED} times its size; unpack it yourself")
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
    return RejectedRow(line_number, reason, _shown(line))


def _shown(line: bytes) -> str:
    """As much of the line as a rejected row keeps, and a piece more."""
    return line[: 5 * REJECTED_TEXT].decode("utf-8", "backslashreplace").rstrip("\r\n")
