"""Benchmarks that the user names, row by row: every text of a row, and which of them is its prompt."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from models.ingestion.files.encodings import encoding_of, text_stream
from models.ingestion.files.packing import PACKED_SUFFIXES, UNPACKING_ERRORS, unpacked
from models.ingestion.limits import lines_within
from models.ingestion.readers import file_hash, open_file
from models.ingestion.rows import SourceError, SourceRecord
from models.neighbours.overlaps import BenchmarkLine
from models.records import RejectedRow, shortened

# What benchmarks call the column that is asked: the first that a row has. Without one its longest text is taken.
PROMPT_COLUMNS = ("prompt", "question", "instruction", "query", "problem", "goal", "turns", "messages", "text", "input")
_HEAD = 2**12


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One file.

    Attributes:
        file: as the user named it.
        content_hash: 64 hex digits, of its bytes.
        lines: streams its rows from the first, as often as called; rows without a text are passed over. Raises
            SourceError where the file breaks off.
    """

    file: str
    content_hash: str
    lines: Callable[[], Iterator[BenchmarkLine]]


def open_benchmark(file: str) -> Benchmark:
    """Open a benchmark: a table or list of rows, as an import reads it, or a `.txt` of one text a line.

    Raises:
        SourceError: The file is not there, cannot be read, or holds no text. The message is one line.
    """
    path = Path(file)
    if not path.is_file():
        raise SourceError(f"{file}: there is no such file; contamination.files names files of benchmarks")
    if _is_text(path):
        benchmark = Benchmark(file, file_hash(path), lambda: _text_lines(path))
    else:
        source = open_file(path)
        benchmark = Benchmark(file, source.content_hash, lambda: _rows(source.read()))
    if next(benchmark.lines(), None) is None:
        raise SourceError(f"{file}: holds no text; contamination.files names files of benchmarks")
    return benchmark


def _is_text(path: Path) -> bool:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED_SUFFIXES and suffixes[-1] != ".zip":
        suffixes.pop()
    return suffixes[-1:] == [".txt"]


def _text_lines(path: Path) -> Iterator[BenchmarkLine]:
    try:
        with unpacked(path, (".txt",)) as stream:
            head = cast(io.BufferedReader, stream).peek(_HEAD)[:_HEAD]
            text = text_stream(stream, encoding_of(head, path))
            for number, (line, _) in enumerate(lines_within(text, ("\n",)), start=1):
                if line.strip():
                    yield BenchmarkLine(number, line.strip(), (line.strip(),))
    except (*UNPACKING_ERRORS, UnicodeError) as error:
        raise SourceError(f"{path}: cannot be read to its end ({shortened(str(error), 200)})") from error


def _rows(records: Iterator[SourceRecord]) -> Iterator[BenchmarkLine]:
    for record in records:
        if isinstance(record, RejectedRow):
            continue
        texts = tuple(text for text in _texts(record.content) if text.strip())
        if texts:
            yield BenchmarkLine(record.row_number, _prompt(record.content) or max(texts, key=len), texts)


def _prompt(content: object) -> str | None:
    if not isinstance(content, dict):
        return None
    column = next((name for name in PROMPT_COLUMNS if next(_texts(content.get(name)), "").strip()), None)
    if column is None:
        return None
    value = content[column]
    if isinstance(value, list):
        asked = [turn for turn in value if isinstance(turn, dict) and turn.get("role") in ("user", "human")]
        return next(_texts([turn.get("content") for turn in asked] or value), None)
    text = next(_texts(value))
    rest = content.get("input") if column == "instruction" else None
    return f"{text}\n\n{rest}" if isinstance(rest, str) and rest.strip() else text


def _texts(value: object) -> Iterator[str]:
    """The texts in a value, however deep, in order; roles of turns are none."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield str(one)
        elif isinstance(one, dict):
            waiting += [part for name, part in reversed(one.items()) if name != "role"]
        elif isinstance(one, list | tuple):
            waiting += reversed(one)
