"""JSON Lines: what a column is shows where `datasets` looks for it."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from models.exchange.lines import write_lines

TEXT = "x" * 2_000
MANY = 6_000  # some 12 MB: more than `datasets` looks at to tell the types


def load(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", path.parent / "cache")
    return list(datasets.load_dataset("json", data_files=str(path), split="train"))


def test_a_column_that_begins_late_does_not_make_a_file_unreadable(tmp_path, monkeypatch):
    silent = {"text": TEXT, "strength": None, "history": [], "model": None}
    late = [silent | {"strength": 0.5}, silent | {"history": [["a", "b"]]}, silent | {"model": "m", "strength": 1.0}]
    records = [*([silent] * MANY), *late]
    assert write_lines(iter(records), tmp_path / "x.jsonl") == len(records)
    loaded = load(tmp_path / "x.jsonl", monkeypatch)
    assert loaded == [*late, *([silent] * MANY)], "each once, none changed"
    assert [path.name for path in tmp_path.glob("x*")] == ["x.jsonl"]


def test_records_keep_their_order_where_the_beginning_tells_all(tmp_path):
    small = [{"n": None}, {"n": 1}, {"n": []}, {"n": None, "é": "\u2028\n"}]
    assert write_lines(small, tmp_path / "x.jsonl") == 4
    assert [json.loads(line) for line in (tmp_path / "x.jsonl").read_bytes().split(b"\n")[:-1]] == small
    many = [{"text": TEXT, "n": number} for number in range(1_000)]
    write_lines(many, tmp_path / "x.jsonl")
    assert [json.loads(line) for line in (tmp_path / "x.jsonl").open()] == many
