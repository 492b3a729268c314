"""Rows as JSON Lines, CSV and Parquet: the same rows in each, and what a column's kind decides."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.pairs import SelectedPair
from flows.terminal.table_files import MixedColumnError, TableRows, write_table
from flows.terminal.tables import pair_rows

COLUMNS, KINDS = ("id", "text", "half"), ("int", "str", "float")
ROWS = [(1, 'a "b"\n“ä”', None), (2, "c,d", 0.5)]
whole = st.integers(-(2**62), 2**62)
rows = st.lists(st.tuples(whole, st.none() | st.text(), st.none() | st.floats(allow_nan=False)))


def table(found, kinds=None):
    return TableRows(COLUMNS, iter(found), kinds)


def test_jsonl_and_csv_on_the_terminal(capsys):
    write_table(table(ROWS), "jsonl", None)
    write_table(table(ROWS, KINDS), "csv", None)
    assert capsys.readouterr().out == (
        '{"id": 1, "text": "a \\"b\\"\\n“ä”", "half": null}\n{"id": 2, "text": "c,d", "half": 0.5}\n'
        'id,text,half\r\n1,"a ""b""\n“ä”",\r\n2,"c,d",0.5\r\n'
    )


@given(rows)
def test_a_file_holds_the_rows_whether_their_kinds_are_known_or_not(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("rows") / "rows"
    expected = [dict(zip(COLUMNS, row, strict=True)) for row in found]
    for kinds in (KINDS, None):
        write_table(table(found, kinds), "parquet", path)
        assert pyarrow.parquet.read_table(path).to_pylist() == expected
        write_table(table(found, kinds), "jsonl", path)
        assert [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] == expected
        write_table(table(found, kinds), "csv", path)
        with path.open(encoding="utf-8", newline="") as file:
            assert [int(row["id"]) for row in csv.DictReader(file)] == [row[0] for row in found]


def test_a_known_kind_is_that_of_a_column_without_a_value(tmp_path):
    write_table(table([], KINDS), "parquet", tmp_path / "rows")
    assert [str(each) for each in pyarrow.parquet.read_schema(tmp_path / "rows").types] == ["int64", "string", "double"]
    write_table(table([]), "parquet", tmp_path / "rows")
    assert [str(each) for each in pyarrow.parquet.read_schema(tmp_path / "rows").types] == ["null"] * 3


def test_a_file_that_was_there_stays_if_a_column_has_values_of_several_kinds(tmp_path):
    path = tmp_path / "rows"
    path.write_text("kept")
    with pytest.raises(MixedColumnError, match="values of one kind in a column, CAST them or use jsonl"):
        write_table(table([(1, "a", 0.5), (2, "b", "c")]), "parquet", path)
    assert path.read_text() == "kept" and list(tmp_path.iterdir()) == [path]


def test_pairs_are_rows_with_all_their_fields():
    pair = SelectedPair(
        3, 1, "run", "easy", 2, "prompt", 5, 6, "first", "second", None, "model", True, False, 0.25, 1, 6
    )
    found = pair_rows(iter([pair]))
    assert found.columns[:3] == ("pair_id", "run_id", "run") and found.columns[-1] == "pair_count"
    assert list(found.rows) == [
        (3, 1, "run", "easy", 2, "prompt", 5, 6, "first", "second", None, "model", True, False, 0.25, 1, 6)
    ]
    assert found.kinds is not None
    assert dict(zip(found.columns, found.kinds, strict=True))["first_model"] == "str"
    assert set(found.kinds) == {"int", "float", "str", "bool"}


def test_parquet_keeps_numbers_that_json_has_not_and_truth_values(tmp_path):
    found = [(1, True, math.nan), (2, None, -math.inf), (3, False, 0.1)]
    write_table(table(found, ("int", "bool", "float")), "parquet", tmp_path / "rows")
    write_table(table(found[2:], ("int", "bool", "float")), "parquet", tmp_path / "row")
    stored = [tuple(row.values()) for row in pyarrow.parquet.read_table(tmp_path / "rows").to_pylist()]
    assert repr(stored) == repr(found)
    assert [tuple(row.values()) for row in pyarrow.parquet.read_table(tmp_path / "row").to_pylist()] == found[2:]


def test_a_table_whose_kinds_are_known_is_written_without_pandas(tmp_path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom flows.terminal.table_files import TableRows, write_table\n"
        "rows = TableRows(('text', 'number'), iter([('a', 1), (None, 2)]), ('str', 'int'))\n"
        f"write_table(rows, 'parquet', Path({str(tmp_path / 'rows.parquet')!r}))\nprint('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
