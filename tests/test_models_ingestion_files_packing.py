"""Packed files: unpacked to their end, told where they are cut off, and never further than an honest file goes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import pytest
import zstandard
from written_files import PACKINGS

from models.ingestion.files.packing import PACKED_SUFFIXES
from models.ingestion.readers import FILE_SUFFIXES, bare_name, open_file
from models.ingestion.rows import SourceError, SourceRow
from models.records import RejectedRow

LINES = b"".join(b'{"prompt": "%d"}\n' % number for number in range(3000))
ROWS = [SourceRow(number + 1, {"prompt": str(number)}) for number in range(3000)]
STREAMS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress}
SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"  # a frame of Zstandard's that holds no data


def records(path: Path, content: bytes) -> list[SourceRow | RejectedRow]:
    path.write_bytes(content)
    return list(open_file(path).read())


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sink.getvalue()


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_packed_file_gives_its_rows_and_is_named_without_its_packing(tmp_path: Path, packing: str) -> None:
    path = tmp_path / ("hh_test.zip" if packing == ".zip" else f"hh_test.jsonl{packing}")
    assert records(path, PACKINGS[packing](LINES, ".jsonl")) == ROWS
    assert bare_name(path) == "hh_test"
    assert tuple(PACKINGS) == PACKED_SUFFIXES


@pytest.mark.parametrize("packing", STREAMS)
def test_streams_one_after_the_other_are_one_file_and_a_cut_is_told_after_its_rows(
    tmp_path: Path, packing: str
) -> None:
    path = tmp_path / f"rows.jsonl{packing}"
    one, other = STREAMS[packing](LINES[:30_000]), STREAMS[packing](LINES[30_000:])
    assert records(path, one + other) == ROWS
    assert records(path, b"") == []
    path.write_bytes(one + other[:-5])
    reading = open_file(path).read()
    assert next(reading) == ROWS[0]
    with pytest.raises(SourceError, match="cannot be read to its end"):
        list(reading)


def test_frames_without_data_are_passed_over(tmp_path: Path) -> None:
    assert records(tmp_path / "rows.jsonl.zst", SKIPPED + zstandard.compress(LINES) + SKIPPED) == ROWS


def test_the_one_data_file_of_a_zip_is_read_and_the_user_is_told_which(tmp_path: Path) -> None:
    files = {
        "data/": b"",
        "data/rows.jsonl": LINES,
        "README.md": b"x",
        "__MACOSX/data/._rows.jsonl": b"\0",
        ".x.csv": b"",
    }
    path = tmp_path / "rows.zip"
    assert records(path, zip_of(files)) == ROWS
    assert open_file(path).part == "rows.jsonl in the zip"
    path.write_bytes(zip_of({"a/rows.parquet": PACKINGS[".zip"](LINES, ".jsonl")}))
    with pytest.raises(SourceError, match="is a zip by its first bytes"):
        list(open_file(path).read())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zip_of({"train.jsonl": LINES, "test.jsonl": LINES}), r"2 data files \(train.jsonl, test.jsonl\); unpack it"),
        (zip_of({"README.md": b"x", "photo.png": b"y"}), r"no data file \(README.md, photo.png\); expected one of .js"),
        (zip_of({}), r"no data file \(nothing\)"),
        (zip_of({"rows.jsonl": LINES}, zipfile.ZIP_BZIP2), "another method than deflate; unpack it yourself"),
        (zip_of({"rows.jsonl": LINES})[:-30], "not readable as a zip"),
        (zip_of({"rows.jsonl": LINES}, zipfile.ZIP_STORED).replace(b'"2999"', b'"9999"'), "Bad CRC-32"),
        (b"PK\x05\x06", "not readable as a zip"),
    ],
)
def test_a_zip_that_does_not_hold_one_data_file_is_refused_with_what_it_holds(
    tmp_path: Path, content: bytes, said: str
) -> None:
    with pytest.raises(SourceError, match=said):
        records(tmp_path / "rows.zip", content)


def test_a_zip_with_a_password_is_told_as_one(tmp_path: Path) -> None:
    content = bytearray(zip_of({"rows.jsonl": LINES}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(SourceError, match="asks for a password"):
        records(tmp_path / "rows.zip", bytes(content))


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_small_file_that_unpacks_to_gigabytes_is_refused_before_its_first_row(tmp_path: Path, packing: str) -> None:
    row = b'{"prompt": "a"}\n'
    path = tmp_path / ("rows.zip" if packing == ".zip" else f"rows.jsonl{packing}")
    parts = 2**8 if packing == ".bz2" else 1  # bzip2 takes half a minute for 256 MB; its files may be put together
    path.write_bytes(parts * PACKINGS[packing](row * (2**28 // parts // len(row) + 2), ".jsonl"))
    with pytest.raises(SourceError, match="unpacks to over 100 times its size"):
        open_file(path)


def test_every_kind_is_named_where_the_name_of_a_file_tells_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as raised:
        records(tmp_path / "rows.unknown", b"x")
    assert all(suffix in str(raised.value) for suffix in (*FILE_SUFFIXES, *PACKED_SUFFIXES))
