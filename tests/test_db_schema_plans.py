"""What databases do for the views of one run: no large table is read as a whole, an index leads to what is asked."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import inspect, text

from db.schema.views import VIEWS

LARGE = (
    "candidates", "embeddings", "guard_flags", "judgements", "labelled_alike", "pairs", "predictions", "preferences",
    "prompt_embeddings", "prompts", "responses", "run_prompts", "snapshot_rows", "source_rows",
)  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_one_run_reads_no_large_table_as_a_whole(sessions, view):
    with sessions() as session:
        if "run_id" not in {column["name"] for column in inspect(session.connection()).get_columns(view)}:
            pytest.skip("it is of no run")
        is_postgresql = session.get_bind().dialect.name == "postgresql"
        if view == "strategy_labels" and not is_postgresql:
            pytest.skip("SQLite groups the pairs of all runs before it asks for one: 1.3 s of a million")
        if is_postgresql:
            session.execute(text("SET LOCAL enable_seqscan = off"))  # a small table is read as a whole only if it must
        explain = "EXPLAIN" if is_postgresql else "EXPLAIN QUERY PLAN"
        plan = "\n".join(
            str(row[-1]) for row in session.execute(text(f"{explain} SELECT * FROM {view} WHERE run_id = 1"))
        )
    read = re.findall(r"Seq Scan on (\w+)" if is_postgresql else r"^SCAN (\w+)(?! USING)", plan, re.MULTILINE)
    assert not set(read) & set(LARGE), plan


@pytest.mark.parametrize(
    "question",
    [
        "SELECT * FROM selected_pairs WHERE run_id = 1 AND prompt_id = 5 ORDER BY pair_id",
        "SELECT strategy, prompt_id FROM pairs WHERE run_id = 1 AND strategy IN ('a', 'b') AND prompt_id IN (5, 6)",
    ],
)
def test_a_runs_pairs_of_a_prompt_are_found_without_walking_all_of_the_runs(sessions, question):
    with sessions() as session:
        if session.get_bind().dialect.name == "postgresql":
            pytest.skip("PostgreSQL plans by how many rows there are")
        plan = "\n".join(str(row[-1]) for row in session.execute(text(f"EXPLAIN QUERY PLAN {question}")))
    (of_pairs,) = re.findall(r"^SEARCH pairs .*", plan, re.MULTILINE)
    assert "run_id=?" in of_pairs and "prompt_id=?" in of_pairs, plan
