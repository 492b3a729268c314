"""A file that is not what its name says is told by what it is, in one line."""

from __future__ import annotations

import gzip
import io
import sqlite3
from pathlib import Path

import pyarrow
import pytest
import zstandard
from pyarrow import parquet
from written_files import in_parquet, zipped

from models.ingestion.files.signatures import is_lfs_pointer
from models.ingestion.readers import open_file
from models.ingestion.rows import SourceError
from models.ingestion.source import read_source

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123\n"
ROWS = [{"prompt": "a"}]
PAGE = b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html><body>Sign in</body></html>"
WORKBOOK = b"PK\x03\x04" + b"\x00" * 26 + b"[Content_Types].xml"


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl", "rows.json", "rows.csv", "rows.jsonl.gz", "rows.zip"])
def test_a_pointer_of_git_lfs_is_told_as_one_under_every_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(SourceError, match="a Git LFS pointer in place of the file; fetch it with `git lfs pull`"):
        open_file(tmp_path / name)


def test_a_pointer_in_a_folder_of_data_files_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    parquet.write_table(pyarrow.table({"prompt": ["a"]}), tmp_path / "data" / "train-00000-of-00003.parquet")
    for number in (1, 2):
        (tmp_path / "data" / f"train-0000{number}-of-00003.parquet").write_bytes(POINTER)
    (tmp_path / "picture.png").write_bytes(POINTER)
    with pytest.raises(
        SourceError, match=r"train-00001-of-00003.parquet: a Git LFS pointer .*\(1 more in the folder\)"
    ):
        read_source(str(tmp_path), format=None, split=None, limit=None)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.jsonl", in_parquet(ROWS), r"is Parquet by its first bytes, not what its name \(.jsonl\) says; name it"),
        ("rows.csv", gzip.compress(b"prompt\na\n", mtime=0), "is gzip by its first bytes.*add .gz to its name"),
        ("rows.jsonl.zst", gzip.compress(b"prompt\na\n", mtime=0), "is gzip by its first bytes"),
        ("rows.parquet", zstandard.compress(in_parquet(ROWS)), "is Zstandard by its first bytes.*add .zst"),
        ("rows.json", PAGE, r"holds a web page \(HTML\), likely an error or a sign-in page"),
        ("rows.jsonl.gz", PAGE, "holds a web page"),
        ("rows.csv.gz", gzip.compress(PAGE, mtime=0), "holds a web page"),
        ("rows.csv.gz", gzip.compress(gzip.compress(b"prompt\n", mtime=0), mtime=0), "is gzip by its first bytes"),
        ("rows.csv", WORKBOOK, "is an Excel workbook .*save it as `CSV UTF-8` there"),
        ("rows.xlsx", WORKBOOK, r"is an Excel workbook \(.xlsx\) by its first bytes; save it"),
        ("rows.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"is an Excel workbook \(.xls\) by its first bytes; save it"),
        ("rows.jsonl", zipped(b"{}", ".jsonl"), "is a zip by its first bytes.*name it .zip"),
        ("rows.arrow", b"ARROW1\x00\x00", "an Arrow file by its first bytes; import the folder"),
        ("rows.json", b"%PDF-1.7", "is a PDF"),
    ],
)
def test_a_file_of_another_kind_than_its_name_says_is_told_by_its_kind(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=said) as raised:
        list(open_file(tmp_path / name).read())
    assert "\n" not in str(raised.value)


def test_a_database_is_told_as_one(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "rows.csv") as connection:
        connection.execute("create table a (b)")
    with pytest.raises(SourceError, match=r"is an SQLite database .*export the table"):
        open_file(tmp_path / "rows.csv")


@pytest.mark.parametrize("header", [b"PAR1,PAR2", b"BZhello,b", b"%PDF,b", b"PK,b", b"version,b"])
def test_a_header_that_begins_like_a_signature_is_a_header(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "rows.csv").write_bytes(header + b"\na,b\n")
    assert len(list(open_file(tmp_path / "rows.csv").read())) == 1
    assert not is_lfs_pointer(header) and io.BytesIO(header).read(4) != b"\x1f\x8b"
