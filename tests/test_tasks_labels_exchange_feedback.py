"""What people said of single responses goes out for KTO, beside the preferences or alone."""

from __future__ import annotations

import json

import pytest
from labelling_steps import curate_breads, write_labels, write_lines
from stored_rows import add
from surroundings import on_sqlite

from flows.terminal.labelling.labels import show_export
from models.records import ImportedResponse, ImportedRow, Message, Prompt
from tasks.config.exchange import ExportConfig, ImportConfig
from tasks.curation.ingestion import import_source
from tasks.errors import NoPreferencesError
from tasks.labels.exchange import export_preferences
from tasks.labels.label_import import import_labels

THUMBS = [
    {"prompt": "Is rye dark?", "completion": "Yes, it is.", "label": True},
    {"prompt": "Is rye dark?", "completion": "Go away.", "label": False},
    {"prompt": "Is wheat?", "completion": "No.", "label": True},
]


@pytest.fixture
def thumbs(settings, tmp_path):
    write_lines(tmp_path / "thumbs.jsonl", THUMBS)
    return import_source(str(tmp_path / "thumbs.jsonl"), ImportConfig(name="thumbs"), settings)


def exported(path, settings, **config):
    result = export_preferences(path, ExportConfig(**config), settings)
    return result, [json.loads(line) for line in path.read_text().splitlines()]


def test_feedback_alone_needs_no_run_and_no_pair(settings, sessions, thumbs, tmp_path, capsys):
    result, rows = exported(tmp_path / "x.jsonl", settings, shape="kto-standard", feedback="only")
    assert [(row["prompt"], row["completion"], row["label"]) for row in rows] == [tuple(one.values()) for one in THUMBS]
    assert all(row["rule"] is None and row["run_id"] is None for row in rows)
    assert result.snapshot is None and (result.feedback_count, result.record_count, result.row_count) == (3, 3, 0)
    show_export(result)
    printed = capsys.readouterr().out
    assert f"3 single responses with a yes or no in {result.path}" in printed and "snapshot" not in printed
    meta = json.loads((tmp_path / "x.jsonl.meta.json").read_text())
    assert meta == {"shape": "kto-standard", "feedback": {"source": "all"}}


@on_sqlite
def test_feedback_follows_the_two_sides_of_every_preference(settings, sessions, thumbs, tmp_path, capsys):
    run_id = curate_breads(sessions)
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"anna": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    result, rows = exported(tmp_path / "x.parquet.jsonl", settings, shape="llamafactory-kto", feedback="with")
    assert len(rows) == result.record_count == 2 * result.row_count + 3
    assert [row["conversations"][-1]["value"] for row in rows[-3:]] == [one["completion"] for one in THUMBS]
    assert [row["label"] for row in rows[-3:]] == [True, False, True]
    show_export(result)
    assert f"as {2 * result.row_count} single responses (snapshot 1)" in capsys.readouterr().out
    _, without = exported(tmp_path / "y.jsonl", settings, shape="llamafactory-kto")
    assert without == rows[:-3]


@on_sqlite
def test_feedback_of_one_source_and_what_cannot_be_learnt_from(settings, sessions, thumbs, tmp_path):
    prompt = Prompt((Message("user", "a"), Message("user", "b")))
    liked, empty = ImportedResponse("x", is_desirable=True), ImportedResponse(" ", is_desirable=False)
    plain = ImportedResponse("nobody said anything")
    add(sessions, ImportedRow(1, prompt, (liked, empty, plain)), name="odd", content_hash="1" * 64)
    choice = {"feedback": "only", "feedback_source": "odd"}
    result, rows = exported(tmp_path / "x.jsonl", settings, shape="kto", **choice)
    assert len(rows) == 1 and result.left_out == {"the response is empty": 1}
    with pytest.raises(NoPreferencesError, match=r"no preference fits --shape llamafactory-kto: .*turns alternate"):
        exported(tmp_path / "y.jsonl", settings, shape="llamafactory-kto", **choice)
    with pytest.raises(LookupError, match="there is no source 'none'"):
        exported(tmp_path / "y.jsonl", settings, shape="kto", feedback="only", feedback_source="none")
    assert not list(tmp_path.glob("y.jsonl*"))


@on_sqlite
def test_where_nobody_said_anything_it_is_said_what_to_import(settings, sessions, tmp_path):
    with pytest.raises(NoPreferencesError, match="no response came with a yes or no; import such rows"):
        exported(tmp_path / "x.jsonl", settings, shape="kto", feedback="only")


def test_feedback_needs_a_shape_that_takes_single_responses():
    with pytest.raises(ValueError, match="conversational takes pairs, not single responses; give --shape kto or"):
        ExportConfig(feedback="with")
    with pytest.raises(ValueError, match="no feedback is asked for"):
        ExportConfig(shape="kto", feedback_source="x")
