"""What parts the columns of a table is found from the table, and told where two signs would do."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.ingestion.readers import open_file
from models.ingestion.rows import SourceError, SourceRow
from models.records import RejectedRow


def read(path: Path, content: str) -> list[SourceRow | RejectedRow]:
    path.write_bytes(content.encode())
    return list(open_file(path).read())


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.tab", "rows.txt", "ROWS.CSV"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_with_its_own_delimiter_under_every_name(tmp_path: Path, name: str, delimiter: str) -> None:
    found = read(tmp_path / name, f'prompt{delimiter}chosen\r\n"a; b, c\td"{delimiter}x\r\n')
    assert [row.content for row in found] == [{"prompt": "a; b, c\td", "chosen": "x"}]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"'])
def test_the_first_line_of_excel_names_the_delimiter_and_is_no_row(tmp_path: Path, first: str) -> None:
    found = read(tmp_path / "rows.csv", f"\ufeff{first}\r\na, b;c\r\n1;2\r\n")
    assert found == [SourceRow(1, {"a, b": "1", "c": "2"})]
    assert read(tmp_path / "rows.csv", "sep=|\na|b\n1|2") == [SourceRow(1, {"a": "1", "b": "2"})]
    assert read(tmp_path / "rows.csv", "sep=x,b\n1,2") == [SourceRow(1, {"sep=x": "1", "b": "2"})]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("prompt,chosen\na;b;c,d\ne;f;g,h\n", [["a;b;c", "d"], ["e;f;g", "h"]]),
        ("prompt,chosen\na;b,c;d\n", [["a;b", "c;d"]]),
        ('"good; better",chosen\na,b\n', [["a", "b"]]),
        ("good; better,chosen\na,b\nc,d;e\n", [["a", "b"], ["c", "d;e"]]),
        ("prompt;chosen, or not;rejected\na;b;c\nd;e, e;f\n", [["a", "b", "c"], ["d", "e, e", "f"]]),
        ("question; as asked\nWhy?\nWhen?\n", [["Why?"], ["When?"]]),
        ("prompt\nHello, you\nWell; yes, no\n", [["Hello, you"], ["Well; yes, no"]]),
        ("prompt\na\n", [["a"]]),
        ('prompt;chosen\n"a\n;b";c\n', [["a\n;b", "c"]]),
        ("prompt;chosen\n" + "a;b\n" * 3 + "broken\n", [["a", "b"]] * 3 + [None]),
    ],
)
def test_signs_within_texts_and_names_part_nothing(tmp_path: Path, content: str, rows: list[list[str] | None]) -> None:
    found = read(tmp_path / "rows.csv", content)
    assert [list(row.content.values()) if isinstance(row, SourceRow) else None for row in found] == rows


def test_a_blank_behind_every_delimiter_belongs_to_no_cell_and_no_name_begins_or_ends_with_one(tmp_path: Path) -> None:
    assert read(tmp_path / "rows.csv", 'a, b, c\n1, "2, 2", 3\n') == [SourceRow(1, {"a": "1", "b": "2, 2", "c": "3"})]
    assert read(tmp_path / "rows.csv", "a, b \n1, 2\n3,4\n")[0] == SourceRow(1, {"a": "1", "b": " 2"})
    assert read(tmp_path / "rows.csv", "a,b\n1, 2\n") == [SourceRow(1, {"a": "1", "b": " 2"})]


@pytest.mark.parametrize(
    ("content", "signs"),
    [
        ("a;b,c\n1;2,3\n", "a comma as well as a semicolon"),
        ("a;b,c\n", "a comma as well as a semicolon"),
        ("a;b,c\n1;2\n3,4\n", "a comma as well as a semicolon"),
        ("a;b\n" + "1\n" * 9 + "1;2\n", "a semicolon as well as nothing"),
    ],
)
def test_a_tie_is_told_and_not_guessed(tmp_path: Path, content: str, signs: str) -> None:
    with pytest.raises(SourceError, match=f"{signs} may part its columns; say which with a first line such as sep=;"):
        read(tmp_path / "rows.csv", content)
    assert read(tmp_path / "rows.csv", f"sep=;\n{content}") is not None


def test_a_cell_that_is_longer_than_what_is_looked_at_changes_nothing(tmp_path: Path) -> None:
    found = read(tmp_path / "rows.csv", f'prompt;chosen\n"{"x, y " * 300_000}";b\n')
    assert [type(row) for row in found] == [SourceRow]
