"""Questions in SQL: streamed, written in four formats, on both databases; the database itself refuses every change."""

from __future__ import annotations

import csv
import io
import json
import signal
import sqlite3
import sys
import threading
import time
from itertools import islice

import pyarrow.parquet
import pytest
from pydantic_settings import CliApp
from sqlalchemy import text
from stored_rows import add
from surroundings import on_postgresql, on_sqlite

from db.read_only import QueryError, ask
from db.schema.views import VIEWS
from flows.commands.database import Sql
from flows.terminal.failures import error_line
from models.records import ImportedResponse, ImportedRow, Prompt

NUMBERS = """
    WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {last})
    SELECT number, 'text ' || number AS words, number / 4.0 AS quarter FROM numbers
"""
WRITES = [
    "UPDATE prompts SET text = 'changed'",
    "DELETE FROM prompts",
    "DROP VIEW run_summary",
    "DROP TABLE source_rows",
    "INSERT INTO sources (name) VALUES ('x')",
    "CREATE TABLE mine (id integer)",
    "CREATE TEMPORARY TABLE mine (id integer)",
    "CREATE TABLE mine AS SELECT * FROM prompts",
    "SELECT * INTO mine FROM prompts",
    "SELECT 1; DELETE FROM prompts",
    "SELECT 1; COMMIT; DELETE FROM prompts; COMMIT",
    "COMMIT; DELETE FROM prompts",
    "COMMIT",
    "WITH gone AS (DELETE FROM prompts RETURNING id) SELECT * FROM gone",
    "DELETE FROM prompts RETURNING id",
    "/* SELECT */ DELETE FROM prompts -- SELECT",
    "SET TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "PRAGMA query_only = OFF",
    "PRAGMA user_version = 7",
    "PRAGMA journal_mode = DELETE",
    "ATTACH DATABASE 'other.db' AS other",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "REINDEX",
    "BEGIN IMMEDIATE",
]


@pytest.fixture
def prompts(sessions):
    """Three prompts with two responses each."""
    add(
        sessions,
        *(
            ImportedRow(row, Prompt.from_text(f"prompt {row}, “ä”"), (ImportedResponse("yes"), ImportedResponse("no")))
            for row in (1, 2, 3)
        ),
    )


def content(sessions):
    with sessions() as session:
        return session.execute(text("SELECT id, text FROM prompts ORDER BY id")).all()


def run(capsys, *arguments):
    CliApp.run(Sql, cli_args=list(arguments))
    return capsys.readouterr().out


