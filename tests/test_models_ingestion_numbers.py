"""Numbers with a decimal comma are read where their column tells that it is one, and refused where it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.exchange.label_files import read_labels
from models.ingestion.fields import RowError, optional_number, optional_text
from models.ingestion.numbers import DecimalComma, number_columns
from models.ingestion.readers import open_file
from models.ingestion.rows import SourceRow


def numbers(path: Path, *cells: str, delimiter: str = ";") -> list[float | str | None]:
    """What the column `score` holds: numbers, and the reasons in place of those that are refused."""
    quoted = "\r\n".join(f'p{delimiter}"{cell}"' for cell in cells)
    path.write_text(f"prompt{delimiter}score\r\n{quoted}\r\n", encoding="utf-8", newline="")
    return [number(row) for row in open_file(path).read()]


def number(row: object) -> float | str | None:
    assert isinstance(row, SourceRow) and isinstance(row.content, dict)
    try:
        return optional_number(row.content, "score", "score")
    except RowError as error:
        return str(error)


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_a_column_with_decimal_commas_is_read_as_a_whole(tmp_path: Path, delimiter: str) -> None:
    found = numbers(tmp_path / "rows.csv", "2,0", "1,500", "-3", "", "1.234,5", " +0,125", "7,25", delimiter=delimiter)
    assert found == [2.0, 1.5, -3.0, None, 1234.5, 0.125, 7.25]


def test_a_number_that_may_be_thousands_is_refused(tmp_path: Path) -> None:
    refused = "its comma may be a decimal comma or part thousands; write 1.5 or 1500"
    for cells in (("1,500", "2,250"), ("1,500", "2.5"), ("1,500", "1,234,567"), ("1,500", "3,5", "2.5")):
        assert str(numbers(tmp_path / "rows.csv", *cells)[0]).endswith(refused), cells
    assert "its point may part thousands" in str(numbers(tmp_path / "rows.csv", "2,5", "1.500")[1])
    assert "expected a finite number" in str(numbers(tmp_path / "rows.csv", "2,5", "2.5")[0])
    assert numbers(tmp_path / "rows.csv", "2,5", "2.5")[1] == 2.5
    assert numbers(tmp_path / "rows.csv", "1.500", "2", "1e3") == [1.5, 2.0, 1000.0]


def test_a_decimal_comma_after_many_rows_without_one_is_read(tmp_path: Path) -> None:
    assert numbers(tmp_path / "rows.csv", *["4"] * 100, "4,5", "1,500")[100:] == [
        4.5,
        "score: expected a finite number, got text '1,500': its comma may be a decimal comma or part thousands; write "
        "1.5 or 1500",
    ]


def test_texts_that_look_like_numbers_stay_texts(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("prompt;chosen\n5/2?;2,5\n3/2?;1,5\n")
    found = [row.content for row in open_file(tmp_path / "rows.csv").read() if isinstance(row, SourceRow)]
    assert found == [{"prompt": "5/2?", "chosen": "2,5"}, {"prompt": "3/2?", "chosen": "1,5"}]
    assert type(optional_text(found[0], "chosen", "chosen")) is str
    assert json.dumps(found[0]) == '{"prompt": "5/2?", "chosen": "2,5"}'


def test_labels_of_a_spreadsheet_with_decimal_commas_have_ids_and_seconds(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "pair_id;left_response_id;right_response_id;verdict;annotator;seconds\r\n1,0;3,0;4,0;left;anna;3,5\r\n",
        newline="",
    )
    (label,) = read_labels(tmp_path / "labels.csv", None)
    assert (label.pair_id, label.left_response_id, label.right_response_id, label.seconds) == (1, 3, 4, 3.5)


@given(st.decimals(-(10**9), 10**9, places=3).map(str), st.decimals(0, 9, places=1).map(str))
def test_what_is_written_with_a_comma_is_the_number_that_it_is_with_a_point(value: str, other: str) -> None:
    cells = [{"score": value.replace(".", ",")}, {"score": other.replace(".", ",")}]
    marked = number_columns(cells).cell("score", cells[0]["score"])
    assert isinstance(marked, DecimalComma)
    assert optional_number({"score": marked}, "score", "score") == float(value)
