"""Upgrades of databases that hold data, from every revision there was; killed midway; beside others who work."""

from __future__ import annotations

import os
import signal

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from filled_databases import copy_rows, fill, reflected, rows
from sqlalchemy import event, inspect, text
from stored_labels import ANNA
from stored_rows import open_run

from db import evaluations, pairs, policies, promotions, runs
from db.engine import alone, make_engine, make_session_factory
from db.labels import judgements, queues, snapshots
from db.migrations import DatabaseBusyError, known_revisions, require_current, revision_of, upgrade
from db.schema.base import Base
from db.schema.views import VIEWS
from models.exchange.trainers import content_hash
from tasks.labels.quality import read_quality
from tasks.settings import Settings

OLDEST, *_, BEFORE, NEWEST = known_revisions()
CURATED, LABELS, TRAINED = "0001", "0002", "0003"  # the revisions that made the tables of what is read


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A database of this version with rows in every table."""
    engine = make_engine(fill(tmp_path_factory.mktemp("filled")).database)
    yield engine
    engine.dispose()


@pytest.fixture
def old(filled, database_url, request):
    """The same as the version of this revision left it."""
    engine = make_engine(database_url)
    upgrade(engine, getattr(request, "param", OLDEST))
    copy_rows(filled, engine)
    yield engine
    engine.dispose()


def read(engine, revision):
    """What this version's code makes of the data that a revision had."""
    with make_session_factory(engine)() as session:
        found = {CURATED: list(pairs.selected_pairs(session, 1))}
        found[LABELS] = (
            [
                (snapshots.snapshot_info(session, 1).content_hash, list(snapshots.snapshot_rows(session, 1))),
                read_quality(session, 1, Settings()),
            ]
            if revision >= LABELS
            else []
        )
        found[TRAINED] = (
            [
                [(one.id, one.status, one.metrics, one.parent_id) for one in policies.list_policies(session)],
                [(one.id, one.metrics, one.baseline_id) for one in evaluations.evaluations_of(session, 2)],
                promotions.in_use(session),
            ]
            if revision >= TRAINED
            else []
        )
    return found


def test_every_table_has_rows_to_lose(filled):
    assert not [name for name, found in rows(filled, reflected(filled).sorted_tables).items() if not found]


@pytest.mark.parametrize("old", known_revisions(), indirect=True)
def test_nothing_is_lost_by_an_upgrade_and_this_version_reads_all_of_it(old, filled):
    with old.connect() as connection:
        revision = revision_of(connection)
    tables = reflected(old).sorted_tables
    before = rows(old, tables)
    upgrade(old)
    assert rows(old, tables) == before and all(before.values())
    with old.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        shown = {view: connection.execute(text(f"SELECT * FROM {view}")).all() for view in VIEWS}
    assert len(shown["selected_pairs"]) == len(before["pairs"]) and len(shown["run_summary"]) == len(before["runs"])
    require_current(old)
    assert read(old, revision) == read(filled, revision)


@pytest.mark.parametrize("old", ["0023"], indirect=True)
def test_an_upgrade_keeps_the_counts_that_completed_runs_would_have_kept(old, filled):
    upgrade(old)
    tables = [Base.metadata.tables[name] for name in ("run_counts", "run_similarities")]
    upgraded = rows(old, tables)
    assert upgraded == rows(filled, tables) and all(upgraded.values())


@pytest.mark.parametrize("old", [LABELS, BEFORE], indirect=True)
def test_work_goes_on_in_what_was_upgraded(old):
    upgrade(old)
    sessions = make_session_factory(old)
    with sessions.begin() as session:
        anna = judgements.add_annotator(session, ANNA)
        *_, queue = queues.list_queues(session)
        assert queues.take_next(session, queue.id, anna, now=snapshots.snapshot_info(session, 1).created_at, lease_s=60)
        info = snapshots.snapshot_info(session, 1)
        assert content_hash(snapshots.snapshot_rows(session, 1)) == info.content_hash
        with pytest.raises(Exception, match="snapshots never change"), session.begin_nested():
            session.execute(text("DELETE FROM snapshot_rows"))
    newest = max(run.run_id for run in runs.summaries(sessions()))
    assert open_run(sessions, [1]) == newest + 1


@pytest.mark.parametrize("last", ["CREATE TABLE leases", "ALTER TABLE runs ADD", f"CREATE VIEW {list(VIEWS)[-1]}"])
def test_an_upgrade_that_is_killed_leaves_the_old_schema_and_is_begun_again(old, last):
    tables = reflected(old).sorted_tables
    before = rows(old, tables)
    if (child := os.fork()) == 0:
        engine = make_engine(old.url.render_as_string(hide_password=False))

        @event.listens_for(engine, "after_cursor_execute")
        def see(connection, cursor, statement, *_):
            if last in statement:
                os.kill(os.getpid(), signal.SIGKILL)

        upgrade(engine)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with old.connect() as connection:
        assert revision_of(connection) == OLDEST
    assert {table.name for table in reflected(old).sorted_tables} == {table.name for table in tables}
    assert set(inspect(old).get_view_names()) <= set(VIEWS)
    assert rows(old, tables) == before
    upgrade(old)
    assert rows(old, tables) == before


def test_a_run_that_is_being_worked_on_is_not_pulled_away_from_under(old):
    upgrade(old, BEFORE)
    sessions = make_session_factory(old)
    with old.begin() as connection:
        run_id = connection.scalar(text("SELECT min(id) FROM runs WHERE status = 'running'"))
    with (
        alone(sessions, f"run {run_id}"),
        pytest.raises(
            DatabaseBusyError, match=f"run {run_id} is being worked on; stop it, and the labelling page and workers too"
        ),
    ):
        upgrade(old)
    with old.connect() as connection:
        assert revision_of(connection) == BEFORE
    upgrade(old)
    with old.connect() as connection:
        assert revision_of(connection) == NEWEST