def test_the_database_refuses_to_change_anything_and_says_what_to_do(
    settings, sessions, prompts, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = content(sessions)
    assert len(before) == 3
    for statement in WRITES:
        with pytest.raises(QueryError) as caught, ask(statement, settings.database, timeout_s=60) as answer:
            list(answer.rows)
        assert "only reads: one SELECT" in str(caught.value) and "\n" not in error_line(caught.value), statement
        assert content(sessions) == before, statement
    assert not list(tmp_path.glob("other.db")) and not list(tmp_path.glob("copy.db"))


@on_postgresql
def test_functions_that_write_are_refused(settings, sessions, prompts):
    body = "BEGIN DELETE FROM prompts; RETURN 1; END"
    with sessions.begin() as session:
        session.execute(text("CREATE SEQUENCE counter"))
        session.execute(text(f"CREATE FUNCTION emptied() RETURNS int LANGUAGE plpgsql AS $${body}$$"))
    writable = "set_config('transaction_read_only', 'off', true)"
    for call in ("nextval('counter')", "emptied()", f"{writable}, emptied()"):
        with pytest.raises(QueryError), ask(f"SELECT {call}", settings.database, timeout_s=60) as answer:
            list(answer.rows)
    assert len(content(sessions)) == 3


def test_a_question_may_end_in_a_semicolon_or_a_comment_and_hold_any_sign(settings, sessions):
    for statement, value in (
        ("SELECT 1;", 1),
        ("SELECT 1 -- one", 1),
        ("SELECT '100 %'", "100 %"),
        ("SELECT '%s :name ? {x}'", "%s :name ? {x}"),
        ("  \n SELECT ';'", ";"),
    ):
        with ask(statement, settings.database, timeout_s=60) as answer:
            assert list(answer.rows) == [(value,)], statement


def test_a_mistake_is_one_line_that_says_what_to_do(settings, sessions):
    with pytest.raises(QueryError) as caught, ask("SELECT * FROM selected_pair", settings.database, timeout_s=60):
        pass
    near = "there is no table selected_pair; did you mean selected_pairs? the views are: "
    assert str(caught.value) == near + ", ".join(VIEWS)
    for statement in ("SELECT promt FROM prompts", "SELEC 1", "SELECT 1 +", " ", "SELECT 'a"):
        with pytest.raises(QueryError, match="; ") as caught, ask(statement, settings.database, timeout_s=60) as answer:
            list(answer.rows)
        assert "\n" not in str(caught.value), statement


def test_a_failure_midway_is_one_line_too(settings, sessions):
    failing = {
        "sqlite": "SELECT CASE WHEN number = 5000 THEN json('no JSON') ELSE '1' END FROM ",
        "postgresql": "SELECT 1 / (number - 5000) FROM ",
    }[settings.database.partition(":")[0]]
    with ask(f"{failing} ({NUMBERS.format(last=6000)}) AS counted", settings.database, timeout_s=60) as answer:
        assert len(list(islice(answer.rows, 100))) == 100
        with pytest.raises(QueryError, match="correct the question"):
            list(answer.rows)


def test_rows_are_a_stream(settings, sessions):
    with ask(
        NUMBERS.format(last=10**9), settings.database, timeout_s=60
    ) as answer:  # it would take minutes and all memory
        assert list(islice(answer.rows, 2)) == [(1, "text 1", 0.25), (2, "text 2", 0.5)]


def test_both_databases_answer_alike(settings, sessions, prompts):
    statement = """
        SELECT id, messages, created_at, id AS id, (SELECT avg(id) FROM prompts) AS mean, NULL AS gap,
               (SELECT sum(id) FROM prompts) AS total
        FROM prompts ORDER BY id LIMIT 1
    """
    with ask(statement, settings.database, timeout_s=60) as answer:
        ((id_, messages, created_at, again, mean, gap, total),) = answer.rows
    assert answer.columns == ("id", "messages", "created_at", "id_2", "mean", "gap", "total")
    assert total == 6 and isinstance(total, int)
    assert id_ == again == 1 and mean == 2.0 and isinstance(mean, float) and gap is None
    assert json.loads(messages)[0]["content"] == "prompt 1, “ä”"
    assert "\\u00e4" in messages
    assert len(created_at) == len("2026-01-02 03:04:05.000006") and "+" not in created_at


@on_sqlite
def test_a_table_shows_twenty_rows_and_says_of_how_many(settings, sessions, capsys):
    out = run(capsys, NUMBERS.format(last=1234))
    assert out.strip().endswith("20 of 1,234 rows; all: --format jsonl, or --limit 1234")
    assert "text 20" in out and "text 21" not in out
    assert run(capsys, NUMBERS.format(last=3), "--limit", "2").strip().splitlines()[-1].startswith("2 of 3 rows")
    assert run(capsys, NUMBERS.format(last=3)).strip().endswith("\n3 rows")
    assert "more than 100,000 rows" in run(capsys, NUMBERS.format(last=10**9))


@on_sqlite
def test_a_table_shortens_its_cells_and_a_wide_one_becomes_paragraphs(settings, sessions, capsys):
    out = run(capsys, f"SELECT '{'long ' * 100}[bold]' AS words, 7 AS figure")
    assert max(map(len, out.splitlines())) <= 200 and "…" in out and "[bold]" not in out
    assert "[bold]" in run(capsys, "SELECT '[bold]' AS words")
    wide = ", ".join(f"'cell {number}' AS column_{number}" for number in range(40))
    assert "column_39 cell 39" in " ".join(run(capsys, f"SELECT {wide}").split())


def test_every_format_holds_the_same_rows(settings, sessions, prompts, capsys, tmp_path):
    statement = "SELECT id, text, CASE WHEN id > 1 THEN id / 2.0 END AS half FROM prompts ORDER BY id"
    rows = [json.loads(line) for line in run(capsys, statement, "--format", "jsonl").splitlines()]
    assert rows[0] == {"id": 1, "text": "prompt 1, “ä”", "half": None} and len(rows) == 3
    table = csv.DictReader(io.StringIO(run(capsys, statement, "--format", "csv")))
    assert [(int(row["id"]), row["text"]) for row in table] == [(row["id"], row["text"]) for row in rows]
    run(capsys, statement, "--format", "parquet", "--output", str(tmp_path / "rows.parquet"))
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pylist() == rows
    run(capsys, statement, "--format", "jsonl", "--output", str(tmp_path / "rows.jsonl"), "--limit", "2")
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == rows[:2]


@on_sqlite
def test_parquet_finds_the_type_of_a_column_that_begins_empty(settings, sessions, capsys, tmp_path):
    path = tmp_path / "rows.parquet"
    late = f"SELECT CASE WHEN number > 15000 THEN quarter END AS late FROM ({NUMBERS.format(last=20000)}) AS counted"
    run(capsys, late, "--format", "parquet", "--output", str(path))
    assert str(pyarrow.parquet.read_schema(path).field("late").type) == "double"
    assert pyarrow.parquet.read_table(path).num_rows == 20000
    run(capsys, f"{late} WHERE 1 = 0", "--format", "parquet", "--output", str(path))
    assert pyarrow.parquet.read_table(path).shape == (0, 1)


@on_sqlite
def test_a_file_that_was_there_stays_when_the_question_fails(settings, sessions, capsys, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("kept")
    with pytest.raises(QueryError):
        run(capsys, "SELECT * FROM nowhere", "--format", "jsonl", "--output", str(path))
    with pytest.raises(ValueError, match="format table takes no --output file"):
        run(capsys, "SELECT 1", "--output", str(path))
    with pytest.raises(ValueError, match="format parquet needs an --output file"):
        run(capsys, "SELECT 1", "--format", "parquet")
    assert path.read_text() == "kept" and {one.name for one in tmp_path.glob("*rows*")} == {"rows.jsonl"}


@on_sqlite
def test_a_question_comes_from_standard_input(settings, sessions, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 'from stdin' AS words"))
    assert "from stdin" in run(capsys, "-")


@on_sqlite
def test_ctrl_c_ends_a_question_that_takes_too_long(settings, sessions):
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    began = time.monotonic()
    question = f"SELECT count(*) FROM ({NUMBERS.format(last=10**9)})"
    with pytest.raises(KeyboardInterrupt), ask(question, settings.database, timeout_s=60):
        pass
    timer.join()
    assert time.monotonic() - began < 30


@on_sqlite
def test_a_question_waits_for_no_writer(settings, sessions, tmp_path):
    with sqlite3.connect(tmp_path / "antipode.db") as busy:
        busy.execute("BEGIN IMMEDIATE")
        with ask("SELECT count(*) FROM prompts", settings.database, timeout_s=60) as answer:
            assert list(answer.rows) == [(0,)]


SLOW = {
    "sqlite": ("SELECT count(*) FROM (" + NUMBERS.format(last=10**9) + ")", NUMBERS.format(last=10**9)),
    "postgresql": ("SELECT count(*) FROM generate_series(1, 10000000000)", NUMBERS.format(last=10**9)),
}


def test_a_question_is_given_up_when_its_time_is_over_also_while_its_rows_are_read(settings, sessions):
    for question in SLOW[settings.database.partition(":")[0]]:
        began = time.monotonic()
        words = r"longer than 0\.5 s; narrow it down, or raise --timeout_s"
        with pytest.raises(QueryError, match=words), ask(question, settings.database, timeout_s=0.5) as answer:
            for _ in answer.rows:
                pass
        assert time.monotonic() - began < 5


@on_sqlite
@pytest.mark.parametrize(
    "question",
    [
        "SELECT randomblob(900000000)",
        "SELECT zeroblob(900000000)",
        "SELECT group_concat(hex(zeroblob(1000000))) FROM (" + NUMBERS.format(last=1000) + ")",
        "SELECT " + ", ".join(f"randomblob(6000000{number % 10})" for number in range(40)),
    ],
)
def test_a_question_takes_no_more_memory_than_it_is_given(settings, sessions, question):
    began = time.monotonic()
    with pytest.raises(QueryError), ask(question, settings.database, timeout_s=60) as answer:
        list(answer.rows)
    assert time.monotonic() - began < 10


@on_sqlite
def test_one_function_that_looks_at_no_clock_is_ended_too(antipode):
    question = "SELECT instr(hex(zeroblob(20000000)), hex(zeroblob(2000000)) || '1')"
    result = antipode("sql", question, "--timeout_s", "0.5")
    assert result.returncode == 1 and "given up within a single function" in result.stderr


@on_sqlite
def test_what_reads_files_or_the_samples_of_an_index_is_refused(settings, sessions):
    with sessions.begin() as session:
        session.execute(text("ANALYZE"))
    for question in (
        "SELECT load_extension('x.so')",
        "SELECT has_words('rye', 'rye')",
        "SELECT readfile('/etc/passwd')",
        "SELECT writefile('x', 'y')",
        "SELECT edit('x')",
        "SELECT * FROM sqlite_stat1",
        "SELECT * FROM pragma_database_list",
        "SELECT fts3_tokenizer('x')",
    ):
        with pytest.raises(QueryError), ask(question, settings.database, timeout_s=60) as answer:
            list(answer.rows)


def test_large_rows_come_a_few_at_a_time(settings, sessions):
    long = {"sqlite": "hex(zeroblob(2000000))", "postgresql": "repeat('x', 4000000)"}
    question = f"SELECT {long[settings.database.partition(':')[0]]} FROM ({NUMBERS.format(last=60)}) AS counted"
    with ask(question, settings.database, timeout_s=60) as answer:
        assert [len(cell) for (cell,) in answer.rows] == [4_000_000] * 60


def test_sql_that_no_database_can_hold_is_refused(settings, sessions):
    for statement in ("SELECT '\x00'", "SELECT '\udcff'"):
        with pytest.raises(QueryError, match="write it anew"), ask(statement, settings.database, timeout_s=60):
            pass
