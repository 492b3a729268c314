"""What pages count is read from an index that ends where the count does, whatever the table holds; on SQLite."""

from __future__ import annotations

import pytest
from sqlalchemy import event, text
from surroundings import on_sqlite

from db.findings.pair_filters import PairFilter
from db.findings.pair_table import Order, _Search
from db.findings.prompts import prompt_groups_of
from db.labels import sign_ins
from db.labels.queueing import figures
from db.overviews import loop, runs, snapshots
from db.runs import skip_counts


def plans_of(session, ask):
    """How SQLite finds the rows of each statement of a question."""
    statements = []

    def keep(connection, cursor, statement, parameters, context, executemany):
        statements.append((statement, parameters))

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", keep)
    ask()
    event.remove(connection, "before_cursor_execute", keep)
    found = [
        (statement, [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)])
        for statement, parameters in statements
        if statement.lstrip().startswith(("SELECT", "WITH"))
    ]
    assert found
    return found


def first_similarities(session):
    session.execute(text(runs._FIRST_SIMILARITIES), {"run": 1, "strategy": "easy", "most": 5}).all()


QUESTIONS = {
    "groups": (lambda session: prompt_groups_of(session, 1, shown=2, examples=1), "ix_run_prompts_grouped"),
    "skipped": (lambda session: skip_counts(session, 1), "ix_run_prompts_skipped"),
    "people in a queue": (lambda session: figures._counts(session, 1), "ix_judgements_in_queue"),
    "new preferences": (lambda session: loop._preferences(session, None), "ix_preferences_rule_updated_at_outcome"),
    "pairs of a run": (lambda session: runs.run_lines(session, limit=5), "ix_pairs_run_id_strategy_prompt_id_id"),
    "first similarities": (first_similarities, "ix_pairs_run_id_strategy_prompt_id_id"),
}


@on_sqlite
@pytest.mark.parametrize("name", QUESTIONS)
def test_what_a_page_counts_is_read_from_an_index(sessions, name):
    ask, index = QUESTIONS[name]
    with sessions() as session:
        found = plans_of(session, lambda: ask(session))
    assert any(index in step for _, plan in found for step in plan), found


@on_sqlite
def test_a_list_of_a_run_or_of_what_has_a_label_walks_past_no_other_pair(sessions, monkeypatch):
    monkeypatch.setattr("db.findings.pair_table.FEW", -1)
    for wanted, index in ((PairFilter(run_id=1), "run_id_id"), (PairFilter(label="any"), "labelled")):
        with sessions() as session:
            search = _Search(session, wanted, Order())
            found = plans_of(session, lambda search=search: search.find(None, 10))
        assert any(f"ix_pairs_{index}" in step for _, plan in found for step in plan), found
        assert not any("TEMP B-TREE" in step for _, plan in found for step in plan), found


@on_sqlite
def test_no_page_reads_a_whole_table_of_judgements_or_snapshot_rows(sessions):
    with sessions() as session:
        for ask in (lambda: sign_ins.people(session), lambda: snapshots.snapshots_of(session, 1)):
            found = plans_of(session, ask)
            assert not any(
                "SCAN judgements" in step or "SCAN snapshot_rows" in step for _, plan in found for step in plan
            )
