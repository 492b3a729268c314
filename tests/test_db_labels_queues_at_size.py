"""A queue of a hundred thousand pairs: every statement of labelling finds its rows by an index.

Without statistics SQLite plans a statement by its tables alone, so that more pairs would show nothing more.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, text
from stored_rows import add, row

from db.labels import leases, queues
from db.labels.judgements import add_annotator
from models.labelling.records import AnnotatorIdentity, PairKey

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE_S = 600
PROMPTS, PER_PROMPT = 100, 46  # 100 × 46 · 45 / 2 = 103 500 pairs
JUDGED = 3_000
SMALL = {"queues", "annotators", "leases", "adjudications", "guidelines", "runs"}  # a row per queue, person or run

STORED = (
    # Prompt 1 and generator 1 are an import's; the rest are its copies under other keys.
    """INSERT INTO prompts (key, messages, text, created_at)
       WITH RECURSIVE numbers(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < :prompts)
       SELECT 'prompt ' || n, messages, text, created_at FROM numbers, prompts WHERE prompts.id = 1""",
    """INSERT INTO responses (key, prompt_id, generator_id, text, is_reference, created_at)
       WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :per_prompt)
       SELECT 'response ' || p.id || ' ' || n, p.id, r.generator_id, r.text, r.is_reference, r.created_at
       FROM prompts p, numbers, (SELECT * FROM responses WHERE id = 1) r""",
)
JUDGEMENTS = """
    INSERT INTO judgements (annotator_id, first_response_id, second_response_id, left_response_id, verdict, seconds,
                            requests, input_tokens, output_tokens, cost, queue_id, created_at)
    SELECT :annotator, first_response_id, second_response_id, first_response_id, 'first', 2.0, 0, 0, 0, 0.0,
           queue_id, :now
    FROM queue_pairs WHERE queue_id = :queue AND position <= :judged ORDER BY position"""


def stored_queue(sessions, judged=JUDGED):
    """A queue of 103 500 pairs for two people each, its first pairs judged by one of them; queue and annotator."""
    add(sessions, row(1, "prompt", "response"))
    with sessions.begin() as session:
        for statement in STORED:
            session.execute(text(statement), {"prompts": PROMPTS, "per_prompt": PER_PROMPT})
        pairs = session.execute(
            text(
                "SELECT one.id, other.id FROM responses one JOIN responses other "
                "ON other.prompt_id = one.prompt_id AND other.id > one.id WHERE one.key LIKE 'response %'"
            )
        )
        queue = queues.open_queue(session, name="q", pairs=(PairKey(*p) for p in pairs), judgements_per_pair=2, seed=0)
        annotator = add_annotator(session, AnnotatorIdentity("person", "ada"))
        values = {"annotator": annotator, "queue": queue, "judged": judged, "now": NOW.replace(tzinfo=None)}
        session.execute(text(JUDGEMENTS), values)
        for statement in (
            "UPDATE queue_pairs SET judgement_count = 1 WHERE position <= :judged",
            "INSERT INTO queue_members (queue_id, annotator_id, position) VALUES (:queue, :annotator, :judged)",
        ):
            session.execute(text(statement), values)
    return queue, annotator


def label(sessions, queue, annotator):
    """Everything the page does with a pair, once."""
    with sessions.begin() as session:
        shown = queues.take_next(session, queue, annotator, now=NOW, lease_s=LEASE_S)
    showing = leases.Lease(shown.pair, shown.left_response_id, shown.shown_at)
    verdict = {"showing": showing, "verdict": "left", "seconds": 1.0}
    with sessions.begin() as session:
        assert queues.record_verdict(session, queue, annotator, **verdict, now=NOW)
    with sessions.begin() as session:
        queues.take_next(session, queue, annotator, now=NOW, lease_s=LEASE_S)
    with sessions.begin() as session:
        assert queues.undo_last(session, queue, annotator, now=NOW, lease_s=LEASE_S).pair == shown.pair
    with sessions() as session:
        return queues.queue_progress(session, queue, annotator)


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_statement_of_labelling_walks_through_the_pairs(sessions):
    queue, annotator = stored_queue(sessions)
    engine, statements = sessions.kw["bind"], []

    @event.listens_for(engine, "before_cursor_execute")
    def remember(_connection, _cursor, statement, parameters, _context, executemany):
        statements.append((statement, parameters[0] if executemany else parameters))

    progress = label(sessions, queue, annotator)
    event.remove(engine, "before_cursor_execute", remember)
    assert progress == queues.QueueProgress(103_500, 0, 207_000, 0, JUDGED, 0, (2.0,) * 20)
    assert len(statements) > 20
    with engine.connect() as connection:
        for statement, parameters in statements:
            plan = [step[-1] for step in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters)]
            scanned = {table for step in plan for table in re.findall(r"SCAN (\w+)", step)}
            assert scanned <= SMALL | {"CONSTANT", "json_each"}, (statement, plan)
            if "ORDER BY queue_pairs.position" in statement:
                assert any("ix_queue_pairs_open (queue_id=? AND position>?)" in step for step in plan), plan
            if "LIMIT" in statement:  # a limit saves nothing if everything is sorted first
                assert not any("TEMP B-TREE" in step for step in plan), (statement, plan)
