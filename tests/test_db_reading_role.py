"""What a question may read: nothing secret, on PostgreSQL as a role that can do nothing else, whoever asks."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from stored_rows import add
from surroundings import on_postgresql

from db.engine import make_engine
from db.migrations import upgrade
from db.read_only import QueryError, ask
from db.reading_role import READER, make_reader
from db.schema.curation import Source
from db.schema.policies import Policy
from models.records import ImportedRow, Prompt

ATTACKS = [
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('/etc/passwd')",
    "SELECT * FROM pg_ls_dir('/')",
    "SELECT * FROM pg_stat_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/x')",
    "SELECT lo_unlink(1)",
    "SELECT lo_from_bytea(0, 'x')",
    "COPY prompts TO PROGRAM 'id'",
    "COPY (SELECT 1) TO '/tmp/x'",
    "SELECT pg_sleep(1)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_advisory_xact_lock(hashtext('prompts'))",
    "SELECT pg_terminate_backend(pg_backend_pid())",
    "SELECT pg_cancel_backend(1)",
    "SELECT pg_reload_conf()",
    "SELECT pg_notify('channel', 'x')",
    "SELECT nextval('prompts_id_seq')",
    "SELECT setval('prompts_id_seq', 1)",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "SELECT * FROM pg_statistic",
    "SELECT set_config('role', 'none', true)",
    "SELECT set_config('session_authorization', 'antipode', true)",
    "SELECT pg_catalog.set_config('statement_timeout', '0', true)",
    "SELECT \"set_config\"('transaction_read_only', 'off', true)",
    "SELECT SET_CONFIG /* so */ ('role', 'none', true)",
    "SELECT U&\"\\0073et_config\"('role', 'none', true)",
    "SELECT query_to_xml('SELECT set_config(''role'', ''none'', true)', true, true, '')",
    "SELECT query_to_xml('SELECT pg_' || 'read_file(''/etc/passwd'')', true, true, '')",
    "SELECT * FROM ts_stat('SELECT to_tsvector(text) FROM prompts')",
    "SELECT cursor_to_xml('antipode', 1, true, true, '')",
    "SELECT dblink('dbname=postgres', 'SELECT 1')",
    "SELECT * FROM prompts FOR UPDATE",
    "SET ROLE none",
    "RESET ROLE",
    "RESET SESSION AUTHORIZATION",
    "SELECT 1; RESET ROLE; SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_logical_emit_message(false, 'x', 'y')",
    "SELECT pg_switch_wal()",
    "SELECT pg_create_restore_point('x')",
    "DO $$ BEGIN PERFORM 1; END $$",
    "CALL nothing()",
    "LISTEN channel",
]


def answer_of(statement: str, url: str) -> list[tuple[object, ...]]:
    with ask(statement, url, timeout_s=20) as answer:
        return list(answer.rows)


@on_postgresql
def test_a_superuser_asks_as_the_reader_and_gets_no_further(settings, sessions):
    add(sessions, ImportedRow(1, Prompt.from_text("a")))
    assert answer_of("SELECT current_user", settings.database) == [(READER,)]
    for attack in ATTACKS:
        with pytest.raises(QueryError) as caught:
            answer_of(attack, settings.database)
        assert "\n" not in str(caught.value), attack
    with ask("SELECT count(*) FROM prompts", settings.database, timeout_s=20) as answer:
        assert list(answer.rows) == [(1,)] and answer.warning is None


@on_postgresql
def test_what_only_differs_from_call_to_call_may_be_called(settings, sessions):
    question = "SELECT random() < 2, gen_random_uuid() IS NULL, 'random', lower(version()) LIKE '%sql%', now() IS NULL"
    assert answer_of(question, settings.database) == [(True, False, "random", True, False)]


@on_postgresql
def test_no_column_is_called_like_a_function_that_may_not_be_named(settings, sessions):
    for table in Policy.metadata.tables.values():
        columns = ", ".join(f'"{column.name}"' for column in table.columns if not column.info.get("is_secret"))
        assert answer_of(f"SELECT {columns} FROM {table.name} WHERE 1 = 0", settings.database) == []


@on_postgresql
def test_an_owner_without_the_role_is_told_and_still_refused_what_has_effects(settings, sessions):
    engine = make_engine(settings.database)
    name = engine.url.database
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE owner_{name} LOGIN"))
        connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO owner_{name}"))
    url = settings.database.replace("antipode@", f"owner_{name}@")
    with ask("SELECT current_user", url, timeout_s=20) as answer:
        assert list(answer.rows) == [(f"owner_{name}",)]
        assert answer.warning is not None and "docs/database.md" in answer.warning
    for attack in ATTACKS:
        with pytest.raises(QueryError):
            answer_of(attack, url)
    with engine.begin() as connection:
        connection.execute(text(f"GRANT {READER} TO owner_{name}"))
    assert answer_of("SELECT current_user", url) == [(READER,)]
    with engine.begin() as connection:
        connection.execute(text(f"DROP OWNED BY owner_{name}"))
        connection.execute(text(f"DROP ROLE owner_{name}"))


@on_postgresql
def test_a_superuser_without_the_rights_of_the_role_is_sent_to_upgrade(settings, sessions):
    engine = make_engine(settings.database)
    with engine.begin() as connection:
        connection.execute(text(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {READER}"))
    with pytest.raises(QueryError, match="make it: antipode upgrade"):
        answer_of("SELECT 1", settings.database)
    upgrade(engine)
    assert answer_of("SELECT 1", settings.database) == [(1,)]


def test_a_secret_column_is_read_by_nobody_and_its_neighbours_are(settings, sessions, monkeypatch):
    monkeypatch.setitem(Source.__table__.c.location.info, "is_secret", True)
    with make_engine(settings.database).begin() as connection:
        make_reader(connection)
    for question in (
        "SELECT location FROM sources",
        "SELECT * FROM sources",
        "WITH selected_pairs AS (SELECT location FROM sources) SELECT * FROM selected_pairs",
        "SELECT name FROM sources WHERE location LIKE 'a%'",
        "SELECT count(*) FROM sources GROUP BY location",
    ):
        with pytest.raises(QueryError):
            answer_of(question, settings.database)
    assert answer_of("SELECT name FROM sources", settings.database) == []
    assert answer_of("SELECT count(*) FROM sources", settings.database) == [(0,)]
