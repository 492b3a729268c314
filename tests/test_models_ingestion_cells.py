"""Lists in other shapes: as text, as an object of lists, as Parquet's maps; the same from every kind of file."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from models.ingestion.cells import UnreadableCellError, listed
from models.ingestion.readers import open_file
from models.ingestion.rows import Source, SourceRow
from models.ingestion.source import open_source
from models.records import RejectedRow

MESSAGES = [
    {"role": "user", "content": 'Name a river; it\'s "long".'},
    {"role": "assistant", "content": "Danube,\n\\ é"},
]
BY_KEY = {"role": ["user", "assistant"], "content": [message["content"] for message in MESSAGES]}


def contents(source: Source) -> list[object]:
    rows = list(source.read())
    assert all(isinstance(row, SourceRow) for row in rows), rows
    return [row.content for row in rows]


@pytest.mark.parametrize("value", [MESSAGES, BY_KEY])
def test_every_kind_of_file_gives_the_same_list(tmp_path: Path, value: Any) -> None:
    row = {"prompt": "a", "chosen": value}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    (tmp_path / "b.json").write_text(json.dumps([row]))
    for name, write in (("c.csv", json.dumps), ("d.csv", repr)):
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([list(row), ["a", write(value)]])
    parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "e.parquet")
    datasets.Dataset.from_list([row]).save_to_disk(str(tmp_path / "f"))
    expected = [{"prompt": "a", "chosen": MESSAGES}]
    for name in ("a.jsonl", "b.json", "c.csv", "d.csv", "e.parquet"):
        assert contents(open_file(tmp_path / name)) == expected, name
    assert contents(open_source(str(tmp_path / "f"), split=None, config=None)) == expected


def test_maps_of_parquet_are_objects(tmp_path: Path) -> None:
    kind = pyarrow.list_(pyarrow.map_(pyarrow.string(), pyarrow.string()))
    pairs = [[list(message.items()) for message in MESSAGES]]
    parquet.write_table(pyarrow.table({"messages": pyarrow.array(pairs, kind)}), tmp_path / "rows.parquet")
    assert contents(open_file(tmp_path / "rows.parquet")) == [{"messages": MESSAGES}]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("chosen", '["a"]'),
        ("chosen", "['a']"),
        ("chosen", '{"a": 1}'),
        ("chosen", "[x"),
        ("chosen", '[{"role": "user", "content": "a"}] is how you write it.'),
        ("chosen", "{'role': x} is wrong"),
        ("prompt", "array([1, 2])"),
        ("responses", "a"),
        ("responses", "[a"),
        ("prompt", '[{"name": "x"}]'),
        ("labels", {"name": ["spam"], "value": [0.5]}),
        ("meta", {"content": ["a"], "ids": [1, 2]}),
        ("meta", {"content": ["a"]}),
        ("meta", {"content": [["a"]], "role": ["b"]}),
    ],
)
def test_texts_and_objects_of_another_kind_stay_as_they_are(column: str, value: object) -> None:
    assert listed(column, value) is value


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("responses", '["a", "b"]', ["a", "b"]),
        ("responses", "['a', \"b's\", None, True, -1.5e3]", ["a", "b's", None, True, -1500.0]),
        (
            "completions",
            '{"text": ["a", "b"], "score": [1, 2]}',
            [{"text": "a", "score": 1}, {"text": "b", "score": 2}],
        ),
        ("chosen", "{'role': 'assistant', 'content': 'a'}", {"role": "assistant", "content": "a"}),
        ("prompt", '[{"from": "human", "value": "a"}]', [{"from": "human", "value": "a"}]),
        ("messages", "{'from': [], 'value': []}", []),
    ],
)
def test_lists_that_are_written_as_text_are_read(column: str, value: str, expected: object) -> None:
    assert listed(column, value) == expected


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("chosen", "array([{'role': 'user', 'content': 'a'}], dtype=object)", "is written as numpy prints an array"),
        ("chosen", "[{'role': 'user', 'content': 'a'}\n {'role': 'user', 'content': 'b'}]", "numpy prints an array"),
        ("chosen", "{'role': array(['user'], dtype=object), 'content': array(['a'], dtype=object)}", "numpy prints"),
        ("responses", "['a' 'b']", "numpy prints an array (`array([…])`, or items without commas), which cannot"),
        (
            "responses",
            "array(['a', 'b'], dtype=object)",
            "column 'responses' looks like a list but is written as numpy",
        ),
        ("chosen", "[{'role': 'user', 'content': nan}]", "is neither JSON nor Python's own form; write lists as JSON"),
        ("chosen", "[{'role': 'user', 'content': __import__('os')}]", "is neither JSON nor Python's own form"),
        ("chosen", ('[{"role": "user", "content": "' + "x" * 40_000)[:32_767], "is cut off at 32,767 characters"),
        ("chosen", "[{'role': 'user', 'content': '" + "x" * 2**20 + "'}]", "is read up to 1,048,576 characters"),
        ("chosen", "[{'role': 'user', 'content': 'a'}, " + "1, " * 50_000 + "2]", "neither JSON nor Python's own form"),
        ("chosen", "[{'role': " + "[" * 10**5 + "]" * 10**5 + "}]", "is neither JSON nor Python's own form"),
    ],
)
def test_a_list_that_cannot_be_read_is_told_and_never_taken_for_a_text(column: str, value: str, said: str) -> None:
    with pytest.raises(UnreadableCellError) as raised:
        listed(column, value)
    assert said in str(raised.value)


def test_a_row_with_such_a_list_is_rejected_with_its_content(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("prompt,responses\na,\"['a' 'b']\"\nb,\"['a', 'b']\"\n")
    broken, whole = open_file(tmp_path / "rows.csv").read()
    assert isinstance(broken, RejectedRow) and json.loads(broken.content)["responses"] == "['a' 'b']"
    assert whole == SourceRow(2, {"prompt": "b", "responses": ["a", "b"]})


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(PLAIN))
def test_what_python_writes_of_plain_values_is_read_as_it_was(items: list[object]) -> None:
    assert listed("responses", repr(items)) == listed("responses", items)
    assert listed("responses", json.dumps(items)) == listed("responses", items)
