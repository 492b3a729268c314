"""Backups of both databases: taken while others write, brought back elsewhere; what is broken is refused in a line."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from curation_steps import configured, curate
from labelling_steps import OWN, own_row
from pydantic_settings import CliApp
from small_disks import largest_file
from sqlalchemy import inspect, text
from stored_rows import add
from surroundings import ROOT, on_postgresql, on_sqlite

from db.backups import BackupError, back_up, restore
from db.engine import alone, make_engine
from db.labels import judgements, labelling
from db.migrations import downgrade, upgrade
from db.schema.views import VIEWS
from flows.commands.database import Backup, Restore
from flows.terminal.failures import error_line
from models.labelling.records import Judgement, person
from tasks.settings import Settings

OLDEST = "0001"
ROWS_PER_COMMIT = 10
WRITER = f"""
import itertools, sys
from sqlalchemy import text
from db.engine import make_engine
engine = make_engine(sys.argv[1])
row = "INSERT INTO sources (name, location, format, content_hash, created_at) VALUES (:name, '', '', '', :now)"
for turn in itertools.count():
    with engine.begin() as connection:
        for number in range({ROWS_PER_COMMIT}):
            connection.execute(text(row), {{"name": f"{{turn}}/{{number}}", "now": "2026-01-01 00:00:00"}})
    print(turn, flush=True)
"""


@pytest.fixture
def writer(settings, sessions):
    """Another process that commits ten rows at a time, as fast as it can."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, settings.database], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process.stdout
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def judged(sessions, settings):
    """A run of two pairs, with a judgement each."""
    add(sessions, *(own_row(number, f"rye bread {number}", f"wheat {number}") for number in (1, 2)))
    run_id = curate(configured(**OWN))
    with sessions.begin() as session:
        keys = labelling.pair_keys(session, run_id)
        anna = judgements.add_annotator(session, person("anna"))
        judgements.add_judgements(session, anna, [Judgement(key, key.first_response_id, "first") for key in keys])


def tables(settings):
    """How many rows each table has, and all that the views show."""
    engine = make_engine(settings.database)
    with engine.connect() as connection:
        counts = {
            name: connection.scalar(text(f"SELECT count(*) FROM {name}"))
            for name in inspect(connection).get_table_names()
        }
        shown = {view: connection.execute(text(f"SELECT * FROM {view} ORDER BY 1, 2, 3")).all() for view in VIEWS}
    engine.dispose()
    return counts, shown


def refusal(action, path, settings):
    with pytest.raises(BackupError) as caught:
        action(path, settings.database)
    line = error_line(caught.value)
    assert "\n" not in str(caught.value)
    return line


def test_a_backup_taken_while_another_process_writes_is_one_moment_of_the_database(
    settings, judged, writer, elsewhere, tmp_path
):
    made = back_up(tmp_path / "backup", settings.database)
    assert writer.readline() and writer.readline()  # it was not stopped
    found = restore(tmp_path / "backup", elsewhere.database)
    assert (found.runs, found.judgements, found.outdated) == (made.runs, made.judgements, None)
    assert made.judgements == 2 and made.size_bytes == (tmp_path / "backup").stat().st_size > 10_000
    (before, shown_before), (after, shown_after) = tables(settings), tables(elsewhere)
    assert before.pop("sources") >= after["sources"] > ROWS_PER_COMMIT
    assert (after.pop("sources") - 1) % ROWS_PER_COMMIT == 0  # the one is the prompts' own
    assert before == after and before["prompts"] == 2
    assert shown_before == shown_after and shown_after["judged_pairs"]


def test_what_is_restored_goes_on_as_before(settings, judged, elsewhere, tmp_path, monkeypatch):
    back_up(tmp_path / "backup", settings.database)
    restore(tmp_path / "backup", elsewhere.database)
    assert elsewhere.database_url is not None
    monkeypatch.setenv("ANTIPODE_DATABASE_URL", elsewhere.database_url)
    curate(configured(**OWN, name="another"))  # new ids go on where the old ones end
    counts, _ = tables(elsewhere)
    assert counts["runs"] == 2


