"""Readers of files: JSON Lines, JSON, text tables (CSV) and Parquet, plain or packed, each streamed row by row.

They know nothing of formats: what the columns mean is decided in `formats`.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO, cast

from models.ingestion.cells import with_lists
from models.ingestion.csv_file import csv_dialect, csv_records
from models.ingestion.files.encodings import UTF_8, encoding_of, not_utf_8, text_stream
from models.ingestion.files.json_objects import Layout, layout_of, object_records
from models.ingestion.files.packing import PACKED_SUFFIXES, UNPACKING_ERRORS, data_file_name, refuse_bomb, unpacked
from models.ingestion.files.signatures import HEAD, refuse_other_kind
from models.ingestion.json_list import list_items
from models.ingestion.limits import LARGEST_ROW, TOO_LARGE, UNPACKED_TIMES, lines_within
from models.ingestion.parquet_file import parquet_records
from models.ingestion.rows import Source, SourceError, SourceRecord, SourceRow
from models.records import REJECTED_TEXT, RejectedRow, shortened

_PIECE = 2**20


def open_file(path: Path) -> Source:
    """Find out how a file is to be read, from its name and its first bytes, and hash its bytes.

    Raises:
        SourceError: the file's name does not tell its kind or its bytes say another, it unpacks to more than it may,
            or it cannot be read.
    """
    with _reading(path):
        with path.open("rb") as stream:
            refuse_other_kind(stream.read(HEAD), path.suffix.lower(), path)
        name = data_file_name(path, FILE_SUFFIXES)
        suffix = Path(name).suffix.lower()
        if suffix not in FILE_SUFFIXES:
            raise SourceError(
                f"{path}: cannot tell how to read this file from its name; expected one of {', '.join(FILE_SUFFIXES)}, "
                f"each also with {', '.join(PACKED_SUFFIXES)}; rename or convert it"
            )
        refuse_bomb(path, FILE_SUFFIXES)
    content_hash = file_hash(path)
    part = f"{name} in the zip" if path.suffix.lower() == ".zip" else None
    if suffix != ".json":
        return Source(str(path), content_hash, lambda: with_lists(_READERS[suffix](path)), part)
    with _text(path, ".json") as text:
        layout = layout_of(text, path)
    if layout.kind == "under_key":
        part = ", ".join(filter(None, [f"the list under {layout.key!r}", part]))
    return Source(str(path), content_hash, lambda: with_lists(read_json(path, layout)), part)


def bare_name(path: Path) -> str:
    """A file's name without the suffixes that say how it is read."""
    while path.suffix.lower() in (*FILE_SUFFIXES, *PACKED_SUFFIXES):
        path = path.with_suffix("")
    return path.name


def file_hash(path: Path) -> str:
    """SHA-256 (64 hex digits) of the file's bytes as they lie on disk, read in pieces."""
    with _reading(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_jsonl(path: Path) -> Iterator[SourceRecord]:
    """Yield one record a line; blank lines hold no row, a line that is not JSON is rejected and the rest still read.

    Raises:
        SourceError: the file holds one JSON list over several lines.
    """
    with _opened(path, ".jsonl") as (stream, encoding):
        for line_number, (line, is_whole) in enumerate(_lines(stream, encoding), start=1):
            if not is_whole:
                yield RejectedRow(line_number, TOO_LARGE, _shown(line))
            elif line.removeprefix(codecs.BOM_UTF8).strip():
                if line_number == 1 and line.removeprefix(codecs.BOM_UTF8).strip() == b"[":
                    raise SourceError(f"{path}: holds one JSON list, not one object a line; name it .json")
                yield _parsed_line(line_number, line)


def read_json(path: Path, layout: Layout) -> Iterator[SourceRecord]:
    """Yield one record an item of the list the file holds, or a row of its object, numbered from 1.

    Raises:
        SourceError: the file is broken: unlike a line, a broken item hides where the next one starts.
    """
    if layout.kind == "lines":
        yield from read_jsonl(path)
    elif layout.kind == "list":
        with _text(path, ".json") as text:
            for row_number, item in enumerate(list_items(text, path), start=1):
                yield SourceRow(row_number, item)
    else:
        yield from object_records(layout, lambda: _text(path, ".json"), path)


def read_csv(path: Path) -> Iterator[SourceRecord]:
    """Yield one record a data row (quoted by ", the header first), numbered from 1; cells are text.

    Commas, semicolons or tabs part the columns, whatever the file's name; Excel's `sep=;` says which.

    Raises:
        SourceError: it cannot be told what parts the columns, or the header cannot be read.
    """
    with _text(path, ".csv") as text:
        dialect = csv_dialect(text, path)
    with _text(path, ".csv") as text:
        yield from csv_records(text, dialect, path)


def read_txt(path: Path) -> Iterator[SourceRecord]:
    """Yield the rows of a table under a name that says nothing of tables.

    Raises:
        SourceError: as `read_csv`, and if it has a single column, as any text seems to have.
    """
    with _text(path, ".txt") as text:
        dialect = csv_dialect(text, path)
    if dialect.column_count == 1:
        raise SourceError(
            f"{path}: a .txt file is read as a table, and its first line has no comma, semicolon or tab; name it .csv "
            "if it is a table of one column, .jsonl if it holds one JSON object a line"
        )
    yield from read_csv(path)


def read_parquet(path: Path) -> Iterator[SourceRecord]:
    """Yield one record a row, numbered from 1. A packed file is unpacked to disk first: Parquet is read from its end.

    Raises:
        SourceError: the file is not Parquet, or broken.
    """
    with _opened(path, ".parquet") as (stream, _), _seekable(stream, path) as seekable:
        yield from parquet_records(seekable, path)


_READERS: dict[str, Callable[[Path], Iterator[SourceRecord]]] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".tab": read_csv,
    ".txt": read_txt,
    ".parquet": read_parquet,
}
FILE_SUFFIXES = (".jsonl", ".json", *(suffix for suffix in _READERS if suffix != ".jsonl"))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except UNPACKING_ERRORS as error:
        raise SourceError(
            f"{path}: cannot be read to its end ({_line(error)}); check its rights, or fetch it again"
        ) from error


