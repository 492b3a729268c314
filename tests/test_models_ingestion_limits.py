"""The most of a row, in every kind of file: what is larger is refused by its number, and never held."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
import zstandard
from pyarrow import parquet
from surroundings import ROOT

from models.exchange.label_files import read_labels
from models.ingestion.limits import LARGEST_ROW, TOO_LARGE, is_too_large, lines_within
from models.ingestion.readers import open_file
from models.ingestion.rows import SourceError, SourceRow, rejected
from models.ingestion.source import read_source
from models.protocols.question_files import read_questions
from models.records import REJECTED_TEXT, RejectedRow

MIB = 2**20
HUGE = 200 * MIB
FLAT_MIB = 120  # beyond what the libraries take: a largest row, read, decoded and parsed

READING = """
import resource, sys
import pyarrow.parquet
from models.ingestion.readers import open_file
from models.ingestion.rows import SourceError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    for record in open_file(__import__("pathlib").Path(sys.argv[1])).read():
        print(record.row_number, getattr(record, "reason", "read")[:60])
except SourceError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def gzipped(path: Path, *parts: bytes) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for part in parts:
            file.write(part)


def write_bomb(path: Path) -> None:
    gzipped(path, b'{"prompt": "a"}\n', *[bytes(MIB)] * 200, b'\n{"prompt": "b"}\n')


def write_long_line(path: Path) -> None:
    path.write_bytes(b'{"prompt": "a"}\n{"prompt": "' + b"x" * HUGE + b'"}\n{"prompt": "b"}\n')


def write_long_item(path: Path) -> None:
    path.write_bytes(b'[{"prompt": "a"}, {"prompt": "' + b"x" * HUGE + b'"}]')


def write_long_cell(path: Path) -> None:
    gzipped(path, b'prompt,n\na,1\n"', *[b"x" * MIB + b"\n"] * 200, b'",2\nb,3\n')