def test_only_an_empty_database_is_restored_into(settings, sessions, tmp_path):
    back_up(tmp_path / "backup", settings.database)
    before = tables(settings)
    line = refusal(restore, tmp_path / "backup", settings)
    assert "only into an empty database; name a new one in ANTIPODE_DATABASE_URL" in line
    assert tables(settings) == before


def test_a_file_that_was_cut_short_is_refused_and_the_database_stays_empty(settings, judged, elsewhere, tmp_path):
    path = tmp_path / "backup"
    back_up(path, settings.database)
    whole = path.read_bytes()
    for kept_share in (0.0, 0.001, 0.3, 0.7, 0.99):
        path.write_bytes(whole[: int(len(whole) * kept_share)])
        line = refusal(restore, path, elsewhere)
        assert str(path) in line and ("take another backup" in line or "is no backup" in line), kept_share
    path.write_bytes(whole)
    assert restore(path, elsewhere.database).judgements == 2


def test_files_that_are_no_backup_and_folders_that_are_not_there_are_refused(settings, sessions, elsewhere, tmp_path):
    assert "is no backup of a database" in refusal(restore, ROOT / "README.md", elsewhere)
    assert "there is no file" in refusal(restore, tmp_path / "none", elsewhere)
    assert "make it first" in refusal(back_up, tmp_path / "none" / "backup", settings)
    assert "is a folder; name a file in it" in refusal(back_up, tmp_path, settings)
    assert "nothing to back up" in refusal(back_up, tmp_path / "backup", elsewhere)
    assert not list(tmp_path.glob("*backup*")) and not list(tmp_path.glob("*none*"))


def test_a_database_of_something_else_is_refused(settings, elsewhere, tmp_path):
    engine = make_engine(settings.database)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE songs (id integer)"))
    engine.dispose()
    back_up(tmp_path / "backup", settings.database)
    assert "is a backup of something else" in refusal(restore, tmp_path / "backup", elsewhere)


def test_a_backup_of_an_older_schema_asks_for_an_upgrade(settings, elsewhere, tmp_path, capsys):
    engine = make_engine(settings.database)
    upgrade(engine, OLDEST)
    engine.dispose()
    CliApp.run(Backup, cli_args=[str(tmp_path / "backup")])
    found = restore(tmp_path / "backup", elsewhere.database)
    assert found.outdated is not None and f"revision {OLDEST}" in found.outdated
    engine = make_engine(elsewhere.database)
    upgrade(engine)
    downgrade(engine, "base")
    engine.dispose()


@on_sqlite
def test_both_commands_say_what_was_written_and_what_was_not(
    settings, judged, elsewhere, tmp_path, capsys, monkeypatch
):
    CliApp.run(Backup, cli_args=[str(tmp_path / "backup")])
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(" MB, 1 runs, 2 judgements") and "backup of sqlite:///" in first
    assert str(settings.artifact_root) in second and "need a copy of their own" in second
    monkeypatch.setenv("ANTIPODE_DATABASE_URL", elsewhere.database)
    CliApp.run(Restore, cli_args=[str(tmp_path / "backup")])
    first, second = capsys.readouterr().out.splitlines()
    assert "is restored in sqlite:///" in first and "ANTIPODE_ARTIFACT_ROOT" in second


@on_sqlite
def test_a_place_that_a_run_still_works_in_is_refused(settings, judged, sessions, tmp_path):
    back_up(tmp_path / "backup", settings.database)
    with alone(sessions, "run 1"):
        (tmp_path / "antipode.db").rename(tmp_path / "moved.db")
        line = refusal(restore, tmp_path / "backup", settings)
        assert "run 1 is being worked on in" in line and "stop what works there first" in line
    assert not (tmp_path / "antipode.db").exists()
    assert restore(tmp_path / "backup", settings.database).judgements == 2


