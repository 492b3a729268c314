"""The schema: migrations up and down, their agreement with the tables, what constraints and pragmas refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError, OperationalError
from surroundings import ROOT

from db.engine import batches, insert_new, make_engine
from db.migrations import VERSIONS, DatabaseOutdatedError, downgrade, newest_revision, require_current, upgrade
from db.schema import curation
from db.schema.views import VIEWS


def test_migrations_make_exactly_the_tables_of_the_schema(database_url):
    engine = make_engine(database_url)
    upgrade(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), curation.Base.metadata) == []
        assert set(inspect(connection).get_view_names()) == set(VIEWS)
    engine.dispose()


def test_the_newest_revision_is_read_from_the_files_names():
    scripts = ScriptDirectory(str(VERSIONS.parent))
    assert newest_revision() == scripts.get_current_head()
    assert all(Path(script.path).name.startswith(script.revision) for script in scripts.walk_revisions())


def test_migrations_go_down_to_nothing_and_up_again(database_url):
    engine = make_engine(database_url)
    upgrade(engine)
    downgrade(engine, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    assert inspect(engine).get_view_names() == []
    upgrade(engine)
    assert "pairs" in inspect(engine).get_table_names()
    engine.dispose()


def test_a_database_with_labels_gets_the_tables_of_policies_and_keeps_what_it_has(database_url):
    engine = make_engine(database_url)
    upgrade(engine, "0002")
    now = "2026-01-01 00:00:00"
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO runs (name, config, config_key, status, code_version, has_fixed_candidates, started_at, "
                f"kind, labelled_run_id) VALUES ('old', '{{}}', 'k', 'completed', '0', false, '{now}', 'label', 1)"
            )
        )
    upgrade(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), curation.Base.metadata) == []
        assert set(inspect(connection).get_view_names()) == set(VIEWS)
        assert connection.execute(text("SELECT run, kind, labelled_run_id FROM run_summary")).all() == [
            ("old", "label", 1)
        ]
    downgrade(engine, "0002")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT name FROM runs")).scalar() == "old"
        assert "policies" not in inspect(connection).get_table_names()
    engine.dispose()


def test_an_empty_database_gets_its_schema_and_an_old_one_is_refused(database_url):
    engine = make_engine(database_url)
    require_current(engine)
    require_current(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(DatabaseOutdatedError, match=r"revision 0001.*antipode upgrade"):
        require_current(engine)
    engine.dispose()


@pytest.mark.parametrize("use", [require_current, upgrade])
def test_a_database_of_a_newer_version_asks_for_that_version(database_url, use):
    engine = make_engine(database_url)
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseOutdatedError, match=r"revision 9999, which a newer version .* made.*; install that"):
        use(engine)
    engine.dispose()


@pytest.mark.parametrize("use", [require_current, upgrade])
def test_a_database_of_something_else_is_left_alone(database_url, use):
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE customers (id INTEGER)"))
    with pytest.raises(DatabaseOutdatedError, match="something else; name an empty one in ANTIPODE_DATABASE_URL"):
        use(engine)
    assert inspect(engine).get_table_names() == ["customers"]
    engine.dispose()


def test_foreign_keys_are_enforced(sessions):
    with pytest.raises(IntegrityError), sessions.begin() as session:
        insert_new(session, curation.RunPrompt, [{"run_id": 99, "prompt_id": 99}])


def test_insert_new_counts_only_new_rows_and_leaves_the_others(sessions):
    rows = [{"key": f"{n:064}", "first_turn_key": f"{n:064}", "messages": [], "text": f"{n}"} for n in range(12_000)]
    with sessions.begin() as session:
        assert insert_new(session, curation.Prompt, rows[:7_000]) == 7_000
        assert insert_new(session, curation.Prompt, rows) == 5_000
        assert insert_new(session, curation.Prompt, [rows[0] | {"text": "changed"}]) == 0
        assert insert_new(session, curation.Prompt, []) == 0
    with sessions() as session:
        assert session.query(curation.Prompt).count() == 12_000
        assert session.query(curation.Prompt).filter_by(key=rows[0]["key"]).one().text == "0"


def test_sqlite_files_are_opened_in_wal_mode(tmp_path):
    engine = make_engine(f"sqlite:///{tmp_path}/a/b/c.db")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    engine.dispose()


def test_an_unknown_kind_of_database_is_refused():
    with pytest.raises(ValueError, match="sqlite:/// or postgresql://, got 'mysql'"):
        make_engine("mysql://localhost/x")


def test_an_unreachable_database_says_so():
    with pytest.raises(OperationalError), make_engine("postgresql://nobody@127.0.0.1:1/x").connect():
        pass


def test_batches_cut_without_loss():
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batches([], 2)) == []


def test_nothing_but_the_database_file_is_written(tmp_path):
    engine = make_engine(f"sqlite:///{tmp_path}/only.db")
    require_current(engine)
    engine.dispose()
    assert [path.name for path in Path(tmp_path).iterdir() if path.suffix == ".db"] == ["only.db"]


def test_a_first_use_that_is_killed_leaves_an_empty_database(database_url):
    killed = """
import os, sys
from sqlalchemy import event
from db.engine import make_engine
from db.schema.views import VIEWS
from db.migrations import require_current
engine, tables = make_engine(sys.argv[1]), []
@event.listens_for(engine, "before_cursor_execute")
def count(connection, cursor, statement, *_):
    tables.append(statement) if "CREATE TABLE" in statement else None
    len(tables) == 6 and os._exit(9)
require_current(engine)
"""
    done = subprocess.run(
        [sys.executable, "-c", killed, database_url], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == 9
    engine = make_engine(database_url)
    assert inspect(engine).get_table_names() == []
    require_current(engine)
    engine.dispose()


def test_first_uses_at_once_make_one_schema(database_url):
    def use(_):
        engine = make_engine(database_url)
        require_current(engine)
        engine.dispose()

    with ThreadPoolExecutor(4) as at_once:
        list(at_once.map(use, range(4)))


def test_writers_of_the_same_rows_in_another_order_do_not_wait_for_each_other_for_ever(sessions):
    rows = [{"key": f"{n:064}", "first_turn_key": f"{n:064}", "messages": [], "text": f"{n}"} for n in range(2_000)]

    def write(ordered):
        with sessions.begin() as session:
            return insert_new(session, curation.Prompt, ordered)

    with ThreadPoolExecutor(2) as at_once:
        assert sum(at_once.map(write, (rows, rows[::-1]))) == 2_000


def test_a_database_of_a_newer_version_is_told_to_install_that_version(database_url):
    engine = make_engine(database_url)
    require_current(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for use in (require_current, upgrade):
        with pytest.raises(DatabaseOutdatedError, match=r"9999, which a newer.*install that version") as caught:
            use(engine)
        assert "antipode upgrade" not in str(caught.value)


def test_a_file_without_a_byte_is_no_new_database(tmp_path):
    (tmp_path / "empty.db").touch()
    with pytest.raises(ValueError, match=r"is empty .0 bytes. and no database; take"):
        require_current(make_engine(f"sqlite:///{tmp_path}/empty.db"))
    assert (tmp_path / "empty.db").stat().st_size == 0
    require_current(make_engine(f"sqlite:///{tmp_path}/new/new.db"))


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "postgresql://[::1/x", "nonsense", ""])
def test_an_address_that_can_be_no_database_is_refused_in_one_line(url):
    with pytest.raises(ValueError, match="sqlite:///") as caught:
        make_engine(url)
    assert "\n" not in str(caught.value)
