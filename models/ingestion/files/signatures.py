"""What the first bytes of a file say that it is, where its name says otherwise, and what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

from models.ingestion.rows import SourceError

HEAD = 1024  # bytes that are looked at

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"\s*(?:<!doctype html|<html|<head)", re.IGNORECASE)
_WRITE_AS_CSV = "save it as `CSV UTF-8` there"
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (  # regular expressions
    (rb"PAR1[\x00-\x1f]", "Parquet", "name it .parquet"),
    (rb"ARROW1\x00", "an Arrow file", "import the folder that `save_to_disk` wrote, or write it as Parquet"),
    (rb"\x1f\x8b", "gzip", "add .gz to its name"),
    (rb"\x28\xb5\x2f\xfd", "Zstandard", "add .zst to its name"),
    (rb"BZh[1-9](?:1AY&SY|\x17\x72\x45)", "bzip2", "add .bz2 to its name"),
    (rb"\xfd7zXZ\x00", "xz", "add .xz to its name"),
    (rb"PK\x03\x04(?s:.{26})(?:\[Content_Types\]|docProps/|_rels/\.|xl/)", "an Excel workbook (.xlsx)", _WRITE_AS_CSV),
    (rb"PK\x03\x04(?s:.{26})mimetypeapplication/vnd\.oasis", "a LibreOffice document", _WRITE_AS_CSV),
    (rb"PK\x03\x04", "a zip", "name it .zip"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls)", _WRITE_AS_CSV),
    (rb"SQLite format 3\x00", "an SQLite database", "export the table as CSV or JSON Lines"),
    (rb"%PDF-\d", "a PDF", "get the data as CSV or JSON Lines"),
    (rb"\x89HDF\r\n\x1a\n", "HDF5", "write it as Parquet"),
    (rb"\x93NUMPY", "a NumPy array", "write it as Parquet or JSON Lines"),
)
_NAMED_RIGHT = (".xlsx", ".xls", ".ods", ".arrow", ".sqlite", ".db", ".pdf", ".h5", ".hdf5", ".npy")
_OF_SUFFIX = {".parquet": "Parquet", ".gz": "gzip", ".zst": "Zstandard", ".bz2": "bzip2", ".xz": "xz", ".zip": "a zip"}


def is_lfs_pointer(head: bytes) -> bool:
    """Whether the file is what Git LFS puts in place of a large file that was not fetched."""
    return head.startswith(_LFS_POINTER)


def lfs_advice(path: Path) -> str:
    """The one line for a file that `is_lfs_pointer`."""
    return f"{path}: a Git LFS pointer in place of the file; fetch it with `git lfs pull` in its folder"


def refuse_other_kind(head: bytes, suffix: str, path: Path) -> None:
    """Check that the first bytes may be what the suffix says (`.csv`, `.gz`, …).

    Raises:
        SourceError: they are known to be of another kind; the message says of which, and what to do.
    """
    if is_lfs_pointer(head):
        raise SourceError(lfs_advice(path))
    if _PAGE.match(head.removeprefix(b"\xef\xbb\xbf")):
        raise SourceError(
            f"{path}: holds a web page (HTML), likely an error or a sign-in page, in place of the data; fetch it anew"
        )
    for mark, kind, advice in _SIGNATURES:
        if kind != _OF_SUFFIX.get(suffix) and re.match(mark, head):
            named = f", not what its name ({suffix}) says" if suffix not in ("", *_NAMED_RIGHT) else ""
            raise SourceError(f"{path}: is {kind} by its first bytes{named}; {advice}")
