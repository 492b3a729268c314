"""Readers: files in, rows out; a broken row costs one row, a broken file one clear line."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from models.ingestion import json_list
from models.ingestion.json_list import list_items
from models.ingestion.readers import open_file
from models.ingestion.rows import SourceError, SourceRecord, SourceRow
from models.records import RejectedRow

Rows = list[dict[str, Any]]


def jsonl_bytes(rows: Rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def json_bytes(rows: Rows) -> bytes:
    return json.dumps(rows, indent=1).encode()


def csv_bytes(rows: Rows) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    for row in rows:
        writer.writerow({name: json.dumps(cell) if isinstance(cell, list) else cell for name, cell in row.items()})
    return text.getvalue().encode()


def parquet_bytes(rows: Rows) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink, row_group_size=2)
    return sink.getvalue()


WRITERS: dict[str, Callable[[Rows], bytes]] = {
    ".jsonl": jsonl_bytes,
    ".json": json_bytes,
    ".csv": csv_bytes,
    ".parquet": parquet_bytes,
}
SUFFIXES = [plain + zipped for plain in WRITERS for zipped in ("", ".gz")]


def write(path: Path, rows: Rows) -> Path:
    content = WRITERS[path.suffixes[0]](rows)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def records(path: Path) -> list[SourceRecord]:
    return list(open_file(path).read())


def written(path: Path, content: bytes) -> list[SourceRecord]:
    path.write_bytes(content)
    return records(path)


ROWS: Rows = [
    {"prompt": 'Hi, "you"\nthere', "responses": [{"text": "a", "model": "m"}, {"text": "", "model": "m"}]},
    {"prompt": "日本 🙂 \r\n", "responses": [{"text": "[1]", "model": "n"}]},
    {"prompt": "", "responses": []},
]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_file_gives_the_rows_that_were_written(tmp_path: Path, suffix: str) -> None:
    source = open_file(write(tmp_path / f"rows{suffix}", ROWS))
    expected = [SourceRow(number, row) for number, row in enumerate(ROWS, start=1)]
    assert list(source.read()) == expected
    assert list(source.read()) == expected, "reading starts again at the first row"


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
TABLE_ROWS = st.fixed_dictionaries({"prompt": CELLS, "responses": st.lists(CELLS, max_size=3)})
TABLES = st.lists(TABLE_ROWS, min_size=1, max_size=5)


@given(rows=TABLES, suffix=st.sampled_from(SUFFIXES))
@settings(max_examples=120, deadline=None)
def test_any_table_comes_back_from_any_kind_of_file(rows: Rows, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        found = records(write(Path(directory) / f"rows{suffix}", rows))
    assert [record.content for record in found] == rows


def test_the_content_hash_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl.gz", ROWS)
    assert open_file(path).content_hash == hashlib.sha256(path.read_bytes()).hexdigest()


FOREIGN = "{}not UTF-8: byte 0xff ('ÿ' in Latin-1 or cp1252){}; save the file as UTF-8 (in Excel: `CSV UTF-8`)"


def test_broken_lines_are_rejected_with_their_number_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"prompt": "a"}\r\n',
        b"\n",
        b'{"prompt": "b"\n',
        b'{"prompt": "\xff"}\n',
        b"[" * 100_000 + b"\n",
        b"9" * 5000 + b"\n",
        b'"text"\n',
        b'{"prompt": NaN}',
    ]
    found = written(tmp_path / "rows.jsonl", b"".join(lines))
    assert [record.row_number for record in found] == [1, 3, 4, 5, 6, 7, 8]
    assert found[0] == SourceRow(1, {"prompt": "a"})
    assert found[1] == RejectedRow(3, "not valid JSON: Expecting ',' delimiter (character 15)", '{"prompt": "b"')
    assert found[2] == RejectedRow(4, FOREIGN.format("", " at position 13"), '{"prompt": "\\xff"}')
    assert isinstance(found[3], RejectedRow)
    assert isinstance(found[4], RejectedRow)
    assert found[3].reason.startswith("not readable as JSON: maximum recursion depth")
    assert found[4].reason.startswith("not readable as JSON: Exceeds the limit")
    assert found[5] == SourceRow(7, "text")
    assert isinstance(found[6], SourceRow)
    assert isinstance(found[6].content, dict)
    assert math.isnan(found[6].content["prompt"])


def test_broken_csv_rows_are_rejected_with_their_number_and_the_rest_is_read(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbfprompt,score\na,1\n\nb\nc,2,3\n\xff,4\n"d"x,5\ne,"f\ng'
    found = written(tmp_path / "rows.csv", content)
    assert found == [
        SourceRow(1, {"prompt": "a", "score": "1"}),
        RejectedRow(2, "expected 2 cells as in the header, got 1", "b"),
        RejectedRow(3, "expected 2 cells as in the header, got 3", "c,2,3"),
        RejectedRow(4, FOREIGN.format("column 'prompt' is ", ""), "\\udcff,4"),
        RejectedRow(5, "not valid CSV: ',' expected after '\"'", '"d"x,5'),
        RejectedRow(6, "not valid CSV: unexpected end of data", 'e,"f\ng'),
    ]


def test_a_csv_cell_is_a_list_only_in_a_list_column_or_if_it_holds_messages(tmp_path: Path) -> None:
    message = '[{"role": "user", "content": "Hi"}]'
    rows = [{"prompt": message, "chosen": '["a"]', "rejected": '[{"name": "x"}]', "responses": '["a"]'}]
    rows.append({"prompt": "[x]", "chosen": "[", "rejected": "[]", "responses": "a"})
    found = records(write(tmp_path / "rows.csv", rows))
    first = {**rows[0], "prompt": json.loads(message), "responses": ["a"]}
    assert [record.content for record in found] == [first, rows[1]]


def test_a_csv_cell_may_be_longer_than_the_csv_module_allows_unasked(tmp_path: Path) -> None:
    (record,) = records(write(tmp_path / "rows.csv", [{"prompt": "x" * 200_000}]))
    assert record.content == {"prompt": "x" * 200_000}


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv"])
@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_has_no_rows(tmp_path: Path, name: str, content: bytes) -> None:
    assert written(tmp_path / name, content) == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.doc", b"Hi", "cannot tell how to read this file from its name; expected one of .jsonl, .json, .ndjson"),
        ("rows.txt", b"Hi", "its first line has no comma, semicolon or tab; name it .csv"),
        ("rows.gz", b"Hi", "cannot tell how to read this file"),
        ("rows.jsonl.gz", b"Hi", "cannot be read to its end (Not a gzipped file"),
        ("rows.csv", b"a,b,a\n1,2,3\n", "the header names a more than once; rename a column"),
        ("rows.csv", b'{"prompt": "a", "b": 1}\n', "begins like JSON, not like a table; name it .jsonl"),
        ("rows.csv", b"," * 2**20 + b"\na\n", "its first 1 MiB hold no whole header; check the file's kind"),
        ("rows.txt", b'[{"prompt": "a", "b": 1}]', "begins like JSON, not like a table; name it .jsonl"),
        ("rows.csv", b'a,"b', "the header is not valid CSV"),
        ("rows.json", b'"prompt"', "expected a JSON list or objects, it starts with"),
        ("rows.json", b'[{"a": 1}, {"a": 2]', "item 2 of the list is broken and hides the rest"),
        ("rows.json", b"[1, 2", "item 2 of the list is broken"),
        ("rows.json", b"[1] " + b" " * 2**20 + b"[2]", "text follows the list of 1 items"),
        ("rows.json", b"[] 1", "text follows the list of 0 items"),
        ("rows.json", b'["\xff"]', "not UTF-8: byte 0xff ('ÿ' in Latin-1 or cp1252); save the file as UTF-8"),
        ("rows.parquet", b"Hi", "not readable as Parquet after 0 rows"),
        ("rows.parquet.gz", gzip.compress(b"PAR1", mtime=0), "not readable as Parquet after 0 rows"),
    ],
)
def test_a_file_that_cannot_be_read_gives_one_line_that_says_what_to_do(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    with pytest.raises(SourceError) as caught:
        written(tmp_path / name, content)
    assert expected in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_off_gzip_file_gives_its_rows_and_then_the_error(tmp_path: Path) -> None:
    rows = [{"prompt": hashlib.sha256(str(number).encode()).hexdigest()} for number in range(5000)]
    path = write(tmp_path / "rows.jsonl.gz", rows)
    path.write_bytes(path.read_bytes()[:-2000])
    reading = open_file(path).read()
    assert next(reading) == SourceRow(1, rows[0])
    with pytest.raises(SourceError, match="cannot be read to its end"):
        list(reading)


JSON_ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(items=st.lists(JSON_ITEMS, max_size=8), indent=st.sampled_from([None, 0, 3]), chunk=st.integers(1, 9))
@settings(max_examples=200, deadline=None)
def test_a_list_read_in_pieces_is_what_json_reads(items: list[object], indent: int | None, chunk: int) -> None:
    text = f"\n  {json.dumps(items, indent=indent)}\n  "

    class Dripping(io.StringIO):
        def read(self, size: int | None = -1, /) -> str:
            return super().read(chunk)

    assert list(list_items(Dripping(text), Path("rows.json"))) == items


def test_a_broken_item_is_not_looked_for_to_the_end_of_a_large_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_list, "LARGEST_ROW", 2**19)
    stream = io.StringIO('[{"a" 1},' + '{"a": 1},' * 1_000_000)
    with pytest.raises(SourceError, match="item 1 of the list is broken"):
        list(list_items(stream, Path("rows.json")))
    assert stream.tell() < 2**21
