"""Files of benchmarks: what is read of a row, in every shape, and what is refused in a line."""

from __future__ import annotations

import csv
import gzip
import json

import pytest

from models.ingestion.rows import SourceError
from models.neighbours.benchmark_files import open_benchmark

ROWS = [
    {"question": "Why is the sky blue?", "choices": {"text": ["Rayleigh", "Paint"], "label": ["A", "B"]}, "id": 7},
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi?"}], "answer": "Hello"},
    {"instruction": "Add.", "input": "1 and 2", "output": "3"},
    {"turns": ["First question", "Second question"], "reference": ["One", "Two"]},
    {"passage": "A rather long passage of a text", "label": "x"},
    {"nothing": 3},
]


def written(tmp_path, name, text):
    path = tmp_path / name
    content = text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return str(path)


def lines_of(file):
    return [(line.line, line.prompt, line.texts) for line in open_benchmark(file).lines()]


@pytest.mark.parametrize("name", ["b.jsonl", "b.jsonl.gz", "b.json"])
def test_rows_give_their_prompt_and_all_their_texts(tmp_path, name):
    text = json.dumps(ROWS) if name.endswith(".json") else "\n".join(map(json.dumps, ROWS))
    found = lines_of(written(tmp_path, name, text))
    assert [(line, prompt) for line, prompt, _ in found] == [
        (1, "Why is the sky blue?"),
        (2, "Hi?"),
        (3, "Add.\n\n1 and 2"),
        (4, "First question"),
        (5, "A rather long passage of a text"),
    ]
    assert found[0][2] == ("Why is the sky blue?", "Rayleigh", "A", "Paint", "B")
    assert found[1][2] == ("Be brief.", "Hi?", "Hello")
    assert found[3][2] == ("First question", "Second question", "One", "Two")


def test_tables_and_lines_of_text_are_read(tmp_path):
    with (tmp_path / "b.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["question", "answer"], ["What is 6 × 7?", "42"]])
    assert lines_of(str(tmp_path / "b.csv")) == [(1, "What is 6 × 7?", ("What is 6 × 7?", "42"))]
    text = written(tmp_path, "b.txt", "First, one.\n\n Second \n")
    assert lines_of(text) == [(1, "First, one.", ("First, one.",)), (3, "Second", ("Second",))]
    assert lines_of(written(tmp_path, "b.txt.gz", "One\n")) == [(1, "One", ("One",))]


def test_parquet_is_read_and_a_file_is_another_when_its_bytes_are(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"prompt": ["What?"], "reference": ["That."]}), tmp_path / "b.parquet")
    assert lines_of(str(tmp_path / "b.parquet")) == [(1, "What?", ("What?", "That."))]
    hashes = {open_benchmark(written(tmp_path, "b.txt", text)).content_hash for text in ("a", "b", "a")}
    assert len(hashes) == 2


def test_a_line_that_is_no_json_is_passed_over_and_the_rest_is_read(tmp_path):
    assert lines_of(written(tmp_path, "b.jsonl", '{"prompt": "One"}\nnonsense\n{"prompt": "Two"}\n')) == [
        (1, "One", ("One",)),
        (3, "Two", ("Two",)),
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.jsonl", None, "there is no such file"),
        ("empty.jsonl", b"", "holds no text"),
        ("blank.txt", b" \n\n", "holds no text"),
        ("numbers.jsonl", b'{"a": 1}\n', "holds no text"),
        ("nonsense.jsonl", b"nonsense\n", "holds no text"),
        ("b.bin", b"\x00\x01", "cannot tell how to read"),
        ("b.parquet", b"PAR1 but no more", ""),
        ("b.txt.gz", b"no gzip", "cannot be read to its end"),
        ("deep.jsonl", b"[" * 100_000, "holds no text"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, name, content, reason):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        open_benchmark(str(path))
    assert str(path) in str(caught.value) and reason in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        open_benchmark(str(tmp_path))