@contextmanager
def _opened(path: Path, suffix: str) -> Iterator[tuple[IO[bytes], str]]:
    """The bytes of the file behind its packing, which may be what the suffix says, and the encoding if it is a text."""
    with _reading(path), unpacked(path, FILE_SUFFIXES) as stream:
        head = cast(io.BufferedReader, stream).peek(HEAD)[:HEAD]
        refuse_other_kind(head, suffix, path)
        try:
            yield stream, UTF_8 if suffix == ".parquet" else encoding_of(head, path)
        except UnicodeDecodeError as error:
            is_utf_8 = error.encoding.startswith("utf-8")
            fault = not_utf_8(error.object[error.start]) if is_utf_8 else f"broken {error.encoding} ({error.reason})"
            raise SourceError(f"{path}: {fault}") from error


@contextmanager
def _text(path: Path, suffix: str) -> Iterator[TextIO]:
    with _opened(path, suffix) as (stream, encoding):
        yield text_stream(stream, encoding, is_strict=suffix == ".json")  # where a row is no longer told from the next


@contextmanager
def _seekable(stream: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    if path.suffix.lower() not in PACKED_SUFFIXES:
        yield stream
        return
    most = max(LARGEST_ROW, UNPACKED_TIMES * path.stat().st_size)
    with tempfile.TemporaryFile() as unpacked_file:
        while piece := stream.read(_PIECE):
            unpacked_file.write(piece)
            if unpacked_file.tell() > most:
                raise SourceError(f"{path}: unpacks to over {UNPACKED_TIMES} times its size; unpack it yourself")
        unpacked_file.seek(0)
        yield unpacked_file


def _lines(stream: IO[bytes], encoding: str) -> Iterator[tuple[bytes, bool]]:
    """The lines as UTF-8, and whether each is whole."""
    if encoding == UTF_8:
        yield from lines_within(stream, (b"\n",))
        return
    for line, is_whole in lines_within(text_stream(stream, encoding, newline="\n"), ("\n",)):
        yield line.encode("utf-8", "surrogatepass"), is_whole


def _line(error: BaseException) -> str:
    return shortened(str(error) or type(error).__name__, 200)


def _parsed_line(line_number: int, line: bytes) -> SourceRecord:
    try:
        return SourceRow(line_number, json.loads(line.removeprefix(codecs.BOM_UTF8).decode().rstrip()))
    except json.JSONDecodeError as error:
        reason = f"not valid JSON: {error.msg} (character {error.colno})"
    except UnicodeDecodeError as error:
        reason = not_utf_8(error.object[error.start], f" at position {error.start + 1}")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; lists in lists in lists
        reason = f"not readable as JSON: {_line(error)}"
    return RejectedRow(line_number, reason, _shown(line))


def _shown(line: bytes) -> str:
    """As much of the line as a rejected row keeps, and a piece more."""
    return line[: 5 * REJECTED_TEXT].decode("utf-8", "backslashreplace").rstrip("\r\n")
