"""Every query of docs/database.md runs on both databases and finds something, or nothing where that is right."""

from __future__ import annotations

import re

import pandas
import pytest
from conftest import ROOT
from sqlalchemy import inspect, text
from test_db_policies import finish, open_align_run, open_policy

from db import evaluations, judgements, labelling, policies, promotions
from models.alignment.records import MetricPoint
from models.labelling.records import Judgement
from tasks.config import CurateConfig, ExportConfig, LabelConfig
from tasks.embedding import embed
from tasks.exchange import export_preferences
from tasks.generation import generate
from tasks.ingestion import import_demo_prompts
from tasks.labelling import judge_pairs, open_label_run
from tasks.people import person
from tasks.resources import open_database
from tasks.runs import open_run
from tasks.selection import select

PAGE = (ROOT / "docs" / "database.md").read_text()


def curate_in_this_process(settings):
    import_demo_prompts(settings)
    config = CurateConfig.model_validate(
        {
            "source": {"name": "demo", "limit": 30},
            "generate": {"backend": "scripted", "responses_per_prompt": 5},
            "embed": {"backend": "hashed"},
        }
    )
    run_id = open_run.fn(config)
    for step in (generate, embed, select):
        step.fn(run_id)
    return run_id


def label_and_export_in_this_process(settings):
    pairs = {"limit": 50}  # so that some stay without a label
    judge_pairs.fn(open_label_run.fn(LabelConfig.model_validate({"annotator": "rubric", "pairs": pairs})))
    # Scripted replies are nothing of the demo world: to the rubric both are bad. A person decides.
    with open_database(settings) as sessions, sessions.begin() as session:
        keys = labelling.pair_keys(session, 1, limit=5)
        anna = judgements.add_annotator(session, person("anna"))
        judgements.add_judgements(session, anna, [Judgement(key, key.first_response_id, "first") for key in keys])
    export_preferences(settings.artifact_root / "out.jsonl", ExportConfig(annotators=("anna",)), settings)


def compare_and_promote(sessions):
    """A policy of the exported snapshot, as if trained, beside its start model on the pairs that anna judged."""
    policy_id = open_policy(sessions, open_align_run(sessions), "a", snapshot_id=1).id
    finish(sessions, policy_id)
    with sessions.begin() as session:
        policies.add_metrics(session, policy_id, [MetricPoint(10, "held_out", "margin", 0.5)])
        evaluation_id = evaluations.open_evaluation(
            session, key="e" * 64, run_id=None, policy_id=policy_id, baseline_id=None, baseline_model="demo",
            annotator_id=None, settings={},
        )  # fmt: skip
        query = """
            SELECT DISTINCT prompt_id, first_response_id, second_response_id
            FROM selected_pairs JOIN judged_pairs USING (first_response_id, second_response_id) WHERE kind = 'person'
        """
        rows = [(row[0], row[1], row[2]) for row in session.execute(text(query))]
        evaluations.add_evaluation_pairs(session, evaluation_id, rows)
        promotions.promote(session, policy_id, evaluation_id=evaluation_id, is_forced=False, reason="better")


def test_every_documented_query_runs(settings, sessions):
    curate_in_this_process(settings)
    label_and_export_in_this_process(settings)
    compare_and_promote(sessions)
    queries = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    assert len(queries) >= 10
    with sessions() as session:
        for query in queries:
            rows = session.execute(text(query)).all()
            assert rows or "skipped" in query, query


@pytest.mark.parametrize(
    ("view", "begin", "end"),
    [
        ("selected_pairs", "`selected_pairs`, one row", "`labelled_pairs`, one row"),
        ("labelled_pairs", "`labelled_pairs`, one row", "`judged_pairs`, one row"),
        ("judged_pairs", "`judged_pairs`, one row", "`annotator_summary`, one row"),
        ("annotator_summary", "`annotator_summary`, one row", "`run_summary`, one row"),
        ("run_summary", "`run_summary`, one row", "`policy_summary`, one row"),
        ("policy_summary", "`policy_summary`, one row", "`training_curves`, one row"),
        ("training_curves", "`training_curves`, one row", "`policy_evaluations`, one row"),
        ("policy_evaluations", "`policy_evaluations`, one row", "## Tables"),
    ],
)
def test_every_column_of_a_view_is_documented(sessions, view, begin, end):
    with sessions() as session:
        columns = {column["name"] for column in inspect(session.connection()).get_columns(view)}
    documented = set(re.findall(r"`(\w+)`", PAGE.split(begin)[1].split(end)[0]))
    assert columns <= documented


def test_pandas_reads_the_view(settings, sessions):
    run_id = curate_in_this_process(settings)
    with sessions() as session:
        frame = pandas.read_sql("SELECT * FROM selected_pairs WHERE strategy = 'centroid'", session.connection())
    assert len(frame) == 30 and set(frame["run_id"]) == {run_id}
