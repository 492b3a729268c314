"""Every query of docs/database.md runs on both databases and finds something, or nothing where that is right."""

from __future__ import annotations

import re

import pandas
import pytest
from conftest import ROOT
from sqlalchemy import inspect, text

from db import judgements, labelling
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


def test_every_documented_query_runs(settings, sessions):
    curate_in_this_process(settings)
    label_and_export_in_this_process(settings)
    queries = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    assert len(queries) >= 6
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
        ("run_summary", "`run_summary`, one row", "## Tables"),
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
