"""A disk that is full in the middle of a step: one line, nothing torn, and with room again the step goes on."""

from __future__ import annotations

import pytest
from curation_steps import configured
from labelling_steps import write_labels
from small_disks import fill_up, mounted
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from stored_rows import all_prompt_ids

from db import pairs
from db.backups import BackupError, back_up
from db.engine import make_engine
from db.migrations import require_current
from flows.terminal.failures import error_line
from tasks.config.exchange import ExportConfig, ImportConfig
from tasks.curation.embedding import embed
from tasks.curation.generation import generate
from tasks.curation.ingestion import import_source
from tasks.curation.opening import open_run
from tasks.curation.selection import select
from tasks.curation.vectors import check_vectors
from tasks.database import open_database
from tasks.labels.exchange import export_preferences
from tasks.labels.label_import import import_labels
from tasks.reports.run_page import write_run_report
from tasks.settings import Settings

PROMPTS = 700
FEW_BYTES = 40 * 1024  # room to open the database, none for what a step writes


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """An installation, database and all, on a file system of its own."""
    with mounted(tmp_path / "disk", "40m") as folder:
        monkeypatch.setenv("ANTIPODE_ARTIFACT_ROOT", str(folder / "artifacts"))
        engine = make_engine(Settings().database)
        require_current(engine)
        engine.dispose()
        yield folder


def steps(folder, prompts_file):
    """What writes, from a file of prompts to a backup, in order; each can be given again."""
    settings = Settings()
    yield "import", lambda: import_source(str(prompts_file), ImportConfig(name="mine"), settings)
    run_id = open_run.fn(configured())
    for step in (generate, embed, select):
        yield step.fn.__name__, lambda step=step: step.fn(run_id)
    yield "report", lambda: write_run_report(run_id, settings)
    with open_database(settings) as sessions:
        write_labels(labels := prompts_file.with_name("labels.jsonl"), sessions, run_id, {"anna": "left"})
    yield "label", lambda: import_labels(labels, None, settings)
    yield "export", lambda: export_preferences(folder / "rows.jsonl", ExportConfig(run="1"), settings)
    yield "backup", lambda: back_up(folder / "backup", settings.database)


def files(folder):
    """What is there to be read; names that begin with a dot are drafts and locks."""
    return {path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")}


def test_every_step_stops_at_a_full_disk_and_goes_on_when_there_is_room(disk, tmp_path):
    prompts_file = tmp_path / "prompts.jsonl"
    prompts_file.write_text("".join(f'{{"prompt": "{"Why? " * 40}{number}"}}\n' for number in range(PROMPTS)))
    for name, step in steps(disk, prompts_file):
        before = files(disk)
        filler = fill_up(disk, free_bytes=FEW_BYTES)
        with pytest.raises((OperationalError, OSError, BackupError)) as caught:
            step()
        filler.unlink()
        line = error_line(caught.value)
        assert str(disk) in line and ("is full" in line or "No space left" in line), (name, line)
        whole = files(disk) - before - {disk / "artifacts" / f"antipode.db{end}" for end in ("-wal", "-shm")}
        assert {path.name for path in whole} <= {"rows.jsonl.meta.json"}, name  # written first, and anew
        step()
    with open_database(Settings()) as sessions, sessions() as session:
        found = list(pairs.selected_pairs(session, 1))
        assert {pair.prompt_id for pair in found} == set(all_prompt_ids(sessions)) and len(found) == 4 * PROMPTS
        assert session.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    assert len((disk / "rows.jsonl").read_text().splitlines()) == len(
        {frozenset((pair.first_response, pair.second_response, pair.prompt)) for pair in found}
    )
    assert not any(check.missing or check.damaged for check in check_vectors(Settings(), None))
