"""Exports in the installation's own folder."""

from __future__ import annotations

import json
from zipfile import ZipFile

import pytest
from datasets import load_from_disk
from labelling_steps import curate_breads, write_labels
from surroundings import on_sqlite

from tasks.config.exchange import ExportConfig
from tasks.labels.kept_exports import keep_export, kept_path
from tasks.labels.label_import import import_labels


@on_sqlite
def test_an_export_lies_there_by_its_name_and_shape_and_is_replaced_by_the_next(settings, sessions, tmp_path):
    run_id = curate_breads(sessions)
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"anna": "left"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    for _ in range(2):
        result = keep_export(ExportConfig(name="my labels / 1"), settings)
        assert result.path == settings.artifact_root / "exports" / "my-labels-1.conversational.jsonl"
        assert len([json.loads(line) for line in result.path.read_text().splitlines()]) == 6
    kept = keep_export(ExportConfig(name="my labels / 1", format="parquet"), settings)
    assert kept.path.name == "my-labels-1.conversational.parquet" and kept.path.is_file()


@on_sqlite
def test_a_folder_of_datasets_is_one_zip_that_is_replaced_by_the_next(settings, sessions, tmp_path):
    run_id = curate_breads(sessions)
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"anna": "left"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    for _ in range(2):
        kept = keep_export(ExportConfig(name="my labels", format="datasets"), settings)
    assert sorted(path.name for path in kept.path.parent.iterdir()) == [
        "my-labels.conversational.entry.py",
        "my-labels.conversational.zip",
    ]
    assert kept.path.name == "my-labels.conversational.zip" and kept.row_count == 6
    assert kept.entry_path.read_text() == f"{kept.entry}\n" and kept.entry.startswith("# unpack my-labels")
    assert ".export-" not in kept.entry and "my-labels.conversational" in kept.entry.splitlines()[2]
    with ZipFile(kept.path) as archive:
        archive.extractall(tmp_path)
    assert load_from_disk(tmp_path / "my-labels.conversational").num_rows == 6


@on_sqlite
@pytest.mark.parametrize("name", ["..", "../../etc/passwd", ".hidden", "/", "–"])
def test_no_name_leads_out_of_the_folder(settings, name):
    path = kept_path(ExportConfig(name=name), settings)
    assert path.parent == settings.artifact_root / "exports" and not path.name.startswith(".")
