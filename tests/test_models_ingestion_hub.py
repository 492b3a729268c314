"""Folders of data files: which file is read, and what is said where none is."""

from __future__ import annotations

import json

import pytest

from flows.terminal.imports import _show_files
from models.ingestion import SourceError
from models.ingestion.hub import open_directory
from models.ingestion.source import is_asked_of_the_hub
from models.records import FolderFile


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "breads"
    place.mkdir()
    for split, count in (("train", 3), ("test", 1)):
        rows = [json.dumps({"prompt": f"Bread {split} {number}?"}) + "\n" for number in range(count)]
        (place / f"{split}.jsonl").write_text("".join(rows))
    (place / "README.md").write_text("# Breads\n")
    (place / "extra.csv").write_text("a,b\n1,2\n")
    (place / ".hidden").write_text("x")
    return place


def test_each_file_of_a_folder_is_told_apart(folder):
    source = open_directory(folder, split=None, config=None)
    assert len(list(source.read())) == 4
    assert source.files == (
        FolderFile("README.md", False),
        FolderFile("extra.csv", False, may_be_data=True),
        FolderFile("test.jsonl", True, "test"),
        FolderFile("train.jsonl", True, "train"),
    )
    of_one = open_directory(folder, split="test", config=None).files
    assert [(file.name, file.split) for file in of_one if not file.is_read][-1] == ("train.jsonl", "train")


def test_the_files_are_shown_a_line_each_those_that_are_read_first(folder, capsys):
    _show_files(open_directory(folder, split="train", config=None).files)
    assert capsys.readouterr().out.splitlines() == [
        "  train.jsonl: read, split train",
        "  extra.csv: not read, though it may be data: import it on its own",
        "  README.md: not read",
        "  test.jsonl: not read, split test",
    ]


def test_a_folder_of_many_files_does_not_fill_the_screen(capsys):
    _show_files([FolderFile(f"part-{number}.jsonl\u202e", number < 25) for number in range(30)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21 and lines[-1] == "  and 10 other files, 5 of them read"
    assert lines[0] == "  part-0.jsonl\\u202e: read"


def test_a_folder_without_data_says_what_is_in_it(tmp_path):
    with pytest.raises(SourceError, match=r"no data file is in this folder .*; it is empty; check the path"):
        open_directory(tmp_path, split=None, config=None)
    (tmp_path / "README.md").write_text("words")
    with pytest.raises(SourceError, match=r"it holds README\.md; check the path"):
        open_directory(tmp_path, split=None, config=None)


def test_only_what_is_no_file_and_not_named_like_one_is_asked_of_the_hub(tmp_path):
    assert is_asked_of_the_hub("squad") and is_asked_of_the_hub("owner/name")
    assert not is_asked_of_the_hub(str(tmp_path)) and not is_asked_of_the_hub("nowhere.jsonl")
    assert not is_asked_of_the_hub("")
