"""Texts in UTF-8 and UTF-16, with their marks; all other encodings are told, and no letter is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.ingestion.readers import open_file
from models.ingestion.rows import SourceError, SourceRow
from models.records import RejectedRow

TEXT = "Käse, 日本 🙂"
CONTENTS = {
    "rows.jsonl": f'{{"prompt": "{TEXT}"}}\r\n\r\n{{"prompt": "b"}}\r\n',
    "rows.json": f'[{{"prompt": "{TEXT}"}}, {{"prompt": "b"}}]',
    "rows.csv": f'prompt\r\n"{TEXT}"\r\nb\r\n',
    "rows.txt": f"sep=;\r\nprompt\r\n{TEXT}\r\nb\r\n",
}


def read(path: Path, content: bytes) -> list[SourceRow | RejectedRow]:
    path.write_bytes(content)
    return list(open_file(path).read())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv"])
def test_every_text_is_read_in_utf_8_and_with_its_mark_in_utf_16(tmp_path: Path, name: str, encoding: str) -> None:
    found = read(tmp_path / name, CONTENTS[name].encode(encoding))
    assert [row.content for row in found] == [{"prompt": TEXT}, {"prompt": "b"}]


def test_utf_16_of_the_other_byte_order_is_read_too(tmp_path: Path) -> None:
    content = b"\xfe\xff" + CONTENTS["rows.csv"].encode("utf-16-be")
    assert [row.content for row in read(tmp_path / "rows.csv", content)] == [{"prompt": TEXT}, {"prompt": "b"}]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv"])
def test_utf_16_without_its_mark_is_told(tmp_path: Path, name: str, encoding: str) -> None:
    with pytest.raises(
        SourceError, match=rf"looks like {encoding[:6].upper()} without its mark .BOM.; save the file as"
    ):
        read(tmp_path / name, CONTENTS[name].encode(encoding))


def test_an_older_encoding_is_told_with_the_letter_that_was_meant(tmp_path: Path) -> None:
    said = "not UTF-8: byte 0xe4 ('ä' in Latin-1 or cp1252)"
    (line, other) = read(tmp_path / "rows.jsonl", '{"prompt": "Käse"}\n{"prompt": "b"}'.encode("cp1252"))
    assert isinstance(line, RejectedRow) and line.reason.startswith(said) and isinstance(other, SourceRow)
    (row, other) = read(tmp_path / "rows.csv", "prompt\nKäse\nb\n".encode("cp1252"))
    assert isinstance(row, RejectedRow) and said in row.reason and isinstance(other, SourceRow)
    with pytest.raises(SourceError, match=r"the header is not UTF-8: byte 0xfc \('ü' in Latin-1"):
        read(tmp_path / "rows.csv", "prompt,für\na,b\n".encode("cp1252"))
    with pytest.raises(SourceError, match="not UTF-8: byte 0xe4"):
        read(tmp_path / "rows.json", '[{"prompt": "Käse"}]'.encode("cp1252"))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv"])
def test_utf_16_that_is_cut_off_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="broken utf-16"):
        read(tmp_path / name, CONTENTS[name].encode("utf-16") + b"a")
