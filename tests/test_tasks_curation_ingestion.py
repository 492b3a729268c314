"""The split of a file's rows: by its name, as told, and as told later."""

from __future__ import annotations

import json

from sqlalchemy import select
from surroundings import on_sqlite

from db.labels.snapshots import splits_of
from db.prompts import first_turns_of_test_splits, select_prompt_ids
from db.schema.curation import Source
from flows.terminal.imports import show_import
from models.ingestion.readers import file_hash
from models.records import Prompt, content_key
from tasks.config.exchange import ImportConfig
from tasks.curation.ingestion import import_source

TEXTS = ("a", "b")


def imported(folder, file, settings, **changes):
    path = folder / file
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in TEXTS))
    return import_source(str(path), ImportConfig(name="mine", **changes), settings)


def splits(sessions):
    with sessions() as session:
        ids = select_prompt_ids(session, source="mine", split=None, limit=None)
        return set(splits_of(session, ids).values()), first_turns_of_test_splits(session)


@on_sqlite
def test_rows_of_a_file_are_of_the_split_in_its_name_until_it_is_imported_with_another(
    settings, sessions, tmp_path, capsys
):
    show_import(imported(tmp_path, "my_test.jsonl", settings))
    assert "split test: only measured on, never trained on" in capsys.readouterr().out
    assert splits(sessions) == ({"test"}, {Prompt.from_text(text).key for text in TEXTS})
    again = imported(tmp_path, "my_test.jsonl", settings, split="train")
    assert (again.added.prompts, again.split) == (0, "train")
    assert splits(sessions) == ({"train"}, set())


@on_sqlite
def test_who_says_no_split_when_importing_a_file_again_changes_none(settings, sessions, tmp_path):
    held_out = {"test"}, {Prompt.from_text(text).key for text in TEXTS}
    imported(tmp_path, "pairs.jsonl", settings, split="test")
    assert splits(sessions) == held_out
    imported(tmp_path, "pairs.jsonl", settings)
    assert splits(sessions) == held_out, "nobody said that it may be trained on"
    imported(tmp_path, "pairs.jsonl", settings, split="train")
    assert splits(sessions) == ({"train"}, set())


@on_sqlite
def test_the_split_in_a_files_name_may_stand_before_its_suffixes(settings, sessions, tmp_path):
    assert imported(tmp_path, "hh.test.jsonl", settings).split == "test"
    assert splits(sessions)[0] == {"test"}


@on_sqlite
def test_a_prompt_of_train_and_test_is_of_test(settings, sessions, tmp_path):
    imported(tmp_path, "train.jsonl", settings, split="a_train_split")
    with sessions() as session:
        assert first_turns_of_test_splits(session) == set()
    (tmp_path / "other").mkdir()
    path = tmp_path / "other" / "pairs.jsonl"
    path.write_text('{"prompt": "b"}\n')
    import_source(str(path), ImportConfig(name="other", split="test_prefs"), settings)
    assert splits(sessions) == ({"a_train_split", "test_prefs"}, {Prompt.from_text("b").key})


@on_sqlite
def test_a_source_of_before_is_the_same_when_imported_again_unless_its_context_was_not_read(
    settings, sessions, tmp_path
):
    path = tmp_path / "pairs.jsonl"
    for row, map_, named, is_same in (
        ({"prompt": "a"}, {}, None, True),
        ({"ask": "a"}, {"prompt": "ask"}, "ask", True),
        ({"prompt": "a", "system": "b"}, {}, None, False),
        ({"ask": "a", "good": "b"}, {"prompt": "ask", "response": "good"}, "ask", False),
    ):
        path.write_text(json.dumps(row) + "\n")
        result = import_source(str(path), ImportConfig(name=str(row), map=map_), settings)
        before = content_key(file_hash(path), result.format, named, None)
        with sessions() as session:
            stored = session.scalars(select(Source.content_hash).filter_by(name=str(row))).one()
        assert (stored == before) == is_same
