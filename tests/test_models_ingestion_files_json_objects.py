"""A .json file as people have it: one object a line, a list under a key, pandas' layouts, or one row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.terminal.imports import show_import
from models.ingestion.readers import open_file
from models.ingestion.rows import SourceError, SourceRow
from models.records import RejectedRow
from tasks.config.exchange import ImportConfig
from tasks.curation.ingestion import import_source
from tasks.settings import Settings

ROWS: list[dict[str, Any]] = [{"prompt": "a", "chosen": "b"}, {"prompt": "c", "chosen": None}]
LINES = "\n".join(map(json.dumps, ROWS))


def read(path: Path, content: object) -> list[SourceRow | RejectedRow]:
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return list(open_file(path).read())


@pytest.mark.parametrize(
    "content",
    [
        f"{LINES}\n",
        f"\n\n{LINES}",
        ROWS,
        {"data": ROWS},
        {"version": "1", "languages": ["en"], "rows": ROWS, "more": []},
        {"schema": {"fields": [1]}, "data": ROWS},
        {name: {"0": ROWS[0][name], "1": ROWS[1][name]} for name in ROWS[0]},
        {"0": ROWS[0], "1": ROWS[1]},
        {"columns": ["prompt", "chosen"], "index": [7, 9], "data": [["a", "b"], ["c", None]]},
        {"data": [["a", "b"], ["c", None]], "columns": ["prompt", "chosen"]},
    ],
)
def test_rows_are_read_however_they_lie(tmp_path: Path, content: object) -> None:
    found = read(tmp_path / "rows.json", content)
    assert [row.content for row in found] == ROWS


def test_a_line_that_is_broken_costs_itself_alone(tmp_path: Path) -> None:
    found = read(tmp_path / "rows.json", f'{LINES}\n{{"prompt": \n\n{LINES}')
    assert [row.row_number for row in found] == [1, 2, 3, 5, 6]
    assert [row.row_number for row in found if isinstance(row, RejectedRow)] == [3]


def test_the_user_is_told_which_list_was_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"version": 1, "items": [{"prompt": "a"}]}))
    assert open_file(path).part == "the list under 'items'"
    result = import_source(str(path), ImportConfig(), Settings(database_url=f"sqlite:///{tmp_path}/a.db"))
    show_import(result)
    assert result.rows == 1 and "read of it: the list under 'items'" in capsys.readouterr().out


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "a", "responses": [{"text": "b"}, {"text": "c"}]},
        {"messages": [{"role": "user", "content": "a"}]},
        {"dialog": [{"speaker": "a"}]},
        {"turn_list": [{"role": "user", "content": "a"}]},
        {"question": "a", "answers_of_people": [{"text": "b"}]},
        {"id": 1, "data": {"prompt": "a"}, "annotations": [{"result": []}]},
        {"chosen": [{"role": "user", "content": "a"}], "rejected": [{"role": "user", "content": "a"}]},
        {"error": "not found"},
        {},
    ],
)
def test_an_object_that_is_a_row_is_one_row(tmp_path: Path, row: dict[str, Any]) -> None:
    for content in (row, json.dumps(row)):
        assert read(tmp_path / "rows.json", content) == [SourceRow(1, row)]
        assert open_file(tmp_path / "rows.json").part is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"train": ROWS, "test": ROWS}, "several lists, under 'train', 'test'; write each to a file of its own"),
        ({"prompt": ["a", "b"], "chosen": ["c", "d"]}, "lists of one length under 'prompt', 'chosen', columns by"),
        ({"0": {"0": "a"}, "1": {"0": "b"}}, "rows and columns both have numbers for names"),
        ({"columns": ["a", "a"], "data": [[1, 2]]}, "the names under 'columns' are no texts, or one is there twice"),
        ({"columns": [1, 2], "data": [[1, 2]]}, "the names under 'columns' are no texts"),
        ('{"data": [{"a": 1}], "data": []}', "has the key 'data' twice"),
        ('{"data": [{"a": 1}, {"b": }]}', "item 2 of the list under 'data' is broken and hides the rest"),
        ('{"a": 1, "b": tru}', "the JSON object is broken after the key 'b'"),
        ('{"a": 1', "the JSON object is broken after the key 'a'"),
        ("{1: 2}", "the JSON object is broken; mend it"),
        ('{"a": 1},\n{"a": 2}', "',' follows the first object; put all into one list"),
        (json.dumps(ROWS[0], indent=1) * 2, "several objects of several lines; one a line: jq -c"),
        ("prompt,chosen\n", "expected a JSON list or objects, it starts with 'p'"),
    ],
)
def test_what_may_be_read_in_several_ways_is_told(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(SourceError) as raised:
        read(tmp_path / "rows.json", content)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_rows_under_many_keys_are_read_in_the_time_of_as_many_rows(tmp_path: Path) -> None:
    rows = {str(number): {"prompt": str(number)} for number in range(50_000)}
    assert len(read(tmp_path / "rows.json", json.dumps(rows))) == 50_000


def test_a_row_of_another_length_than_its_columns_is_rejected(tmp_path: Path) -> None:
    found = read(tmp_path / "rows.json", {"columns": ["a", "b"], "data": [[1, 2], [1], 3]})
    assert found[0] == SourceRow(1, {"a": 1, "b": 2})
    assert [row.reason[:30] for row in found[1:] if isinstance(row, RejectedRow)] == [
        "expected a list of 2 values, o"
    ] * 2


def test_a_list_under_the_name_of_lines_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds one JSON list, not one object a line; name it .json"):
        read(tmp_path / "rows.jsonl", ROWS)


def test_a_long_list_under_a_key_is_read_though_the_file_is_larger_than_a_row(tmp_path: Path) -> None:
    rows = [{"prompt": "x" * 2**20}] * 20
    assert len(read(tmp_path / "rows.json", {"before": [1, 2], "data": rows})) == 20
    columns = {"prompt": {str(number): "x" * 2**20 for number in range(20)}}
    with pytest.raises(
        SourceError, match=r"larger than 16 MiB, .* after the key 'prompt'; mend it, or write one object a row"
    ):
        read(tmp_path / "rows.json", columns)