def write_unclosed_line(path: Path) -> None:
    gzipped(path, b"prompt,n\na,1\n", *[b",x" * (MIB // 2)] * 200, b"\nb,3\n")


def write_repeated_cell(path: Path) -> None:
    cell = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 3_000, pyarrow.int32()), pyarrow.array(["x" * MIB]))
    parquet.write_table(pyarrow.table({"prompt": cell}), path)


def write_large_cells(path: Path) -> None:
    texts = ["x" * HUGE, "a"]
    parquet.write_table(pyarrow.table({"prompt": texts}), path)


def write_bomb_of_frames(path: Path) -> None:
    path.write_bytes(zstandard.compress(bytes(300 * MIB)))


def write_bomb_of_blocks(path: Path) -> None:
    path.write_bytes(bz2.compress(bytes(50 * MIB), 9) * 6)


def write_bomb_of_xz(path: Path) -> None:
    path.write_bytes(lzma.compress(bytes(100 * MIB), preset=0) * 3)


def write_zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("rows.csv", "w") as file:
        for _ in range(300):
            file.write(bytes(MIB))


def write_wide_object(path: Path) -> None:
    path.write_bytes(b'{"data": [{"prompt": "a"}, {"prompt": "' + b"x" * HUGE + b'"}]}')


def write_packed_table(path: Path) -> None:
    gzipped(path, *[bytes(MIB)] * 200)


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("bomb.jsonl.gz", write_bomb, ["1 read", f"2 {TOO_LARGE}", "3 read"]),
        ("line.jsonl", write_long_line, ["1 read", f"2 {TOO_LARGE}", "3 read"]),
        ("item.json", write_long_item, ["1 read", "item 2 of the list is broken or larger than 16 MiB"]),
        ("cell.csv.gz", write_long_cell, ["1 read", "2 not valid CSV: larger than 16 MiB", "expected 2 cells"]),
        ("line.csv.gz", write_unclosed_line, ["1 read", "2 not valid CSV: larger than 16 MiB", "3 read"]),
        ("repeated.parquet", write_repeated_cell, ["3000 read"]),
        ("large.parquet", write_large_cells, ["row group 1 are larger than 16 MiB"]),
        ("wide.json", write_wide_object, ["item 2 of the list under 'data' is broken or larger than 16 MiB"]),
        ("bomb.jsonl.zst", write_bomb_of_frames, ["over 100 times its size"]),
        ("bomb.csv.bz2", write_bomb_of_blocks, ["over 100 times its size"]),
        ("bomb.json.xz", write_bomb_of_xz, ["over 100 times its size"]),
        ("bomb.zip", write_zip_bomb, ["over 100 times its size"]),
        ("packed.parquet.gz", write_packed_table, ["over 100 times its size"]),
    ],
)
def test_what_is_too_large_is_refused_and_memory_stays_flat(
    tmp_path: Path, name: str, write: Callable[[Path], None], said: list[str]
) -> None:
    write(tmp_path / name)
    command = [sys.executable, "-c", READING, str(tmp_path / name)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    *told, peak_mib = result.stdout.splitlines()
    for words in said:
        assert any(words in line for line in told), told[:9]
    assert int(peak_mib) < FLAT_MIB


def test_lines_are_whole_up_to_the_largest_and_end_as_the_format_says() -> None:
    assert list(lines_within(io.BytesIO(b"a\n\nb"), (b"\n",))) == [(b"a\n", True), (b"\n", True), (b"b", True)]
    text = "x" * LARGEST_ROW
    stream = io.StringIO(f"{text}\n{text}y\n{text}yy\rlast", newline="")
    assert [(len(line), is_whole) for line, is_whole in lines_within(stream, ("\n", "\r"))] == [
        (LARGEST_ROW + 1, True),
        (LARGEST_ROW + 1, False),
        (LARGEST_ROW + 1, False),
        (4, True),
    ]


def test_a_row_that_came_whole_is_measured_by_its_texts_and_values() -> None:
    assert not is_too_large({"a": "x" * (LARGEST_ROW - 2)})
    assert is_too_large({"a": ["x" * (LARGEST_ROW // 2)] * 2, "b": "y"})
    assert is_too_large([[0] * LARGEST_ROW])
    assert not is_too_large({"a": 1, "b": (None, [b"x"])})


def test_a_rejected_row_keeps_the_beginning_of_what_it_held() -> None:
    assert RejectedRow(1, "why", "x" * REJECTED_TEXT).content == "x" * REJECTED_TEXT
    row = rejected(SourceRow(7, {"prompt": ["x" * 50] * 10**6}), "why" * 1000)
    assert len(row.content) == len(row.reason) == REJECTED_TEXT
    assert row.content.startswith('{"prompt": ["xxx') and row.content.endswith("…") and row.reason.endswith("…")


def test_a_parquet_row_that_cannot_be_read_is_rejected_by_its_number_and_column(tmp_path: Path) -> None:
    broken = pyarrow.array([b"a", b"\xff\xfe", b"c"]).cast(pyarrow.binary()).view(pyarrow.string())
    days = pyarrow.array([1, 2, 10**18], pyarrow.timestamp("us"))
    parquet.write_table(pyarrow.table({"prompt": broken, "day": days}), tmp_path / "rows.parquet")
    first, *others = open_file(tmp_path / "rows.parquet").read()
    assert isinstance(first, SourceRow)
    reasons = [(row.row_number, row.reason) for row in others if isinstance(row, RejectedRow)]
    assert [number for number, _ in reasons] == [2, 3]
    assert reasons[0][1].startswith("column 'prompt' is not UTF-8") and reasons[1][1].startswith("column 'day' cannot")


def test_a_column_of_a_billion_nulls_is_refused_before_it_is_read(tmp_path: Path) -> None:
    nulls = pyarrow.array([{"a": [None] * 2**23}] * 9, pyarrow.struct({"a": pyarrow.list_(pyarrow.int8())}))
    parquet.write_table(pyarrow.table({"prompt": nulls}), tmp_path / "rows.parquet")
    assert (tmp_path / "rows.parquet").stat().st_size < MIB
    with pytest.raises(SourceError, match="smaller row groups"):
        list(open_file(tmp_path / "rows.parquet").read())


def test_labels_and_questions_are_held_to_the_same(tmp_path: Path) -> None:
    label = {"pair_id": 1, "verdict": "first", "annotator": "anna"}
    rows = [label, label | {"annotator": "ben", "rationale": "x" * 10_001}, label | {"annotator": "x" * LARGEST_ROW}]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reasons = [row.reason for row in read_labels(tmp_path / "labels.jsonl", None) if isinstance(row, RejectedRow)]
    assert reasons == ["rationale: expected at most 10,000 characters, got 10,001", TOO_LARGE]
    question = json.dumps({"turns": ["x" * (LARGEST_ROW - 100)], "question_id": 1})
    (tmp_path / "questions.jsonl").write_text(question.replace("x", "xx" * 100, 1))
    with pytest.raises(SourceError, match="row 1: larger than 16 MiB"):
        read_questions(tmp_path / "questions.jsonl")
    lines = (question.replace('"question_id": 1', f'"question_id": {number}') + "\n" for number in range(5))
    (tmp_path / "questions.jsonl").write_text("".join(lines))
    with pytest.raises(SourceError, match="over 64 MiB of questions"):
        read_questions(tmp_path / "questions.jsonl")


def test_what_recognises_the_format_keeps_no_texts(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": null, "n": 1}\n{"prompt": "a", "responses": ["x"]}\n')
    reader = read_source(str(path), format=None, split=None, limit=None)
    assert reader.format == "responses"