@on_sqlite
@pytest.mark.parametrize("log", ["antipode.db-wal", "antipode.db-journal"])
def test_the_last_changes_of_a_database_that_was_moved_away_are_not_thrown_away(settings, judged, tmp_path, log):
    back_up(tmp_path / "backup", settings.database)
    (tmp_path / "antipode.db").rename(tmp_path / "moved.db")
    (tmp_path / log).write_bytes(b"the last changes")
    assert f"{log} holds the last changes of a database" in refusal(restore, tmp_path / "backup", settings)
    assert (tmp_path / log).read_bytes() == b"the last changes" and not (tmp_path / "antipode.db").exists()


@on_sqlite
def test_a_disk_that_is_full_leaves_no_half_backup_and_no_half_database(settings, judged, elsewhere, tmp_path):
    path = tmp_path / "backup"
    made = back_up(path, settings.database)
    kept = path.read_bytes()
    for action, file in ((back_up, path), (restore, path)):
        with largest_file(made.size_bytes // 2), pytest.raises(BackupError, match=r"full|disk I/O error"):
            action(file, (settings if action is back_up else elsewhere).database)
        assert path.read_bytes() == kept and {one.name for one in tmp_path.glob("*backup*")} == {"backup"}
    assert restore(path, elsewhere.database).judgements == 2


@on_sqlite
def test_the_database_is_never_overwritten_by_its_own_backup(settings, sessions, tmp_path):
    assert "is the database itself" in refusal(back_up, tmp_path / "antipode.db", settings)


@on_sqlite
def test_a_backup_is_one_file_that_can_be_read_where_nothing_can_be_written(settings, sessions, elsewhere, tmp_path):
    (tmp_path / "kept").mkdir()
    back_up(tmp_path / "kept" / "backup.db", settings.database)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["backup.db"]
    restore(tmp_path / "kept" / "backup.db", elsewhere.database)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["backup.db"]


@on_sqlite
def test_a_plain_copy_of_the_file_is_a_backup_too(settings, judged, elsewhere, tmp_path):
    shutil.copy(tmp_path / "antipode.db", tmp_path / "copy.db")
    assert restore(tmp_path / "copy.db", elsewhere.database).judgements == 2


@on_sqlite
def test_a_backup_replaces_an_older_one_only_when_it_is_whole(settings, judged, tmp_path):
    path = tmp_path / "backup"
    path.write_text("kept")
    with sqlite3.connect(tmp_path / "antipode.db") as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    with (tmp_path / "antipode.db").open("r+b") as file:
        file.truncate(pages // 2 * 4096)
    with pytest.raises(Exception, match="malformed"):
        back_up(path, settings.database)
    assert path.read_text() == "kept" and {one.name for one in tmp_path.glob("*backup*")} == {"backup"}


@on_postgresql
def test_a_backup_of_the_other_kind_is_refused(settings, sessions, tmp_path):
    other = Settings(database_url=f"sqlite:///{tmp_path / 'other.db'}")
    back_up(tmp_path / "backup", settings.database)
    line = refusal(restore, tmp_path / "backup", other)
    assert "is a backup of PostgreSQL, ANTIPODE_DATABASE_URL names a SQLite database" in line
    engine = make_engine(other.database)
    upgrade(engine)
    engine.dispose()
    back_up(tmp_path / "backup", other.database)
    assert "is a backup of SQLite" in refusal(restore, tmp_path / "backup", settings)


@on_postgresql
def test_the_password_is_on_no_command_line(settings, sessions, tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    real = max(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))
    (programs / "pg_dump").write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/seen\necho "password $PGPASSWORD" >> {tmp_path}/seen\nexec {real} "$@"\n'
    )
    (programs / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    url = settings.database.replace("antipode@", "antipode:s%2Fcret@") + "?application_name=nightly"
    back_up(tmp_path / "backup", Settings(database_url=url).database)
    arguments, environment = (tmp_path / "seen").read_text().splitlines()
    assert "s/cret" not in arguments and "s%2Fcret" not in arguments and "application_name=nightly" in arguments
    assert environment == "password s/cret"
