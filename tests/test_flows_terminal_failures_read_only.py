"""Places that this user may not write to: one line that names the place, nothing half-written, and on it goes after."""

from __future__ import annotations

import pytest
from curation_steps import configured, curate
from labelling_steps import OWN, own_row, write_labels
from privileges import read_only
from sqlalchemy.exc import DBAPIError
from stored_rows import add
from surroundings import on_sqlite

from db import pairs
from db.backups import back_up
from flows.terminal.failures import error_line
from flows.terminal.table_files import TableRows, write_table
from tasks.config.exchange import ExportConfig, ImportConfig
from tasks.curation.embedding import embed
from tasks.curation.generation import generate
from tasks.curation.ingestion import import_source
from tasks.curation.opening import open_run
from tasks.curation.selection import select
from tasks.labels.exchange import export_preferences
from tasks.labels.label_import import import_labels
from tasks.labels.people import page_secret
from tasks.reports.run_page import write_run_report

pytestmark = on_sqlite


def refusal(place, action):
    """The line that a command would print where nobody may write to a place."""
    with read_only(place):
        with pytest.raises((OSError, RuntimeError, ValueError, DBAPIError)) as caught:
            action()
        line = error_line(caught.value)
    assert "traceback" not in line and str(place) in line, line
    return line


def test_a_database_that_may_not_be_written_is_named_and_so_are_the_files_that_were_made_beside_it(
    settings, sessions, tmp_path
):
    add(sessions, own_row(1, "rye", "wheat"))
    database, index = tmp_path / "antipode.db", tmp_path / "antipode.db-shm"
    line = refusal(database, lambda: curate(configured(**OWN)))
    assert f"let this user write to {database}" in line
    assert not index.stat().st_mode & 0o222  # SQLite gives it the database's mode, which is mended by now
    assert f"let this user write to {index}" in refusal(index, lambda: curate(configured(**OWN)))
    index.chmod(0o644)
    curate(configured(**OWN))


def test_a_databases_folder_that_may_not_be_written_is_named(settings, sessions, tmp_path):
    add(sessions, own_row(1, "rye", "wheat"))
    assert "let this user write to" in refusal(tmp_path, lambda: curate(configured(**OWN)))
    curate(configured(**OWN))


def test_each_step_of_a_curation_goes_on_once_its_place_can_be_written(settings, sessions, tmp_path):
    add(sessions, *(own_row(number) for number in range(1, 5)))
    (vectors := settings.artifact_root / "vectors").mkdir(parents=True)
    database = tmp_path / "antipode.db"
    run_id = open_run.fn(configured())
    for step, places in ((generate, [database]), (embed, [vectors, database]), (select, [database])):
        for place in places:
            refusal(place, lambda step=step: step.fn(run_id))
        step.fn(run_id)
    with sessions() as session:
        assert len(list(pairs.selected_pairs(session, run_id))) == 16
    assert not list(vectors.glob("*/.*"))


def test_nothing_is_left_of_what_was_to_be_written(settings, sessions, tmp_path):
    add(sessions, *(own_row(number, f"rye bread {number}", f"wheat {number}") for number in (1, 2)))
    run_id = curate(configured(**OWN))
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"anna": "left"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    (out := tmp_path / "out").mkdir()
    write_run_report(run_id, settings)
    actions = {
        out / "rows.jsonl": lambda path: write_table(TableRows(("a",), iter([(1,)])), "jsonl", path),
        out / "rows.parquet": lambda path: write_table(TableRows(("a",), iter([(1,)])), "parquet", path),
        out / "preferences.jsonl": lambda path: export_preferences(path, ExportConfig(run="1"), settings),
        settings.artifact_root / "reports" / "run-1.html": lambda _: write_run_report(run_id, settings),
    }
    for path, action in actions.items():
        kept = path.read_text() if path.exists() else None
        line = refusal(path.parent, lambda action=action, path=path: action(path))
        assert line.startswith(f"[Errno 13] Permission denied: '{path}")
        assert (path.read_text() if path.exists() else None) == kept
        assert not list(path.parent.glob(".*"))
        action(path)
        assert path.exists()
    assert "takes no copy" in refusal(out, lambda: back_up(out / "backup", settings.database))
    assert not list(out.glob("*backup*"))


def test_rejected_rows_and_the_pages_secret_want_a_place(settings, sessions, tmp_path):
    settings.artifact_root.mkdir()
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "one?"}\nnonsense\n')
    source = str(tmp_path / "prompts.jsonl")
    refusal(settings.artifact_root, lambda: import_source(source, ImportConfig(), settings))
    refusal(settings.artifact_root, lambda: page_secret(settings))
    assert not list(settings.artifact_root.iterdir())
    assert len(page_secret(settings)) == 32
    assert import_source(source, ImportConfig(), settings).rejected == 1
