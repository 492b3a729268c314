"""What `antipode sql` prints of many rows, of wide ones and of long texts."""

from __future__ import annotations

import os
import sys

import pytest
from pseudo_terminals import shown_on_terminal
from surroundings import ROOT, on_sqlite

from flows.commands.database import Sql

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1024) SELECT i FROM n"

ASK_ON_A_TERMINAL = """
import sys
from flows.commands import database
database.GRACE_S = 0.0
database.Sql(statement=sys.argv[1], limit=1000, timeout_s=2.0).cli_cmd()
"""


def asked(capsys, statement, **settings):
    Sql(statement=statement, **settings).cli_cmd()
    return capsys.readouterr().out


@on_sqlite
@pytest.mark.parametrize("format", ["table", "record"])
def test_a_cut_answer_says_of_how_many_it_is_and_how_to_see_all(sessions, capsys, format):
    assert asked(capsys, NUMBERS, format=format).endswith("\n20 of 1,024 rows; all: --format jsonl, or --limit 1024\n")
    assert asked(capsys, NUMBERS, format=format, limit=1024).endswith("\n1,024 rows\n")
    assert asked(capsys, "SELECT 1 AS a", format=format).endswith("\n1 row\n")


@on_sqlite
def test_a_record_shows_every_value_whole_on_lines_of_its_own(sessions, capsys):
    text = "word " * 100
    told = asked(capsys, f"SELECT 1 AS a, NULL AS empty, '{text}\nsecond' AS words, '\x1b[31m' AS red", format="record")
    assert told.splitlines() == [
        "─── 1 ───",
        "a      1",
        "empty",
        f"words  {text.rstrip()}",
        "       second",
        "red    \\u001b[31m",
        "1 row",
    ]


@on_sqlite
def test_records_are_for_the_terminal(sessions, tmp_path):
    with pytest.raises(ValueError, match="format record takes no --output file"):
        Sql(statement="SELECT 1", format="record", output=tmp_path / "out").cli_cmd()


@on_sqlite
def test_a_question_is_over_while_its_answer_is_read(settings, sessions):
    variables = os.environ | {"PYTHONPATH": str(ROOT), "ANTIPODE_DATABASE_URL": settings.database, "LINES": "24"}
    slow = variables | {"PAGER": "sh -c 'sleep 2.2; cat; echo all of it'"}
    assert shown_on_terminal([sys.executable, "-c", ASK_ON_A_TERMINAL, NUMBERS], slow).endswith("all of it\n")
