"""What databases do for a list of pairs: no filter reads a whole table, whatever their planners think of small ones."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import event, text
from surroundings import on_sqlite

from db.findings import pair_table
from db.findings.pair_filters import PairFilter
from db.findings.pair_search import index_texts
from db.findings.pair_table import Order, pair_page
from db.statements.search_words import has_words

LOOKED_UP = {
    "a source": PairFilter(source="one"),
    "an annotator": PairFilter(annotator_id=1),
    "flagged": PairFilter(flag="any"),
    "flagged by a rule": PairFilter(flag="language"),
    "words": PairFilter(words="rye"),
    "a beginning": PairFilter(words="ry*"),
}
OF_PAIRS = {
    "similarity": PairFilter(similarity=(0.9, None)),
    "length": PairFilter(length_ratio=(0.9, None)),
    "disputed": PairFilter(label="disputed"),
    "ties": PairFilter(label="tie"),
    "contradictions": PairFilter(label="contradiction"),
    "a run": PairFilter(run_id=1),
    "a run's strategy": PairFilter(run_id=1, strategy="easy"),
}


def plans(session, wanted):
    """The plans of what is asked for the first page; PostgreSQL may scan a table if it must."""
    with session.begin():
        while index_texts(session, 1_000):
            pass
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    explain = "EXPLAIN" if is_postgresql else "EXPLAIN QUERY PLAN"
    found = []

    def explained(connection, cursor, statement, parameters, context, is_many):
        if "pairs" in statement and not statement.startswith("EXPLAIN"):
            beside = connection.connection.driver_connection.cursor()
            beside.execute(f"{explain} {statement}", parameters)
            found.append("\n".join(str(row[-1]) for row in beside.fetchall()))

    if is_postgresql:
        session.execute(text("SET LOCAL enable_seqscan = off"))
    event.listen(session.get_bind(), "before_cursor_execute", explained)
    try:
        pair_page(session, wanted, Order("similarity"))
    finally:
        event.remove(session.get_bind(), "before_cursor_execute", explained)
    return found


@pytest.mark.parametrize("name", LOOKED_UP)
def test_what_another_table_knows_of_pairs_is_looked_up_pair_by_pair(sessions, name):
    with sessions() as session:
        found = plans(session, LOOKED_UP[name])
        assert found
        for plan in found:
            assert "Hash Join" not in plan and "Merge Join" not in plan and "Seq Scan on pairs" not in plan, plan
            assert not re.search(r"^SCAN pairs$", plan, re.MULTILINE), plan


@pytest.mark.parametrize("name", OF_PAIRS)
def test_what_pairs_are_filtered_by_has_an_index(sessions, name):
    with sessions() as session:
        found = plans(session, OF_PAIRS[name])
        assert found
        for plan in found:
            assert "Seq Scan on pairs" not in plan, plan
            assert not re.search(r"^SCAN pairs$", plan, re.MULTILINE), plan
        if name in ("disputed", "ties", "contradictions"):
            of_rare = "ix_pairs_disputed" if name == "disputed" else "ix_pairs_undecided"
            assert any(of_rare in plan for plan in found), found


@on_sqlite
def test_a_beginning_that_many_texts_have_is_not_asked_of_the_index_text_by_text(sessions, monkeypatch):
    monkeypatch.setattr("db.findings.pair_filters.MANY", {"sqlite": 0})
    with sessions() as session:
        search = pair_table._Search(session, PairFilter(words="ry*"), Order())
        assert not any("MATCH" in condition.sql for condition in search._conditions)


@pytest.mark.parametrize(
    ("content", "question", "expected"),
    [
        ("Rye bread", "rye", True),
        ("Rye bread", "ry", False),
        ("Rye bread", "ry*", True),
        ("Rye bread", "bread ry*", True),
        ("Rye bread", "bread wheat", False),
        ("Crème brûlée", "creme", True),
        ("", "rye", False),
        ("Rye", "", True),
    ],
)
def test_a_text_is_asked_as_the_index_is(content, question, expected):
    assert has_words(content, question) is expected
