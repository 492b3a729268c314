"""Every query and recipe of docs/database.md runs as it stands, on both databases, and finds something."""

from __future__ import annotations

import re
import shlex

import pytest
from pydantic_settings import CliApp
from sqlalchemy import inspect, text
from stored_policies import finish, open_align_run, open_policy
from surroundings import ROOT

from db import evaluations, policies, promotions, prompt_uses, runs
from db.labels import judgements, labelling, predictions, preferences
from db.studies.trials import add_outcome
from flows.commands.database import Backup, Sql
from models.alignment.records import MetricPoint
from models.labelling.records import Judgement, person
from models.studies.trials import Outcome, Trial
from tasks.config.curation import CurateConfig
from tasks.config.exchange import ExportConfig
from tasks.config.labels import LabelConfig
from tasks.curation.embedding import embed
from tasks.curation.generation import generate
from tasks.curation.guard import guard
from tasks.curation.ingestion import import_demo_prompts
from tasks.curation.opening import open_run
from tasks.curation.selection import select
from tasks.database import open_database
from tasks.labels.exchange import export_preferences
from tasks.labels.labelling import judge_pairs
from tasks.labels.opening import open_label_run

PAGE = (ROOT / "docs" / "database.md").read_text()


def blocks(language):
    """The code of this language on the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


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
    for step in (generate, embed, guard, select):
        step.fn(run_id)
    return run_id


def label_and_export_in_this_process(settings):
    pairs = {"limit": 50}  # so that some stay without a label
    judge_pairs.fn(open_label_run.fn(LabelConfig.model_validate({"annotator": "rubric", "pairs": pairs})))
    # Scripted replies are nothing of the demo world: to the rubric both are bad. A person decides.
    with open_database(settings) as sessions, sessions.begin() as session:
        keys = labelling.pair_keys(session, 1, limit=5)
        anna = judgements.add_annotator(session, person("anna"))
        seen = [Judgement(key, key.first_response_id, "first", seconds=20) for key in keys]
        judgements.add_judgements(session, anna, seen)
    export_preferences(settings.artifact_root / "out.jsonl", ExportConfig(annotators=("anna",)), settings)
    # What came since: another person contradicts the first and decides a pair that was left; a prompt has no pair.
    with open_database(settings) as sessions, sessions.begin() as session:
        keys = labelling.pair_keys(session, 1)
        boris = judgements.add_annotator(session, person("boris"))
        verdicts = zip((*keys[:2], keys[-1]), ("first", "second", "second"), strict=True)
        judgements.add_judgements(session, boris, [Judgement(key, key[0], verdict) for key, verdict in verdicts])
        preferences.recompute(session, [*keys[:2], keys[-1]])
        runs.set_skipped(session, 1, {30: "fewer than two different responses"})


def compare_and_promote(sessions):
    """A policy of the exported snapshot, as if trained, beside its start model on the pairs that anna judged."""
    run_id = open_align_run(sessions)
    policy_id = open_policy(sessions, run_id, "a", snapshot_id=1).id
    finish(sessions, policy_id)
    with sessions.begin() as session:
        prompt_uses.add_uses(session, run_id, train=[1, 2], held_out=[3])
        policies.add_metrics(session, policy_id, [MetricPoint(10, "held_out", "margin", 0.5)])
        evaluation_id = evaluations.open_evaluation(
            session, key="e" * 64, run_id=None, policy_id=policy_id, baseline_id=None, baseline_model="demo",
            settings={},
        )  # fmt: skip
        query = """
            SELECT DISTINCT prompt_id, first_response_id, second_response_id
            FROM selected_pairs JOIN judged_pairs USING (first_response_id, second_response_id) WHERE kind = 'person'
        """
        rows = [(row[0], row[1], row[2]) for row in session.execute(text(query))]
        evaluations.add_evaluation_pairs(session, evaluation_id, rows)
        promotions.promote(session, policy_id, evaluation_id=evaluation_id, is_forced=False, reason="better")


def predict(sessions):
    """What a head might say of the pairs without a label."""
    with sessions.begin() as session:
        pair = labelling.pair_keys(session, 1)[-2]
        predictions.store_predictions(session, 1, [predictions.Prediction(*pair, 0.6, 0.4, 0.8, 0.4, 0.5, 52)])


def test_every_documented_query_runs(settings, sessions):
    curate_in_this_process(settings)
    label_and_export_in_this_process(settings)
    predict(sessions)
    compare_and_promote(sessions)
    with sessions.begin() as session:
        add_outcome(session, 1, Outcome(Trial("easy", "truth", 50), {"accuracy": 0.7}, 1.5))
    queries = blocks("sql")
    assert len(queries) >= 20
    with sessions() as session:
        for query in queries:
            rows = session.execute(text(query)).all()
            assert rows, query


@pytest.mark.parametrize(
    ("view", "begin", "end"),
    [
        ("selected_pairs", "`selected_pairs`, one row", "`labelled_pairs`, one row"),
        ("labelled_pairs", "`labelled_pairs`, one row", "`predicted_preferences`, one row"),
        ("predicted_preferences", "`predicted_preferences`, one row", "`judged_pairs`, one row"),
        ("judged_pairs", "`judged_pairs`, one row", "`annotator_summary`, one row"),
        ("annotator_summary", "`annotator_summary`, one row", "`annotator_calibrations`, one row"),
        ("annotator_calibrations", "`annotator_calibrations`, one row", "`run_summary`, one row"),
        ("run_summary", "`run_summary`, one row", "`left_out_candidates`, one row"),
        ("left_out_candidates", "`left_out_candidates`, one row", "`strategy_summary`, one row"),
        ("strategy_summary", "`strategy_summary`, one row", "`strategy_overlaps`, one row"),
        ("strategy_overlaps", "`strategy_overlaps`, one row", "`strategy_labels`, one row"),
        ("strategy_labels", "`strategy_labels`, one row", "`similar_prompts`, one row"),
        ("similar_prompts", "`similar_prompts`, one row", "`contaminated_prompts`, one row"),
        ("contaminated_prompts", "`contaminated_prompts`, one row", "`nearly_labelled_pairs`, one row"),
        ("nearly_labelled_pairs", "`nearly_labelled_pairs`, one row", "`policy_summary`, one row"),
        ("policy_summary", "`policy_summary`, one row", "`training_curves`, one row"),
        ("training_curves", "`training_curves`, one row", "`policy_evaluations`, one row"),
        ("policy_evaluations", "`policy_evaluations`, one row", "`study_results`, one row"),
        ("study_results", "`study_results`, one row", "## Tables"),
    ],
)
def test_every_column_of_a_view_is_documented(sessions, view, begin, end):
    with sessions() as session:
        columns = {column["name"] for column in inspect(session.connection()).get_columns(view)}
    documented = set(re.findall(r"`(\w+)`", PAGE.split(begin)[1].split(end)[0]))
    assert columns <= documented


def test_the_recipes_run_as_they_stand(settings, sessions, tmp_path, monkeypatch, capsys):
    curate_in_this_process(settings)
    label_and_export_in_this_process(settings)
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^antipode (sql|backup) (.*)$", "".join(blocks("sh")), re.MULTILINE)
    assert len(commands) == 5
    for name, arguments in commands:
        CliApp.run({"sql": Sql, "backup": Backup}[name], cli_args=shlex.split(arguments))
    for name in ("labels.jsonl", "annotators.csv", "pairs.parquet", "antipode.backup"):
        assert (tmp_path / name).stat().st_size > 0
    url = settings.database.replace("postgresql:", "postgresql+psycopg:")
    names = {}
    for code in blocks("python"):
        exec(compile(code.replace("sqlite:///.antipode/antipode.db", url), "docs/database.md", "exec"), names)
    names["engine"].dispose()
    assert len(names["pairs"]) > 30 and set(names["pairs"]["run_id"]) == {1}
    assert list(names["longest"].columns) == ["pair_id", "length"] and len(names["longest"]) == 5
    printed = capsys.readouterr().out
    assert "run_id 1" in printed and "│ centroid │" in printed
