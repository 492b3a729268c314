"""Rows written to files in every way that people have them: kinds, delimiters, encodings, layouts and packings."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow
import zstandard
from pyarrow import parquet

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Way:
    """How rows become a file. `takes`: what it can hold: `any` cells, or `texts` and lists of messages."""

    suffix: str
    write: Callable[[Rows], str | bytes]
    encoding: str = "utf-8"
    takes: str = "any"

    def packed(self, rows: Rows, packing: str) -> bytes:
        content = self.write(rows)
        plain = content if isinstance(content, bytes) else content.encode(self.encoding)
        return plain if packing == "" else PACKINGS[packing](plain, self.suffix)


def table(delimiter: str, *, end: str, quoting: int = csv.QUOTE_MINIMAL, sep: bool = False) -> Callable[[Rows], str]:
    def write(rows: Rows) -> str:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
        writer.writerow(rows[0])
        writer.writerows(row.values() for row in rows)
        return (f"sep={delimiter}{end}" if sep else "") + text.getvalue()

    return write


def lines(*, end: str, ascii_only: bool, blank: str = "") -> Callable[[Rows], str]:
    return lambda rows: (end + blank).join(json.dumps(row, ensure_ascii=ascii_only) for row in rows) + end


def listed(indent: int | None = None) -> Callable[[Rows], str]:
    return lambda rows: json.dumps(list(rows), indent=indent, ensure_ascii=False)


def under(key: str, **beside: Any) -> Callable[[Rows], str]:
    return lambda rows: json.dumps({**beside, key: list(rows)}, indent=1)


def in_columns(rows: Rows) -> str:
    return json.dumps({name: {str(place): row[name] for place, row in enumerate(rows)} for name in rows[0]})


def by_index(rows: Rows) -> str:
    return json.dumps({str(place): row for place, row in enumerate(rows)})


def split(rows: Rows) -> str:
    data = [list(row.values()) for row in rows]
    return json.dumps({"columns": list(rows[0]), "index": list(range(len(rows))), "data": data})


def in_parquet(rows: Rows) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), sink, row_group_size=2)
    return sink.getvalue()


def zipped(content: bytes, suffix: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.md", "About the data.")
        archive.writestr(f"data/rows{suffix}", content)
        archive.writestr(f"__MACOSX/data/._rows{suffix}", b"\0\1")
    return sink.getvalue()


PACKINGS: dict[str, Callable[[bytes, str], bytes]] = {
    ".gz": lambda content, _: gzip.compress(content, 1),
    ".bz2": lambda content, _: bz2.compress(content, 1),
    ".xz": lambda content, _: lzma.compress(content, preset=0),
    ".zst": lambda content, _: zstandard.compress(content, 1),
    ".zip": zipped,
}

TABLES = [
    Way(suffix, table(delimiter, end=end, quoting=quoting, sep=sep), encoding, "texts")
    for (suffix, delimiter), end, quoting, sep, encoding in (
        ((".csv", ","), "\r\n", csv.QUOTE_MINIMAL, False, "utf-8"),
        ((".csv", ","), "\n", csv.QUOTE_ALL, False, "utf-8-sig"),
        ((".csv", ","), "\r", csv.QUOTE_ALL, False, "utf-16"),
        ((".csv", ";"), "\r\n", csv.QUOTE_MINIMAL, False, "utf-8-sig"),
        ((".csv", ";"), "\r\n", csv.QUOTE_MINIMAL, True, "utf-8"),
        ((".csv", "\t"), "\r\n", csv.QUOTE_MINIMAL, False, "utf-16"),
        ((".csv", "|"), "\r\n", csv.QUOTE_ALL, True, "utf-8-sig"),
        ((".tsv", "\t"), "\n", csv.QUOTE_ALL, False, "utf-8"),
        ((".tsv", ","), "\n", csv.QUOTE_ALL, False, "utf-16"),
        ((".txt", "\t"), "\r\n", csv.QUOTE_MINIMAL, False, "utf-16"),
        ((".txt", ";"), "\n", csv.QUOTE_ALL, False, "utf-8"),
        ((".tab", "\t"), "\r\n", csv.QUOTE_ALL, True, "utf-16"),
    )
]
OBJECTS = [
    Way(".jsonl", lines(end="\n", ascii_only=True)),
    Way(".jsonl", lines(end="\r\n", ascii_only=False, blank="\r\n"), "utf-8-sig"),
    Way(".ndjson", lines(end="\n", ascii_only=False), "utf-16"),
    Way(".json", lines(end="\n", ascii_only=False)),
    Way(".json", lines(end="\r\n", ascii_only=True, blank=" \n"), "utf-16"),
    Way(".json", listed()),
    Way(".json", listed(2), "utf-16"),
    Way(".json", under("data", version="1", columns_of_nothing=[])),
    Way(".json", under("rows", info={"a": [1]}), "utf-8-sig"),
    Way(".json", in_columns),
    Way(".json", by_index, "utf-16"),
    Way(".json", split),
    Way(".parquet", in_parquet, takes="texts"),
]
WAYS = [*TABLES, *OBJECTS]
